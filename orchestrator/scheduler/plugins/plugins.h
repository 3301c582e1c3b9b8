// All rules that there are, and which of them a profile uses with which weights.
//
// Threads: functions without state.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "orchestrator/scheduler/plugins/plugin.h"

namespace meltemi::scheduler {

// How NodeResourcesFit scores.
enum class FitStrategy : uint8_t { kLeastAllocated, kMostAllocated, kRequestedToCapacityRatio };

struct PluginOptions {
  FitStrategy fit = FitStrategy::kLeastAllocated;
  std::vector<std::pair<std::string, int64_t>> fit_resources = {{"cpu", 1}, {"memory", 1}};
  std::vector<std::pair<int, int>> fit_shape;  // utilization → score, of RequestedToCapacityRatio
  std::vector<std::pair<std::string, int64_t>> balanced_resources = {{"cpu", 1}, {"memory", 1}};
  int32_t hard_pod_affinity_weight = 1;
  // Spreading for pods without constraints of their own: zones and hosts, as Kubernetes does it.
  bool default_spreading = true;
  // Weights other than the defaults, by plugin; 0 leaves the score out.
  std::map<std::string, int64_t> weights;
  std::vector<std::string> disabled;  // names
};

struct WeightedPlugin {
  std::unique_ptr<Plugin> plugin;
  int64_t weight = 1;
};

// What default spreading needs to know: the selectors of the Services, ReplicaSets, … that a pod
// belongs to. Empty: none.
using SelectorsOf = std::function<kube::LabelSelector(const PodInfo& pod)>;

// In the order in which filters are asked: SchedulingGates (PreFilter), NodeUnschedulable,
// NodeName, TaintToleration, NodeAffinity, NodePorts, NodeResourcesFit, PodTopologySpread,
// InterPodAffinity, NodePressure is by taints as in Kubernetes; scores too:
// NodeResourcesBalancedAllocation, ImageLocality. Default weights: TaintToleration 3, NodeAffinity
// 2, PodTopologySpread 2, InterPodAffinity 2, the others 1. Error: an unknown name.
absl::StatusOr<std::vector<WeightedPlugin>> MakePlugins(const PluginOptions& options,
                                                        SelectorsOf selectors_of);

}  // namespace meltemi::scheduler
