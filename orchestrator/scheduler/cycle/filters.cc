#include "orchestrator/scheduler/cycle/filters.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace meltemi::scheduler {

Rules MakeRules(std::string scheduler_name, std::vector<WeightedPlugin> plugins) {
  Rules rules;
  rules.scheduler_name = std::move(scheduler_name);
  rules.plugins = std::move(plugins);
  for (size_t i = 0; i < rules.plugins.size(); ++i) {
    const WeightedPlugin& weighted = rules.plugins[i];
    if (weighted.plugin->filters) rules.filters.push_back(i);
    if (weighted.plugin->scores && weighted.weight != 0) rules.scores.push_back(i);
  }
  return rules;
}

Filters::Filters(const Rules& rules, const PodInfo& pod, const Snapshot& snapshot,
                 const Nominated& nominated)
    : rules_(rules), pod_(pod), snapshot_(snapshot), nominated_(nominated) {}

Refusal Filters::Prepare() {
  Refusal refused;
  active_.reserve(rules_.filters.size());
  for (const size_t place : rules_.filters) {
    const Plugin& plugin = *rules_.plugins[place].plugin;
    std::unique_ptr<PluginState> state;
    Verdict verdict = plugin.PreFilter(pod_, snapshot_, &state);
    if (verdict.code == Verdict::Code::kSkip) continue;
    active_.push_back({&plugin, std::move(state), place});
    if (verdict.code == Verdict::Code::kUnresolvable) return {std::move(verdict), place};
    if (!verdict.ok()) {
      // Preemption may help, so the others must be prepared as well.
      refused = {std::move(verdict), place};
      continue;
    }
    const std::vector<std::string>* names = plugin.OnlyNodes(active_.back().state.get());
    if (names != nullptr && !Restrict(place, *names)) {
      const std::string& reason = kept_.emplace_back(
          restricted_by_.size() == 1 ? absl::StrCat("node(s) didn't satisfy plugin ", plugin.name())
                                     : absl::StrCat("node(s) didn't satisfy plugin(s) ",
                                                    RestrictedBy(), " simultaneously"));
      return {Verdict::Unresolvable(reason), place};
    }
  }
  return refused;
}

std::string Filters::RestrictedBy() const {
  std::vector<absl::string_view> names;
  for (const size_t place : restricted_by_) names.push_back(rules_.plugins[place].plugin->name());
  std::sort(names.begin(), names.end());
  return absl::StrCat("[", absl::StrJoin(names, " "), "]");
}

// False: no node is left.
bool Filters::Restrict(size_t place, const std::vector<std::string>& names) {
  std::vector<std::string> sorted = names;
  std::sort(sorted.begin(), sorted.end());
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  restricted_by_.push_back(place);
  if (restricted_) {
    std::vector<std::string> both;
    std::set_intersection(only_nodes_.begin(), only_nodes_.end(), sorted.begin(), sorted.end(),
                          std::back_inserter(both));
    sorted = std::move(both);
  }
  restricted_ = true;
  only_nodes_ = std::move(sorted);
  return !only_nodes_.empty();
}

Refusal Filters::AskAlone(const NodeInfo& node) const {
  for (const Active& active : active_) {
    Verdict verdict = active.plugin->Filter(pod_, node, active.state.get());
    if (!verdict.ok()) return {std::move(verdict), active.place};
  }
  return {};
}

Refusal Filters::Ask(const NodeInfo& node) const {
  if (nominated_.empty()) return AskAlone(node);
  std::vector<PodInfoPtr> nominated = nominated_.On(node.name());
  nominated.erase(std::remove_if(nominated.begin(), nominated.end(),
                                 [&](const PodInfoPtr& other) {
                                   return other->priority < pod_.priority || other->uid == pod_.uid;
                                 }),
                  nominated.end());
  if (nominated.empty()) return AskAlone(node);
  NodeInfo with_nominated = node;
  const std::unique_ptr<Filters> copy = Clone();
  for (const PodInfoPtr& other : nominated) {
    with_nominated.AddPod(other);
    copy->AddPod(*other, with_nominated);
  }
  Refusal refusal = copy->AskAlone(with_nominated);
  return refusal.verdict.ok() ? AskAlone(node) : Keep(std::move(refusal));
}

Refusal Filters::Keep(Refusal refusal) const {
  for (absl::string_view& reason : refusal.verdict.reasons) {
    auto kept = std::find(kept_.begin(), kept_.end(), reason);
    if (kept == kept_.end()) kept = kept_.insert(kept_.end(), std::string(reason));
    reason = *kept;
  }
  return refusal;
}

std::unique_ptr<Filters> Filters::Clone() const {
  auto copy = std::make_unique<Filters>(rules_, pod_, snapshot_, nominated_);
  copy->active_.reserve(active_.size());
  for (const Active& active : active_) {
    copy->active_.push_back(
        {active.plugin, active.state == nullptr ? nullptr : active.state->Clone(), active.place});
  }
  return copy;
}

void Filters::AddPod(const PodInfo& added, const NodeInfo& node) {
  for (Active& active : active_) active.plugin->AddPod(pod_, added, node, active.state.get());
}

void Filters::RemovePod(const PodInfo& removed, const NodeInfo& node) {
  for (Active& active : active_) active.plugin->RemovePod(pod_, removed, node, active.state.get());
}

}  // namespace meltemi::scheduler
