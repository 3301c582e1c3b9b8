// The upstream side as the rest of the proxy sees it: clusters, and tries at their hosts.
//
// There is one ClusterDirectory (main loop: hosts, DNS, active health checks, outlier ejection) and
// one WorkerClusters for each worker (balancers, pools). A try is an Attempt (HTTP) or a
// TcpAttempt. Where a limit holds for the whole cluster (circuit breakers), workers share relaxed
// atomics; nothing else is shared (docs/decisions/shared-state.md).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/http/stream.h"
#include "base/loop/loop.h"
#include "base/net/address.h"
#include "base/net/connection.h"
#include "base/random/random.h"
#include "proxy/stream/reply/stream_error.h"

namespace meltemi::metrics {
class Registry;
class Shard;
}  // namespace meltemi::metrics
namespace meltemi::net {
class DnsResolver;
}

namespace meltemi::proxy {

struct ClusterConfig;
struct EndpointsConfig;
struct Host;   // proxy/upstream/cluster/host.h: one endpoint with its health, shared by all workers
class Mirror;  // proxy/upstream/attempt/mirror.h
struct AlpnOverride;  // proxy/transport/host_transport.h
struct MirrorOptions;
struct TlsInfo;  // proxy/observe/tls_info.h

// A place under a cluster's retries breaker, given back when the last copy is dropped. Null:
// refused.
using RetryPermit = std::shared_ptr<const void>;

// What a balancer may look at.
struct BalanceContext {
  std::optional<uint64_t> hash;         // from the route's hash policies
  absl::Span<const Host* const> tried;  // hosts of earlier attempts (retry predicate)
  uint32_t host_selection_tries = 1;    // how often to ask again when the choice was tried
  net::Address original_dst;            // for kOriginalDst clusters; unset when unknown
  http::Protocol downstream_protocol = http::Protocol::kHttp11;
};

class AttemptEvents {
 public:
  virtual ~AttemptEvents() = default;
  // The host is known (it may still be connecting).
  virtual void OnAttemptHost(const Host& host) {}
  // The request's headers have been handed to a connection: from now on the upstream may have seen
  // it.
  virtual void OnAttemptSent(const net::Address& local, http::Protocol protocol) {}
  virtual void OnAttemptInformational(http::HeaderMapPtr headers) = 0;
  virtual void OnAttemptHeaders(http::HeaderMapPtr headers, bool end_stream) = 0;
  virtual void OnAttemptData(Buffer& data, bool end_stream) = 0;
  virtual void OnAttemptTrailers(http::HeaderMapPtr trailers) = 0;
  // Last call. `error` is one of StreamError's host and attempt causes. When the response had begun
  // it is broken off.
  virtual void OnAttemptFailed(StreamError error, absl::string_view detail) = 0;
  virtual void OnAttemptWriteBlocked(bool blocked) = 0;
};

struct AttemptOptions {
  const http::HeaderMap* headers = nullptr;  // must outlive the attempt
  bool end_stream = false;
  bool is_retry = false;  // for statistics
  bool high_priority = false;
  bool tunnel = false;  // upgrade or CONNECT: the connection is not reused
  // auto_host_rewrite: once a host is chosen, before the request is written, its hostname (when it
  // has one) becomes this map's authority. The same map as `headers`, or null.
  http::HeaderMap* rewrite_authority = nullptr;
  // Where the connection is TLS: ALPN in place of the cluster's. Null: the cluster's. Must live
  // until Start returns.
  const std::shared_ptr<const AlpnOverride>* alpn = nullptr;
  BalanceContext balance;
};

// One try of a request at one host. Loop-owned by whoever started it; events come from the loop,
// never from within Start or a Send. Delete it through DeferDelete from within an event. Destroying
// or Cancel()ling before the end resets the upstream stream (or takes the request out of the
// queue).
class Attempt : public Deferrable {
 public:
  virtual void SendData(Buffer& data, bool end_stream) = 0;
  virtual void SendTrailers(const http::HeaderMap& trailers) = 0;
  virtual void PauseReading(bool paused) = 0;
  // Ends the try without further events. `cause` tells outlier detection whether the host is to
  // blame (kPerTryTimeout and kRequestTimeout are, kDownstreamReset is not).
  virtual void Cancel(StreamError cause) = 0;
  // Null until chosen. Lives as long as the attempt; who needs it longer (logs) takes
  // host()->shared_from_this().
  virtual const Host* host() const = 0;
  // Of the connection that carries it, once it is sent. Null: plaintext.
  virtual std::shared_ptr<const TlsInfo> tls() const { return nullptr; }
};

class TcpAttemptEvents {
 public:
  virtual ~TcpAttemptEvents() = default;
  // The connection is the callee's now (its handler must be set at once).
  virtual void OnTcpConnected(std::unique_ptr<net::Connection> connection, const Host& host) = 0;
  virtual void OnTcpFailed(StreamError error, absl::string_view detail) = 0;
};

// Destroying it before an event gives the try up; destroying it afterwards tells the cluster that
// the connection is over (breaker, active counts), so keep it as long as the connection.
class TcpAttempt : public Deferrable {
 public:
  virtual const Host* host() const = 0;
  // Once connected. Null: plaintext.
  virtual std::shared_ptr<const TlsInfo> tls() const { return nullptr; }
};

// One cluster on one worker. Valid until the end of the turn in which it was found; attempts keep
// what they need alive.
class WorkerCluster {
 public:
  virtual ~WorkerCluster() = default;
  virtual const ClusterConfig& config() const = 0;
  // Shared ownership of the configuration, for logs that outlive an update.
  virtual std::shared_ptr<const ClusterConfig> shared_config() const = 0;
  virtual std::unique_ptr<Attempt> Start(const AttemptOptions& options, AttemptEvents& events) = 0;
  virtual std::unique_ptr<TcpAttempt> StartTcp(const BalanceContext& context,
                                               TcpAttemptEvents& events) = 0;
  // A place for one retry (upstream_rq_retry), held from the decision through the back-off to the
  // retry's own outcome; null when the breaker refuses (upstream_rq_retry_overflow).
  virtual RetryPermit TryRetry(bool high_priority) = 0;
  // A retry was wanted but the policy's number is used up (upstream_rq_retry_limit_exceeded).
  virtual void CountRetryLimitExceeded() = 0;
};

class WorkerClusters {
 public:
  virtual ~WorkerClusters() = default;
  // nullptr when there is no such cluster.
  virtual WorkerCluster* Find(absl::string_view name) = 0;
  // Begins a copy of a request; nullptr when there is no such cluster. Nothing is ever reported
  // back.
  virtual std::unique_ptr<Mirror> StartMirror(absl::string_view cluster,
                                              const MirrorOptions& options) = 0;
  // Closes idle connections and lets busy ones end (drain).
  virtual void Drain() = 0;
};

// Main loop only.
class ClusterDirectory {
 public:
  virtual ~ClusterDirectory() = default;
  // Each worker, before any Apply. The object is used and must be destroyed on the worker's loop.
  virtual std::unique_ptr<WorkerClusters> NewWorker(Loop& worker_loop, Random& random,
                                                    metrics::Shard& shard) = 0;
  // Puts a cluster in place (new or changed; equal fingerprints change nothing). Endpoints of EDS
  // clusters come separately. Nothing reaches the workers before Publish.
  virtual void SetCluster(std::shared_ptr<const ClusterConfig> config,
                          std::shared_ptr<const EndpointsConfig> inline_endpoints) = 0;
  virtual void SetEndpoints(const std::string& cluster_name,
                            std::shared_ptr<const EndpointsConfig> endpoints) = 0;
  virtual void RemoveCluster(const std::string& name) = 0;
  // True once the cluster can take requests: its endpoints are known (EDS), its names were resolved
  // once (or failed), its first health checks are done.
  virtual bool Warm(const std::string& name) const = 0;
  // Called (from the loop) when some cluster has become warm.
  virtual void OnWarm(absl::AnyInvocable<void()> callback) = 0;
  // Posts what has changed since the last call to every worker as one update: a worker sees all of
  // it or nothing. New clusters that are not warm stay back unless `also_cold` names them.
  virtual void Publish() = 0;
  // Brings gauges up to date that nobody keeps while requests run (circuit breakers). Call before
  // statistics are rendered.
  virtual void RefreshStats() {}
  // For /clusters, in Envoy's text format, and as JSON.
  virtual std::string DebugText() const = 0;
  virtual std::string DebugJson() const = 0;
  virtual std::vector<std::string> names() const = 0;
};

std::unique_ptr<ClusterDirectory> NewClusterDirectory(Loop& main_loop, Random& random,
                                                      net::DnsResolver& dns,
                                                      metrics::Registry& registry);

}  // namespace meltemi::proxy
