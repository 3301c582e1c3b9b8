// What the scheduler knows of claims and volumes: what a pod's claims ask of its node, and which
// claims have been promised a volume or a node that no informer shows yet.
//
// Threads: thread-safe. Source: kube-scheduler's VolumeBinding.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "kube/informer/informer.h"
#include "orchestrator/controllers/volumes/matching.h"
#include "orchestrator/scheduler/model/node_info.h"
#include "orchestrator/scheduler/model/pod_info.h"

namespace meltemi::scheduler {

using controllers::ClaimPtr;
using controllers::VolumePtr;

// What one pod's claims are about.
struct ClaimNeeds {
  // Why no node can do: `persistentvolumeclaim "x" not found`; "": some may.
  std::string problem;
  std::vector<VolumePtr> bound;    // of claims that have theirs
  bool lost = false;               // a claim's volume does not exist
  std::vector<ClaimPtr> unbound;   // those that wait for a pod; the smallest first
  std::vector<std::string> alone;  // names of claims that one pod alone may use
};

// How unbound claims get their volumes on a node.
struct ClaimPlan {
  std::vector<std::pair<ClaimPtr, VolumePtr>> bind;  // volumes that are there
  std::vector<ClaimPtr> provision;                   // to be made
  bool empty() const { return bind.empty() && provision.empty(); }
};

class ClaimBook {
 public:
  // Asks for informers.
  explicit ClaimBook(kube::Informers& informers);
  // Before they start. `changed` is told of the claim ("ns/name") that is another one, "" for
  // volumes and classes; on the informers' threads.
  static void OnChange(kube::Informers& informers,
                       const std::function<void(const std::string& claim)>& changed);

  ClaimNeeds NeedsOf(const PodInfo& pod) const;
  // False: there is no way on this node.
  bool Plan(const ClaimNeeds& needs, const NodeFacts& node, ClaimPlan* plan) const;

  // What is planned counts for other pods from now on, until it is forgotten.
  void Assume(const ClaimPlan& plan, const std::string& node);
  void Forget(const ClaimPlan& plan);

  enum class State : uint8_t { kWaits, kBound, kRejected, kGone };
  // How far a claim has come that was told its node.
  State StateOf(const kube::core::v1::PersistentVolumeClaim& claim, bool is_provisioned) const;

 private:
  struct Promise {
    std::string node, volume;  // volume "": it is to be made there
  };

  bool PlanOne(const ClaimPtr& claim, const NodeFacts& node, std::set<std::string>* taken,
               ClaimPlan* plan) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool CanProvision(const kube::core::v1::PersistentVolumeClaim& claim,
                    const NodeFacts& node) const;

  const kube::Lister<kube::core::v1::PersistentVolumeClaim> claims_;
  const kube::Lister<kube::core::v1::PersistentVolume> volumes_;
  const kube::Lister<kube::storage::v1::StorageClass> classes_;

  mutable std::mutex mutex_;
  std::map<std::string, Promise> promises_ ABSL_GUARDED_BY(mutex_);  // by the claim's uid
};

}  // namespace meltemi::scheduler
