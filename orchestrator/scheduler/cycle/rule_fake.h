// A rule that does what a test says.
//
// Threads: one.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "orchestrator/scheduler/plugins/plugins.h"

namespace meltemi::scheduler {

class RuleFake final : public Plugin {
 public:
  explicit RuleFake(std::string name) : name_(std::move(name)) {}

  // Asked by Filter, Score and PreFilter where they are set.
  std::function<Verdict(const PodInfo&, const NodeInfo&)> filter;
  std::function<int64_t(const PodInfo&, const NodeInfo&)> score;
  std::function<Verdict(const PodInfo&)> pre_filter;
  std::vector<std::string> only_nodes;
  mutable int filtered = 0;  // calls

  absl::string_view name() const override { return name_; }
  Verdict PreFilter(const PodInfo& pod, const Snapshot&,
                    std::unique_ptr<PluginState>*) const override {
    return pre_filter ? pre_filter(pod) : Verdict::Ok();
  }
  const std::vector<std::string>* OnlyNodes(const PluginState*) const override {
    return only_nodes.empty() ? nullptr : &only_nodes;
  }
  Verdict Filter(const PodInfo& pod, const NodeInfo& node, const PluginState*) const override {
    ++filtered;
    return filter ? filter(pod, node) : Verdict::Ok();
  }
  int64_t Score(const PodInfo& pod, const NodeInfo& node, const PluginState*) const override {
    return score ? score(pod, node) : 0;
  }

 private:
  const std::string name_;
};

// A profile of fakes: each filters and scores as far as it is told to.
class RulesFake {
 public:
  RuleFake& Add(const std::string& name, int64_t weight = 1) {
    auto rule = std::make_unique<RuleFake>(name);
    RuleFake& added = *rule;
    weighted_.push_back({std::move(rule), weight});
    fakes_.push_back(&added);
    return added;
  }
  Rules Make() {
    for (RuleFake* fake : fakes_) {
      fake->filters = fake->filter || fake->pre_filter || !fake->only_nodes.empty();
      fake->scores = static_cast<bool>(fake->score);
    }
    return MakeRules("default-scheduler", std::move(weighted_));
  }

 private:
  std::vector<WeightedPlugin> weighted_;
  std::vector<RuleFake*> fakes_;
};

// At most so many pods per node; more are "Too many pods".
inline Verdict AtMost(size_t pods_max, const NodeInfo& node) {
  return node.pods.size() < pods_max ? Verdict::Ok() : Verdict::Unschedulable("Too many pods");
}

}  // namespace meltemi::scheduler
