#include "orchestrator/scheduler/cycle/cycle.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace meltemi::scheduler {
namespace {

constexpr size_t kNodesToFindMin = 100;
constexpr int kPercentageMin = 5;

PluginSet SetOf(size_t plugin) { return PluginSet{1} << plugin; }

// Asking a node is quick, getting it from memory is not: so those that come next are fetched while
// this one is asked, first the node, then its facts.
void FetchAhead(const std::vector<NodeInfo*>& nodes, size_t at) {
  constexpr size_t kNodeAhead = 8, kFactsAhead = 4;
  if (at + kNodeAhead >= nodes.size()) return;
  const char* const node = reinterpret_cast<const char*>(nodes[at + kNodeAhead]);
  __builtin_prefetch(node);
  __builtin_prefetch(node + 64);
  __builtin_prefetch(nodes[at + kFactsAhead]->facts.get());
}

}  // namespace

size_t NodesToFind(size_t nodes, int percentage) {
  if (nodes < kNodesToFindMin) return nodes;
  if (percentage == 0) {
    percentage = std::max(50 - static_cast<int>(nodes / 125), kPercentageMin);
  }
  return std::max(nodes * static_cast<size_t>(percentage) / 100, kNodesToFindMin);
}

Placement Cycle::Place(const Rules& rules, const PodInfo& pod, const Snapshot& snapshot,
                       const Nominated& nominated) {
  Placement placement;
  placement.filters = std::make_unique<Filters>(rules, pod, snapshot, nominated);
  Filters& filters = *placement.filters;
  Diagnosis& diagnosis = placement.diagnosis;
  diagnosis.nodes = snapshot.nodes().size();

  const std::string nominated_name = nominated.NodeOf(pod.uid);
  const NodeInfo* nominated_node = nominated_name.empty() ? nullptr : snapshot.Find(nominated_name);
  const Refusal refusal = filters.Prepare();
  if (!refusal.verdict.ok()) {
    diagnosis.pre_filter = absl::StrJoin(refusal.verdict.reasons, ", ");
    diagnosis.refused_by = SetOf(refusal.plugin);
    diagnosis.nominated_node = refusal.verdict.code;
    if (refusal.verdict.code == Verdict::Code::kUnschedulable) {
      diagnosis.preemptable.assign(snapshot.nodes().begin(), snapshot.nodes().end());
    }
    return placement;
  }

  feasible_.clear();
  // Room has been made there for this pod: most likely it is the one.
  if (nominated_node != nullptr && filters.Ask(*nominated_node).verdict.ok()) {
    feasible_.push_back(nominated_node);
  } else if (filters.only_nodes() == nullptr) {
    Find(filters, snapshot.nodes(), nominated_node, placement);
  } else {
    std::vector<NodeInfo*> nodes;
    for (const std::string& name : *filters.only_nodes()) {
      if (NodeInfo* node = snapshot.Find(name)) nodes.push_back(node);
    }
    if (nodes.size() < diagnosis.nodes) {
      diagnosis.reasons.Add(
          absl::StrCat("node(s) didn't satisfy plugin(s) ", filters.RestrictedBy()),
          diagnosis.nodes - nodes.size());
      for (const size_t place : filters.restricted_by()) diagnosis.refused_by |= SetOf(place);
    }
    diagnosis.nominated_node = Verdict::Code::kUnresolvable;  // unless it is among them
    Find(filters, nodes, nominated_node, placement);
  }
  placement.feasible = feasible_.size();
  if (feasible_.empty()) return placement;
  placement.node = feasible_.size() == 1 ? feasible_[0] : Best(rules, pod, snapshot);
  return placement;
}

// Gathers feasible_; why the others are not goes into the diagnosis.
void Cycle::Find(const Filters& filters, const std::vector<NodeInfo*>& nodes,
                 const NodeInfo* nominated_node, Placement& placement) {
  if (nodes.empty()) return;
  Diagnosis& diagnosis = placement.diagnosis;
  const size_t wanted = filters.rules().scores.empty() ? 1 : NodesToFind(nodes.size(), percentage_);
  size_t at = start_ % nodes.size();
  size_t looked_at = 0;
  for (; looked_at < nodes.size() && feasible_.size() < wanted; ++looked_at) {
    const NodeInfo* node = nodes[at];
    FetchAhead(nodes, at);
    if (++at == nodes.size()) at = 0;
    const Refusal refusal = filters.Ask(*node);
    if (refusal.verdict.ok()) {
      feasible_.push_back(node);
      continue;
    }
    if (!feasible_.empty()) continue;  // nobody will ask why
    diagnosis.refused_by |= SetOf(refusal.plugin);
    diagnosis.reasons.Add(refusal.verdict);
    if (node == nominated_node) diagnosis.nominated_node = refusal.verdict.code;
    if (refusal.verdict.code == Verdict::Code::kUnschedulable) {
      diagnosis.preemptable.push_back(node);
    }
  }
  start_ = (start_ + looked_at) % std::max<size_t>(diagnosis.nodes, 1);
}

const NodeInfo* Cycle::Best(const Rules& rules, const PodInfo& pod, const Snapshot& snapshot) {
  totals_.assign(feasible_.size(), 0);
  for (const size_t place : rules.scores) {
    const Plugin& plugin = *rules.plugins[place].plugin;
    std::unique_ptr<PluginState> state;
    if (plugin.PreScore(pod, snapshot, feasible_, &state).code == Verdict::Code::kSkip) continue;
    scores_.resize(feasible_.size());
    for (size_t i = 0; i < feasible_.size(); ++i) {
      scores_[i] = plugin.Score(pod, *feasible_[i], state.get());
    }
    plugin.Normalize(pod, feasible_, state.get(), scores_);
    const int64_t weight = rules.plugins[place].weight;
    for (size_t i = 0; i < feasible_.size(); ++i) totals_[i] += weight * scores_[i];
  }
  const int64_t best = *std::max_element(totals_.begin(), totals_.end());
  const auto ties = static_cast<uint64_t>(std::count(totals_.begin(), totals_.end(), best));
  uint64_t skip = ties == 1 ? 0 : random_.Below(ties);
  for (size_t i = 0;; ++i) {
    if (totals_[i] == best && skip-- == 0) return feasible_[i];
  }
}

}  // namespace meltemi::scheduler
