#include "orchestrator/controllers/deployment/pass.h"

#include <google/protobuf/util/message_differencer.h>

#include <optional>

#include "absl/strings/str_cat.h"
#include "kube/client/typed.h"
#include "orchestrator/controllers/deployment/status.h"
#include "orchestrator/controllers/runtime/owners.h"

namespace meltemi::controllers {
namespace {

using google::protobuf::util::MessageDifferencer;
using kube::apps::v1::Deployment;
using kube::apps::v1::DeploymentStatus;
using kube::apps::v1::ReplicaSet;

constexpr char kScaling[] = "ScalingReplicaSet";
constexpr char kCreateError[] = "ReplicaSetCreateError";

}  // namespace

Pass::Pass(Context& context, kube::EventRecorder& recorder, Expectations& of_sets,
           Expectations& of_deployments, const Deployment& deployment, std::vector<WorkingSet> sets,
           bool old_pods)
    : context_(context),
      recorder_(recorder),
      of_sets_(of_sets),
      of_deployments_(of_deployments),
      before_(deployment),
      key_{deployment.metadata().namespace_(), deployment.metadata().name()},
      deployment_(deployment),
      sets_(std::move(sets)),
      old_pods_(old_pods) {
  // Room for one more: pointers into it stay valid.
  sets_.reserve(sets_.size() + 1);
}

kube::ReconcileResult Pass::Run() {
  const Step status = Decide();
  if (!status.ok()) return status.status();
  const kube::Outcome written = WriteStatus(*status);
  if (!written.ok()) return written.status();
  return kube::Requeue{NextProgressCheck(deployment_, context_.WallNow())};
}

Pass::Step Pass::Decide() {
  SyncRevision();
  if (deployment_.metadata().has_deletion_timestamp()) {
    const kube::Outcome done = WriteChanged();
    if (!done.ok()) return done.status();
    return CountStatus(deployment_, new_set_, old_sets_, context_.WallNow());
  }
  SetPausedCondition(&deployment_, context_.WallNow());
  if (deployment_.spec().paused() || IsScaled()) {
    kube::Outcome done = Scale();
    if (done.ok() && deployment_.spec().paused()) done = CleanUp();
    if (!done.ok()) return done.status();
    return CountStatus(deployment_, new_set_, old_sets_, context_.WallNow());
  }
  return IsRollingUpdate(deployment_) ? Rolling() : Recreate();
}

void Pass::SyncRevision() {
  new_set_ = FindNewSet(deployment_, sets_);
  for (WorkingSet& set : sets_) {
    if (&set != new_set_) old_sets_.push_back(&set);
  }
  if (new_set_ == nullptr) return;
  WorkingSet& set = *new_set_;
  if (AnnotateNewSet(deployment_, MaxRevision(old_sets_) + 1, &set.now)) set.changed = true;
  if (set.now.spec().min_ready_seconds() != deployment_.spec().min_ready_seconds()) {
    set.now.mutable_spec()->set_min_ready_seconds(deployment_.spec().min_ready_seconds());
    set.changed = true;
  }
  SetRevision(RevisionOf(set.now).value_or(0));
  if (HasProgressDeadline(deployment_) &&
      FindCondition(deployment_.status(), kProgressing) == nullptr) {
    SetCondition(deployment_.mutable_status(), kProgressing, "True", "FoundNewReplicaSet",
                 absl::StrCat("Found new replica set \"", set.now.metadata().name(), "\""),
                 context_.WallNow());
  }
}

void Pass::SetRevision(int64_t revision) {
  (*deployment_.mutable_metadata()->mutable_annotations())[kRevision] = absl::StrCat(revision);
}

bool Pass::IsScaled() const {
  for (const WorkingSet& set : sets_) {
    const std::optional<int> desired = DesiredReplicasOf(set.now);
    if (set.replicas() > 0 && desired.has_value() && *desired != ReplicasOf(deployment_)) {
      return true;
    }
  }
  return false;
}

kube::Outcome Pass::Scale() {
  if (WorkingSet* only = ActiveOrLatest(new_set_, old_sets_)) {
    if (only->replicas() != ReplicasOf(deployment_)) {
      kube::Outcome done = Resize(*only, ReplicasOf(deployment_));
      if (!done.ok()) return done;
    }
    return WriteChanged();
  }
  const bool saturated = new_set_ != nullptr && new_set_->replicas() == ReplicasOf(deployment_) &&
                         DesiredReplicasOf(new_set_->now) == ReplicasOf(deployment_) &&
                         new_set_->now.status().available_replicas() == ReplicasOf(deployment_);
  std::vector<controllers::Resize> resizes;
  if (saturated) {
    for (WorkingSet* set : old_sets_) resizes.push_back({set, 0});
  } else if (IsRollingUpdate(deployment_)) {
    std::vector<WorkingSet*> all = old_sets_;
    if (new_set_ != nullptr) all.push_back(new_set_);
    resizes = ScaleInProportion(deployment_, std::move(all));
  }
  for (const controllers::Resize& resize : resizes) {
    if (saturated && resize.set->replicas() == 0) continue;
    kube::Outcome done = Resize(*resize.set, resize.replicas);
    if (!done.ok()) return done;
  }
  return WriteChanged();
}

Pass::Step Pass::Rolling() {
  if (new_set_ == nullptr) {
    const kube::Outcome created = CreateNewSet();
    if (!created.ok()) return created.status();
  }
  const int size = NewSetSize(deployment_, *new_set_, old_sets_);
  if (size != new_set_->replicas()) {
    const kube::Outcome done = Resize(*new_set_, size);
    if (!done.ok()) return done.status();
    return Rollout();
  }
  const std::vector<controllers::Resize> shrinks = ShrinkOldSets(deployment_, *new_set_, old_sets_);
  for (const controllers::Resize& shrink : shrinks) {
    const kube::Outcome done = Resize(*shrink.set, shrink.replicas);
    if (!done.ok()) return done.status();
  }
  kube::Outcome done = WriteChanged();
  if (done.ok() && shrinks.empty() && IsComplete(deployment_, before_.status())) done = CleanUp();
  if (!done.ok()) return done.status();
  return Rollout();
}

Pass::Step Pass::Recreate() {
  bool shrunk = false;
  for (WorkingSet* set : old_sets_) {
    if (set->replicas() == 0) continue;
    const kube::Outcome done = Resize(*set, 0);
    if (!done.ok()) return done.status();
    shrunk = true;
  }
  if (shrunk || old_pods_) {
    const kube::Outcome done = WriteChanged();
    if (!done.ok()) return done.status();
    return Rollout();
  }
  if (new_set_ == nullptr) {
    const kube::Outcome created = CreateNewSet();
    if (!created.ok()) return created.status();
  }
  if (new_set_->replicas() != ReplicasOf(deployment_)) {
    const kube::Outcome done = Resize(*new_set_, ReplicasOf(deployment_));
    if (!done.ok()) return done.status();
  }
  kube::Outcome done = WriteChanged();
  if (done.ok() && IsComplete(deployment_, before_.status())) done = CleanUp();
  if (!done.ok()) return done.status();
  return Rollout();
}

DeploymentStatus Pass::Rollout() const {
  return RolloutStatus(deployment_, new_set_, old_sets_, context_.WallNow());
}

kube::Outcome Pass::CreateNewSet() {
  WorkingSet set;
  set.now = MakeSet(deployment_);
  const int64_t revision = MaxRevision(old_sets_) + 1;
  AnnotateNewSet(deployment_, revision, &set.now);
  AnnotateSize(deployment_, &set.now);
  const int size = NewSetSize(deployment_, set, old_sets_);
  set.now.mutable_spec()->set_replicas(size);
  kube::Result<ReplicaSet> created = kube::Create(context_.client, set.now);
  if (!created.ok()) {
    const bool taken = kube::IsAlreadyExists(created.status());
    kube::Status why = created.status();
    return taken ? OnNameTaken(set.now, std::move(why)) : OnCreateFailed(set.now, std::move(why));
  }
  of_sets_.ExpectRevision(key_, created->metadata().resource_version());
  set.now = *std::move(created);
  set.replicas_before = size;
  sets_.push_back(std::move(set));
  new_set_ = &sets_.back();
  const std::string& name = new_set_->now.metadata().name();
  if (size > 0) {
    recorder_.Record(before_, kube::kNormal, kScaling,
                     absl::StrCat("Scaled up replica set ", name, " from 0 to ", size));
  }
  SetRevision(revision);
  if (HasProgressDeadline(deployment_)) {
    SetCondition(deployment_.mutable_status(), kProgressing, "True", "NewReplicaSetCreated",
                 absl::StrCat("Created new replica set \"", name, "\""), context_.WallNow());
  }
  return kube::Done{};
}

kube::Outcome Pass::OnNameTaken(const ReplicaSet& wanted, kube::Status taken) {
  const kube::Result<ReplicaSet> there =
      kube::Get<ReplicaSet>(context_.client, key_.ns, wanted.metadata().name());
  if (!there.ok()) return there.status();
  if (IsControlledBy(*there, deployment_) &&
      SameTemplate(there->spec().template_(), deployment_.spec().template_())) {
    // Ours: made by a call whose answer was lost, or not in the cache yet.
    of_sets_.ExpectRevision(key_, there->metadata().resource_version());
    return taken;
  }
  // Another template with the same hash, or somebody else's: the next try has another hash.
  deployment_.mutable_status()->set_collision_count(deployment_.status().collision_count() + 1);
  kube::Outcome written = WriteStatus(deployment_.status());
  if (!written.ok()) return written;
  return taken;
}

kube::Outcome Pass::OnCreateFailed(const ReplicaSet& wanted, kube::Status why) {
  // No answer says nothing about the set: it is tried again. Nor is a going namespace a failure.
  if (why.code == 0 || kube::IsNamespaceTerminating(why)) return why;
  const std::string message = absl::StrCat("Failed to create new replica set \"",
                                           wanted.metadata().name(), "\": ", why.message);
  if (HasProgressDeadline(deployment_)) {
    SetCondition(deployment_.mutable_status(), kProgressing, "False", kCreateError, message,
                 context_.WallNow());
    const kube::Outcome written = WriteStatus(deployment_.status());
    if (!written.ok()) return written.status();
  }
  recorder_.Record(before_, kube::kWarning, kCreateError, message);
  return why;
}

kube::Outcome Pass::Resize(WorkingSet& set, int replicas) {
  set.now.mutable_spec()->set_replicas(replicas);
  if (AnnotateSize(deployment_, &set.now) || replicas != set.replicas_before) set.changed = true;
  return set.changed ? Write(set) : kube::Outcome(kube::Done{});
}

kube::Outcome Pass::WriteChanged() {
  for (WorkingSet& set : sets_) {
    if (!set.changed) continue;
    kube::Outcome written = Write(set);
    if (!written.ok()) return written;
  }
  return kube::Done{};
}

kube::Outcome Pass::Write(WorkingSet& set) {
  kube::Result<ReplicaSet> written = kube::Update(context_.client, set.now);
  if (!written.ok()) return written.status();
  of_sets_.ExpectRevision(key_, written->metadata().resource_version());
  const int before = set.replicas_before;
  set.now = *std::move(written);
  set.replicas_before = set.replicas();
  set.changed = false;
  if (set.replicas() != before) {
    recorder_.Record(
        before_, kube::kNormal, kScaling,
        absl::StrCat("Scaled ", set.replicas() > before ? "up" : "down", " replica set ",
                     set.now.metadata().name(), " from ", before, " to ", set.replicas()));
  }
  return kube::Done{};
}

kube::Outcome Pass::CleanUp() {
  for (const WorkingSet* set : SetsToRemove(deployment_, old_sets_)) {
    kube::DeleteOptions options;
    options.uid = set->now.metadata().uid();
    options.resource_version = set->now.metadata().resource_version();
    kube::Outcome deleted =
        kube::Delete<ReplicaSet>(context_.client, key_.ns, set->now.metadata().name(), options);
    if (!deleted.ok() && !kube::IsNotFound(deleted.status())) return deleted;
  }
  return kube::Done{};
}

kube::Outcome Pass::WriteStatus(const DeploymentStatus& status) {
  *deployment_.mutable_status() = status;
  const auto revision = deployment_.metadata().annotations().find(kRevision);
  const auto revision_before = before_.metadata().annotations().find(kRevision);
  const bool same_revision = revision == deployment_.metadata().annotations().end() ||
                             (revision_before != before_.metadata().annotations().end() &&
                              revision->second == revision_before->second);
  if (same_revision && MessageDifferencer::Equals(status, before_.status())) return kube::Done{};
  // Of the metadata the server takes the annotations along.
  const kube::Result<Deployment> written = kube::UpdateStatus(context_.client, deployment_);
  if (!written.ok()) {
    if (kube::IsNotFound(written.status())) return kube::Done{};
    return written.status();
  }
  of_deployments_.ExpectRevision(key_, written->metadata().resource_version());
  return kube::Done{};
}

kube::ReconcileResult RefuseSelectingAll(Context& context, kube::EventRecorder& recorder,
                                         const Deployment& deployment) {
  recorder.Record(deployment, kube::kWarning, "SelectingAll",
                  "This deployment is selecting all pods. A non-empty selector is required.");
  if (deployment.status().observed_generation() < deployment.metadata().generation()) {
    Deployment changed = deployment;
    changed.mutable_status()->set_observed_generation(deployment.metadata().generation());
    const kube::Result<Deployment> written = kube::UpdateStatus(context.client, changed);
    if (!written.ok() && !kube::IsNotFound(written.status())) return written.status();
  }
  return kube::Finished();
}

}  // namespace meltemi::controllers
