// Tells the scheduler's parts what informers see: nodes, pods and namespaces go into the cache,
// pods without a node into the queue, and what may help those that wait becomes an event.
//
// Threads: handlers run on the informers' threads. Source: kube-scheduler's event handlers.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "kube/informer/informer.h"
#include "orchestrator/scheduler/cache/cache.h"
#include "orchestrator/scheduler/preemption/victims.h"
#include "orchestrator/scheduler/queue/nominated.h"
#include "orchestrator/scheduler/queue/queue.h"
#include "orchestrator/scheduler/report/reporter.h"

namespace meltemi::scheduler {

// Which parts of a node that pods may care about are other ones: bits of ClusterEvent::NodeChange.
uint8_t ChangesOf(const NodeFacts& before, const NodeFacts& after);

class Watching {
 public:
  struct Parts {
    Cache& cache;
    Queue& queue;
    Nominated& nominated;
    Reporter& reporter;
    // Whether a scheduler of this name is us.
    std::function<bool(absl::string_view scheduler_name)> is_ours;
  };

  // All of it outlives the informers' calls. Asks for informers.
  Watching(kube::Informers& informers, Parts parts);

  // As the informer has it; null: it is gone, or has finished.
  PodPtr Find(const kube::NamespacedName& key) const { return pods_.Get(key); }
  // All PodDisruptionBudgets.
  std::vector<Budget> Budgets() const;

 private:
  void OnPod(const kube::Change& change);
  void OnAssigned(PodPtr pod);
  void OnWaiting(bool was_nominated, PodPtr pod);
  void OnGone(const kube::core::v1::Pod& pod);
  void OnNode(const kube::Change& change);
  void OnNamespace(const kube::Change& change);

  const Parts parts_;
  kube::Lister<kube::core::v1::Pod> pods_;
  const kube::Informer* budgets_;
};

}  // namespace meltemi::scheduler
