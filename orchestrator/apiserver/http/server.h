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
  size_t body_bytes_max = 3 * 1024 * 1024;  // 413 above
  Duration request_timeout = seconds(60);
  // In flight, as kube-apiserver counts them; watches and system:masters' probes are not counted.
  size_t reads_in_flight_max = 400;
  size_t writes_in_flight_max = 200;
  size_t watch_unsent_bytes_max = 16 * 1024 * 1024;
  size_t gzip_bytes_min = 128 * 1024;  // smaller answers are not compressed
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
