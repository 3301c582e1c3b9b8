// One pass over a Deployment: from what the caches show to the writes that bring it nearer to what
// is wanted. Each write may be the last one: the next pass starts from what there is.
//
// Threads: one; it blocks.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "kube/apps/v1/apps.pb.h"
#include "kube/events/recorder.h"
#include "kube/names/names.h"
#include "kube/queue/controller.h"
#include "kube/status/status.h"
#include "orchestrator/controllers/deployment/rolling.h"
#include "orchestrator/controllers/deployment/sets.h"
#include "orchestrator/controllers/runtime/context.h"
#include "orchestrator/controllers/runtime/expectations.h"

namespace meltemi::controllers {

class Pass final {
 public:
  // `of_sets`, `of_deployments`: get what it writes. `old_pods`: for Recreate: whether pods of
  // other templates have not ended yet. All but `sets` outlive it.
  Pass(Context& context, kube::EventRecorder& recorder, Expectations& of_sets,
       Expectations& of_deployments, const kube::apps::v1::Deployment& deployment,
       std::vector<WorkingSet> sets, bool old_pods);

  kube::ReconcileResult Run();

 private:
  // Each returns what is to be written as the status, or why it can't go on.
  using Step = kube::Result<kube::apps::v1::DeploymentStatus>;
  Step Decide();
  Step Rolling();
  Step Recreate();

  // Splits sets_ and brings the new one's annotations, and the Deployment's revision, up to date.
  void SyncRevision();
  void SetRevision(int64_t revision);
  bool IsScaled() const;
  // Brings the sets to the Deployment's size without rolling anything out.
  kube::Outcome Scale();
  // Makes the new set, as large as it may be at once.
  kube::Outcome CreateNewSet();
  kube::Outcome OnNameTaken(const kube::apps::v1::ReplicaSet& wanted, kube::Status taken);
  kube::Outcome OnCreateFailed(const kube::apps::v1::ReplicaSet& wanted, kube::Status why);
  kube::Outcome Resize(WorkingSet& set, int replicas);
  // Sets of which more than the size has changed.
  kube::Outcome WriteChanged();
  kube::Outcome Write(WorkingSet& set);
  kube::Outcome CleanUp();
  kube::Outcome WriteStatus(const kube::apps::v1::DeploymentStatus& status);
  kube::apps::v1::DeploymentStatus Rollout() const;

  Context& context_;
  kube::EventRecorder& recorder_;
  Expectations& of_sets_;
  Expectations& of_deployments_;
  const kube::apps::v1::Deployment& before_;
  const kube::NamespacedName key_;
  kube::apps::v1::Deployment deployment_;  // with conditions and annotations as they become
  std::vector<WorkingSet> sets_;
  WorkingSet* new_set_ = nullptr;
  std::vector<WorkingSet*> old_sets_;
  const bool old_pods_;
};

// A Deployment that selects everything is left alone, but for a warning.
kube::ReconcileResult RefuseSelectingAll(Context& context, kube::EventRecorder& recorder,
                                         const kube::apps::v1::Deployment& deployment);

}  // namespace meltemi::controllers
