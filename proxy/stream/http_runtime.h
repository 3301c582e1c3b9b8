// A connection manager on one worker: its configuration with what a worker keeps for it.
//
// Loop-owned; made when its first connection comes, held by its connections and streams.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/metrics/metrics.h"
#include "base/net/address.h"
#include "proxy/connection/worker_context.h"
#include "proxy/filters/filter.h"
#include "proxy/listener/listener_config.h"
#include "proxy/observe/http_stats.h"
#include "proxy/route/route.h"

namespace meltemi::proxy {

class StreamPool;
struct TlsInfo;  // proxy/observe/tls_info.h

// Keeps a route table alive for its streams. A wrapper of this worker's own, so that streams count
// references without sharing a cache line with other workers.
using RouteTableHold = std::shared_ptr<const std::shared_ptr<const RouteTable>>;

// What a stream knows of the connection that it came on; lives as long as the connection.
struct DownstreamPeer {
  net::Address direct_remote;  // the socket's peer
  net::Address local;          // the original destination when redirected
  std::string server_name;     // SNI
  uint64_t connection_id = 0;
  std::shared_ptr<const TlsInfo> tls;  // null: plaintext
  std::string client_cert;             // what x-forwarded-client-cert gets; "": nothing
  // What x-forwarded-for gets, written once for all requests of the connection.
  std::string forwarded_as;
};

class HttpRuntime {
 public:
  // `listener_stats` may be null.
  HttpRuntime(WorkerContext& worker, StreamPool& streams, std::shared_ptr<const HttpConfig> config,
              uint32_t buffer_bytes_max, std::shared_ptr<ListenerStats> listener_stats);

  // The table to route by now; a null table when the RDS resource is not there.
  const RouteTableHold& CurrentRoutes();

  WorkerContext& worker;
  StreamPool& streams;
  const std::shared_ptr<const HttpConfig> config_owner;
  const HttpConfig& config;
  const uint32_t buffer_bytes_max;
  metrics::Scope scope;
  metrics::Scope filter_scope;  // of the filters' counters, labelled with our stat_prefix
  HttpStats stats;
  const std::shared_ptr<ListenerStats> listener_stats;
  // In the order of the configuration.
  std::vector<std::unique_ptr<FilterFactory>> filters;

 private:
  RouteTableHold routes_;
  uint64_t sequence_ = UINT64_MAX;
};

}  // namespace meltemi::proxy
