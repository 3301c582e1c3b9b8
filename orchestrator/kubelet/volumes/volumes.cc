#include "orchestrator/kubelet/volumes/volumes.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "absl/hash/hash.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/json/value.h"
#include "base/json/write.h"
#include "base/log/log.h"
#include "kube/client/typed.h"
#include "kube/core/v1/node.pb.h"
#include "kube/core/v1/persistent_volume.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/queue/controller.h"
#include "orchestrator/kubelet/volumes/api_objects.h"
#include "orchestrator/kubelet/volumes/files.h"
#include "orchestrator/kubelet/volumes/mounter.h"
#include "orchestrator/kubelet/volumes/paths.h"
#include "orchestrator/kubelet/volumes/payload.h"
#include "orchestrator/kubelet/volumes/set_up.h"

namespace meltemi::kubelet {
namespace {

using kube::core::v1::Container;
using kube::core::v1::Pod;
using kube::core::v1::Volume;
using PodPtr = std::shared_ptr<const Pod>;

// Keys of the queue beside those of pods, which have a namespace.
constexpr char kSweep[] = "sweep";
constexpr char kAnnotate[] = "annotate";
constexpr char kProvisionedPrefix[] = "pvc-";
constexpr Duration kAnnotatePeriod = minutes(5);

// What is known of one pod's volumes. A pod that was prepared by an earlier kubelet is known by its
// folder.
struct PodEntry {
  std::mutex mutex;
  // Guarded by mutex.
  bool removed = false;
  std::map<std::string, MadeVolume> made;
};

std::set<std::string> MountedVolumes(const Pod& pod) {
  std::set<std::string> names;
  const auto see = [&names](const Container& container) {
    for (const auto& mount : container.volume_mounts()) names.insert(mount.name());
    for (const auto& device : container.volume_devices()) names.insert(device.name());
  };
  for (const Container& container : pod.spec().init_containers()) see(container);
  for (const Container& container : pod.spec().containers()) see(container);
  return names;
}

bool SameMaps(const google::protobuf::Map<std::string, std::string>& a,
              const google::protobuf::Map<std::string, std::string>& b) {
  return a.size() == b.size() && std::all_of(a.begin(), a.end(), [&b](const auto& pair) {
           const auto found = b.find(pair.first);
           return found != b.end() && found->second == pair.second;
         });
}

class VolumesImpl final : public Volumes {
 public:
  VolumesImpl(const VolumesOptions& options, kube::Client& client, kube::Informers& informers,
              kube::Executor& executor, std::unique_ptr<Mounter> mounter)
      : options_(options),
        client_(client),
        mounter_(std::move(mounter)),
        api_(client, executor.clock()),
        maker_(options_, client, executor.clock(), *mounter_, api_),
        clock_(executor.clock()),
        pods_(informers.Of<Pod>(absl::StrCat("spec.nodeName=", options.node_name))) {
    queue_ = kube::NewController(
        {.name = "volumes", .workers = 2, .backoff_min = seconds(1), .backoff_max = minutes(2)},
        executor, nullptr, [this](const kube::NamespacedName& key) { return Reconcile(key); });
    pods_.AddHandler([this](const kube::Change& change) { OnPod(change); });
  }

  void Start() override;
  absl::StatusOr<PodMounts> Prepare(const PodPtr& pod) override;
  absl::StatusOr<std::string> SubPath(const std::string& pod_uid, const PodMount& mount,
                                      const std::string& sub_path) override;
  absl::Status Remove(const std::string& pod_uid) override;
  std::map<std::string, Size> Sizes(const std::string& pod_uid) override;

 private:
  using EntryPtr = std::shared_ptr<PodEntry>;

  std::string FolderOf(const std::string& pod_uid) const {
    return absl::StrCat(options_.root, "/pods/", pod_uid);
  }
  EntryPtr EntryOf(const std::string& pod_uid);
  EntryPtr FindEntry(const std::string& pod_uid) const;
  bool IsTaken(const std::string& persistent_volume, const std::string& pod_uid) const;
  std::set<std::string> PathsInUse() const;
  // With the entry's lock held.
  absl::Status PrepareVolume(const Pod& pod, const Volume& volume, PodEntry& entry);

  void OnPod(const kube::Change& change);
  kube::ReconcileResult Reconcile(const kube::NamespacedName& key);
  void RefreshPod(const Pod& pod, PodEntry& entry, bool* changes);
  void SweepPods();
  void SweepProvisioned();
  kube::ReconcileResult Annotate();
  // Not all at the same moment.
  Duration Spread(Duration period, const std::string& key) const;

  const VolumesOptions options_;
  kube::Client& client_;
  const std::unique_ptr<Mounter> mounter_;
  ApiObjects api_;
  VolumeMaker maker_;
  const Clock& clock_;
  kube::Informer& pods_;
  MonotonicTime started_at_;  // constant after Start

  mutable std::mutex mutex_;
  std::map<std::string, EntryPtr> entries_;  // by uid; guarded by mutex_

  // Last: it is gone first, and with it everything under way.
  std::unique_ptr<kube::Controller> queue_;
};

// ---- preparing and removing ----

VolumesImpl::EntryPtr VolumesImpl::EntryOf(const std::string& pod_uid) {
  const std::lock_guard<std::mutex> lock(mutex_);
  EntryPtr& entry = entries_[pod_uid];
  if (entry == nullptr) entry = std::make_shared<PodEntry>();
  return entry;
}

VolumesImpl::EntryPtr VolumesImpl::FindEntry(const std::string& pod_uid) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = entries_.find(pod_uid);
  return found == entries_.end() ? nullptr : found->second;
}

absl::Status VolumesImpl::PrepareVolume(const Pod& pod, const Volume& volume, PodEntry& entry) {
  const auto known = entry.made.find(volume.name());
  if (known != entry.made.end() && LinkStatOf(known->second.mount.host_path).has_value()) {
    return absl::OkStatus();
  }
  absl::StatusOr<MadeVolume> made = maker_.Make(pod, volume);
  if (!made.ok()) return made.status();
  if (made->once_pod && IsTaken(made->persistent_volume, pod.metadata().uid())) {
    return absl::FailedPreconditionError(absl::StrCat(
        "MountVolume.SetUp failed for volume \"", made->persistent_volume,
        "\" : volume uses the ReadWriteOncePod access mode and is already in use by another pod"));
  }
  entry.made[volume.name()] = *std::move(made);
  return absl::OkStatus();
}

absl::StatusOr<PodMounts> VolumesImpl::Prepare(const PodPtr& pod) {
  const std::string& uid = pod->metadata().uid();
  if (uid.empty() || uid.find('/') != std::string::npos || uid[0] == '.') {
    return absl::InvalidArgumentError(absl::StrCat("\"", uid, "\" is no pod's UID"));
  }
  const std::set<std::string> mounted = MountedVolumes(*pod);
  const EntryPtr entry = EntryOf(uid);
  const std::lock_guard<std::mutex> lock(entry->mutex);
  if (entry->removed) return absl::AbortedError("the pod's volumes are being removed");
  absl::Status failure;
  PodMounts out;
  bool changes = false;
  for (const Volume& volume : pod->spec().volumes()) {
    if (mounted.count(volume.name()) == 0) continue;
    const absl::Status made = PrepareVolume(*pod, volume, *entry);
    if (!made.ok()) {
      // One that fails keeps none of the others waiting.
      if (failure.ok()) failure = made;
      continue;
    }
    const MadeVolume& known = entry->made[volume.name()];
    out[volume.name()] = known.mount;
    changes |= known.changes;
  }
  if (changes) {
    queue_->AddAfter({pod->metadata().namespace_(), pod->metadata().name()},
                     Spread(options_.refresh_period, uid));
  }
  if (!failure.ok()) return failure;
  return out;
}

bool VolumesImpl::IsTaken(const std::string& persistent_volume, const std::string& pod_uid) const {
  std::vector<EntryPtr> others;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& [uid, entry] : entries_) {
      if (uid != pod_uid) others.push_back(entry);
    }
  }
  for (const EntryPtr& other : others) {
    // Two that want each other's volumes must not wait for each other: who is being prepared has
    // nothing yet.
    const std::unique_lock<std::mutex> lock(other->mutex, std::try_to_lock);
    if (!lock.owns_lock() || other->removed) continue;
    for (const auto& [name, made] : other->made) {
      if (made.persistent_volume == persistent_volume) return true;
    }
  }
  return false;
}

absl::StatusOr<std::string> VolumesImpl::SubPath(const std::string& pod_uid, const PodMount& mount,
                                                 const std::string& sub_path) {
  absl::StatusOr<Fd> found = OpenSubPath(mount.host_path, sub_path);
  if (!found.ok()) return found.status();
  struct stat stat = {};
  if (fstat(found->get(), &stat) != 0) return PathError("stat", sub_path);
  // The runtime is given a mount of the very thing that was looked at: its name may mean something
  // else by the time the runtime looks.
  const std::string folder = absl::StrCat(FolderOf(pod_uid), "/volume-subpaths");
  const uint64_t hash = std::hash<std::string>()(absl::StrCat(mount.host_path, "\n", sub_path));
  const std::string target = absl::StrCat(folder, "/", absl::Hex(hash, absl::kZeroPad16));
  const EntryPtr entry = EntryOf(pod_uid);
  const std::lock_guard<std::mutex> lock(entry->mutex);
  if (entry->removed) return absl::AbortedError("the pod's volumes are being removed");
  if (mounter_->IsMountPoint(target)) {
    const auto there = StatOf(target);
    if (there.has_value() && there->st_dev == stat.st_dev && there->st_ino == stat.st_ino) {
      return target;
    }
    if (absl::Status gone = mounter_->Unmount(target); !gone.ok()) return gone;
  }
  if (absl::Status made = MakeFolders(folder, 0750); !made.ok()) return made;
  // Nothing but an empty placeholder can stand there.
  if (rmdir(target.c_str()) != 0) unlink(target.c_str());
  const absl::Status placed =
      S_ISDIR(stat.st_mode) ? MakeFolders(target, 0750) : WriteFile(target, "", 0640);
  if (!placed.ok()) return placed;
  if (absl::Status bound = mounter_->Bind(found->get(), target); !bound.ok()) return bound;
  return target;
}

absl::Status VolumesImpl::Remove(const std::string& pod_uid) {
  if (pod_uid.empty() || pod_uid.find('/') != std::string::npos || pod_uid[0] == '.') {
    return absl::InvalidArgumentError(absl::StrCat("\"", pod_uid, "\" is no pod's UID"));
  }
  const EntryPtr entry = EntryOf(pod_uid);
  {
    const std::lock_guard<std::mutex> lock(entry->mutex);
    entry->removed = true;
    entry->made.clear();
    const std::string folder = FolderOf(pod_uid);
    absl::Status removed;
    for (const std::string& mount : mounter_->MountsBelow(folder)) {
      removed.Update(mounter_->Unmount(mount));
    }
    if (removed.ok()) removed = RemoveTree(absl::StrCat(folder, "/volume-subpaths"));
    if (removed.ok()) removed = RemoveTree(absl::StrCat(folder, "/volumes"));
    if (!removed.ok()) {
      entry->removed = false;
      return removed;
    }
    // Others keep their own things there.
    rmdir(folder.c_str());
  }
  api_.ForgetTokens(pod_uid);
  const std::lock_guard<std::mutex> lock(mutex_);
  entries_.erase(pod_uid);
  return absl::OkStatus();
}

std::map<std::string, Volumes::Size> VolumesImpl::Sizes(const std::string& pod_uid) {
  std::map<std::string, Size> sizes;
  const EntryPtr entry = FindEntry(pod_uid);
  if (entry == nullptr) return sizes;
  std::map<std::string, MadeVolume> made;
  {
    const std::lock_guard<std::mutex> lock(entry->mutex);
    made = entry->made;
  }
  for (const auto& [name, volume] : made) {
    const std::string& path = volume.mount.host_path;
    const bool is_claimed = !volume.persistent_volume.empty();
    struct statvfs fs = {};
    if (is_claimed && statvfs(path.c_str(), &fs) == 0) {
      const auto used = static_cast<int64_t>((fs.f_blocks - fs.f_bfree) * fs.f_frsize);
      sizes[name] = {used, static_cast<int64_t>(fs.f_files - fs.f_ffree)};
    } else if (absl::StartsWith(path, FolderOf(pod_uid))) {
      const TreeUse use = UseOfTree(path);
      sizes[name] = {use.bytes, use.inodes};
    }
  }
  return sizes;
}

// ---- keeping up to date ----

void VolumesImpl::Start() {
  started_at_ = clock_.Now();
  for (const kube::MessagePtr& message : pods_.ListMessages("")) {
    const auto& pod = static_cast<const Pod&>(*message);
    // Its containers may run since before this kubelet.
    if (IsFolder(absl::StrCat(FolderOf(pod.metadata().uid()), "/volumes"))) {
      queue_->AddAfter(kube::NameOf(pod), Spread(options_.refresh_period, pod.metadata().uid()));
    }
  }
  queue_->Add({"", kSweep});
  if (!options_.local_volumes.empty()) queue_->Add({"", kAnnotate});
  queue_->Start();
}

Duration VolumesImpl::Spread(Duration period, const std::string& key) const {
  const auto share = static_cast<int64_t>(std::hash<std::string>()(key) % 1024);
  return period * 9 / 10 + period * share / 5 / 1024;
}

void VolumesImpl::OnPod(const kube::Change& change) {
  if (change.after == nullptr) {
    queue_->AddAfter({"", kSweep}, options_.sweep_period);
    return;
  }
  if (change.before == nullptr) return;
  const auto& before = static_cast<const Pod&>(*change.before).metadata();
  const auto& after = static_cast<const Pod&>(*change.after).metadata();
  if (SameMaps(before.labels(), after.labels()) &&
      SameMaps(before.annotations(), after.annotations())) {
    return;
  }
  // Files of the downward API tell of them.
  if (FindEntry(after.uid()) != nullptr) queue_->Add(kube::NameOf(*change.after));
}

kube::ReconcileResult VolumesImpl::Reconcile(const kube::NamespacedName& key) {
  if (key.ns.empty() && key.name == kAnnotate) return Annotate();
  if (key.ns.empty() && key.name == kSweep) {
    // Not at once: the kubelet has to find out first what the runtime has.
    if (clock_.Now() >= started_at_ + options_.sweep_period) SweepPods();
    SweepProvisioned();
    return kube::Again(options_.sweep_period);
  }
  const PodPtr pod = kube::Lister<Pod>::Cast(pods_.GetMessage(key.ns, key.name));
  if (pod == nullptr) return kube::Finished();
  const std::string& uid = pod->metadata().uid();
  if (!IsFolder(absl::StrCat(FolderOf(uid), "/volumes"))) return kube::Finished();
  const EntryPtr entry = EntryOf(uid);
  bool changes = false;
  {
    const std::lock_guard<std::mutex> lock(entry->mutex);
    if (entry->removed) return kube::Finished();
    RefreshPod(*pod, *entry, &changes);
  }
  return changes ? kube::Again(Spread(options_.refresh_period, uid)) : kube::Finished();
}

void VolumesImpl::RefreshPod(const Pod& pod, PodEntry& entry, bool* changes) {
  for (const Volume& volume : pod.spec().volumes()) {
    if (!HasPayload(volume)) continue;
    const auto known = entry.made.find(volume.name());
    if (known != entry.made.end() && !known->second.changes) continue;
    // Not made yet: Prepare does that, and says what is wrong.
    if (!IsFolder(maker_.PathOf(pod, volume))) continue;
    const absl::StatusOr<bool> still = maker_.Refresh(pod, volume, options_.refresh_period / 2);
    if (!still.ok()) {
      LOG(kDebug, "volumes", "volume ", volume.name(), " of pod ", pod.metadata().namespace_(), "/",
          pod.metadata().name(), " stays as it is: ", still.status().message());
    } else if (known != entry.made.end()) {
      known->second.changes = *still;
    }
    *changes |= !still.ok() || *still;
  }
}

// ---- what is left over ----

void VolumesImpl::SweepPods() {
  if (!options_.in_use || !pods_.synced()) return;
  std::set<std::string> alive;
  for (const kube::MessagePtr& pod : pods_.ListMessages("")) alive.insert(kube::MetaOf(*pod).uid());
  for (const std::string& uid : NamesIn(absl::StrCat(options_.root, "/pods"))) {
    if (alive.count(uid) > 0 || options_.in_use(uid)) continue;
    absl::Status removed = Remove(uid);
    if (removed.ok()) removed = RemoveTree(FolderOf(uid));
    if (!removed.ok()) {
      LOG(kWarn, "volumes", "the folder of pod ", uid, " stays: ", removed.message());
    }
  }
}

std::set<std::string> VolumesImpl::PathsInUse() const {
  std::vector<EntryPtr> all;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& [uid, entry] : entries_) all.push_back(entry);
  }
  std::set<std::string> paths;
  for (const EntryPtr& entry : all) {
    const std::lock_guard<std::mutex> lock(entry->mutex);
    for (const auto& [name, made] : entry->made) paths.insert(made.mount.host_path);
  }
  return paths;
}

// What the API server does not know any more has been reclaimed. Whatever else it answers, nothing
// is lost.
void VolumesImpl::SweepProvisioned() {
  if (options_.local_volumes.empty()) return;
  const std::vector<std::string> names = NamesIn(options_.local_volumes);
  if (names.empty()) return;
  const std::set<std::string> in_use = PathsInUse();
  for (const std::string& name : names) {
    const std::string path = absl::StrCat(options_.local_volumes, "/", name);
    if (!absl::StartsWith(name, kProvisionedPrefix) || in_use.count(path) > 0) continue;
    const auto volume = kube::Get<kube::core::v1::PersistentVolume>(client_, "", name);
    if (volume.ok() || !kube::IsNotFound(volume.status())) continue;
    const absl::Status removed = RemoveTree(path);
    if (removed.ok()) {
      LOG(kInfo, "volumes", "persistent volume ", name, " is gone: its folder is removed");
    } else {
      LOG(kWarn, "volumes", "the folder of volume ", name, " stays: ", removed.message());
    }
  }
}

// Looked at again and again: a node that was deleted registers anew without it.
kube::ReconcileResult VolumesImpl::Annotate() {
  const auto node = kube::Get<kube::core::v1::Node>(client_, "", options_.node_name);
  // Not registered yet, or the way there is down: tried again.
  if (!node.ok()) return node.status();
  const auto& annotations = node->metadata().annotations();
  const auto told = annotations.find(kLocalVolumesAnnotation);
  if (told != annotations.end() && told->second == options_.local_volumes) {
    return kube::Again(kAnnotatePeriod);
  }
  json::Value wanted = json::Value::Object();
  wanted.Set(kLocalVolumesAnnotation, json::Value::String(options_.local_volumes));
  json::Value patch = json::Value::Object();
  patch.MutableObject("metadata").Set("annotations", std::move(wanted));
  const auto patched = kube::Patch<kube::core::v1::Node>(
      client_, "", options_.node_name, kube::PatchType::kMerge, json::ToString(patch));
  if (!patched.ok()) return patched.status();
  return kube::Again(kAnnotatePeriod);
}

}  // namespace

std::unique_ptr<Volumes> NewVolumes(const VolumesOptions& options, kube::Client& client,
                                    kube::Informers& informers, kube::Executor& executor) {
  return NewVolumes(options, client, informers, executor, NewSystemMounter());
}

std::unique_ptr<Volumes> NewVolumes(const VolumesOptions& options, kube::Client& client,
                                    kube::Informers& informers, kube::Executor& executor,
                                    std::unique_ptr<Mounter> mounter) {
  return std::make_unique<VolumesImpl>(options, client, informers, executor, std::move(mounter));
}

}  // namespace meltemi::kubelet
