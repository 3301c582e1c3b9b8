#include "orchestrator/controllers/job/sync.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/json/value.h"
#include "base/json/write.h"
#include "kube/client/typed.h"

namespace meltemi::controllers::jobs {

namespace core = kube::core::v1;
namespace batch = kube::batch::v1;

kube::Outcome RemoveFinalizer(kube::Client& client, const core::Pod& pod,
                              absl::string_view resource_version) {
  json::Value finalizers = json::Value::Array();
  finalizers.Append(json::Value::String(kTrackingFinalizer));
  json::Value metadata = json::Value::Object();
  metadata.Add("uid", json::Value::String(pod.metadata().uid()));
  if (!resource_version.empty()) {
    metadata.Add("resourceVersion", json::Value::String(std::string(resource_version)));
  }
  metadata.Add("$deleteFromPrimitiveList/finalizers", std::move(finalizers));
  json::Value patch = json::Value::Object();
  patch.Add("metadata", std::move(metadata));
  const kube::Result<core::Pod> patched =
      kube::Patch<core::Pod>(client, pod.metadata().namespace_(), pod.metadata().name(),
                             kube::PatchType::kStrategicMerge, json::ToString(patch));
  if (patched.ok() || kube::IsNotFound(patched.status())) return kube::Done{};
  // Another pod of that name: this one is gone.
  if (resource_version.empty() && kube::IsConflict(patched.status())) return kube::Done{};
  return patched.status();
}

Sync::Sync(const SyncOptions& options, const batch::Job& job, std::vector<PodPtr> pods,
           Memory& memory)
    : options_(options),
      cached_(job),
      key_(kube::NameOf(job)),
      memory_(memory),
      job_(job),
      written_(job.status()),
      facts_(Gather(job, std::move(pods))) {
  if (!job_.status().has_start_time() && !IsSuspended(job_)) {
    *job_.mutable_status()->mutable_start_time() = FromWall(options_.now);
  }
  NoteFailures();
}

bool Sync::WantsPods() const {
  return !Conclude(job_, facts_, options_.now).has_value() &&
         !Manage(job_, facts_, memory_.run, options_.now).create.empty();
}

void Sync::NoteFailures() {
  std::vector<PodPtr> succeeded, failed;
  std::set<std::string> ended;
  for (const PodPtr& pod : facts_.pods) {
    const bool success = pod->status().phase() == "Succeeded";
    if (!success && !HasFailed(*pod, job_)) continue;
    const std::string& uid = pod->metadata().uid();
    ended.insert(uid);
    if (memory_.seen.count(uid) == 0) (success ? succeeded : failed).push_back(pod);
  }
  memory_.run.Add(succeeded, failed);
  memory_.seen = std::move(ended);
}

kube::ReconcileResult Sync::Run() {
  batch::JobStatus& status = *job_.mutable_status();
  status.set_active(static_cast<int>(facts_.active.size()));
  status.set_ready(facts_.ready);
  status.set_terminating(facts_.ending);
  wait_ = UntilDeadline(job_, options_.now);
  conclusion_ = Conclude(job_, facts_, options_.now);
  if (conclusion_.has_value()) {
    DeleteActive();
  } else {
    const bool going = job_.metadata().has_deletion_timestamp();
    if (!going) DoWork();
    conclusion_ = Completed(job_, facts_, status.active());
    if (!going && !conclusion_.has_value()) UpdateSuspended();
  }
  const kube::Outcome finished = Finish();
  if (!finished.ok()) return finished.status();
  if (failure_.has_value()) return *std::move(failure_);
  return kube::Requeue{wait_};
}

void Sync::DeleteActive() {
  batch::JobStatus& status = *job_.mutable_status();
  for (const PodPtr& pod : facts_.active) {
    options_.pod_writes.ExpectGone(key_, *pod);
    // The finalizer stays until the pod has been counted.
    const kube::Outcome deleted = DeletePod(options_.client, options_.recorder, *pod, cached_);
    if (!deleted.ok()) {
      options_.pod_writes.Forget(key_, *pod);
      if (!failure_.has_value()) failure_ = deleted.status();
      continue;
    }
    status.set_active(status.active() - 1);
    status.set_terminating(status.terminating() + 1);
    if (IsReady(*pod)) status.set_ready(status.ready() - 1);
  }
  if (failure_.has_value()) conclusion_.reset();
}

void Sync::DoWork() {
  const Work work = Manage(job_, facts_, memory_.run, options_.now);
  if (work.wait.has_value()) wait_ = std::min(*work.wait, wait_.value_or(*work.wait));
  for (const PodPtr& pod : work.remove) Remove(pod);
  for (int index : work.create) {
    if (!Create(index)) return;
  }
}

void Sync::Remove(const PodPtr& pod) {
  batch::JobStatus& status = *job_.mutable_status();
  options_.pod_writes.ExpectGone(key_, *pod);
  // The finalizer goes first: the pod is not to be counted. Should the deletion not follow, a pod
  // without it is surplus the next time.
  kube::Outcome removed = RemoveFinalizer(options_.client, *pod);
  if (removed.ok()) removed = DeletePod(options_.client, options_.recorder, *pod, cached_);
  if (!removed.ok()) {
    options_.pod_writes.Forget(key_, *pod);
    if (!failure_.has_value()) failure_ = removed.status();
    return;
  }
  status.set_active(status.active() - 1);
  status.set_terminating(status.terminating() + 1);
  if (IsReady(*pod)) status.set_ready(status.ready() - 1);
}

bool Sync::Create(int index) {
  const auto replaced = facts_.to_replace.find(index);
  const core::Pod pod =
      NewPod(job_, index, replaced == facts_.to_replace.end() ? nullptr : replaced->second.get());
  const kube::Result<core::Pod> created =
      CreatePod(options_.client, options_.recorder, pod, cached_);
  if (!created.ok()) {
    if (kube::IsNamespaceTerminating(created.status())) return false;
    if (IsInDoubt(created.status())) options_.pod_writes.Doubt(key_);
    failure_ = created.status();
    return false;
  }
  options_.pod_writes.ExpectRevision(key_, created->metadata().resource_version());
  job_.mutable_status()->set_active(job_.status().active() + 1);
  return true;
}

void Sync::UpdateSuspended() {
  batch::JobStatus& status = *job_.mutable_status();
  const bool suspended = IsSuspended(job_);
  const std::string message = suspended ? "Job suspended" : "Job resumed";
  if (!SetCondition(status, "Suspended", suspended, suspended ? "JobSuspended" : "JobResumed",
                    message, options_.now)) {
    return;
  }
  events_.emplace_back(suspended ? "Suspended" : "Resumed", message);
  // activeDeadlineSeconds is about the time since then.
  if (!suspended) *status.mutable_start_time() = FromWall(options_.now);
}

kube::Outcome Sync::WriteStatus() {
  using google::protobuf::util::MessageDifferencer;
  if (MessageDifferencer::Equals(written_, job_.status())) return kube::Done{};
  kube::Result<batch::Job> updated = kube::UpdateStatus(options_.client, job_);
  if (!updated.ok()) return updated.status();
  options_.job_writes.ExpectRevision(key_, updated->metadata().resource_version());
  job_.mutable_metadata()->set_resource_version(updated->metadata().resource_version());
  written_ = job_.status();
  for (const auto& [reason, message] : std::exchange(events_, {})) {
    options_.recorder.Record(cached_, kube::kNormal, reason, message);
  }
  return kube::Done{};
}

void Sync::Release(const Tally& tally, std::set<std::string>& tracked) {
  for (const PodPtr& pod : tally.release) {
    const kube::Outcome removed = RemoveFinalizer(options_.client, *pod);
    if (!removed.ok()) {
      if (!failure_.has_value()) failure_ = removed.status();
      continue;
    }
    memory_.released.insert(pod->metadata().uid());
    tracked.erase(pod->metadata().uid());
  }
}

kube::Outcome Sync::Finish() {
  const Tally tally = Track(job_, job_.status(), facts_, conclusion_, options_.now);
  *job_.mutable_status() = tally.status;
  kube::Outcome written = WriteStatus();
  if (!written.ok()) return written;

  std::set<std::string> tracked;
  for (const PodPtr& pod : facts_.pods) {
    if (IsTracked(*pod)) tracked.insert(pod->metadata().uid());
  }
  Release(tally, tracked);
  Settle(*job_.mutable_status(), tracked);
  const bool closed = conclusion_.has_value() && !tally.more && !failure_.has_value() &&
                      Close(*job_.mutable_status(), *conclusion_, options_.now);
  written = WriteStatus();
  if (written.ok() && closed) RecordEnd();
  return written;
}

void Sync::RecordEnd() {
  if (!conclusion_->success) {
    options_.recorder.Record(cached_, kube::kWarning, conclusion_->reason, conclusion_->message);
    return;
  }
  if (job_.spec().has_completions() && job_.status().succeeded() > job_.spec().completions()) {
    options_.recorder.Record(cached_, kube::kWarning, "TooManySucceededPods",
                             "Too many succeeded pods running after completion count reached");
  }
  options_.recorder.Record(cached_, kube::kNormal, "Completed", "Job completed");
}

}  // namespace meltemi::controllers::jobs
