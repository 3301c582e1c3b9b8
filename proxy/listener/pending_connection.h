// An accepted connection that waits for the client's first bytes to tell what it speaks.
//
// Loop-owned, by a ConnectionSet, for a moment.
#pragma once

#include <memory>

#include "absl/functional/any_invocable.h"
#include "base/loop/loop.h"
#include "base/net/address.h"
#include "base/net/connection.h"
#include "proxy/connection/downstream_connection.h"
#include "proxy/listener/sniffer.h"

namespace meltemi::proxy {

class PendingConnection final : public DownstreamConnection, private net::ConnectionHandler {
 public:
  struct Options {
    bool http = false, tls = false;
    Duration timeout{0};  // 0: none
    bool continue_on_timeout = false;
  };
  enum class Outcome : uint8_t { kSniffed, kTimedOut, kClosed };
  // Called once, with the connection unless the client has gone.
  using Done =
      absl::AnyInvocable<void(std::unique_ptr<net::Connection> connection,
                              const SniffResult& result, bool end_of_stream, Outcome outcome)>;

  PendingConnection(ConnectionSet& set, Loop& loop, const Options& options,
                    std::unique_ptr<net::Connection> connection, Done done);
  ~PendingConnection() override;

  void Start(bool) override {}
  void Drain() override {}
  void CloseNow() override;

 private:
  void OnRead(Buffer& in, bool end_of_stream) override;
  void OnClosed(net::CloseCause cause, absl::string_view detail) override;
  void OnTimeout();
  void Finish(Outcome outcome);

  ConnectionSet& set_;
  const bool continue_on_timeout_;
  Sniffer sniffer_;
  bool end_of_stream_ = false;
  std::unique_ptr<net::Connection> connection_;
  Done done_;
  std::unique_ptr<Timer> timer_;
};

}  // namespace meltemi::proxy
