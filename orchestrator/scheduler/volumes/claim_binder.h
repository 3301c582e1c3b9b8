// Binds the claims of a pod that has got its place, before the pod itself is bound: writes what was
// planned and waits until the volume controller has done its part. Other pods are placed meanwhile.
//
// Threads: thread-safe. Source: kube-scheduler's VolumeBinding (PreBind).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "absl/base/thread_annotations.h"
#include "kube/client/client.h"
#include "orchestrator/scheduler/queue/gate.h"
#include "orchestrator/scheduler/volumes/claim_book.h"

namespace meltemi::scheduler {

class ClaimBinder {
 public:
  struct Job {
    PodInfoPtr pod;
    std::string node;
    ClaimPlan plan;  // the book has assumed it
    // Once, unless nobody wants to know any more. `why` "": all are bound.
    std::function<void(const std::string& why)> done;
  };

  // `is_wanted`: whether the place is still held for the pod. All of it outlives the binder; `gate`
  // is closed before it goes.
  ClaimBinder(kube::Client& client, Gate& gate, ClaimBook& book,
              std::function<bool(const PodInfo& pod)> is_wanted);

  void Add(Job job);
  // A claim or a volume has changed.
  void LookAgain();
  // Being written or waited for.
  size_t size() const;

 private:
  struct Waiting {
    Job job;
    MonotonicTime until;
  };
  using WaitingPtr = std::shared_ptr<Waiting>;

  void Write(const WaitingPtr& waiting);
  void Look(const WaitingPtr& waiting);
  void LookLater(const WaitingPtr& waiting);
  // "" with `*bound`: all are; "" without: some wait; else why it has failed.
  std::string Progress(const Job& job, bool* bound) const;
  void End(const WaitingPtr& waiting, const std::string& why);

  kube::Client& client_;
  Gate& gate_;
  ClaimBook& book_;
  const std::function<bool(const PodInfo& pod)> is_wanted_;
  Lanes lanes_;
  mutable std::mutex mutex_;
  std::map<std::string, WaitingPtr> waiting_ ABSL_GUARDED_BY(mutex_);  // by the pod's uid
  size_t writing_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace meltemi::scheduler
