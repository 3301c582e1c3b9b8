#include "orchestrator/kubeproxy/model/rules.h"

#include "absl/strings/str_cat.h"

namespace meltemi::kubeproxy {

std::string IpText(Ipv4 ip) {
  return absl::StrCat(ip >> 24, ".", ip >> 16 & 255, ".", ip >> 8 & 255, ".", ip & 255);
}

absl::string_view ProtocolWord(Protocol protocol) {
  switch (protocol) {
    case Protocol::kTcp:
      return "tcp";
    case Protocol::kUdp:
      return "udp";
    case Protocol::kSctp:
      return "sctp";
  }
  return "tcp";
}

std::string Target::ToString() const { return absl::StrCat(IpText(ip), ":", port); }

bool SourceRange::Contains(Ipv4 other) const {
  // A shift by 32 has no meaning in C++.
  return prefix_bits == 0 || (other ^ ip) >> (32 - prefix_bits) == 0;
}

std::string SourceRange::ToString() const { return absl::StrCat(IpText(ip), "/", prefix_bits); }

std::string PortName(const ServiceRules& service, const PortRules& port) {
  return port.name.empty() ? service.key.ToString()
                           : absl::StrCat(service.key.ToString(), ":", port.name);
}

}  // namespace meltemi::kubeproxy
