// Which servers are asked, in which order: as they are listed, those that have failed lately last.
//
// Not thread-safe: of one loop.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "base/net/address.h"

namespace meltemi::dns {

// The nameservers of a resolv.conf's text, port 53.
std::vector<net::Address> ParseResolvConf(absl::string_view text);

class Upstreams {
 public:
  // Those that are the same as before keep their health.
  void Set(const std::vector<net::Address>& addresses);
  // In the order in which they are to be tried; those that lead back here are left out.
  std::vector<net::Address> Order(MonotonicTime now) const;
  void Failed(const net::Address& address, MonotonicTime now);
  void Succeeded(const net::Address& address);
  // What was sent to it has come back as a query to us.
  void Loops(const net::Address& address);
  // It does not understand EDNS.
  void SetPlain(const net::Address& address);
  bool plain(const net::Address& address) const;
  const std::vector<net::Address> addresses() const;

 private:
  struct Upstream {
    net::Address address;
    int failures = 0;
    MonotonicTime down_until;
    bool loops = false, plain = false;
  };
  Upstream* Find(const net::Address& address);

  std::vector<Upstream> upstreams_;
};

}  // namespace meltemi::dns
