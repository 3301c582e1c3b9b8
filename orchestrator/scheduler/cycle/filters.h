// The filters of one profile, asked for one pod in one cycle.
//
// Threads: the scheduling thread.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "orchestrator/scheduler/plugins/plugins.h"
#include "orchestrator/scheduler/queue/nominated.h"

namespace meltemi::scheduler {

// The plugins of a profile; which of them filter and score is worked out once.
struct Rules {
  std::string scheduler_name;
  std::vector<WeightedPlugin> plugins;  // at most 64
  std::vector<size_t> filters, scores;  // places in `plugins`
};
Rules MakeRules(std::string scheduler_name, std::vector<WeightedPlugin> plugins);

struct Refusal {
  Verdict verdict;
  size_t plugin = 0;  // place in Rules::plugins; of no meaning when the verdict is kOk
};

class Filters {
 public:
  // All of it outlives the filters.
  Filters(const Rules& rules, const PodInfo& pod, const Snapshot& snapshot,
          const Nominated& nominated);

  // Once, first. kOk, or why no node can do; `restricted_by` are the plugins that say which nodes
  // come into question, `only_nodes` these (null: all).
  Refusal Prepare();
  const std::vector<std::string>* only_nodes() const {
    return restricted_ ? &only_nodes_ : nullptr;
  }
  const std::vector<size_t>& restricted_by() const { return restricted_by_; }

  // "[NodeAffinity NodeName]".
  std::string RestrictedBy() const;

  // The first refusal. Where pods of at least the same priority are nominated for the node, it must
  // do with them and without them.
  Refusal Ask(const NodeInfo& node) const;

  // A copy to try things out on, with what it is told of.
  std::unique_ptr<Filters> Clone() const;
  void AddPod(const PodInfo& added, const NodeInfo& node);
  void RemovePod(const PodInfo& removed, const NodeInfo& node);
  // The reasons are those of a copy that is about to go: they live as long as this from now on.
  Refusal Keep(Refusal refusal) const;

  const Rules& rules() const { return rules_; }
  const PodInfo& pod() const { return pod_; }

 private:
  struct Active {
    const Plugin* plugin;
    std::unique_ptr<PluginState> state;
    size_t place;
  };

  bool Restrict(size_t place, const std::vector<std::string>& names);
  Refusal AskAlone(const NodeInfo& node) const;

  const Rules& rules_;
  const PodInfo& pod_;
  const Snapshot& snapshot_;
  const Nominated& nominated_;
  std::vector<Active> active_;  // those that apply to the pod
  bool restricted_ = false;
  std::vector<std::string> only_nodes_;  // sorted
  std::vector<size_t> restricted_by_;
  // Reasons that a copy of this has given, which is gone.
  mutable std::deque<std::string> kept_;
};

}  // namespace meltemi::scheduler
