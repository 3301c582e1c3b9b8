// Topology spread constraints of a pod, read once: for PodTopologySpread's filter and score.
//
// Threads: immutable after construction.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kube/core/v1/placement.pb.h"
#include "kube/selector/selector.h"
#include "orchestrator/scheduler/model/node_info.h"
#include "orchestrator/scheduler/plugins/placement.h"

namespace meltemi::scheduler {

constexpr char kHostnameLabel[] = "kubernetes.io/hostname";
constexpr char kZoneLabel[] = "topology.kubernetes.io/zone";

struct SpreadConstraint {
  int32_t max_skew = 1;
  std::string topology_key;
  kube::LabelSelector selector;  // with matchLabelKeys
  int32_t min_domains = 1;
  bool honor_affinity = true, honor_taints = false;

  // How many pods of the namespace on the node are counted: terminating ones are not.
  int64_t CountOn(const NodeInfo& node, const std::string& ns) const;
  bool Counts(const PodInfo& pod, const std::string& ns) const;
};
using SpreadConstraints = std::vector<SpreadConstraint>;

// Those of the pod that say `action` (DoNotSchedule, ScheduleAnyway).
SpreadConstraints ConstraintsOf(const PodInfo& pod, absl::string_view action);
// What Kubernetes adds to pods without any: hosts and zones, ScheduleAnyway.
SpreadConstraints SystemDefaults(const kube::LabelSelector& selector);

bool HasAllKeys(const SpreadConstraints& constraints, const NodeFacts& node);
// Whether the node counts for the constraint: nodeAffinityPolicy, nodeTaintsPolicy.
bool IsIncluded(const SpreadConstraint& constraint, const PodInfo& pod,
                const RequiredNodeAffinity& affinity, const NodeFacts& node);

// A text that is the same for pods of the same namespace whose constraints count the same.
std::string CountedBy(const SpreadConstraints& constraints, const PodInfo& pod);

}  // namespace meltemi::scheduler
