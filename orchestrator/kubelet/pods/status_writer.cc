#include "orchestrator/kubelet/pods/status_writer.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "kube/client/typed.h"
#include "orchestrator/kubelet/pods/status_patch.h"

namespace meltemi::kubelet {
namespace {

using kube::core::v1::Pod;

kube::ControllerOptions QueueOptions() {
  kube::ControllerOptions out;
  out.name = "pod-status";
  out.workers = 8;
  out.backoff_min = milliseconds(50);
  out.backoff_max = seconds(10);
  out.retries_per_second = 100;
  out.retries_burst = 500;
  return out;
}

// Whether the failure of a write says that the object is gone, or that another one has its name. A
// conflict may also mean that somebody else was faster.
bool IsOver(kube::Client& client, const Pod& object, const kube::Status& status) {
  if (kube::IsNotFound(status)) return true;
  if (!kube::IsConflict(status)) return false;
  const auto& meta = object.metadata();
  const kube::Result<Pod> found = kube::Get<Pod>(client, meta.namespace_(), meta.name());
  if (!found.ok()) return kube::IsNotFound(found.status());
  return found->metadata().uid() != meta.uid();
}

}  // namespace

int64_t RevisionOf(const Pod& pod) {
  int64_t out = 0;
  return absl::SimpleAtoi(pod.metadata().resource_version(), &out) ? out : 0;
}

StatusWriter::StatusWriter(kube::Client& client, kube::Executor& executor,
                           metrics::Registry* metrics)
    : client_(client),
      controller_(kube::NewController(
          QueueOptions(), executor, metrics,
          [this](const kube::NamespacedName& key) { return Write(key.name); })) {}

void StatusWriter::Want(const PodPtr& object, const kube::core::v1::PodStatus& status, bool remove,
                        Duration delay) {
  const std::string& uid = object->metadata().uid();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    Entry& entry = entries_[uid];
    if (entry.object == nullptr || RevisionOf(*entry.object) < RevisionOf(*object)) {
      entry.object = object;
    }
    entry.wanted = status;
    entry.has_wanted = true;
    entry.remove |= remove;
  }
  controller_->AddAfter({"", uid}, delay);
}

void StatusWriter::Look(const PodPtr& object) {
  const std::string& uid = object->metadata().uid();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto at = entries_.find(uid);
    if (at == entries_.end() || RevisionOf(*at->second.object) >= RevisionOf(*object)) return;
    at->second.object = object;
  }
  controller_->Add({"", uid});
}

void StatusWriter::Forget(const std::string& uid) {
  const std::lock_guard<std::mutex> lock(mutex_);
  entries_.erase(uid);
}

kube::ReconcileResult StatusWriter::Write(const std::string& uid) {
  Entry entry;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto at = entries_.find(uid);
    if (at == entries_.end() || !at->second.has_wanted) return kube::Finished();
    entry = at->second;
  }
  const std::string patch = PodStatusPatch(uid, entry.object->status(), entry.wanted);
  if (!patch.empty()) {
    kube::Result<PodPtr> written = Patch(entry, patch);
    if (!written.ok()) return written.status();
    if (*written == nullptr) {
      Forget(uid);
      return kube::Finished();
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto at = entries_.find(uid);
    if (at == entries_.end()) return kube::Finished();
    if (RevisionOf(*at->second.object) <= RevisionOf(**written)) at->second.object = *written;
    entry.object = *written;
  }
  if (!entry.remove) return kube::Finished();
  kube::Outcome deleted = Delete(entry);
  if (!deleted.ok()) return deleted.status();
  return kube::Finished();
}

kube::Result<StatusWriter::PodPtr> StatusWriter::Patch(const Entry& entry,
                                                       const std::string& patch) {
  const auto& meta = entry.object->metadata();
  kube::Result<Pod> written = kube::Patch<Pod>(client_, meta.namespace_(), meta.name(),
                                               kube::PatchType::kStrategicMerge, patch, "status");
  if (!written.ok() && IsOver(client_, *entry.object, written.status())) return PodPtr();
  if (!written.ok()) return written.status();
  return PodPtr(std::make_shared<const Pod>(*std::move(written)));
}

// Twice does no harm: with finalizers the object stays, as it is.
kube::Outcome StatusWriter::Delete(const Entry& entry) {
  kube::DeleteOptions options;
  options.grace_period_seconds = 0;
  options.uid = entry.object->metadata().uid();
  kube::Outcome deleted = kube::Delete<Pod>(client_, entry.object->metadata().namespace_(),
                                            entry.object->metadata().name(), options);
  if (!deleted.ok() && IsOver(client_, *entry.object, deleted.status())) return kube::Done{};
  return deleted;
}

}  // namespace meltemi::kubelet
