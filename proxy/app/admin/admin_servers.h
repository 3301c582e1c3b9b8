// The sockets of the admin interface: the admin port, and the two that may be seen from outside.
//
// Main loop only.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/loop/loop.h"
#include "base/net/address.h"

namespace meltemi::http {
class DebugServer;
}

namespace meltemi::proxy {

class Admin;

class AdminServers {
 public:
  AdminServers(Loop& loop, Admin& admin);
  ~AdminServers();

  // Error: the address and the cause, with what to do about it.
  absl::Status ListenAdmin(const net::Address& address);
  absl::Status ListenStatus(const net::Address& address);
  absl::Status ListenStats(const net::Address& address);
  // Unset before ListenAdmin.
  net::Address admin_address() const;

 private:
  absl::Status Listen(absl::string_view what, const net::Address& address,
                      http::DebugServer** server);

  Loop& loop_;
  Admin& admin_;
  std::vector<std::unique_ptr<http::DebugServer>> servers_;
  net::Address admin_address_;
};

}  // namespace meltemi::proxy
