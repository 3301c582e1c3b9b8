// InterPodAffinity: pods that want to be with others or away from them, and existing pods that want
// the new one away.
#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "orchestrator/scheduler/model/selectors.h"
#include "orchestrator/scheduler/plugins/affinity_matching.h"
#include "orchestrator/scheduler/plugins/existing_terms.h"
#include "orchestrator/scheduler/plugins/rules.h"
#include "orchestrator/scheduler/plugins/topology_tally.h"

namespace meltemi::scheduler {
namespace {

using Tally = std::shared_ptr<const KeptTally>;

// A tally of the snapshot and what AddPod and RemovePod have changed since.
class Counts {
 public:
  Counts() = default;
  explicit Counts(Tally base) : base_(std::move(base)) {}

  // Of the slot's value on the node.
  int64_t On(int slot, const std::string& key, const NodeInfo& node) const {
    int64_t count = 0;
    if (base_ != nullptr) {
      const int value = base_->tally.ValueOn(slot, node);
      if (value >= 0) count = base_->tally.Sum(slot, value);
    }
    return changes_.empty() ? count : count + Changed(slot, key, node);
  }

  bool HasLabel(int slot, const std::string& key, const NodeInfo& node) const {
    return (base_ != nullptr && base_->tally.ValueOn(slot, node) >= 0) ||
           FindLabel(node.facts->labels, key) != nullptr;
  }

  void Add(int slot, const std::string& key, const NodeInfo& node, int64_t amount) {
    const std::string* value = FindLabel(node.facts->labels, key);
    if (value == nullptr) return;
    changed_ += amount;
    for (Change& change : changes_) {
      if (change.slot != slot || change.key != key || change.value != *value) continue;
      change.amount += amount;
      return;
    }
    changes_.push_back({slot, key, *value, amount});
  }

  int64_t total() const { return (base_ == nullptr ? 0 : base_->tally.total()) + changed_; }

 private:
  struct Change {
    int slot;
    std::string key, value;
    int64_t amount;
  };

  int64_t Changed(int slot, const std::string& key, const NodeInfo& node) const {
    const std::string* value = FindLabel(node.facts->labels, key);
    int64_t changed = 0;
    for (const Change& change : changes_) {
      if (change.slot == slot && change.key == key && value != nullptr && change.value == *value) {
        changed += change.amount;
      }
    }
    return changed;
  }

  Tally base_;
  std::vector<Change> changes_;
  int64_t changed_ = 0;
};

// How many required anti-affinity terms of existing pods close the node's topology values.
class Closed {
 public:
  std::shared_ptr<const ExistingTerms::Matched> matched;  // null: none

  int64_t On(const NodeInfo& node) const {
    int64_t count = matched == nullptr ? 0 : matched->On(node);
    for (const Change& change : changes_) {
      const std::string* value = FindLabel(node.facts->labels, change.key);
      if (value != nullptr && *value == change.value) count += change.amount;
    }
    return count;
  }

  void Add(const std::string& key, const NodeInfo& node, int64_t amount) {
    const std::string* value = FindLabel(node.facts->labels, key);
    if (value == nullptr) return;
    for (Change& change : changes_) {
      if (change.key != key || change.value != *value) continue;
      change.amount += amount;
      return;
    }
    changes_.push_back({key, *value, amount});
  }

 private:
  struct Change {
    std::string key, value;
    int64_t amount;
  };
  std::vector<Change> changes_;
};

class FilterState final : public PluginState {
 public:
  std::unique_ptr<PluginState> Clone() const override {
    return std::make_unique<FilterState>(*this);
  }

  const Snapshot* snapshot = nullptr;
  Closed existing;       // by required anti-affinity of existing pods
  Counts affinity;       // a slot per required term of the pod
  Counts anti_affinity;  // likewise
  bool matches_itself = false;
};

class ScoreState final : public PluginState {
 public:
  std::unique_ptr<PluginState> Clone() const override {
    return std::make_unique<ScoreState>(*this);
  }
  Tally own;                                               // what the pod prefers; may be null
  std::shared_ptr<const ExistingTerms::Matched> existing;  // what others prefer of it; may be null
};

constexpr char kNoAffinity[] = "node(s) didn't match pod affinity rules";
constexpr char kAntiAffinity[] = "node(s) didn't match pod anti-affinity rules";
constexpr char kExisting[] = "node(s) didn't satisfy existing pods anti-affinity rules";

class InterPodAffinity final : public Plugin {
 public:
  explicit InterPodAffinity(int32_t hard_pod_affinity_weight)
      : anti_affinity_(TellAntiAffinity),
        preferences_(
            [hard_pod_affinity_weight](const NodeInfo& node, const ExistingTerms::Tell& tell) {
              TellPreferences(hard_pod_affinity_weight, node, tell);
            }) {
    filters = scores = true;
  }
  absl::string_view name() const override { return "InterPodAffinity"; }

  Verdict PreFilter(const PodInfo& pod, const Snapshot& snapshot,
                    std::unique_ptr<PluginState>* state) const override {
    const bool has_terms = !pod.required_affinity.empty() || !pod.required_anti_affinity.empty();
    if (!has_terms && snapshot.nodes_with_required_anti_affinity().empty()) return Verdict::Skip();
    auto made = std::make_unique<FilterState>();
    made->snapshot = &snapshot;
    if (!snapshot.nodes_with_required_anti_affinity().empty()) {
      made->existing.matched = anti_affinity_.Match(pod, snapshot);
      if (!has_terms && made->existing.matched->empty()) return Verdict::Skip();
    }
    if (!pod.required_affinity.empty()) {
      made->affinity = Counts(CountTerms(pod.required_affinity, /*all=*/true, snapshot));
      absl::flat_hash_map<std::string, bool> namespaces;
      made->matches_itself =
          TermMatcher(pod.required_affinity, snapshot, namespaces).MatchesAll(pod);
    }
    if (!pod.required_anti_affinity.empty()) {
      made->anti_affinity = Counts(CountTerms(pod.required_anti_affinity, /*all=*/false, snapshot));
    }
    *state = std::move(made);
    return Verdict::Ok();
  }

  Verdict Filter(const PodInfo& pod, const NodeInfo& node,
                 const PluginState* state) const override {
    const auto& cycle = *static_cast<const FilterState*>(state);
    if (!AffinityHolds(pod, node, cycle)) return Verdict::Unresolvable(kNoAffinity);
    for (size_t i = 0; i < pod.required_anti_affinity.size(); ++i) {
      const std::string& key = pod.required_anti_affinity[i].topology_key;
      if (cycle.anti_affinity.On(static_cast<int>(i), key, node) > 0) {
        return Verdict::Unschedulable(kAntiAffinity);
      }
    }
    if (cycle.existing.On(node) > 0) return Verdict::Unschedulable(kExisting);
    return Verdict::Ok();
  }

  void AddPod(const PodInfo& pod, const PodInfo& added, const NodeInfo& node,
              PluginState* state) const override {
    Change(pod, added, node, 1, *static_cast<FilterState*>(state));
  }
  void RemovePod(const PodInfo& pod, const PodInfo& removed, const NodeInfo& node,
                 PluginState* state) const override {
    Change(pod, removed, node, -1, *static_cast<FilterState*>(state));
  }

  Verdict PreScore(const PodInfo& pod, const Snapshot& snapshot,
                   const std::vector<const NodeInfo*>& feasible,
                   std::unique_ptr<PluginState>* state) const override {
    const bool prefers = !pod.preferred_affinity.empty() || !pod.preferred_anti_affinity.empty();
    if (!prefers && snapshot.nodes_with_affinity().empty()) return Verdict::Skip();
    auto made = std::make_unique<ScoreState>();
    if (prefers) made->own = CountPreferred(pod, snapshot);
    if (!snapshot.nodes_with_affinity().empty()) {
      made->existing = preferences_.Match(pod, snapshot);
    }
    if (!prefers && made->existing->empty()) return Verdict::Skip();
    *state = std::move(made);
    return Verdict::Ok();
  }

  int64_t Score(const PodInfo& pod, const NodeInfo& node, const PluginState* state) const override {
    const auto& cycle = *static_cast<const ScoreState*>(state);
    int64_t score = cycle.existing == nullptr ? 0 : cycle.existing->On(node);
    for (int slot = 0; cycle.own != nullptr && slot < cycle.own->tally.slots(); ++slot) {
      const int value = cycle.own->tally.ValueOn(slot, node);
      if (value >= 0) score += cycle.own->tally.Sum(slot, value);
    }
    return score;
  }

  // The best node gets 100, the worst 0.
  void Normalize(const PodInfo& pod, const std::vector<const NodeInfo*>& feasible,
                 const PluginState* state, std::vector<int64_t>& scores) const override {
    if (scores.empty()) return;
    const auto [lowest, highest] = std::minmax_element(scores.begin(), scores.end());
    const int64_t least = *lowest, range = *highest - *lowest;
    for (int64_t& score : scores) {
      const double share =
          range > 0 ? static_cast<double>(score - least) / static_cast<double>(range) : 0;
      score = static_cast<int64_t>(static_cast<double>(kScoreMax) * share);
    }
  }

  bool MayHelp(const PodInfo& refused, const ClusterEvent& event) const override {
    switch (event.type) {
      case ClusterEvent::Type::kNodeAdded:
        return NewNodeMayHelp(refused, *event.node_after);
      case ClusterEvent::Type::kNodeChanged:
        return event.node_before->labels != event.node_after->labels;
      case ClusterEvent::Type::kPodAdded:
        return AllMayMatch(refused.required_affinity, *event.pod_after);
      case ClusterEvent::Type::kPodDeleted:
        return DeletionMayHelp(refused, *event.pod_before);
      case ClusterEvent::Type::kPodChanged:
        return (!AllMayMatch(refused.required_affinity, *event.pod_before) &&
                AllMayMatch(refused.required_affinity, *event.pod_after)) ||
               (AnyMayMatch(refused.required_anti_affinity, *event.pod_before) &&
                !AllMayMatch(refused.required_anti_affinity, *event.pod_after));
      case ClusterEvent::Type::kSelfChanged:
        return event.pod_before->labels != event.pod_after->labels;
      case ClusterEvent::Type::kNodeDeleted:
      case ClusterEvent::Type::kStorageChanged:
        return false;
      case ClusterEvent::Type::kNamespaceChanged:
      case ClusterEvent::Type::kPreemptorDone:
        return true;
    }
    return false;
  }

 private:
  static void TellAntiAffinity(const NodeInfo& node, const ExistingTerms::Tell& tell) {
    for (const PodInfoPtr& pod : node.pods_with_required_anti_affinity) {
      for (const AffinityTerm& term : pod->required_anti_affinity) tell(term, 1);
    }
  }

  // Who needs company likes it too.
  static void TellPreferences(int32_t hard_weight, const NodeInfo& node,
                              const ExistingTerms::Tell& tell) {
    for (const PodInfoPtr& pod : node.pods_with_affinity) {
      for (const AffinityTerm& term : pod->required_affinity) {
        if (hard_weight > 0) tell(term, hard_weight);
      }
      for (const AffinityTerm& term : pod->preferred_affinity) tell(term, term.weight);
      for (const AffinityTerm& term : pod->preferred_anti_affinity) tell(term, -term.weight);
    }
  }

  // Pods that the pod's own terms speak of; `all`: only those of which all of them do.
  Tally CountTerms(const AffinityTerms& terms, bool all, const Snapshot& snapshot) const {
    std::string text = all ? "all" : "each";
    AppendText(terms, &text);
    return tallies_.Get(text, [&](KeptTally& kept) {
      if (kept.tally.slots() == 0) {
        for (const AffinityTerm& term : terms) kept.tally.AddSlot(term.topology_key);
      }
      Check(kept, terms, snapshot);
      TermMatcher matcher(terms, snapshot, kept.namespaces);
      std::vector<int64_t> sums(terms.size());
      kept.tally.Update(snapshot, [&](const NodeInfo& node, TopologyTally::Gives* gives) {
        std::fill(sums.begin(), sums.end(), 0);
        for (const PodInfoPtr& other : node.pods) {
          if (all && !matcher.MatchesAll(*other)) continue;
          for (size_t i = 0; i < terms.size(); ++i) {
            if (all || matcher.Matches(i, *other)) ++sums[i];
          }
        }
        for (size_t i = 0; i < terms.size(); ++i) {
          if (sums[i] > 0) gives->emplace_back(static_cast<int32_t>(i), sums[i]);
        }
      });
    });
  }

  // A slot per term that the pod prefers, with the weights of those that match.
  Tally CountPreferred(const PodInfo& pod, const Snapshot& snapshot) const {
    AffinityTerms terms = pod.preferred_affinity;
    for (const AffinityTerm& term : pod.preferred_anti_affinity) {
      terms.push_back(term);
      terms.back().weight = -term.weight;
    }
    std::string text = "preferred";
    AppendText(terms, &text);
    return tallies_.Get(text, [&](KeptTally& kept) {
      if (kept.tally.slots() == 0) {
        for (const AffinityTerm& term : terms) kept.tally.AddSlot(term.topology_key);
      }
      Check(kept, terms, snapshot);
      TermMatcher matcher(terms, snapshot, kept.namespaces);
      kept.tally.Update(snapshot, [&](const NodeInfo& node, TopologyTally::Gives* gives) {
        for (size_t i = 0; i < terms.size(); ++i) {
          int64_t sum = 0;
          for (const PodInfoPtr& other : node.pods) {
            if (matcher.Matches(i, *other)) sum += terms[i].weight;
          }
          if (sum != 0) gives->emplace_back(static_cast<int32_t>(i), sum);
        }
      });
    });
  }

  // Namespaces whose labels have changed may be taken in now.
  static void Check(KeptTally& kept, const AffinityTerms& terms, const Snapshot& snapshot) {
    if (StillHolds(kept.namespaces, terms, snapshot)) return;
    kept.namespaces.clear();
    kept.tally.Forget();
  }

  // All terms hold, or the pod is the first of a group that wants to be together.
  static bool AffinityHolds(const PodInfo& pod, const NodeInfo& node, const FilterState& cycle) {
    bool together = true;
    for (size_t i = 0; i < pod.required_affinity.size(); ++i) {
      const std::string& key = pod.required_affinity[i].topology_key;
      if (cycle.affinity.On(static_cast<int>(i), key, node) > 0) continue;
      if (!cycle.affinity.HasLabel(static_cast<int>(i), key, node)) return false;
      together = false;
    }
    return together || (cycle.affinity.total() == 0 && cycle.matches_itself);
  }

  static void Change(const PodInfo& pod, const PodInfo& other, const NodeInfo& node, int64_t amount,
                     FilterState& state) {
    const Snapshot& snapshot = *state.snapshot;
    for (const AffinityTerm& term : other.required_anti_affinity) {
      if (!Matches(term, pod, snapshot.NamespaceLabels(pod.key.ns))) continue;
      state.existing.Add(term.topology_key, node, amount);
    }
    absl::flat_hash_map<std::string, bool> namespaces;
    if (TermMatcher(pod.required_affinity, snapshot, namespaces).MatchesAll(other)) {
      for (size_t i = 0; i < pod.required_affinity.size(); ++i) {
        state.affinity.Add(static_cast<int>(i), pod.required_affinity[i].topology_key, node,
                           amount);
      }
    }
    namespaces.clear();
    TermMatcher anti(pod.required_anti_affinity, snapshot, namespaces);
    for (size_t i = 0; i < pod.required_anti_affinity.size(); ++i) {
      if (!anti.Matches(i, other)) continue;
      state.anti_affinity.Add(static_cast<int>(i), pod.required_anti_affinity[i].topology_key, node,
                              amount);
    }
  }

  // Namespaces that are chosen by labels may take anyone in: their labels are not known here.
  static bool MayMatch(const AffinityTerm& term, const PodInfo& other) {
    return (term.has_namespace_selector ||
            std::binary_search(term.namespaces.begin(), term.namespaces.end(), other.key.ns)) &&
           term.selector.Matches(other.labels);
  }
  static bool AllMayMatch(const AffinityTerms& terms, const PodInfo& other) {
    return !terms.empty() && std::all_of(terms.begin(), terms.end(), [&](const AffinityTerm& term) {
      return MayMatch(term, other);
    });
  }
  static bool AnyMayMatch(const AffinityTerms& terms, const PodInfo& other) {
    return std::any_of(terms.begin(), terms.end(),
                       [&](const AffinityTerm& term) { return MayMatch(term, other); });
  }

  // Who wants no company, and whom others do not want, may go to any new node.
  static bool NewNodeMayHelp(const PodInfo& refused, const NodeFacts& node) {
    return refused.required_affinity.empty() ||
           std::any_of(refused.required_affinity.begin(), refused.required_affinity.end(),
                       [&](const AffinityTerm& term) {
                         return FindLabel(node.labels, term.topology_key) != nullptr;
                       });
  }

  // The pod was in the way of `refused` or wanted it away, or it was the last one of a group whose
  // first one `refused` may be now.
  static bool DeletionMayHelp(const PodInfo& refused, const PodInfo& deleted) {
    return AnyMayMatch(refused.required_anti_affinity, deleted) ||
           AnyMayMatch(deleted.required_anti_affinity, refused) ||
           (AllMayMatch(refused.required_affinity, deleted) &&
            AllMayMatch(refused.required_affinity, refused));
  }

  const ExistingTerms anti_affinity_, preferences_;
  mutable TallyCache tallies_;
};

}  // namespace

std::unique_ptr<Plugin> NewInterPodAffinity(int32_t hard_pod_affinity_weight) {
  return std::make_unique<InterPodAffinity>(hard_pod_affinity_weight);
}

}  // namespace meltemi::scheduler
