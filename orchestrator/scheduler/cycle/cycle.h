// Finds the best node for one pod: filters, then scores.
//
// On large clusters the search ends when enough nodes have been found that fit; where it ended the
// next one begins, so that all nodes get their turn.
//
// Threads: the scheduling thread. Source: kube-scheduler's scheduling cycle.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/random/random.h"
#include "orchestrator/scheduler/cycle/diagnosis.h"
#include "orchestrator/scheduler/cycle/filters.h"

namespace meltemi::scheduler {

// How many nodes that fit are enough, of so many. `percentage` 0: 50 less one for every 125 nodes,
// at least 5. Never less than 100 nodes.
size_t NodesToFind(size_t nodes, int percentage);

struct Placement {
  // Of the snapshot; null: there is none.
  const NodeInfo* node = nullptr;
  size_t feasible = 0;
  Diagnosis diagnosis;               // when there is none
  std::unique_ptr<Filters> filters;  // likewise, for preemption
};

class Cycle {
 public:
  // `percentage`: of nodes to score (NodesToFind). `random` outlives it.
  Cycle(int percentage, Random& random) : percentage_(percentage), random_(random) {}

  // All of it outlives the placement. Precondition: the snapshot has nodes.
  Placement Place(const Rules& rules, const PodInfo& pod, const Snapshot& snapshot,
                  const Nominated& nominated);

 private:
  void Find(const Filters& filters, const std::vector<NodeInfo*>& nodes,
            const NodeInfo* nominated_node, Placement& placement);
  const NodeInfo* Best(const Rules& rules, const PodInfo& pod, const Snapshot& snapshot);

  const int percentage_;
  Random& random_;
  size_t start_ = 0;  // where the next search begins

  // Kept for their memory.
  std::vector<const NodeInfo*> feasible_;
  std::vector<int64_t> scores_, totals_;
};

}  // namespace meltemi::scheduler
