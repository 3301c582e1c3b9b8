// What a scheduling rule implements: a filter, a score, or both. Kubernetes' names, messages and
// arithmetic (kube-scheduler's documented rules), one file per rule.
//
// In one cycle, for one pod: PreFilter once → Filter per node (several threads may) → for the nodes
// that are left: PreScore once → Score per node → Normalize → times the weight. Preemption asks
// Filter again on copies of nodes and tells AddPod and RemovePod what it has put there or taken
// away.
//
// Threads: plugins are immutable after construction; what a cycle computes lives in its
// PluginState.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/strings/string_view.h"
#include "orchestrator/scheduler/model/snapshot.h"

namespace meltemi::scheduler {

constexpr int64_t kScoreMax = 100;

struct Verdict {
  enum class Code : uint8_t {
    kOk,
    kSkip,           // PreFilter, PreScore: the rule does not apply to this pod; it is left out
    kUnschedulable,  // not here as things are; removing pods may help
    kUnresolvable,   // not here whatever is removed
  };
  Code code = Code::kOk;
  // Kubernetes' words ("node(s) had untolerated taint {key: value}"); they live as long as the
  // plugin or the cycle's PluginState.
  absl::InlinedVector<absl::string_view, 1> reasons;

  bool ok() const { return code == Code::kOk; }
  static Verdict Ok() { return {}; }
  static Verdict Skip() { return {Code::kSkip, {}}; }
  static Verdict Unschedulable(absl::string_view reason) {
    return {Code::kUnschedulable, {reason}};
  }
  static Verdict Unresolvable(absl::string_view reason) { return {Code::kUnresolvable, {reason}}; }
};

// What a plugin has computed for one pod in one cycle.
class PluginState {
 public:
  virtual ~PluginState() = default;
  // For preemption, which tries things out on copies.
  virtual std::unique_ptr<PluginState> Clone() const = 0;
};

// What happened in the cluster, as far as pods that could not be scheduled may care.
struct ClusterEvent {
  enum class Type : uint8_t {
    kNodeAdded,
    kNodeChanged,  // see the bits of `node_change`
    kNodeDeleted,
    kPodAdded,     // an assigned pod
    kPodDeleted,   // an assigned pod is gone or has finished
    kPodChanged,   // labels of an assigned pod, or its requests
    kSelfChanged,  // the waiting pod itself (labels, tolerations, gates, requests)
    kNamespaceChanged,
    kPreemptorDone,   // victims are gone
    kStorageChanged,  // a claim (`claim`), a volume or a storage class
  };
  enum NodeChange : uint8_t { kAllocatable = 1, kLabels = 2, kTaints = 4, kConditions = 8 };
  Type type = Type::kNodeAdded;
  uint8_t node_change = 0;
  // What it is about, before and after, where there is such a thing.
  PodInfoPtr pod_before, pod_after;
  std::shared_ptr<const NodeFacts> node_before, node_after;
  std::string claim;  // "ns/name"; empty: it is no claim
};

class Plugin {
 public:
  virtual ~Plugin() = default;
  virtual absl::string_view name() const = 0;  // "NodeResourcesFit"

  // Filters. `*state` may stay null.
  virtual Verdict PreFilter(const PodInfo& pod, const Snapshot& snapshot,
                            std::unique_ptr<PluginState>* state) const {
    return Verdict::Ok();
  }
  // Names of the only nodes that come into question, if that is known before (node name, affinity
  // by metadata.name); null: all.
  virtual const std::vector<std::string>* OnlyNodes(const PluginState* state) const {
    return nullptr;
  }
  virtual Verdict Filter(const PodInfo& pod, const NodeInfo& node, const PluginState* state) const {
    return Verdict::Ok();
  }
  virtual void AddPod(const PodInfo& pod, const PodInfo& added, const NodeInfo& node,
                      PluginState* state) const {}
  virtual void RemovePod(const PodInfo& pod, const PodInfo& removed, const NodeInfo& node,
                         PluginState* state) const {}

  // Scores. `state` here is PreScore's own.
  virtual Verdict PreScore(const PodInfo& pod, const Snapshot& snapshot,
                           const std::vector<const NodeInfo*>& feasible,
                           std::unique_ptr<PluginState>* state) const {
    return Verdict::Ok();
  }
  virtual int64_t Score(const PodInfo& pod, const NodeInfo& node, const PluginState* state) const {
    return 0;
  }
  // From what Score gave to 0 … kScoreMax, in place; `scores[i]` belongs to `feasible[i]`.
  virtual void Normalize(const PodInfo& pod, const std::vector<const NodeInfo*>& feasible,
                         const PluginState* state, std::vector<int64_t>& scores) const {}

  // Whether the event may make a pod schedulable that this plugin has refused (queueing hint).
  virtual bool MayHelp(const PodInfo& refused, const ClusterEvent& event) const { return true; }

  bool filters = false;  // has a Filter
  bool scores = false;   // has a Score
};

}  // namespace meltemi::scheduler
