#include "orchestrator/controllers/deployment/deployment.h"

#include <utility>
#include <vector>

#include "kube/apps/v1/apps.pb.h"
#include "kube/client/typed.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/queue/controller.h"
#include "orchestrator/controllers/deployment/pass.h"
#include "orchestrator/controllers/runtime/context.h"
#include "orchestrator/controllers/runtime/expectations.h"
#include "orchestrator/controllers/runtime/owners.h"
#include "orchestrator/controllers/runtime/pods.h"

namespace meltemi::controllers {
namespace {

using kube::apps::v1::Deployment;
using kube::apps::v1::ReplicaSet;
using kube::core::v1::Pod;

constexpr char kReplicaSetKind[] = "ReplicaSet";

class DeploymentController final : public Running {
 public:
  explicit DeploymentController(Context& context)
      : context_(context),
        recorder_(context.recorder("deployment-controller")),
        deployments_(context.informers.ListerOf<Deployment>()),
        sets_(context.informers.ListerOf<ReplicaSet>()),
        pods_(context.informers.ListerOf<Pod>()),
        of_sets_(context.executor.clock()),
        of_deployments_(context.executor.clock()) {
    kube::Informer& deployments = context.informers.Of<Deployment>();
    kube::Informer& sets = context.informers.Of<ReplicaSet>();
    kube::Informer& pods = context.informers.Of<Pod>();
    sets.AddIndex(kByController, ByController);
    sets.AddIndex(kOrphans, OrphansByNamespace);
    pods.AddIndex(kByController, ByController);
    kube::ControllerOptions options;
    options.name = "deployment";
    queue_ =
        kube::NewController(options, context.executor, context.metrics,
                            [this](const kube::NamespacedName& key) { return Reconcile(key); });
    deployments.AddHandler([this](const kube::Change& change) { OnDeployment(change); });
    sets.AddHandler([this](const kube::Change& change) { OnSet(change); });
    pods.AddHandler([this](const kube::Change& change) { OnPod(change); });
  }

  void Start() override { queue_->Start(); }

 private:
  void OnDeployment(const kube::Change& change);
  void OnSet(const kube::Change& change);
  void OnPod(const kube::Change& change);
  void EnqueueController(const kube::MessagePtr& set);
  void Forget(const kube::NamespacedName& key) {
    of_sets_.Drop(key);
    of_deployments_.Drop(key);
  }

  kube::ReconcileResult Reconcile(const kube::NamespacedName& key);
  bool OldPodsAreThere(const Deployment& deployment, const std::vector<WorkingSet>& sets);

  Context& context_;
  kube::EventRecorder& recorder_;
  const kube::Lister<Deployment> deployments_;
  const kube::Lister<ReplicaSet> sets_;
  const kube::Lister<Pod> pods_;
  // Sets that the caches must show before they are counted, and the status that was written: on an
  // older one nothing could be written.
  Expectations of_sets_, of_deployments_;
  std::unique_ptr<kube::Controller> queue_;
};

void DeploymentController::OnDeployment(const kube::Change& change) {
  const kube::NamespacedName key =
      kube::NameOf(change.after == nullptr ? *change.before : *change.after);
  if (change.after == nullptr) Forget(key);
  queue_->Add(key);
}

void DeploymentController::EnqueueController(const kube::MessagePtr& set) {
  if (set == nullptr) return;
  const kube::meta::v1::OwnerReference* owner = ControllerOf(*set);
  if (owner == nullptr || owner->kind() != deployments_.informer().resource().kind) return;
  queue_->Add({kube::NameOf(*set).ns, owner->name()});
}

void DeploymentController::OnSet(const kube::Change& change) {
  EnqueueController(change.before);
  EnqueueController(change.after);
  if (change.after == nullptr || ControllerOf(*change.after) != nullptr) return;
  for (const auto& deployment : deployments_.List(kube::NameOf(*change.after).ns)) {
    const kube::LabelSelector selector = SelectorOf(&deployment->spec().selector());
    if (!selector.empty() && Matches(selector, *change.after)) {
      queue_->Add(kube::NameOf(*deployment));
    }
  }
}

// What Recreate waits for: the end of a pod.
void DeploymentController::OnPod(const kube::Change& change) {
  if (change.before == nullptr) return;
  const auto& before = static_cast<const Pod&>(*change.before);
  const bool ended = change.after == nullptr ||
                     (!IsFinished(before) && IsFinished(static_cast<const Pod&>(*change.after)));
  const kube::meta::v1::OwnerReference* owner = ControllerOf(before);
  if (!ended || owner == nullptr || owner->kind() != kReplicaSetKind) return;
  const auto set = sets_.Get(before.metadata().namespace_(), owner->name());
  const kube::meta::v1::OwnerReference* deployment = set == nullptr ? nullptr : ControllerOf(*set);
  if (deployment == nullptr) return;
  const auto found = deployments_.Get(before.metadata().namespace_(), deployment->name());
  if (found != nullptr && found->spec().strategy().type() == "Recreate") {
    queue_->Add(kube::NameOf(*found));
  }
}

kube::ReconcileResult DeploymentController::Reconcile(const kube::NamespacedName& key) {
  const auto deployment = deployments_.Get(key);
  if (deployment == nullptr) {
    Forget(key);
    return kube::Finished();
  }
  const kube::LabelSelector selector = SelectorOf(&deployment->spec().selector());
  if (selector.empty()) return RefuseSelectingAll(context_, recorder_, *deployment);
  if (!of_sets_.Met(key, sets_.informer()) || !of_deployments_.Met(key, deployments_.informer())) {
    return Expectations::Wait();
  }
  const kube::Result<std::vector<kube::MessagePtr>> claimed =
      Claim({context_.client, *deployment, selector, {}, StillThere(context_.client, *deployment)},
            sets_.informer().IndexedMessages(kByController, deployment->metadata().uid()),
            sets_.informer().IndexedMessages(kOrphans, key.ns));
  if (!claimed.ok()) return claimed.status();
  std::vector<WorkingSet> sets;
  for (const kube::MessagePtr& object : *claimed) {
    WorkingSet set;
    set.now = static_cast<const ReplicaSet&>(*object);
    set.replicas_before = set.replicas();
    sets.push_back(std::move(set));
  }
  const bool old_pods = OldPodsAreThere(*deployment, sets);
  return Pass(context_, recorder_, of_sets_, of_deployments_, *deployment, std::move(sets),
              old_pods)
      .Run();
}

bool DeploymentController::OldPodsAreThere(const Deployment& deployment,
                                           const std::vector<WorkingSet>& sets) {
  if (deployment.spec().strategy().type() != "Recreate") return false;
  for (const WorkingSet& set : sets) {
    if (SameTemplate(set.now.spec().template_(), deployment.spec().template_())) continue;
    // Until its controller has seen that it is to have none, it may make some.
    if (!set.observed() || set.now.status().replicas() > 0) return true;
    for (const auto& pod : pods_.ByIndex(kByController, set.now.metadata().uid())) {
      if (!IsFinished(*pod)) return true;
    }
  }
  return false;
}

}  // namespace

std::unique_ptr<Running> NewDeploymentController(Context& context) {
  return std::make_unique<DeploymentController>(context);
}

}  // namespace meltemi::controllers
