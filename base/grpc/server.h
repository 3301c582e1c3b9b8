// A gRPC server over our own HTTP/2, plain or over TLS: streams of messages both ways, and calls
// with one request and one answer. No thread of its own; thousands of streams cost little more than
// what they say.
//
// Loop-owned: listener, connections and handlers live on the loop that it is given. Everything that
// a client can grow or hold has a limit. A client that the network has swallowed is noticed by
// TCP's own means (keep-alive, user time-out). Whoever links it also links one of the builds of
// //base/tls.
//
// Source: gRPC over HTTP/2 (PROTOCOL-HTTP2.md).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "base/http/header_map.h"
#include "base/loop/loop.h"
#include "base/net/address.h"

namespace meltemi::tls {
class Context;
}

namespace meltemi::http::grpc {

// A part of a message that several calls may send.
using Piece = std::shared_ptr<const std::string>;

// One call as its handler sees it. Valid until the handler is destroyed. None of these calls back
// into the handler.
class ServerCall {
 public:
  virtual ~ServerCall() = default;
  // One message, in pieces that are held until they are on their way: what waits for a slow client
  // is not copied.
  virtual void Send(std::vector<Piece> pieces) = 0;
  // Ends the call behind what was sent. Nothing more is heard of it.
  virtual void End(const absl::Status& status) = 0;
  // The same, and what waits for the client to take it is thrown away.
  virtual void Cut(const absl::Status& status) = 0;
  // Stops or resumes OnMessage.
  virtual void PauseReading(bool paused) = 0;
  // The request's fields, in lower case.
  virtual const HeaderMap& metadata() const = 0;
  virtual const net::Address& remote() const = 0;
};

class CallHandler {
 public:
  virtual ~CallHandler() = default;
  // One message; valid during the call.
  virtual void OnMessage(absl::string_view message) = 0;
  // The client sends no more; the server may go on.
  virtual void OnMessagesEnd() = 0;
  // All that was sent has been taken by the connection; once for any number of Sends.
  virtual void OnSent() {}
  // The client has given the call up, broken the protocol or lost the connection, its time is over,
  // or the server closes. The last call.
  virtual void OnGone() = 0;
};

struct ServerOptions {
  // Null: plaintext. The context offers ALPN "h2".
  std::shared_ptr<const tls::Context> tls;
  size_t message_bytes_max = 16 * 1024 * 1024;  // of a client; more: RESOURCE_EXHAUSTED
  size_t connections_max = 25'000;              // more are closed at once
  uint32_t streams_per_connection_max = 100;
  Duration handshake_timeout = seconds(10);
  Duration idle_timeout = minutes(5);  // of a connection without a call
};

struct ServerCounters {
  uint64_t connections = 0;
  uint64_t refused_connections = 0;  // above connections_max
  uint64_t failed_handshakes = 0;
  uint64_t protocol_errors = 0;
  uint64_t calls = 0;
};

class Server {
 public:
  // Called for each call of a method.
  using NewHandler = absl::AnyInvocable<std::unique_ptr<CallHandler>(ServerCall& call)>;
  // To be called once, on the loop, at once or later. Does nothing when the client has gone.
  using Reply = std::function<void(absl::StatusOr<std::string>)>;
  struct UnaryRequest {
    std::string message;
    HeaderMapPtr metadata;
    net::Address remote;
  };
  using UnaryHandler = absl::AnyInvocable<void(UnaryRequest request, Reply reply)>;

  // All calls that are open hear OnGone; their clients lose the connection.
  virtual ~Server() = default;
  // `path`: "/package.Service/Method". Once per path.
  virtual void Add(absl::string_view path, NewHandler new_handler) = 0;
  virtual void AddUnary(absl::string_view path, UnaryHandler handler) = 0;
  // For connections from now on. Only of a server that began with TLS.
  virtual void SetTls(std::shared_ptr<const tls::Context> context) = 0;
  // With the port that the kernel chose where 0 was asked for.
  virtual const net::Address& address() const = 0;
  virtual size_t open_connections() const = 0;
  virtual const ServerCounters& counters() const = 0;
};

// Error: what could not be bound and why.
absl::StatusOr<std::unique_ptr<Server>> Listen(Loop& loop, const net::Address& address,
                                               const ServerOptions& options = {});

}  // namespace meltemi::http::grpc
