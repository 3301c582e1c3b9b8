// The HTTPS server: loops that accept, speak HTTP/1.1 and HTTP/2, and write; a pool of threads on
// which handlers run.
//
// Threads: Start and Stop on the thread that made it. See request.h for handlers.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock/clock.h"
#include "base/net/address.h"
#include "base/tls/tls.h"
#include "orchestrator/apiserver/http/request.h"
#include "orchestrator/apiserver/watch/watch_stream.h"

namespace meltemi::apiserver {

struct ServerOptions {
  net::Address address;
  int loops = 2;
  tls::ServerOptions tls;
  // For ProxyAnswers whose peer speaks TLS; null: they are refused.
  std::shared_ptr<const tls::Context> proxy_client;
  size_t body_bytes_max = 3 * 1024 * 1024;  // 413 above
  // Bodies of all requests together that are being received or worked on; 429 above.
  size_t bodies_bytes_max = 256 * 1024 * 1024;
  // Answers of all requests together that wait to be taken by their clients; 429 above, but one is
  // always let through.
  size_t answers_bytes_max = 1024 * 1024 * 1024;
  // Also the most that a request's parameter "timeout" can ask for.
  Duration request_timeout = seconds(60);
  // What the handlers' limiter (in_flight.h) admits; the pool has as many threads, and some more
  // for those who are exempt or about to be refused.
  size_t reads_in_flight_max = 400;
  size_t writes_in_flight_max = 200;
  size_t watch_unsent_bytes_max = 16 * 1024 * 1024;
  size_t gzip_bytes_min = 128 * 1024;  // smaller answers are not compressed
  size_t connections_max = 50 * 1000;
  uint32_t streams_per_connection_max = 1000;
  Duration handshake_timeout = seconds(10);
  Duration headers_timeout = seconds(32);       // of a request that has begun to arrive
  Duration idle_timeout = seconds(90);          // of a connection without a request
  Duration answer_stall_timeout = seconds(60);  // a client takes nothing at all of its answer
  Duration proxy_connect_timeout = seconds(10);
  // A tunnel of which one direction has ended: what is under way in the other one may still arrive.
  Duration half_closed_tunnel_max = seconds(10);
};

class Server {
 public:
  virtual ~Server() = default;
  virtual const net::Address& address() const = 0;
  // Stops accepting, lets requests in flight end (bounded), ends watches.
  virtual void Stop(Duration drain_max) = 0;
};

// `handler` is the whole chain (chain.h): authentication first. Both outlive the server.
absl::StatusOr<std::unique_ptr<Server>> StartServer(const ServerOptions& options,
                                                    const Clock& clock, Handler& handler,
                                                    WatchHub& hub);

}  // namespace meltemi::apiserver
