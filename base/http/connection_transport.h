// Joins a codec to a net::Connection: output goes to the connection's output buffer, ReceiveAgain
// becomes a turn-end task.
#pragma once

#include "absl/functional/any_invocable.h"
#include "base/http/codec.h"
#include "base/loop/loop.h"
#include "base/net/connection.h"

namespace meltemi::http {

// Loop-owned. `connection` outlives it; `on_again` has to call the codec's Receive.
class ConnectionTransport final : public CodecTransport, private TurnEndTask {
 public:
  ConnectionTransport(Loop& loop, net::Connection& connection, absl::AnyInvocable<void()> on_again)
      : loop_(loop), connection_(connection), on_again_(std::move(on_again)) {}

  Buffer& output() override { return connection_.output(); }
  void OutputReady() override { connection_.FlushSoon(); }
  void ReceiveAgain() override { loop_.AtTurnEnd(this); }
  void CloseWrite() override { connection_.CloseWrite(); }

 private:
  void RunAtTurnEnd() override { on_again_(); }

  Loop& loop_;
  net::Connection& connection_;
  absl::AnyInvocable<void()> on_again_;
};

}  // namespace meltemi::http
