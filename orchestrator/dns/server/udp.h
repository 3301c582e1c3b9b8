// Datagrams in and out, many per system call.
//
// Loop-owned.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/loop/loop.h"
#include "base/net/address.h"
#include "orchestrator/dns/server/answerer.h"

namespace meltemi::dns {

class UdpEndpoint final {
 public:
  // Error: the address can't be bound.
  static absl::StatusOr<std::unique_ptr<UdpEndpoint>> Open(Loop& loop, const net::Address& address,
                                                           Answerer& answerer);
  ~UdpEndpoint();
  UdpEndpoint(const UdpEndpoint&) = delete;
  UdpEndpoint& operator=(const UdpEndpoint&) = delete;

  // With the port that the kernel chose.
  const net::Address& address() const { return address_; }

 private:
  // Who asked, and at which of this machine's addresses.
  struct Peer {
    sockaddr_storage from;
    socklen_t from_length;
    in_addr local;  // zero: the socket's own
  };
  struct Batch;

  UdpEndpoint(Loop& loop, int fd, const net::Address& address, Answerer& answerer);
  void OnReadable();
  int Receive();
  void SendAll(int count);
  void SendOne(const Peer& peer, absl::string_view message) const;

  const int fd_;
  net::Address address_;
  Answerer& answerer_;
  const bool any_;  // bound to any address: answers leave from the one that was asked
  const std::unique_ptr<Batch> batch_;
  // Forgotten by replies that come after the end.
  const std::shared_ptr<UdpEndpoint*> self_;
  std::unique_ptr<FdWatch> watch_;
};

}  // namespace meltemi::dns
