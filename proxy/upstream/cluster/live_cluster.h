// One cluster on one worker: its balancers, its pools and the attempts at it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/loop/loop.h"
#include "base/metrics/metrics.h"
#include "base/random/random.h"
#include "proxy/upstream/attempt/attempt_context.h"
#include "proxy/upstream/balance/balancer.h"
#include "proxy/upstream/cluster/cluster_stats.h"
#include "proxy/upstream/cluster/cluster_view.h"
#include "proxy/upstream/cluster/original_dst.h"
#include "proxy/upstream/pool/pool.h"
#include "proxy/upstream/upstream.h"

namespace meltemi::proxy {

// What all clusters of a worker share. Outlives them.
struct WorkerResources {
  Loop& loop;
  Random& random;
  metrics::Shard& shard;
  const Connector& connector;
};

// Loop-owned. As small as a pointer until its first request: everything else is made then (most of
// a mesh's clusters are never called by most of its workers).
class LiveCluster final : public WorkerCluster, public Deferrable {
 public:
  LiveCluster(WorkerResources& resources, std::shared_ptr<const ClusterView> view);
  ~LiveCluster() override;

  // New hosts, new health or new configuration. Pools to hosts that have left, or that were made
  // with another configuration, drain.
  void Update(std::shared_ptr<const ClusterView> view);
  // The cluster was removed, or the worker drains: `on_idle` is called (from the loop, once) when
  // nothing uses it any more.
  void Retire(Loop::Callback on_idle);
  // Closes idle connections; the cluster goes on.
  void DrainConnections();
  bool idle() const;

  // WorkerCluster
  const ClusterConfig& config() const override { return *view_->config; }
  std::shared_ptr<const ClusterConfig> shared_config() const override { return view_->config; }
  std::unique_ptr<Attempt> Start(const AttemptOptions& options, AttemptEvents& events) override;
  std::unique_ptr<TcpAttempt> StartTcp(const BalanceContext& context,
                                       TcpAttemptEvents& events) override;
  RetryPermit TryRetry(bool high_priority) override;
  void CountRetryLimitExceeded() override;

 private:
  class Engine;
  Engine& engine();

  WorkerResources& resources_;
  std::shared_ptr<const ClusterView> view_;
  std::unique_ptr<Engine> engine_;  // null until the first use
};

}  // namespace meltemi::proxy
