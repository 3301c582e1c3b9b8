// PodTopologySpread: pods that match are spread over the values of a node label, within maxSkew
// (DoNotSchedule) or as well as can be (ScheduleAnyway).
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "orchestrator/scheduler/model/selectors.h"
#include "orchestrator/scheduler/plugins/rules.h"
#include "orchestrator/scheduler/plugins/spread_constraints.h"
#include "orchestrator/scheduler/plugins/topology_tally.h"

namespace meltemi::scheduler {
namespace {

constexpr char kSkewed[] = "node(s) didn't match pod topology spread constraints";
constexpr char kNoLabel[] =
    "node(s) didn't match pod topology spread constraints (missing required label)";

using Tally = std::shared_ptr<const KeptTally>;

// The tally has a slot per constraint.
struct Shared {
  SpreadConstraints constraints;
  std::vector<int64_t> self;  // by constraint: 1 when the pod would count itself
  RequiredNodeAffinity affinity;
  Tally tally;

  explicit Shared(const PodInfo& pod) : affinity(pod.pod->spec()) {}
};

class FilterState final : public PluginState {
 public:
  explicit FilterState(std::shared_ptr<const Shared> shared)
      : shared(std::move(shared)), least(this->shared->constraints.size(), 0) {
    for (size_t i = 0; i < least.size(); ++i) FindLeast(i);
  }
  std::unique_ptr<PluginState> Clone() const override {
    return std::make_unique<FilterState>(*this);
  }

  int64_t Sum(size_t constraint, int value) const {
    int64_t sum = shared->tally->tally.Sum(static_cast<int>(constraint), value);
    for (const Change& change : changes) {
      if (change.constraint == constraint && change.value == value) sum += change.amount;
    }
    return sum;
  }

  void Add(const PodInfo& pod, const PodInfo& added, const NodeInfo& node, int64_t amount) {
    if (added.key.ns != pod.key.ns || !HasAllKeys(shared->constraints, *node.facts)) return;
    for (size_t i = 0; i < shared->constraints.size(); ++i) {
      const SpreadConstraint& constraint = shared->constraints[i];
      if (!constraint.Counts(added, pod.key.ns) ||
          !IsIncluded(constraint, pod, shared->affinity, *node.facts)) {
        continue;
      }
      const int value = shared->tally->tally.ValueOn(static_cast<int>(i), node);
      if (value < 0) continue;
      const auto known = std::find_if(changes.begin(), changes.end(), [&](const Change& change) {
        return change.constraint == i && change.value == value;
      });
      if (known == changes.end()) {
        changes.push_back({i, value, amount});
      } else {
        known->amount += amount;
      }
      FindLeast(i);
    }
  }

  std::shared_ptr<const Shared> shared;
  std::vector<int64_t> least;  // by constraint: the global minimum

 private:
  struct Change {
    size_t constraint;
    int value;
    int64_t amount;
  };

  void FindLeast(size_t constraint) {
    const TopologyTally& tally = shared->tally->tally;
    const int slot = static_cast<int>(constraint);
    int64_t lowest = std::numeric_limits<int64_t>::max();
    int64_t domains = 0;
    tally.ForEachDomain(slot, [&](int value, int64_t sum) {
      ++domains;
      lowest = std::min(lowest, changes.empty() ? sum : Sum(constraint, value));
    });
    const bool few = domains < std::max(1, shared->constraints[constraint].min_domains);
    least[constraint] = few ? 0 : lowest;
  }

  std::vector<Change> changes;
};

class ScoreState final : public PluginState {
 public:
  std::unique_ptr<PluginState> Clone() const override {
    return std::make_unique<ScoreState>(*this);
  }

  std::shared_ptr<const Shared> shared;
  bool all_keys_needed = true;
  std::vector<double> weights;  // by constraint

  bool Ignores(const NodeInfo& node) const {
    return all_keys_needed && !HasAllKeys(shared->constraints, *node.facts);
  }
};

bool IsHostname(const SpreadConstraint& constraint) {
  return constraint.topology_key == kHostnameLabel;
}

class PodTopologySpread final : public Plugin {
 public:
  explicit PodTopologySpread(SelectorsOf selectors_of) : selectors_of_(std::move(selectors_of)) {
    filters = scores = true;
  }
  absl::string_view name() const override { return "PodTopologySpread"; }

  Verdict PreFilter(const PodInfo& pod, const Snapshot& snapshot,
                    std::unique_ptr<PluginState>* state) const override {
    SpreadConstraints constraints = ConstraintsOf(pod, "DoNotSchedule");
    if (constraints.empty()) return Verdict::Skip();
    *state = std::make_unique<FilterState>(Count(pod, snapshot, std::move(constraints),
                                                 /*all_keys_needed=*/true,
                                                 /*hosts_by_node=*/false));
    return Verdict::Ok();
  }

  Verdict Filter(const PodInfo& pod, const NodeInfo& node,
                 const PluginState* state) const override {
    const auto& cycle = *static_cast<const FilterState*>(state);
    const Shared& shared = *cycle.shared;
    for (size_t i = 0; i < shared.constraints.size(); ++i) {
      const int value = shared.tally->tally.ValueOn(static_cast<int>(i), node);
      int64_t count = 0;
      if (value >= 0) {
        count = cycle.Sum(i, value);
      } else if (FindLabel(node.facts->labels, shared.constraints[i].topology_key) == nullptr) {
        return Verdict::Unresolvable(kNoLabel);
      }
      if (count + shared.self[i] - cycle.least[i] > shared.constraints[i].max_skew) {
        return Verdict::Unschedulable(kSkewed);
      }
    }
    return Verdict::Ok();
  }

  void AddPod(const PodInfo& pod, const PodInfo& added, const NodeInfo& node,
              PluginState* state) const override {
    static_cast<FilterState*>(state)->Add(pod, added, node, 1);
  }
  void RemovePod(const PodInfo& pod, const PodInfo& removed, const NodeInfo& node,
                 PluginState* state) const override {
    static_cast<FilterState*>(state)->Add(pod, removed, node, -1);
  }

  Verdict PreScore(const PodInfo& pod, const Snapshot& snapshot,
                   const std::vector<const NodeInfo*>& feasible,
                   std::unique_ptr<PluginState>* state) const override {
    const bool own = !pod.pod->spec().topology_spread_constraints().empty();
    SpreadConstraints constraints;
    if (own) {
      constraints = ConstraintsOf(pod, "ScheduleAnyway");
    } else if (selectors_of_ != nullptr) {
      const kube::LabelSelector selector = selectors_of_(pod);
      if (!selector.empty()) constraints = SystemDefaults(selector);
    }
    if (constraints.empty()) return Verdict::Skip();
    auto made = std::make_unique<ScoreState>();
    // By default, nodes without a zone are still spread over by name.
    made->all_keys_needed = own;
    made->shared = Count(pod, snapshot, std::move(constraints), made->all_keys_needed,
                         /*hosts_by_node=*/true);
    Weigh(feasible, *made);
    *state = std::move(made);
    return Verdict::Ok();
  }

  int64_t Score(const PodInfo& pod, const NodeInfo& node, const PluginState* state) const override {
    const auto& cycle = *static_cast<const ScoreState*>(state);
    if (cycle.Ignores(node)) return 0;
    const TopologyTally& tally = cycle.shared->tally->tally;
    double score = 0;
    for (size_t i = 0; i < cycle.shared->constraints.size(); ++i) {
      const SpreadConstraint& constraint = cycle.shared->constraints[i];
      const int slot = static_cast<int>(i);
      const int value = tally.ValueOn(slot, node);
      if (value < 0) continue;
      int64_t count = 0;
      if (IsHostname(constraint)) {
        bool known = false;
        count = tally.GivenBy(slot, node, &known);
        if (!known) count = constraint.CountOn(node, pod.key.ns);
      } else {
        count = tally.Sum(slot, value);
      }
      score += static_cast<double>(count) * cycle.weights[i] +
               static_cast<double>(constraint.max_skew - 1);
    }
    return std::llround(score);
  }

  void Normalize(const PodInfo& pod, const std::vector<const NodeInfo*>& feasible,
                 const PluginState* state, std::vector<int64_t>& scores) const override {
    const auto& cycle = *static_cast<const ScoreState*>(state);
    int64_t lowest = std::numeric_limits<int64_t>::max();
    int64_t highest = 0;
    std::vector<bool> ignored(scores.size(), false);
    for (size_t i = 0; i < scores.size(); ++i) {
      ignored[i] = cycle.Ignores(*feasible[i]);
      if (ignored[i]) continue;
      lowest = std::min(lowest, scores[i]);
      highest = std::max(highest, scores[i]);
    }
    for (size_t i = 0; i < scores.size(); ++i) {
      if (ignored[i]) {
        scores[i] = 0;
      } else {
        scores[i] = highest == 0 ? kScoreMax : kScoreMax * (highest + lowest - scores[i]) / highest;
      }
    }
  }

  bool MayHelp(const PodInfo& refused, const ClusterEvent& event) const override {
    const SpreadConstraints constraints = ConstraintsOf(refused, "DoNotSchedule");
    switch (event.type) {
      case ClusterEvent::Type::kNodeAdded:
        return HasAllKeys(constraints, *event.node_after);
      case ClusterEvent::Type::kNodeDeleted:
        return HasAllKeys(constraints, *event.node_before);
      case ClusterEvent::Type::kNodeChanged:
        return NodeChangeMayHelp(constraints, *event.node_before, *event.node_after);
      case ClusterEvent::Type::kPodAdded:
        return AnyMatches(constraints, refused, *event.pod_after);
      case ClusterEvent::Type::kPodDeleted:
        return AnyMatches(constraints, refused, *event.pod_before);
      case ClusterEvent::Type::kPodChanged:
        return event.pod_after->key.ns == refused.key.ns &&
               MatchesDiffer(constraints, *event.pod_before, *event.pod_after);
      case ClusterEvent::Type::kSelfChanged:
        return SelfChangeMayHelp(constraints, *event.pod_before, *event.pod_after);
      case ClusterEvent::Type::kPreemptorDone:
        return true;
      case ClusterEvent::Type::kNamespaceChanged:
      case ClusterEvent::Type::kStorageChanged:
        return false;
    }
    return false;
  }

 private:
  // `hosts_by_node`: pods are counted for the hostname whatever nodes are included, for what a
  // node itself has is asked there.
  std::shared_ptr<const Shared> Count(const PodInfo& pod, const Snapshot& snapshot,
                                      SpreadConstraints constraints, bool all_keys_needed,
                                      bool hosts_by_node) const {
    auto shared = std::make_shared<Shared>(pod);
    shared->constraints = std::move(constraints);
    const SpreadConstraints& all = shared->constraints;
    for (const SpreadConstraint& each : all)
      shared->self.push_back(each.selector.Matches(pod.labels));
    const auto count = [&](const NodeInfo& node, TopologyTally::Gives* gives) {
      if (all_keys_needed && !HasAllKeys(all, *node.facts)) return;
      for (size_t i = 0; i < all.size(); ++i) {
        if (!(hosts_by_node && IsHostname(all[i])) &&
            !IsIncluded(all[i], pod, shared->affinity, *node.facts)) {
          continue;
        }
        gives->emplace_back(static_cast<int32_t>(i), all[i].CountOn(node, pod.key.ns));
      }
    };
    const std::string counted =
        CountedBy(all, pod) + (hosts_by_node ? "h" : "") + (all_keys_needed ? "k" : "");
    shared->tally = tallies_.Get(counted, [&](KeptTally& kept) {
      if (kept.tally.slots() == 0) {
        for (const SpreadConstraint& each : all) kept.tally.AddSlot(each.topology_key);
      }
      kept.tally.Update(snapshot, count);
    });
    return shared;
  }

  // The more values a key has among the feasible nodes, the more a pod on one of them weighs, lest
  // small topologies drown.
  static void Weigh(const std::vector<const NodeInfo*>& feasible, ScoreState& state) {
    const TopologyTally& tally = state.shared->tally->tally;
    const SpreadConstraints& constraints = state.shared->constraints;
    std::vector<std::vector<bool>> met;
    std::vector<int64_t> sizes(constraints.size(), 0);
    for (size_t i = 0; i < constraints.size(); ++i) {
      // The last place is that of nodes without the label.
      met.emplace_back(tally.values(static_cast<int>(i)) + 1, false);
    }
    int64_t counted = 0;
    for (const NodeInfo* node : feasible) {
      if (state.Ignores(*node)) continue;
      ++counted;
      for (size_t i = 0; i < constraints.size(); ++i) {
        if (IsHostname(constraints[i])) continue;
        const int value = tally.ValueOn(static_cast<int>(i), *node);
        const size_t place = value < 0 ? met[i].size() - 1 : static_cast<size_t>(value);
        if (!met[i][place]) ++sizes[i];
        met[i][place] = true;
      }
    }
    for (size_t i = 0; i < constraints.size(); ++i) {
      const int64_t size = IsHostname(constraints[i]) ? counted : sizes[i];
      state.weights.push_back(std::log(static_cast<double>(size + 2)));
    }
  }

  static bool AnyMatches(const SpreadConstraints& constraints, const PodInfo& refused,
                         const PodInfo& pod) {
    return pod.key.ns == refused.key.ns &&
           std::any_of(constraints.begin(), constraints.end(), [&](const SpreadConstraint& each) {
             return each.selector.Matches(pod.labels);
           });
  }

  static bool MatchesDiffer(const SpreadConstraints& constraints, const PodInfo& before,
                            const PodInfo& after) {
    return std::any_of(constraints.begin(), constraints.end(), [&](const SpreadConstraint& each) {
      return each.selector.Matches(before.labels) != each.selector.Matches(after.labels);
    });
  }

  // New tolerations help where taints are honoured; new labels where they change what is counted.
  static bool SelfChangeMayHelp(const SpreadConstraints& constraints, const PodInfo& before,
                                const PodInfo& after) {
    const auto& old_tolerations = before.pod->spec().tolerations();
    const auto& new_tolerations = after.pod->spec().tolerations();
    const bool same_tolerations =
        old_tolerations.size() == new_tolerations.size() &&
        std::equal(old_tolerations.begin(), old_tolerations.end(), new_tolerations.begin(),
                   [](const auto& a, const auto& b) {
                     return a.SerializeAsString() == b.SerializeAsString();
                   });
    const bool taints = std::any_of(constraints.begin(), constraints.end(),
                                    [](const auto& each) { return each.honor_taints; });
    if (taints && !same_tolerations) return true;
    return before.labels != after.labels && MatchesDiffer(constraints, before, after);
  }

  static bool NodeChangeMayHelp(const SpreadConstraints& constraints, const NodeFacts& before,
                                const NodeFacts& after) {
    const bool matches = HasAllKeys(constraints, after);
    if (HasAllKeys(constraints, before) != matches) return true;
    if (!matches) return false;
    const bool moved =
        std::any_of(constraints.begin(), constraints.end(), [&](const SpreadConstraint& each) {
          return before.Label(each.topology_key) != after.Label(each.topology_key);
        });
    if (moved) return true;
    const auto& old_taints = before.node->spec().taints();
    const auto& new_taints = after.node->spec().taints();
    return old_taints.size() != new_taints.size() ||
           !std::equal(old_taints.begin(), old_taints.end(), new_taints.begin(),
                       [](const auto& a, const auto& b) {
                         return a.SerializeAsString() == b.SerializeAsString();
                       });
  }

  const SelectorsOf selectors_of_;
  mutable TallyCache tallies_;
};

}  // namespace

std::unique_ptr<Plugin> NewPodTopologySpread(SelectorsOf selectors_of) {
  return std::make_unique<PodTopologySpread>(std::move(selectors_of));
}

}  // namespace meltemi::scheduler
