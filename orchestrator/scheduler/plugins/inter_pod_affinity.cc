// InterPodAffinity: pods that want to be with others or away from them, and existing pods that want
// the new one away.
#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "orchestrator/scheduler/model/selectors.h"
#include "orchestrator/scheduler/plugins/affinity_matching.h"
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

  const TopologyTally* base() const { return base_ == nullptr ? nullptr : &base_->tally; }

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

  // Whether one of the pairs that are counted is the node's.
  bool AnyOn(const NodeInfo& node) const {
    const int slots = base_ == nullptr ? 0 : base_->tally.slots();
    for (int slot = 0; slot < slots; ++slot) {
      if (On(slot, base_->tally.key(slot), node) > 0) return true;
    }
    // Of keys that the tally does not have.
    return std::any_of(changes_.begin(), changes_.end(), [&](const Change& change) {
      if (change.slot >= 0 || change.amount <= 0) return false;
      const std::string* value = FindLabel(node.facts->labels, change.key);
      return value != nullptr && *value == change.value;
    });
  }

  // The slot of the key, -1 where the tally has none.
  int SlotOf(const std::string& key) const {
    for (int slot = 0; base_ != nullptr && slot < base_->tally.slots(); ++slot) {
      if (base_->tally.key(slot) == key) return slot;
    }
    return -1;
  }

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

class FilterState final : public PluginState {
 public:
  std::unique_ptr<PluginState> Clone() const override {
    return std::make_unique<FilterState>(*this);
  }

  const Snapshot* snapshot = nullptr;
  Counts existing;       // required anti-affinity of existing pods, by topology key
  Counts affinity;       // a slot per required term of the pod
  Counts anti_affinity;  // likewise
  bool matches_itself = false;
};

class ScoreState final : public PluginState {
 public:
  std::unique_ptr<PluginState> Clone() const override {
    return std::make_unique<ScoreState>(*this);
  }
  Tally tally;
};

void Give(int32_t slot, int64_t amount, TopologyTally::Gives* gives) {
  for (auto& [known, sum] : *gives) {
    if (known != slot) continue;
    sum += amount;
    return;
  }
  gives->emplace_back(slot, amount);
}

constexpr char kNoAffinity[] = "node(s) didn't match pod affinity rules";
constexpr char kAntiAffinity[] = "node(s) didn't match pod anti-affinity rules";
constexpr char kExisting[] = "node(s) didn't satisfy existing pods anti-affinity rules";

class InterPodAffinity final : public Plugin {
 public:
  explicit InterPodAffinity(int32_t hard_pod_affinity_weight)
      : hard_weight_(hard_pod_affinity_weight) {
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
      made->existing = Counts(CountExisting(pod, snapshot));
    }
    if (!has_terms && made->existing.total() == 0) return Verdict::Skip();
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
    if (cycle.existing.AnyOn(node)) return Verdict::Unschedulable(kExisting);
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
    made->tally = CountPreferences(pod, snapshot, prefers);
    if (made->tally->tally.slots() == 0) return Verdict::Skip();
    *state = std::move(made);
    return Verdict::Ok();
  }

  int64_t Score(const PodInfo& pod, const NodeInfo& node, const PluginState* state) const override {
    const TopologyTally& tally = static_cast<const ScoreState*>(state)->tally->tally;
    int64_t score = 0;
    for (int slot = 0; slot < tally.slots(); ++slot) {
      const int value = tally.ValueOn(slot, node);
      if (value >= 0) score += tally.Sum(slot, value);
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
        return false;
      case ClusterEvent::Type::kNamespaceChanged:
      case ClusterEvent::Type::kPreemptorDone:
        return true;
    }
    return false;
  }

 private:
  // Pairs that required anti-affinity of existing pods closes to this one.
  Tally CountExisting(const PodInfo& pod, const Snapshot& snapshot) const {
    const kube::StringPairs& own_labels = snapshot.NamespaceLabels(pod.key.ns);
    return tallies_.Get(absl::StrCat("existing ", SeenAs(pod, own_labels)), [&](KeptTally& kept) {
      TopologyTally& tally = kept.tally;
      tally.Update(snapshot, [&](const NodeInfo& node, TopologyTally::Gives* gives) {
        for (const PodInfoPtr& other : node.pods_with_required_anti_affinity) {
          for (const AffinityTerm& term : other->required_anti_affinity) {
            if (Matches(term, pod, own_labels)) Give(tally.SlotOf(term.topology_key), 1, gives);
          }
        }
      });
    });
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

  // What the pod prefers and what existing pods prefer of it.
  Tally CountPreferences(const PodInfo& pod, const Snapshot& snapshot, bool prefers) const {
    const kube::StringPairs& own_labels = snapshot.NamespaceLabels(pod.key.ns);
    AffinityTerms terms = pod.preferred_affinity;
    for (const AffinityTerm& term : pod.preferred_anti_affinity) {
      terms.push_back(term);
      terms.back().weight = -term.weight;
    }
    std::string text = absl::StrCat("prefer ", SeenAs(pod, own_labels));
    AppendText(terms, &text);
    return tallies_.Get(text, [&](KeptTally& kept) {
      Check(kept, terms, snapshot);
      TermMatcher matcher(terms, snapshot, kept.namespaces);
      TopologyTally& tally = kept.tally;
      tally.Update(snapshot, [&](const NodeInfo& node, TopologyTally::Gives* gives) {
        const auto give = [&](const AffinityTerm& term, int64_t amount) {
          Give(tally.SlotOf(term.topology_key), amount, gives);
        };
        if (prefers) {
          for (const PodInfoPtr& other : node.pods) {
            for (size_t i = 0; i < terms.size(); ++i) {
              if (matcher.Matches(i, *other)) give(terms[i], terms[i].weight);
            }
          }
        }
        for (const PodInfoPtr& other : node.pods_with_affinity) {
          for (const AffinityTerm& term : other->required_affinity) {
            if (hard_weight_ > 0 && Matches(term, pod, own_labels)) give(term, hard_weight_);
          }
          for (const AffinityTerm& term : other->preferred_affinity) {
            if (Matches(term, pod, own_labels)) give(term, term.weight);
          }
          for (const AffinityTerm& term : other->preferred_anti_affinity) {
            if (Matches(term, pod, own_labels)) give(term, -term.weight);
          }
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
      state.existing.Add(state.existing.SlotOf(term.topology_key), term.topology_key, node, amount);
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

  const int32_t hard_weight_;
  mutable TallyCache tallies_;
};

}  // namespace

std::unique_ptr<Plugin> NewInterPodAffinity(int32_t hard_pod_affinity_weight) {
  return std::make_unique<InterPodAffinity>(hard_pod_affinity_weight);
}

}  // namespace meltemi::scheduler
