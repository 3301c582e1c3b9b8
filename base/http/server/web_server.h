// An HTTP server for those who may answer later: webhooks, health probes that ask somebody else.
// HTTP/1.1, and HTTP/2 where the transport negotiates it.
//
// Loop-owned: listener, connections and handlers run on the loop that it is given. Everything that
// a client can grow or hold has a limit.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/http/header_map.h"
#include "base/http/stream.h"
#include "base/loop/loop.h"
#include "base/net/address.h"
#include "base/net/connection.h"

namespace meltemi::http {

struct WebRequest {
  std::string method;
  std::string path;   // without the query
  std::string query;  // without the "?"
  std::string body;
  HeaderMapPtr headers;
  net::Address remote;
};

struct WebResponse {
  int status = 200;
  std::string body;
  std::string content_type = "text/plain; charset=utf-8";
};

// To be called once, on the loop, at once or later. Does nothing when the client has gone.
using WebReply = std::function<void(WebResponse)>;
using WebHandler = absl::AnyInvocable<void(WebRequest, WebReply)>;

struct WebServerOptions {
  size_t body_bytes_max = 6 * 1024 * 1024;     // more: 413
  size_t bodies_bytes_max = 64 * 1024 * 1024;  // of all requests together; more: 503
  size_t connections_max = 256;                // more are closed at once
  uint32_t streams_per_connection_max = 64;    // HTTP/2
  Duration handshake_timeout = seconds(10);
  Duration idle_timeout = seconds(60);     // without a request
  Duration request_timeout = seconds(10);  // from the first byte of a request to its last: 408
  Duration reply_timeout = seconds(30);    // for the handler: 504
};

struct WebServerCounters {
  uint64_t connections = 0;
  uint64_t refused_connections = 0;  // above connections_max
  uint64_t failed_handshakes = 0;
  uint64_t requests = 0;
  uint64_t refused_requests = 0;  // too large, too slow, no HTTP
};

// How an accepted socket becomes a connection.
struct WebConnection {
  std::unique_ptr<net::Connection> connection;
  // Unset: HTTP/1.1 from the first byte. Else called when the connection says OnConnected.
  std::function<Protocol()> negotiated;
};
using WebAccept = absl::AnyInvocable<WebConnection(Loop& loop, int fd, const net::Address& remote)>;

class WebServer {
 public:
  virtual ~WebServer() = default;
  // With the port that the kernel chose where 0 was asked for.
  virtual const net::Address& address() const = 0;
  virtual size_t open_connections() const = 0;
  virtual const WebServerCounters& counters() const = 0;
};

// `accept` unset: plaintext. Error: what could not be bound and why.
absl::StatusOr<std::unique_ptr<WebServer>> ListenWeb(Loop& loop, const net::Address& address,
                                                     WebHandler handler,
                                                     const WebServerOptions& options = {},
                                                     WebAccept accept = nullptr);

}  // namespace meltemi::http
