// What becomes of nodes that are not heard of, and of the pods on them.
//
// Threads: made and destroyed on one thread; works on the executor's. Source: the behaviour of
// Kubernetes' pkg/controller/nodelifecycle, tainteviction.
#pragma once

#include <memory>

#include "base/clock/clock.h"

namespace meltemi::controllers {

struct Context;
class Running;

struct NodeLifecycleOptions {
  Duration monitor_period = seconds(5);
  Duration monitor_grace = seconds(40);  // without a sign of life: Unknown
  Duration startup_grace = seconds(60);
  double eviction_rate = 0.1;             // nodes per second that get NoExecute taints
  double secondary_eviction_rate = 0.01;  // when a zone is partly down and large
  int large_cluster_size = 50;
  double unhealthy_zone_threshold = 0.55;
};

// Leases, conditions and taints of nodes.
std::unique_ptr<Running> NewNodeLifecycleController(Context& context,
                                                    const NodeLifecycleOptions& options);
// Deletes pods that do not tolerate NoExecute taints.
std::unique_ptr<Running> NewTaintEvictionController(Context& context);

}  // namespace meltemi::controllers
