#include "orchestrator/kubelet/volumes/set_up.h"

#include <sys/stat.h>

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/quantity/quantity.h"
#include "orchestrator/kubelet/volumes/atomic_writer.h"
#include "orchestrator/kubelet/volumes/claims.h"
#include "orchestrator/kubelet/volumes/files.h"
#include "orchestrator/kubelet/volumes/ownership.h"
#include "orchestrator/kubelet/volumes/paths.h"
#include "orchestrator/kubelet/volumes/payload.h"

namespace meltemi::kubelet {
namespace {

using kube::core::v1::Container;
using kube::core::v1::Pod;
using kube::core::v1::Volume;

constexpr char kEmptyDir[] = "kubernetes.io~empty-dir";

absl::Status Failed(const Volume& volume, const absl::Status& why) {
  return absl::Status(why.code(), absl::StrCat("MountVolume.SetUp failed for volume \"",
                                               volume.name(), "\" : ", why.message()));
}

int64_t Bytes(const google::protobuf::Map<std::string, kube::quantity::Quantity>& amounts,
              const std::string& resource) {
  const auto found = amounts.find(resource);
  if (found == amounts.end()) return 0;
  return kube::Quantity::Parse(found->second.string()).value_or(kube::Quantity()).Value();
}

// What all containers together may use; 0: one of them has no limit.
int64_t MemoryLimit(const Pod& pod) {
  int64_t sum = 0;
  for (const Container& container : pod.spec().containers()) {
    const int64_t limit = Bytes(container.resources().limits(), "memory");
    if (limit <= 0) return 0;
    sum += limit;
  }
  return sum;
}

// What a volume in memory may hold; 0: as much as the kernel gives.
int64_t MemorySize(const Pod& pod, const Volume& volume) {
  const auto& source = volume.volume_source().empty_dir();
  const int64_t pod_limit = MemoryLimit(pod);
  const int64_t own =
      kube::Quantity::Parse(source.size_limit().string()).value_or(kube::Quantity()).Value();
  if (own <= 0 || pod_limit <= 0) return std::max(own, pod_limit);
  return std::min(own, pod_limit);
}

absl::Status GiveToPod(const Pod& pod, const std::string& path, bool read_only, bool may_skip) {
  const auto& context = pod.spec().security_context();
  if (!context.has_fs_group()) return absl::OkStatus();
  const bool unless = may_skip && context.fs_group_change_policy() == "OnRootMismatch";
  return GiveToGroup(path, context.fs_group(), read_only, unless);
}

// Other volumes that containers mount within this one need a place there, which nobody can make
// once it is mounted read-only.
absl::Status MakeNestedMountPoints(const Pod& pod, const Volume& volume, const std::string& path) {
  std::set<std::string> places;
  const auto see = [&](const Container& container) {
    for (const auto& outer : container.volume_mounts()) {
      if (outer.name() != volume.name() || !outer.sub_path().empty()) continue;
      const std::string prefix = absl::StrCat(absl::StripSuffix(outer.mount_path(), "/"), "/");
      for (const auto& inner : container.volume_mounts()) {
        absl::string_view place = inner.mount_path();
        if (&inner == &outer || !absl::ConsumePrefix(&place, prefix)) continue;
        if (!place.empty() && !absl::StartsWith(place, "..")) places.emplace(place);
      }
    }
  };
  for (const Container& container : pod.spec().init_containers()) see(container);
  for (const Container& container : pod.spec().containers()) see(container);
  for (const std::string& place : places) {
    const std::string folder = absl::StrCat(path, "/", place);
    if (StatOf(folder).has_value()) continue;
    if (absl::StatusOr<Fd> made = OpenSubPath(path, place); !made.ok()) return made.status();
  }
  return absl::OkStatus();
}

}  // namespace

std::string VolumeMaker::PathOf(const Pod& pod, const Volume& volume) const {
  const auto& source = volume.volume_source();
  if (HasClaim(volume) || source.has_host_path()) return "";
  return absl::StrCat(options_.root, "/pods/", pod.metadata().uid(), "/volumes/",
                      HasPayload(volume) ? PayloadPlugin(volume) : kEmptyDir, "/", volume.name());
}

absl::StatusOr<MadeVolume> VolumeMaker::Make(const Pod& pod, const Volume& volume) {
  const auto& source = volume.volume_source();
  if (HasClaim(volume)) return MakeFromClaim(pod, volume);
  absl::StatusOr<MadeVolume> made(absl::UnknownError(""));
  if (source.has_empty_dir()) {
    made = MakeEmptyDir(pod, volume);
  } else if (source.has_host_path()) {
    made = MakeHostPath(volume);
  } else if (HasPayload(volume)) {
    made = MakeFromObjects(pod, volume);
  } else {
    return absl::UnimplementedError(
        absl::StrCat("Unable to attach or mount volumes: unmounted volumes=[", volume.name(),
                     "], unattached volumes=[], failed to process volumes=[", volume.name(),
                     "]: failed to get Plugin from volumeSpec for volume \"", volume.name(),
                     "\" err=no volume plugin matched"));
  }
  if (!made.ok()) return Failed(volume, made.status());
  return made;
}

absl::Status VolumeMaker::MakeFolder(const std::string& path, bool in_memory, int64_t size_bytes) {
  const std::string above = path.substr(0, path.rfind('/'));
  if (absl::Status made = MakeFolders(above, 0750); !made.ok()) return made;
  if (in_memory) {
    if (absl::Status made = MakeFolders(path, 0750); !made.ok()) return made;
    if (!mounter_.IsMountPoint(path)) {
      if (absl::Status mounted = mounter_.MountTmpfs(path, size_bytes); !mounted.ok()) {
        return mounted;
      }
    }
  }
  if (absl::Status made = MakeFolders(path, 0777); !made.ok()) return made;
  const auto stat = StatOf(path);
  if (stat.has_value() && (stat->st_mode & 0777) != 0777 &&
      chmod(path.c_str(), (stat->st_mode & 07777) | 0777) != 0) {
    return PathError("chmod", path);
  }
  return absl::OkStatus();
}

absl::StatusOr<MadeVolume> VolumeMaker::MakeEmptyDir(const Pod& pod, const Volume& volume) {
  const std::string& medium = volume.volume_source().empty_dir().medium();
  if (!medium.empty() && medium != "Memory") {
    return absl::InvalidArgumentError(absl::StrCat("unknown storage medium \"", medium, "\""));
  }
  const bool in_memory = medium == "Memory";
  const std::string path = PathOf(pod, volume);
  absl::Status made = MakeFolder(path, in_memory, in_memory ? MemorySize(pod, volume) : 0);
  if (made.ok()) made = GiveToPod(pod, path, /*read_only=*/false, /*may_skip=*/true);
  if (!made.ok()) return made;
  return MadeVolume{.mount = {.host_path = path}};
}

absl::StatusOr<MadeVolume> VolumeMaker::MakeHostPath(const Volume& volume) {
  const auto& source = volume.volume_source().host_path();
  absl::Status there = CheckHostPath(source.path(), source.type());
  if (!there.ok()) return there;
  MadeVolume out{.mount = {.host_path = source.path()}};
  const auto stat = StatOf(source.path());
  out.mount.is_file = stat.has_value() && !S_ISDIR(stat->st_mode);
  return out;
}

absl::StatusOr<MadeVolume> VolumeMaker::MakeFromObjects(const Pod& pod, const Volume& volume) {
  const std::string path = PathOf(pod, volume);
  MadeVolume out{.mount = {.host_path = path, .read_only = true}, .changes = true};
  const absl::StatusOr<bool> changes = Refresh(pod, volume, Duration::zero());
  if (changes.ok()) {
    out.changes = *changes;
  } else if (!absl::IsUnavailable(changes.status()) || !HasVersion(path)) {
    return changes.status();
  }
  // What is there was written before this kubelet began; it is brought up to date later.
  return out;
}

absl::StatusOr<bool> VolumeMaker::Refresh(const Pod& pod, const Volume& volume, Duration age_max) {
  absl::StatusOr<Payload> payload = MakePayload(pod, volume, options_.node_name, api_, age_max);
  if (!payload.ok()) return payload.status();
  const std::string path = PathOf(pod, volume);
  absl::Status made = MakeFolder(path, PayloadInMemory(volume), 0);
  if (made.ok()) made = MakeNestedMountPoints(pod, volume, path);
  if (!made.ok()) return made;
  made = WriteAtomically(path, payload->files, clock_.WallNow(), [&] {
    return GiveToPod(pod, path, /*read_only=*/true, /*may_skip=*/false);
  });
  if (!made.ok()) return made;
  return !payload->fixed;
}

absl::StatusOr<MadeVolume> VolumeMaker::MakeFromClaim(const Pod& pod, const Volume& volume) {
  const absl::StatusOr<ClaimedVolume> claimed =
      FindClaimed(pod, volume, options_.node_name, options_.local_volumes, client_, api_);
  if (!claimed.ok()) return claimed.status();
  if (claimed->is_local && !claimed->read_only) {
    const absl::Status given = GiveToPod(pod, claimed->path, /*read_only=*/false, true);
    if (!given.ok()) return Failed(volume, given);
  }
  MadeVolume out{.mount = {.host_path = claimed->path, .read_only = claimed->read_only},
                 .persistent_volume = claimed->volume,
                 .once_pod = claimed->once_pod};
  const auto stat = StatOf(claimed->path);
  out.mount.is_file = stat.has_value() && !S_ISDIR(stat->st_mode);
  return out;
}

}  // namespace meltemi::kubelet
