#include "orchestrator/controllers/replicaset/replicaset.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "kube/core/v1/pod.pb.h"
#include "kube/queue/controller.h"
#include "orchestrator/controllers/replicaset/decide.h"
#include "orchestrator/controllers/replicaset/kind.h"
#include "orchestrator/controllers/runtime/context.h"
#include "orchestrator/controllers/runtime/doubt.h"
#include "orchestrator/controllers/runtime/expectations.h"
#include "orchestrator/controllers/runtime/owners.h"
#include "orchestrator/controllers/runtime/pods.h"

namespace meltemi::controllers {
namespace {

using kube::core::v1::Pod;

// An object of either kind, and how the engine sees it.
struct Owner {
  kube::NamespacedName key;
  kube::MessagePtr object;
  ReplicaSetPtr set;
  kube::LabelSelector selector;
};

std::vector<PodPtr> ActivePods(const std::vector<kube::MessagePtr>& objects) {
  std::vector<PodPtr> pods;
  for (const kube::MessagePtr& object : objects) {
    PodPtr pod = kube::Lister<Pod>::Cast(object);
    if (IsActive(*pod)) pods.push_back(std::move(pod));
  }
  return pods;
}

class ReplicaController final : public Running {
 public:
  ReplicaController(Context& context, std::unique_ptr<ReplicaKind> kind)
      : context_(context),
        kind_(std::move(kind)),
        recorder_(context.recorder(kind_->component())),
        sets_(context.informers.Of(kind_->prototype())),
        pods_(context.informers.Of<Pod>()),
        expectations_(context.executor.clock()),
        of_sets_(context.executor.clock()) {
    sets_.AddIndex(kByController, ByController);
    pods_.AddIndex(kByController, ByController);
    pods_.AddIndex(kOrphans, OrphansByNamespace);
    kube::ControllerOptions options;
    options.name = kind_->queue_name();
    queue_ =
        kube::NewController(options, context.executor, context.metrics,
                            [this](const kube::NamespacedName& key) { return Reconcile(key); });
    sets_.AddHandler([this](const kube::Change& change) { OnSet(change); });
    pods_.AddHandler([this](const kube::Change& change) { OnPod(change); });
  }

  void Start() override { queue_->Start(); }

 private:
  void OnSet(const kube::Change& change);
  void OnPod(const kube::Change& change);
  void EnqueueController(const kube::MessagePtr& pod);
  void EnqueueAdopters(const google::protobuf::Message& pod);
  void Forget(const kube::NamespacedName& key) {
    expectations_.Drop(key);
    of_sets_.Drop(key);
  }

  kube::ReconcileResult Reconcile(const kube::NamespacedName& key);
  kube::Result<std::vector<PodPtr>> ClaimPods(const Owner& owner);
  // Its own pods, and those of the revisions beside it; looked up only where some are too many.
  std::vector<PodPtr> RelatedPods(const Owner& owner, const std::vector<PodPtr>& own) const;
  kube::Outcome CreatePods(const Owner& owner, int count);
  kube::Outcome DeletePods(const Owner& owner, const std::vector<PodPtr>& pods);

  Context& context_;
  const std::unique_ptr<ReplicaKind> kind_;
  kube::EventRecorder& recorder_;
  kube::Informer& sets_;
  kube::Informer& pods_;
  Expectations expectations_;  // of pods
  Expectations of_sets_;       // of the status that was written
  // Last: it is gone first, and with it everything under way.
  std::unique_ptr<kube::Controller> queue_;
};

void ReplicaController::OnSet(const kube::Change& change) {
  const kube::MessagePtr& object = change.after == nullptr ? change.before : change.after;
  const kube::NamespacedName key = kube::NameOf(*object);
  if (change.after == nullptr) Forget(key);
  queue_->Add(key);
}

void ReplicaController::OnPod(const kube::Change& change) {
  EnqueueController(change.before);
  EnqueueController(change.after);
  if (change.after == nullptr || ControllerOf(*change.after) != nullptr) return;
  // An orphan: whoever selects it may want it. What has been looked at is looked at again only when
  // something has changed that selectors see.
  const auto& after = static_cast<const Pod&>(*change.after);
  if (!IsActive(after)) return;
  if (change.before != nullptr && ControllerOf(*change.before) == nullptr) {
    const auto& labels = kube::MetaOf(*change.before).labels();
    const auto& now = after.metadata().labels();
    const bool same =
        labels.size() == now.size() && std::all_of(now.begin(), now.end(), [&](const auto& label) {
          const auto found = labels.find(label.first);
          return found != labels.end() && found->second == label.second;
        });
    if (same) return;
  }
  EnqueueAdopters(after);
}

void ReplicaController::EnqueueController(const kube::MessagePtr& pod) {
  if (pod == nullptr) return;
  const kube::meta::v1::OwnerReference* owner = ControllerOf(*pod);
  // Whether there is such an owner, with that uid, is found out by the reconcile.
  if (owner == nullptr || owner->kind() != sets_.resource().kind) return;
  queue_->Add({kube::NameOf(*pod).ns, owner->name()});
}

void ReplicaController::EnqueueAdopters(const google::protobuf::Message& pod) {
  for (const kube::MessagePtr& object : sets_.ListMessages(kube::NameOf(pod).ns)) {
    const ReplicaSetPtr set = kind_->View(object);
    if (Matches(SelectorOf(&set->spec().selector()), pod)) queue_->Add(kube::NameOf(*object));
  }
}

kube::ReconcileResult ReplicaController::Reconcile(const kube::NamespacedName& key) {
  Owner owner;
  owner.key = key;
  owner.object = sets_.GetMessage(key.ns, key.name);
  if (owner.object == nullptr) {
    Forget(key);
    return kube::Finished();
  }
  owner.set = kind_->View(owner.object);
  owner.selector = SelectorOf(&owner.set->spec().selector());
  const kube::Outcome settled =
      SettleDoubt(context_.client, expectations_, key, *owner.object, owner.selector,
                  pods_.IndexedMessages(kByController, owner.set->metadata().uid()));
  if (!settled.ok()) return settled.status();
  // Not even the status is written from pods that are known to be out of date: others, Deployments
  // above all, count on it.
  if (!expectations_.Met(key, pods_) || !of_sets_.Met(key, sets_)) return Expectations::Wait();

  const kube::Result<std::vector<PodPtr>> pods = ClaimPods(owner);
  if (!pods.ok()) return pods.status();
  std::optional<kube::Status> failure;
  if (!owner.set->metadata().has_deletion_timestamp()) {
    const std::vector<PodPtr> related = RelatedPods(owner, *pods);
    const ReplicaPlan plan = PlanReplicas(*owner.set, *pods, related, context_.WallNow());
    const kube::Outcome done =
        plan.create > 0 ? CreatePods(owner, plan.create) : DeletePods(owner, plan.remove);
    if (!done.ok()) failure = done.status();
  }

  std::optional<std::string> message;
  if (failure.has_value()) message = failure->message;
  std::optional<Duration> recheck;
  const kube::apps::v1::ReplicaSetStatus status =
      ReplicaStatus(*owner.set, *pods, message, context_.WallNow(), &recheck);
  if (!SameStatus(status, owner.set->status())) {
    const kube::Result<std::string> written =
        kind_->WriteStatus(context_.client, *owner.object, status);
    if (!written.ok()) return written.status();
    of_sets_.ExpectRevision(key, *written);
  }
  if (failure.has_value()) return *std::move(failure);
  return kube::Requeue{recheck};
}

kube::Result<std::vector<PodPtr>> ReplicaController::ClaimPods(const Owner& owner) {
  const auto active = [](std::vector<kube::MessagePtr> pods) {
    pods.erase(
        std::remove_if(pods.begin(), pods.end(),
                       [](const auto& pod) { return !IsActive(static_cast<const Pod&>(*pod)); }),
        pods.end());
    return pods;
  };
  kube::Result<std::vector<kube::MessagePtr>> claimed =
      Claim({context_.client,
             *owner.object,
             owner.selector,
             {},
             kind_->MayAdopt(context_.client, *owner.object)},
            active(pods_.IndexedMessages(kByController, owner.set->metadata().uid())),
            active(pods_.IndexedMessages(kOrphans, owner.key.ns)));
  if (!claimed.ok()) return claimed.status();
  return ActivePods(*claimed);
}

std::vector<PodPtr> ReplicaController::RelatedPods(const Owner& owner,
                                                   const std::vector<PodPtr>& own) const {
  const kube::meta::v1::OwnerReference* deployment = ControllerOf(*owner.object);
  const bool surplus = static_cast<int>(own.size()) > WantedReplicas(*owner.set);
  if (deployment == nullptr || !surplus) return own;
  std::vector<PodPtr> related;
  for (const kube::MessagePtr& sibling : sets_.IndexedMessages(kByController, deployment->uid())) {
    for (PodPtr& pod :
         ActivePods(pods_.IndexedMessages(kByController, kube::MetaOf(*sibling).uid()))) {
      related.push_back(std::move(pod));
    }
  }
  return related;
}

kube::Outcome ReplicaController::CreatePods(const Owner& owner, int count) {
  const Pod pod = PodFromTemplate(owner.set->spec().template_(), *owner.object);
  for (int i = 0; i < count; ++i) {
    const kube::Result<Pod> created = CreatePod(context_.client, recorder_, pod, *owner.object);
    if (created.ok()) {
      expectations_.ExpectRevision(owner.key, created->metadata().resource_version());
      continue;
    }
    // Nothing can be made in a namespace that is going, and nothing need be.
    if (kube::IsNamespaceTerminating(created.status())) return kube::Done{};
    if (IsInDoubt(created.status())) expectations_.Doubt(owner.key);
    // What one pod has met would meet the others too.
    return created.status();
  }
  return kube::Done{};
}

kube::Outcome ReplicaController::DeletePods(const Owner& owner, const std::vector<PodPtr>& pods) {
  std::optional<kube::Status> failure;
  for (const PodPtr& pod : pods) {
    expectations_.ExpectGone(owner.key, *pod);
    const kube::Outcome deleted = DeletePod(context_.client, recorder_, *pod, *owner.object);
    if (deleted.ok()) continue;
    expectations_.Forget(owner.key, *pod);
    if (IsInDoubt(deleted.status())) expectations_.Doubt(owner.key);
    failure = deleted.status();
  }
  if (failure.has_value()) return *std::move(failure);
  return kube::Done{};
}

}  // namespace

std::unique_ptr<Running> NewReplicaSetController(Context& context) {
  return std::make_unique<ReplicaController>(context, ReplicaSets());
}

std::unique_ptr<Running> NewReplicationControllerController(Context& context) {
  return std::make_unique<ReplicaController>(context, ReplicationControllers());
}

}  // namespace meltemi::controllers
