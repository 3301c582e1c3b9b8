// A socket address: IPv4, IPv6 or a Unix path. A value; thread-compatible.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace meltemi::net {

class Address {
 public:
  Address();  // unset: family() == AF_UNSPEC
  // `ip` without brackets; "0.0.0.0" and "::" mean any. Error: the text and what was expected.
  static absl::StatusOr<Address> FromIp(absl::string_view ip, uint16_t port);
  // "1.2.3.4:80", "[::1]:80", "unix:/path" (also "unix://path").
  static absl::StatusOr<Address> Parse(absl::string_view text);
  static Address FromSockaddr(const sockaddr* address, socklen_t length);
  static Address Loopback4(uint16_t port);
  static Address Any4(uint16_t port);

  bool set() const { return family() != AF_UNSPEC; }
  int family() const { return storage_.base.sa_family; }
  bool is_ip() const { return family() == AF_INET || family() == AF_INET6; }
  bool is_loopback() const;
  uint16_t port() const;  // 0 when not IP
  void set_port(uint16_t port);
  std::string ip() const;    // "" when not IP
  std::string path() const;  // "" when not Unix
  // "1.2.3.4:80", "[::1]:80", "unix:/path"; "unset".
  std::string ToString() const;

  const sockaddr* raw() const { return &storage_.base; }
  socklen_t raw_length() const;

  friend bool operator==(const Address& a, const Address& b);
  friend bool operator!=(const Address& a, const Address& b) { return !(a == b); }
  template <typename H>
  friend H AbslHashValue(H h, const Address& a) {
    return H::combine_contiguous(std::move(h), reinterpret_cast<const char*>(&a.storage_),
                                 a.raw_length());
  }

 private:
  union Storage {
    sockaddr base;
    sockaddr_in v4;
    sockaddr_in6 v6;
    sockaddr_un un;
  } storage_;
};

// An IP range such as 10.0.0.0/8.
class Cidr {
 public:
  static absl::StatusOr<Cidr> Parse(absl::string_view text);
  bool Contains(const Address& address) const;
  int prefix_bits() const { return prefix_bits_; }
  int family() const { return base_.family(); }
  std::string ToString() const;

 private:
  Address base_;
  int prefix_bits_ = 0;
};

}  // namespace meltemi::net
