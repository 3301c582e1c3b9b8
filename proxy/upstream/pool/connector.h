// How connections to hosts are made: the seam between the upstream side and sockets.
#pragma once

#include <memory>

#include "base/loop/loop.h"
#include "base/net/address.h"
#include "base/net/connection.h"

namespace meltemi::proxy {

// Thread-safe: one object serves all workers and the main loop's health checks.
class Connector {
 public:
  virtual ~Connector() = default;
  // As net::NewClientConnection: the outcome is told from the loop.
  virtual std::unique_ptr<net::Connection> Connect(Loop& loop, const net::Address& to,
                                                   const net::Address& source,
                                                   const net::ConnectionLimits& limits) const = 0;
};

class SocketConnector final : public Connector {
 public:
  std::unique_ptr<net::Connection> Connect(Loop& loop, const net::Address& to,
                                           const net::Address& source,
                                           const net::ConnectionLimits& limits) const override {
    return net::NewClientConnection(loop, to, source, limits);
  }
};

}  // namespace meltemi::proxy
