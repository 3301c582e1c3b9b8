#include "orchestrator/controllers/statefulset/statefulset.h"

#include <google/protobuf/util/message_differencer.h>

#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kube/apps/v1/apps.pb.h"
#include "kube/client/typed.h"
#include "kube/queue/controller.h"
#include "orchestrator/controllers/history/history.h"
#include "orchestrator/controllers/runtime/context.h"
#include "orchestrator/controllers/runtime/doubt.h"
#include "orchestrator/controllers/runtime/expectations.h"
#include "orchestrator/controllers/runtime/owners.h"
#include "orchestrator/controllers/statefulset/plan.h"
#include "orchestrator/controllers/statefulset/retention.h"

namespace meltemi::controllers {
namespace {

namespace apps = kube::apps::v1;
namespace core = kube::core::v1;
using statefulsets::Action;
using SetPtr = std::shared_ptr<const apps::StatefulSet>;

// One reconcile's view.
struct Work {
  const apps::StatefulSet& set;
  kube::NamespacedName key;
  const kube::LabelSelector& selector;
  std::vector<PodPtr> pods;
  std::vector<RevisionPtr> revisions;  // oldest first
  RevisionPtr current, update;
};

class StatefulSetController final : public Running {
 public:
  explicit StatefulSetController(Context& context);
  void Start() override { queue_->Start(); }

 private:
  void OnSet(const kube::Change& change);
  void OnPod(const kube::Change& change);
  void AddOwnerOf(const kube::MessagePtr& object);

  kube::ReconcileResult Reconcile(const kube::NamespacedName& key);
  kube::ReconcileResult Sync(Work& work);
  kube::Result<std::vector<PodPtr>> ClaimPods(const apps::StatefulSet& set,
                                              const kube::LabelSelector& selector);
  kube::Outcome Do(const Work& work, const Action& action);
  kube::Outcome Create(const Work& work, const Action& action);
  // `pod_uid`: of the pod that there is; "": it is about to be made.
  kube::Outcome CreateClaims(const Work& work, int ordinal, const std::string& pod_uid);
  // Who owns the claims of the pods that there are: before any of these is deleted.
  kube::Outcome RetainClaims(const Work& work);
  kube::Outcome Delete(const Work& work, const PodPtr& pod);
  kube::Outcome Repair(const Work& work, const Action& action);
  kube::Outcome WriteStatus(const Work& work, int collision_count);
  void RecordPod(const Work& work, absl::string_view verb, const std::string& pod,
                 const kube::Status* failure);

  Context& context_;
  kube::EventRecorder& recorder_;
  const kube::Lister<apps::StatefulSet> sets_;
  const kube::Lister<core::Pod> pods_;
  const kube::Lister<core::PersistentVolumeClaim> claims_;
  Expectations pod_writes_;
  RevisionHistory history_;
  // Last: destroyed first, while all else is there.
  std::unique_ptr<kube::Controller> queue_;
};

StatefulSetController::StatefulSetController(Context& context)
    : context_(context),
      recorder_(context.recorder("statefulset-controller")),
      sets_(context.informers.ListerOf<apps::StatefulSet>()),
      pods_(context.informers.ListerOf<core::Pod>()),
      claims_(context.informers.ListerOf<core::PersistentVolumeClaim>()),
      pod_writes_(context.executor.clock()),
      history_(context.client, context.informers.Of<apps::ControllerRevision>(),
               context.executor.clock()) {
  kube::ControllerOptions options;
  options.name = "statefulset";
  queue_ = kube::NewController(options, context.executor, context.metrics,
                               [this](const auto& key) { return Reconcile(key); });
  kube::Informer& pods = context.informers.Of<core::Pod>();
  pods.AddIndex(kByController, ByController);
  pods.AddIndex(kOrphans, OrphansByNamespace);
  pods.AddHandler([this](const kube::Change& change) { OnPod(change); });
  context.informers.Of<apps::StatefulSet>().AddHandler(
      [this](const kube::Change& change) { OnSet(change); });
  context.informers.Of<apps::ControllerRevision>().AddHandler([this](const kube::Change& change) {
    AddOwnerOf(change.after != nullptr ? change.after : change.before);
  });
}

void StatefulSetController::OnSet(const kube::Change& change) {
  queue_->Add(kube::NameOf(change.after != nullptr ? *change.after : *change.before));
}

void StatefulSetController::AddOwnerOf(const kube::MessagePtr& object) {
  if (object == nullptr) return;
  const kube::meta::v1::OwnerReference* owner = ControllerOf(*object);
  if (owner == nullptr || owner->kind() != "StatefulSet") return;
  queue_->Add({kube::NameOf(*object).ns, owner->name()});
}

void StatefulSetController::OnPod(const kube::Change& change) {
  AddOwnerOf(change.before);
  AddOwnerOf(change.after);
  if (change.after == nullptr || ControllerOf(*change.after) != nullptr) return;
  // An orphan may belong to the set whose name its own begins with.
  const kube::NamespacedName pod = kube::NameOf(*change.after);
  const size_t dash = pod.name.rfind('-');
  if (dash == std::string::npos) return;
  const SetPtr set = sets_.Get(pod.ns, pod.name.substr(0, dash));
  if (set != nullptr && Matches(SelectorOf(&set->spec().selector()), *change.after)) {
    queue_->Add({pod.ns, set->metadata().name()});
  }
}

kube::ReconcileResult StatefulSetController::Reconcile(const kube::NamespacedName& key) {
  const SetPtr set = sets_.Get(key);
  if (set == nullptr) {
    pod_writes_.Drop(key);
    history_.Drop(key);
    return kube::Finished();
  }
  const kube::LabelSelector selector = SelectorOf(&set->spec().selector());
  const kube::Outcome settled =
      SettleDoubt(context_.client, pod_writes_, key, *set, selector,
                  pods_.informer().IndexedMessages(kByController, set->metadata().uid()));
  if (!settled.ok()) return settled.status();
  if (!pod_writes_.Met(key, pods_.informer()) || !history_.Ready(key)) return Expectations::Wait();
  kube::Result<std::vector<PodPtr>> pods = ClaimPods(*set, selector);
  if (!pods.ok()) return pods.status();
  Work work{*set, key, selector, std::move(*pods), {}, nullptr, nullptr};
  return Sync(work);
}

kube::Result<std::vector<PodPtr>> StatefulSetController::ClaimPods(
    const apps::StatefulSet& set, const kube::LabelSelector& selector) {
  const auto is_member = [&](const google::protobuf::Message& pod) {
    return statefulsets::OrdinalOf(set, kube::NameOf(pod).name).has_value();
  };
  const kube::Result<std::vector<kube::MessagePtr>> claimed =
      Claim({context_.client, set, selector, is_member, StillThere(context_.client, set)},
            pods_.informer().IndexedMessages(kByController, set.metadata().uid()),
            pods_.informer().IndexedMessages(kOrphans, set.metadata().namespace_()));
  if (!claimed.ok()) return claimed.status();
  std::vector<PodPtr> pods;
  for (const kube::MessagePtr& pod : *claimed) {
    pods.push_back(kube::Lister<core::Pod>::Cast(pod));
  }
  return pods;
}

kube::ReconcileResult StatefulSetController::Sync(Work& work) {
  const RevisionOwner owner{work.set,
                            work.set.spec().template_(),
                            work.selector,
                            StillThere(context_.client, work.set),
                            BeCurrent(context_.client, work.set),
                            "controller.kubernetes.io/hash"};
  kube::Result<std::vector<RevisionPtr>> revisions = history_.List(owner);
  if (!revisions.ok()) return revisions.status();
  work.revisions = std::move(*revisions);
  int collision_count = work.set.status().collision_count();
  const kube::Result<RevisionPtr> update = history_.Current(owner, work.revisions, collision_count);
  if (!update.ok()) return update.status();
  work.current = work.update = *update;
  for (const RevisionPtr& revision : work.revisions) {
    if (revision->metadata().name() == work.set.status().current_revision()) {
      work.current = revision;
    }
  }
  std::set<std::string> live = {work.current->metadata().name(), work.update->metadata().name()};
  for (const PodPtr& pod : work.pods) live.insert(statefulsets::RevisionOf(*pod));

  const statefulsets::Plan plan = statefulsets::PlanSet(
      work.set, work.pods, work.update->metadata().name(), context_.WallNow());
  std::optional<kube::Status> failure;
  if (const kube::Outcome retained = RetainClaims(work); !retained.ok()) {
    failure = retained.status();
  }
  for (const Action& action : plan.actions) {
    if (failure.has_value()) break;
    const kube::Outcome done = Do(work, action);
    if (done.ok()) continue;
    failure = done.status();
  }
  const kube::Outcome written = WriteStatus(work, collision_count);
  if (!written.ok()) return written.status();
  if (failure.has_value()) return *std::move(failure);
  const kube::Outcome trimmed =
      history_.Trim(owner, work.revisions, live, work.set.spec().revision_history_limit());
  if (!trimmed.ok()) return trimmed.status();
  return kube::Requeue{plan.wait};
}

kube::Outcome StatefulSetController::Do(const Work& work, const Action& action) {
  switch (action.type) {
    case Action::Type::kCreate:
      return Create(work, action);
    case Action::Type::kDelete:
      return Delete(work, action.pod);
    case Action::Type::kClaims:
      return CreateClaims(work, action.ordinal, action.pod->metadata().uid());
    case Action::Type::kRepair:
      return Repair(work, action);
  }
  return kube::Done{};
}

kube::Outcome StatefulSetController::Create(const Work& work, const Action& action) {
  const RevisionPtr& revision = action.update ? work.update : work.current;
  const std::optional<core::PodTemplateSpec> pod_template =
      revision == work.update ? work.set.spec().template_() : TemplateOf(*revision);
  if (!pod_template.has_value()) {
    return kube::InternalError(
        absl::StrCat("revision ", revision->metadata().name(), " holds no template"));
  }
  const core::Pod pod =
      statefulsets::NewPod(work.set, *pod_template, revision->metadata().name(), action.ordinal);
  const std::string& name = pod.metadata().name();
  kube::Outcome claims = CreateClaims(work, action.ordinal, "");
  if (!claims.ok()) {
    RecordPod(work, "create", name, &claims.status());
    return claims;
  }
  const kube::Result<core::Pod> created = kube::Create(context_.client, pod);
  if (created.ok()) {
    pod_writes_.ExpectRevision(work.key, created->metadata().resource_version());
    RecordPod(work, "create", name, nullptr);
    return kube::Done{};
  }
  // There is one of that name, which the informer does not show yet or which is not the set's: its
  // end brings the set back. Trying on would not help.
  if (kube::IsNamespaceTerminating(created.status())) return kube::Done{};
  if (!kube::IsAlreadyExists(created.status())) {
    RecordPod(work, "create", name, &created.status());
  }
  return created.status();
}

kube::Outcome StatefulSetController::RetainClaims(const Work& work) {
  if (work.set.spec().volume_claim_templates().empty() ||
      work.set.metadata().has_deletion_timestamp()) {
    return kube::Done{};
  }
  for (const PodPtr& pod : work.pods) {
    const std::optional<int> ordinal = statefulsets::OrdinalOf(work.set, pod->metadata().name());
    if (!ordinal.has_value()) continue;
    for (const core::PersistentVolumeClaim& like : statefulsets::ClaimsOf(work.set, *ordinal)) {
      const auto claim = claims_.Get(work.key.ns, like.metadata().name());
      if (claim == nullptr) continue;
      core::PersistentVolumeClaim changed = *claim;
      if (!statefulsets::SetClaimOwners(work.set, *pod, &changed)) continue;
      const auto written = kube::Update(context_.client, changed);
      if (!written.ok() && !kube::IsNotFound(written.status())) return written.status();
    }
  }
  return kube::Done{};
}

kube::Outcome StatefulSetController::CreateClaims(const Work& work, int ordinal,
                                                  const std::string& pod_uid) {
  const std::string pod = absl::StrCat(work.set.metadata().name(), "-", ordinal);
  for (const core::PersistentVolumeClaim& claim : statefulsets::ClaimsOf(work.set, ordinal)) {
    const std::string& name = claim.metadata().name();
    const auto there = claims_.Get(work.key.ns, name);
    if (there != nullptr && (there->metadata().has_deletion_timestamp() ||
                             statefulsets::IsOfEarlierPod(*there, pod, pod_uid))) {
      return kube::GenericStatus(409, absl::StrCat("pvc ", name, " is being deleted"));
    }
    if (there != nullptr) continue;
    kube::Result<core::PersistentVolumeClaim> created = kube::Create(context_.client, claim);
    if (created.ok()) {
      recorder_.Record(work.set, kube::kNormal, "SuccessfulCreate",
                       absl::StrCat("create Claim ", name, " Pod ", pod, " in StatefulSet ",
                                    work.set.metadata().name(), " success"));
    } else if (!kube::IsAlreadyExists(created.status())) {
      recorder_.Record(
          work.set, kube::kWarning, "FailedCreate",
          absl::StrCat("create Claim ", name, " for Pod ", pod, " in StatefulSet ",
                       work.set.metadata().name(), " failed error: ", created.status().message));
      kube::Status failure = created.status();
      failure.message = absl::StrCat("failed to create PVC ", name, ": ", failure.message);
      return failure;
    }
  }
  return kube::Done{};
}

kube::Outcome StatefulSetController::Delete(const Work& work, const PodPtr& pod) {
  const std::string& name = pod->metadata().name();
  kube::Outcome current = BeCurrent(context_.client, work.set)();
  if (!current.ok()) return current;
  kube::DeleteOptions options;
  options.uid = pod->metadata().uid();
  pod_writes_.ExpectGone(work.key, *pod);
  kube::Outcome deleted = kube::Delete<core::Pod>(context_.client, work.key.ns, name, options);
  if (deleted.ok()) {
    RecordPod(work, "delete", name, nullptr);
    return deleted;
  }
  // Gone, or another one of that name already: the informer will show it.
  if (kube::IsNotFound(deleted.status()) || kube::IsConflict(deleted.status())) return kube::Done{};
  pod_writes_.Forget(work.key, *pod);
  RecordPod(work, "delete", name, &deleted.status());
  return deleted;
}

kube::Outcome StatefulSetController::Repair(const Work& work, const Action& action) {
  core::Pod pod = *action.pod;
  statefulsets::SetIdentity(action.ordinal, pod);
  const kube::Result<core::Pod> updated = kube::Update(context_.client, pod);
  if (updated.ok()) {
    pod_writes_.ExpectRevision(work.key, updated->metadata().resource_version());
    RecordPod(work, "update", pod.metadata().name(), nullptr);
    return kube::Done{};
  }
  if (!kube::IsConflict(updated.status())) {
    RecordPod(work, "update", pod.metadata().name(), &updated.status());
  }
  return updated.status();
}

void StatefulSetController::RecordPod(const Work& work, absl::string_view verb,
                                      const std::string& pod, const kube::Status* failure) {
  const char* what = verb == "create" ? "Create" : verb == "delete" ? "Delete" : "Update";
  std::string message =
      absl::StrCat(verb, " Pod ", pod, " in StatefulSet ", work.set.metadata().name());
  if (failure == nullptr) {
    absl::StrAppend(&message, " successful");
    recorder_.Record(work.set, kube::kNormal, absl::StrCat("Successful", what), message);
  } else {
    absl::StrAppend(&message, " failed error: ", failure->message);
    recorder_.Record(work.set, kube::kWarning, absl::StrCat("Failed", what), message);
  }
}

kube::Outcome StatefulSetController::WriteStatus(const Work& work, int collision_count) {
  apps::StatefulSet set = work.set;
  *set.mutable_status() =
      statefulsets::StatusOf(work.set, work.pods, work.current->metadata().name(),
                             work.update->metadata().name(), collision_count, context_.WallNow());
  if (google::protobuf::util::MessageDifferencer::Equals(set.status(), work.set.status())) {
    return kube::Done{};
  }
  const kube::Result<apps::StatefulSet> written = kube::UpdateStatus(context_.client, set);
  if (!written.ok()) return written.status();
  return kube::Done{};
}

}  // namespace

std::unique_ptr<Running> NewStatefulSetController(Context& context) {
  return std::make_unique<StatefulSetController>(context);
}

}  // namespace meltemi::controllers
