// One bidirectional gRPC stream on an HTTP/2 connection of its own: the ADS client's transport.
//
// Loop-owned. It connects once and ends once: reconnecting is its user's affair. Whoever links it
// also links one of the builds of //base/tls.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "base/loop/loop.h"
#include "base/net/address.h"

namespace meltemi::tls {
class Context;
}

namespace meltemi::http::grpc {

struct BidiOptions {
  std::string path;       // "/package.Service/Method"
  std::string authority;  // "": the address
  std::string user_agent = "meltemi";
  // Names in lower case.
  std::vector<std::pair<std::string, std::string>> metadata;
  // Not null: over TLS. The context offers ALPN "h2"; `server_name`: instead of the context's.
  std::shared_ptr<const tls::Context> tls;
  std::string server_name;
  // Of the connection, the handshake included.
  Duration connect_timeout = seconds(10);
  // A PING this often; without an answer within keepalive_timeout the stream ends as UNAVAILABLE.
  // Zero: none.
  Duration keepalive_interval = seconds(30);
  Duration keepalive_timeout = seconds(10);
  size_t message_bytes_max = 256 * 1024 * 1024;
};

class BidiEvents {
 public:
  virtual ~BidiEvents() = default;
  // The connection is up; the server has not said anything yet.
  virtual void OnConnected() {}
  // One message; valid during the call.
  virtual void OnMessage(absl::string_view message) = 0;
  // The last call. OK: the server ended the stream in order. UNAVAILABLE with the system's words
  // when the connection failed or was lost, else what the server or the framing said.
  virtual void OnEnded(absl::Status status) = 0;
};

class BidiStream {
 public:
  // Destroying cancels without a callback; allowed within one.
  virtual ~BidiStream() = default;
  // Also before OnConnected. After OnEnded it does nothing.
  virtual void Send(absl::string_view message) = 0;
  // No message follows; the server may go on.
  virtual void EndSending() = 0;
  // What waits for the server to take it: the user should not send more above its own bound.
  virtual size_t unsent_bytes() const = 0;
  // What the connection comes from and goes to; unset before OnConnected.
  virtual net::Address local_address() const = 0;
};

// Callbacks come from the loop, never from within these calls.
std::unique_ptr<BidiStream> OpenBidiStream(Loop& loop, const net::Address& to,
                                           const BidiOptions& options, BidiEvents& events);

}  // namespace meltemi::http::grpc
