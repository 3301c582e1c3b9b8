// Connections of those whose answers do not fit into a datagram.
//
// Loop-owned. Source: RFC 7766 (many questions per connection, answers in any order).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/loop/loop.h"
#include "base/net/address.h"
#include "base/net/connection.h"
#include "base/net/listener.h"
#include "orchestrator/dns/server/answerer.h"

namespace meltemi::dns {

class TcpClient;

// The connections of all listeners.
class TcpClients final {
 public:
  TcpClients(Loop& loop, Answerer& answerer, size_t connections_max);
  ~TcpClients();
  TcpClients(const TcpClients&) = delete;
  TcpClients& operator=(const TcpClients&) = delete;

  // Takes over `fd`. Beyond the bound the one that has been idle longest is closed.
  void Accept(int fd, const net::Address& remote);
  size_t size() const { return clients_.size(); }

 private:
  friend class TcpClient;
  void Remove(uint64_t id);

  Loop& loop_;
  Answerer& answerer_;
  const size_t connections_max_;
  std::string room_;  // for an answer that is being made
  uint64_t next_id_ = 1;
  std::map<uint64_t, std::unique_ptr<TcpClient>> clients_;
  const std::shared_ptr<TcpClients*> self_;  // forgotten by replies that come after the end
};

}  // namespace meltemi::dns
