// NodeAffinity: spec.nodeSelector and spec.affinity.nodeAffinity.
#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "orchestrator/scheduler/plugins/placement.h"
#include "orchestrator/scheduler/plugins/rules.h"

namespace meltemi::scheduler {
namespace {

namespace core = kube::core::v1;
using Names = std::vector<std::string>;

class Required final : public PluginState {
 public:
  explicit Required(const core::PodSpec& spec) : affinity(spec) {}
  std::unique_ptr<PluginState> Clone() const override { return std::make_unique<Required>(*this); }

  RequiredNodeAffinity affinity;
  Names names;  // sorted
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
    if (made->affinity.empty()) return Verdict::Skip();
    std::optional<Names> names =
        NamesIn(pod.pod->spec()
                    .affinity()
                    .node_affinity()
                    .required_during_scheduling_ignored_during_execution());
    if (names.has_value()) {
      if (names->empty()) return Verdict::Unresolvable("pod affinity terms conflict");
      made->names = *std::move(names);
      made->only_names = true;
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
    if (static_cast<const Required*>(state)->affinity.Matches(*node.facts)) return Verdict::Ok();
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
};

}  // namespace

std::unique_ptr<Plugin> NewNodeAffinity() { return std::make_unique<NodeAffinity>(); }

}  // namespace meltemi::scheduler
