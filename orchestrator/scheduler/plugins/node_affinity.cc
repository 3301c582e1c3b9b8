// NodeAffinity: spec.nodeSelector and spec.affinity.nodeAffinity.
#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "orchestrator/scheduler/plugins/placement.h"
#include "orchestrator/scheduler/plugins/rules.h"
#include "orchestrator/scheduler/plugins/topology_tally.h"

namespace meltemi::scheduler {
namespace {

namespace core = kube::core::v1;
using Names = std::vector<std::string>;

// Which nodes match, by their place; kept from cycle to cycle.
class Matching {
 public:
  void Update(const Snapshot& snapshot, const RequiredNodeAffinity& affinity) {
    const std::vector<NodeInfo*>& nodes = snapshot.nodes();
    bool known = order_ == snapshot.order() && answers_.size() == nodes.size();
    for (int64_t i = changes_; known && i < snapshot.changes(); ++i) {
      const int32_t place = snapshot.ChangedPlace(i);
      known = place >= 0;
      if (known) Ask(place, *nodes[place], affinity);
    }
    if (!known) answers_.resize(nodes.size());
    for (size_t i = 0; !known && i < nodes.size(); ++i) Ask(i, *nodes[i], affinity);
    order_ = snapshot.order();
    changes_ = snapshot.changes();
  }

  // Null: not known of this node.
  const bool* Find(const NodeInfo& node) const {
    const auto place = static_cast<size_t>(node.place);
    if (node.place < 0 || place >= answers_.size() || answers_[place].facts != node.facts) {
      return nullptr;
    }
    return &answers_[place].matches;
  }

 private:
  struct Answer {
    std::shared_ptr<const NodeFacts> facts;
    bool matches = false;
  };

  void Ask(size_t place, const NodeInfo& node, const RequiredNodeAffinity& affinity) {
    Answer& answer = answers_[place];
    if (answer.facts == node.facts) return;
    answer = {node.facts, affinity.Matches(*node.facts)};
  }

  int64_t order_ = -1, changes_ = 0;
  std::vector<Answer> answers_;
};

class Required final : public PluginState {
 public:
  explicit Required(const core::PodSpec& spec)
      : affinity(std::make_shared<RequiredNodeAffinity>(spec)) {}
  std::unique_ptr<PluginState> Clone() const override { return std::make_unique<Required>(*this); }

  std::shared_ptr<const RequiredNodeAffinity> affinity;
  std::shared_ptr<const Matching> matching;  // null: few nodes come into question
  Names names;                               // sorted
  bool only_names = false;
};

class Preferred final : public PluginState {
 public:
  std::unique_ptr<PluginState> Clone() const override { return std::make_unique<Preferred>(*this); }

  std::vector<std::pair<NodeTerm, int64_t>> terms;  // with their weights
};

// The only nodes that a term admits by metadata.name; nullopt: it names none.
std::optional<Names> NamesIn(const core::NodeSelectorTerm& term) {
  std::optional<Names> names;
  for (const core::NodeSelectorRequirement& field : term.match_fields()) {
    if (field.key() != "metadata.name" || field.operator_() != "In") continue;
    Names listed(field.values().begin(), field.values().end());
    std::sort(listed.begin(), listed.end());
    listed.erase(std::unique(listed.begin(), listed.end()), listed.end());
    if (!names.has_value()) {
      names = std::move(listed);
      continue;
    }
    Names both;
    std::set_intersection(names->begin(), names->end(), listed.begin(), listed.end(),
                          std::back_inserter(both));
    names = std::move(both);
  }
  return names;
}

// nullopt: some term leaves all nodes open.
std::optional<Names> NamesIn(const core::NodeSelector& selector) {
  if (selector.node_selector_terms().empty()) return std::nullopt;
  Names all;
  for (const core::NodeSelectorTerm& term : selector.node_selector_terms()) {
    std::optional<Names> names = NamesIn(term);
    if (!names.has_value()) return std::nullopt;
    all.insert(all.end(), names->begin(), names->end());
  }
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

class NodeAffinity final : public Plugin {
 public:
  NodeAffinity() { filters = scores = true; }
  absl::string_view name() const override { return "NodeAffinity"; }

  Verdict PreFilter(const PodInfo& pod, const Snapshot& snapshot,
                    std::unique_ptr<PluginState>* state) const override {
    auto made = std::make_unique<Required>(pod.pod->spec());
    if (made->affinity->empty()) return Verdict::Skip();
    std::optional<Names> names =
        NamesIn(pod.pod->spec()
                    .affinity()
                    .node_affinity()
                    .required_during_scheduling_ignored_during_execution());
    if (names.has_value()) {
      if (names->empty()) return Verdict::Unresolvable("pod affinity terms conflict");
      made->names = *std::move(names);
      made->only_names = true;
    } else {
      made->matching = matching_.Get(TextOf(pod.pod->spec()), [&](Matching& matching) {
        matching.Update(snapshot, *made->affinity);
      });
    }
    *state = std::move(made);
    return Verdict::Ok();
  }

  const std::vector<std::string>* OnlyNodes(const PluginState* state) const override {
    const auto* required = static_cast<const Required*>(state);
    return required != nullptr && required->only_names ? &required->names : nullptr;
  }

  Verdict Filter(const PodInfo& pod, const NodeInfo& node,
                 const PluginState* state) const override {
    const auto& required = *static_cast<const Required*>(state);
    const bool* known = required.matching == nullptr ? nullptr : required.matching->Find(node);
    if (known != nullptr ? *known : required.affinity->Matches(*node.facts)) return Verdict::Ok();
    return Verdict::Unresolvable("node(s) didn't match Pod's node affinity/selector");
  }

  Verdict PreScore(const PodInfo& pod, const Snapshot& snapshot,
                   const std::vector<const NodeInfo*>& feasible,
                   std::unique_ptr<PluginState>* state) const override {
    const auto& preferred = pod.pod->spec()
                                .affinity()
                                .node_affinity()
                                .preferred_during_scheduling_ignored_during_execution();
    if (preferred.empty()) return Verdict::Skip();
    auto made = std::make_unique<Preferred>();
    for (const core::PreferredSchedulingTerm& term : preferred) {
      if (term.weight() == 0) continue;
      made->terms.emplace_back(NodeTerm(term.preference()), term.weight());
    }
    *state = std::move(made);
    return Verdict::Ok();
  }

  int64_t Score(const PodInfo& pod, const NodeInfo& node, const PluginState* state) const override {
    int64_t score = 0;
    for (const auto& [term, weight] : static_cast<const Preferred*>(state)->terms) {
      if (term.Matches(*node.facts)) score += weight;
    }
    return score;
  }

  void Normalize(const PodInfo& pod, const std::vector<const NodeInfo*>& feasible,
                 const PluginState* state, std::vector<int64_t>& scores) const override {
    NormalizeToHighest(/*reverse=*/false, scores);
  }

  // A node that comes to match helps; one that matched before was refused for something else.
  bool MayHelp(const PodInfo& refused, const ClusterEvent& event) const override {
    if (event.type != ClusterEvent::Type::kNodeAdded &&
        event.type != ClusterEvent::Type::kNodeChanged) {
      return false;
    }
    const RequiredNodeAffinity required(refused.pod->spec());
    if (!required.Matches(*event.node_after)) return false;
    return event.type == ClusterEvent::Type::kNodeAdded || !required.Matches(*event.node_before);
  }

 private:
  mutable KeptByText<Matching> matching_;
};

}  // namespace

std::unique_ptr<Plugin> NewNodeAffinity() { return std::make_unique<NodeAffinity>(); }

}  // namespace meltemi::scheduler
