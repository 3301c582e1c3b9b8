// The rules, one maker each; one file per rule beside this one.
//
// Threads: functions without state. What they make is thread-safe, as plugin.h says.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "orchestrator/scheduler/plugins/plugins.h"

namespace meltemi::scheduler {

std::unique_ptr<Plugin> NewSchedulingGates();
std::unique_ptr<Plugin> NewNodeUnschedulable();
std::unique_ptr<Plugin> NewNodeName();
std::unique_ptr<Plugin> NewTaintToleration();
std::unique_ptr<Plugin> NewNodeAffinity();
std::unique_ptr<Plugin> NewNodePorts();
// Resources by name with their weights. `shape`: utilization → score 0 … 10, of
// RequestedToCapacityRatio.
std::unique_ptr<Plugin> NewNodeResourcesFit(
    FitStrategy strategy, const std::vector<std::pair<std::string, int64_t>>& resources,
    const std::vector<std::pair<int, int>>& shape);
std::unique_ptr<Plugin> NewBalancedAllocation(
    const std::vector<std::pair<std::string, int64_t>>& resources);
// `selectors_of` may be null: no spreading by default then.
std::unique_ptr<Plugin> NewPodTopologySpread(SelectorsOf selectors_of);
std::unique_ptr<Plugin> NewInterPodAffinity(int32_t hard_pod_affinity_weight);
std::unique_ptr<Plugin> NewImageLocality();

}  // namespace meltemi::scheduler
