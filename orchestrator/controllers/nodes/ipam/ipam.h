// Gives each node a range of addresses for its pods.
//
// Threads: made and destroyed on one thread; works on the executor's. Source: the behaviour of
// Kubernetes' pkg/controller/nodeipam (range allocator).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace meltemi::controllers {

struct Context;
class Running;

struct NodeIpamOptions {
  // At most one of each family.
  std::vector<std::string> cluster_cidrs = {"10.244.0.0/16"};
  int node_mask_ipv4 = 24;
  int node_mask_ipv6 = 64;
};

// spec.podCIDR and spec.podCIDRs of nodes that have none. Error: ranges that can't be divided.
absl::StatusOr<std::unique_ptr<Running>> NewNodeIpamController(Context& context,
                                                               const NodeIpamOptions& options);

}  // namespace meltemi::controllers
