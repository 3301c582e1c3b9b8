// One question on its way through the upstream servers.
//
//   UDP --answer--> done          UDP --truncated--> TCP --answer--> done
//    |  \--EDNS not understood--> UDP without it      |
//    timeout, error, SERVFAIL, REFUSED: the next server, from UDP on; after the last one: done
//
// Loop-owned; ends through Loop::DeferDelete.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/loop/loop.h"
#include "base/net/address.h"
#include "base/net/connection.h"
#include "orchestrator/dns/forward/forwarder.h"

namespace meltemi::dns {

class Forward final : public Deferrable, public net::ConnectionHandler {
 public:
  Forward(Forwarder& forwarder, ForwardKey key, std::vector<net::Address> servers);
  ~Forward() override;

  void Start();
  bool AddWaiter(Forwarder::Done done);
  std::vector<Forwarder::Done> TakeWaiters() { return std::exchange(waiters_, {}); }

 private:
  const net::Address& server() const { return servers_[server_]; }
  void Attempt();
  void AttemptOverTcp();
  void Next(bool failed);
  void EndAttempt();
  void OnReadable();
  void Take(absl::string_view message, bool over_tcp);
  void Done(UpstreamAnswerPtr answer);

  void OnConnected() override;
  void OnRead(Buffer& in, bool end_of_stream) override;
  void OnClosed(net::CloseCause cause, absl::string_view detail) override;

  Forwarder& forwarder_;
  const ForwardKey key_;
  const std::vector<net::Address> servers_;
  size_t server_ = 0;
  std::vector<Forwarder::Done> waiters_;
  std::unique_ptr<Timer> timer_;
  // Of the attempt under way.
  uint16_t id_ = 0;
  bool edns_ = true;
  int fd_ = -1;
  std::unique_ptr<FdWatch> watch_;
  std::unique_ptr<net::Connection> connection_;
  // The best that was heard: an answer that is none.
  UpstreamAnswerPtr refusal_;
};

}  // namespace meltemi::dns
