#include "base/net/interfaces.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "absl/strings/match.h"
#include "base/net/address.h"

namespace meltemi::net {

std::string FirstGlobalIp() {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return "";
  std::string v4, v6;
  for (ifaddrs* it = list; it != nullptr; it = it->ifa_next) {
    if (it->ifa_addr == nullptr || (it->ifa_flags & IFF_LOOPBACK) != 0) continue;
    const int family = it->ifa_addr->sa_family;
    if (family == AF_INET && v4.empty()) {
      v4 = Address::FromSockaddr(it->ifa_addr, sizeof(sockaddr_in)).ip();
      if (absl::StartsWith(v4, "169.254.")) v4.clear();
    } else if (family == AF_INET6 && v6.empty()) {
      v6 = Address::FromSockaddr(it->ifa_addr, sizeof(sockaddr_in6)).ip();
      if (absl::StartsWith(v6, "fe80:")) v6.clear();
    }
  }
  freeifaddrs(list);
  return v4.empty() ? v6 : v4;
}

}  // namespace meltemi::net
