// The mesh half of the tutorial in a cluster: pods with injected sidecars, kubectl, manifests
// applied as users apply them.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "test/nodes/cluster.h"
#include "test/scenarios/world.h"

namespace meltemi::nodes {

// Labels the namespace, applies the workloads of steps 10 and 15 (`folder`: where 10-flaskapp.yaml,
// 10-sleep.yaml and 15-httpbin.yaml lie) and waits until they are Ready. `cluster` outlives it.
absl::StatusOr<std::unique_ptr<scenarios::World>> StartClusterWorld(const Cluster& cluster,
                                                                    const std::string& folder);

}  // namespace meltemi::nodes
