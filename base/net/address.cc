#include "base/net/address.h"

#include <arpa/inet.h>
#include <sys/un.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace meltemi::net {
namespace {

// Returns the end. inet_ntop goes by way of printf, and every request that is logged or forwarded
// shows an address.
char* WriteIp4(const in_addr& address, char* out) {
  const auto* const bytes = reinterpret_cast<const uint8_t*>(&address.s_addr);
  for (int i = 0; i < 4; ++i) {
    if (i > 0) *out++ = '.';
    out = std::to_chars(out, out + 3, bytes[i]).ptr;
  }
  return out;
}

}  // namespace

Address::Address() { std::memset(&storage_, 0, sizeof(storage_)); }

absl::StatusOr<Address> Address::FromIp(absl::string_view ip, uint16_t port) {
  Address address;
  const std::string text(ip);
  if (inet_pton(AF_INET, text.c_str(), &address.storage_.v4.sin_addr) == 1) {
    address.storage_.v4.sin_family = AF_INET;
    address.storage_.v4.sin_port = htons(port);
    return address;
  }
  if (inet_pton(AF_INET6, text.c_str(), &address.storage_.v6.sin6_addr) == 1) {
    address.storage_.v6.sin6_family = AF_INET6;
    address.storage_.v6.sin6_port = htons(port);
    return address;
  }
  return absl::InvalidArgumentError(absl::StrCat("\"", ip, "\" is not an IPv4 or IPv6 address"));
}

absl::StatusOr<Address> Address::Parse(absl::string_view text) {
  absl::string_view rest = text;
  if (absl::ConsumePrefix(&rest, "unix:")) {
    absl::ConsumePrefix(&rest, "//");
    Address address;
    if (rest.empty() || rest.size() >= sizeof(address.storage_.un.sun_path)) {
      return absl::InvalidArgumentError(absl::StrCat("\"", text, "\": a Unix socket path has 1 to ",
                                                     sizeof(address.storage_.un.sun_path) - 1,
                                                     " bytes"));
    }
    address.storage_.un.sun_family = AF_UNIX;
    std::memcpy(address.storage_.un.sun_path, rest.data(), rest.size());
    return address;
  }
  const size_t colon = rest.rfind(':');
  uint32_t port = 0;
  if (colon == absl::string_view::npos || !absl::SimpleAtoi(rest.substr(colon + 1), &port) ||
      port > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\" is not of the form IP:PORT, [IP]:PORT or unix:PATH"));
  }
  absl::string_view ip = rest.substr(0, colon);
  if (absl::ConsumePrefix(&ip, "[") && !absl::ConsumeSuffix(&ip, "]")) {
    return absl::InvalidArgumentError(absl::StrCat("\"", text, "\": \"[\" without \"]\""));
  }
  return FromIp(ip, static_cast<uint16_t>(port));
}

Address Address::FromSockaddr(const sockaddr* address, socklen_t length) {
  Address result;
  std::memcpy(&result.storage_, address, std::min<size_t>(length, sizeof(result.storage_)));
  // A v4 peer of a dual-stack socket is a v4 address.
  if (result.family() == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&result.storage_.v6.sin6_addr)) {
    Address v4;
    v4.storage_.v4.sin_family = AF_INET;
    v4.storage_.v4.sin_port = result.storage_.v6.sin6_port;
    std::memcpy(&v4.storage_.v4.sin_addr, &result.storage_.v6.sin6_addr.s6_addr[12], 4);
    return v4;
  }
  if (result.family() == AF_INET) std::memset(result.storage_.v4.sin_zero, 0, 8);
  if (result.family() == AF_INET6) result.storage_.v6.sin6_flowinfo = 0;
  return result;
}

Address Address::Loopback4(uint16_t port) {
  Address address = Any4(port);
  address.storage_.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

Address Address::Any4(uint16_t port) {
  Address address;
  address.storage_.v4.sin_family = AF_INET;
  address.storage_.v4.sin_port = htons(port);
  return address;
}

bool Address::is_loopback() const {
  if (family() == AF_INET) return (ntohl(storage_.v4.sin_addr.s_addr) >> 24) == 127;
  if (family() == AF_INET6) return IN6_IS_ADDR_LOOPBACK(&storage_.v6.sin6_addr);
  return family() == AF_UNIX;
}

uint16_t Address::port() const {
  if (family() == AF_INET) return ntohs(storage_.v4.sin_port);
  if (family() == AF_INET6) return ntohs(storage_.v6.sin6_port);
  return 0;
}

void Address::set_port(uint16_t port) {
  if (family() == AF_INET) storage_.v4.sin_port = htons(port);
  if (family() == AF_INET6) storage_.v6.sin6_port = htons(port);
}

std::string Address::ip() const {
  char text[INET6_ADDRSTRLEN] = "";
  if (family() == AF_INET) return std::string(text, WriteIp4(storage_.v4.sin_addr, text));
  if (family() == AF_INET6) inet_ntop(AF_INET6, &storage_.v6.sin6_addr, text, sizeof(text));
  return text;
}

std::string Address::path() const {
  if (family() != AF_UNIX) return "";
  return std::string(storage_.un.sun_path,
                     strnlen(storage_.un.sun_path, sizeof(storage_.un.sun_path)));
}

std::string Address::ToString() const {
  switch (family()) {
    case AF_INET: {
      char text[INET_ADDRSTRLEN + 6];
      char* end = WriteIp4(storage_.v4.sin_addr, text);
      *end++ = ':';
      return std::string(text, std::to_chars(end, text + sizeof(text), port()).ptr);
    }
    case AF_INET6:
      return absl::StrCat("[", ip(), "]:", port());
    case AF_UNIX:
      return absl::StrCat("unix:", path());
    default:
      return "unset";
  }
}

socklen_t Address::raw_length() const {
  switch (family()) {
    case AF_INET:
      return sizeof(sockaddr_in);
    case AF_INET6:
      return sizeof(sockaddr_in6);
    case AF_UNIX:
      return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path().size() + 1);
    default:
      return sizeof(sa_family_t);
  }
}

bool operator==(const Address& a, const Address& b) {
  const socklen_t length = a.raw_length();
  return length == b.raw_length() && std::memcmp(&a.storage_, &b.storage_, length) == 0;
}

absl::StatusOr<Cidr> Cidr::Parse(absl::string_view text) {
  const size_t slash = text.rfind('/');
  const absl::StatusOr<Address> base = Address::FromIp(text.substr(0, slash), 0);
  if (!base.ok()) return base.status();
  const int bits_max = base->family() == AF_INET ? 32 : 128;
  int bits = bits_max;
  if (slash != absl::string_view::npos &&
      (!absl::SimpleAtoi(text.substr(slash + 1), &bits) || bits < 0 || bits > bits_max)) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\": the prefix length must be 0 to ", bits_max));
  }
  Cidr cidr;
  cidr.base_ = *base;
  cidr.prefix_bits_ = bits;
  return cidr;
}

bool Cidr::Contains(const Address& address) const {
  if (address.family() != base_.family()) return false;
  const auto bytes = [](const Address& a) {
    return a.family() == AF_INET ? reinterpret_cast<const uint8_t*>(
                                       &reinterpret_cast<const sockaddr_in*>(a.raw())->sin_addr)
                                 : reinterpret_cast<const uint8_t*>(
                                       &reinterpret_cast<const sockaddr_in6*>(a.raw())->sin6_addr);
  };
  const uint8_t* mine = bytes(base_);
  const uint8_t* theirs = bytes(address);
  const int whole = prefix_bits_ / 8;
  if (std::memcmp(mine, theirs, whole) != 0) return false;
  const int rest = prefix_bits_ % 8;
  return rest == 0 || ((mine[whole] ^ theirs[whole]) >> (8 - rest)) == 0;
}

std::string Cidr::ToString() const { return absl::StrCat(base_.ip(), "/", prefix_bits_); }

}  // namespace meltemi::net
