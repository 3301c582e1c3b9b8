// A listening socket on a loop.
#pragma once

#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/loop/loop.h"
#include "base/net/address.h"

namespace meltemi::net {

struct ListenOptions {
  bool reuse_port = false;   // each worker binds its own socket; the kernel spreads connections
  bool transparent = false;  // IP_TRANSPARENT, needs CAP_NET_ADMIN
  bool ipv6_only = false;
  int backlog = 4096;
};

// Loop-owned. Accepts until destroyed; at EMFILE it closes the newest connection with its spare
// descriptor and goes on, so that a descriptor shortage never spins the loop.
class Listener : public Deferrable {
 public:
  // Gets the accepted descriptor (owned by the callee, non-blocking, close-on-exec).
  using AcceptCallback = absl::AnyInvocable<void(int fd, const Address& remote)>;
  // With the port that the kernel chose where 0 was asked for.
  virtual const Address& address() const = 0;
  virtual int fd() const = 0;
  // Stops or resumes accepting; the backlog keeps filling while stopped.
  virtual void Pause(bool paused) = 0;
};

absl::StatusOr<std::unique_ptr<Listener>> Listen(Loop& loop, const Address& address,
                                                 const ListenOptions& options,
                                                 Listener::AcceptCallback on_accept);

// The destination that a REDIRECT rule replaced (SO_ORIGINAL_DST); the local address when none did.
absl::StatusOr<Address> OriginalDestination(int fd);

}  // namespace meltemi::net
