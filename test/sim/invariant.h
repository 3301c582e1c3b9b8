// What must hold after every write, whatever happens to controllers, watches and calls.
//
// Each states what Kubernetes guarantees, not more: a controller acts on what its informers show,
// which may be behind what users have written meanwhile; and what users, nodes and failures take
// away is nobody's fault.
//
// Threads: one.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/clock/clock.h"
#include "test/sim/truth.h"

namespace meltemi::sim {

// What the simulation knows beside the writes.
struct Circumstances {
  // uids of what was made by calls whose answers were lost: who asked does not know of them, and
  // may make another one.
  std::set<std::string> unacknowledged;
  // Up to where the scheduler had seen nodes some seconds ago: what it binds now it has decided
  // then.
  int64_t scheduler_nodes_revision = 0;
  // Everything up to it has been delivered to all watches.
  int64_t told_revision = 0;
  MonotonicTime now;
};

// Whether what somebody else has done to a workload may still be news to its controller.
class Disturbance {
 public:
  void Note(int64_t revision, MonotonicTime now) {
    revision_ = revision;
    since_ = now;
  }
  // A controller whose watch has ended may be without news for a while.
  bool IsNews(const Circumstances& circumstances) const {
    return revision_ > circumstances.told_revision || circumstances.now - since_ < seconds(40);
  }

 private:
  int64_t revision_ = 0;
  MonotonicTime since_ = MonotonicTime() - minutes(60);
};

class Findings {
 public:
  void Add(std::string text) { texts_.push_back(std::move(text)); }
  const std::vector<std::string>& texts() const { return texts_; }

 private:
  std::vector<std::string> texts_;
};

class Invariant {
 public:
  virtual ~Invariant() = default;
  // After `change`, which `truth` has applied.
  virtual void OnChange(const Truth& truth, const Change& change,
                        const Circumstances& circumstances, Findings& findings) {}
  // Nothing disturbs any more, and time enough has passed.
  virtual void AtEnd(const Truth& truth, Findings& findings) {}
};

// ReplicaSets and ReplicationControllers: a pod is only made while there are fewer active ones than
// a spec asks for that the controller may see.
std::unique_ptr<Invariant> NewReplicasInvariant();
// Deployments: a rolling update makes no more than replicas + maxSurge, and takes away no pod that
// leaves fewer than replicas − maxUnavailable available.
std::unique_ptr<Invariant> NewRolloutInvariant();
// StatefulSets: pods begin in order, each after its predecessors were ready, and end in the
// opposite order.
std::unique_ptr<Invariant> NewOrderInvariant();
// Pods are bound once, to a node that has room for them and whose taints they tolerate.
std::unique_ptr<Invariant> NewPlacementInvariant();
// Jobs: not more pods than parallelism and what is left to complete allow; each counted once.
std::unique_ptr<Invariant> NewCompletionsInvariant();
// CronJobs with Forbid: one Job at a time.
std::unique_ptr<Invariant> NewForbidInvariant();
// Evictions leave as many healthy pods as budgets ask for.
std::unique_ptr<Invariant> NewBudgetInvariant();
// At the end every owner that is referred to exists, and nothing is left of deleted namespaces.
std::unique_ptr<Invariant> NewOwnershipInvariant();
// At the end every workload is complete.
std::unique_ptr<Invariant> NewConvergenceInvariant();

std::vector<std::unique_ptr<Invariant>> AllInvariants();

}  // namespace meltemi::sim
