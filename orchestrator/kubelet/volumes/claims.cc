#include "orchestrator/kubelet/volumes/claims.h"

#include <sys/stat.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kube/client/typed.h"
#include "kube/core/v1/claim.pb.h"
#include "kube/core/v1/node.pb.h"
#include "kube/core/v1/persistent_volume.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "orchestrator/kubelet/volumes/files.h"
#include "orchestrator/kubelet/volumes/paths.h"
#include "orchestrator/scheduler/plugins/placement.h"

namespace meltemi::kubelet {
namespace {

using kube::core::v1::PersistentVolume;
using kube::core::v1::PersistentVolumeClaim;
using kube::core::v1::Pod;
using kube::core::v1::Volume;

constexpr Duration kLabelAgeMax = minutes(1);

absl::Status Failed(absl::string_view step, absl::string_view volume, absl::string_view why) {
  return absl::InternalError(absl::StrCat(step, " failed for volume \"", volume, "\" : ", why));
}

absl::Status NotProcessed(const std::string& volume, absl::string_view why) {
  return absl::InternalError(absl::StrCat("Unable to attach or mount volumes: unmounted volumes=[",
                                          volume, "], unattached volumes=[], failed to process ",
                                          "volumes=[", volume, "]: ", why));
}

absl::StatusOr<PersistentVolumeClaim> BoundClaim(const Pod& pod, const std::string& name,
                                                 bool is_generated, kube::Client& client) {
  kube::Result<PersistentVolumeClaim> claim =
      kube::Get<PersistentVolumeClaim>(client, pod.metadata().namespace_(), name);
  if (!claim.ok()) {
    return absl::InternalError(
        absl::StrCat("failed to fetch PVC from API server: ", claim.status().message));
  }
  if (claim->metadata().has_deletion_timestamp()) {
    return absl::InternalError("PVC is being deleted");
  }
  if (claim->status().phase() != "Bound") return absl::InternalError("PVC is not bound");
  if (claim->spec().volume_name().empty()) {
    return absl::InternalError("PVC has empty pvc.Spec.VolumeName");
  }
  const auto& owners = claim->metadata().owner_references();
  const bool is_ours = std::any_of(owners.begin(), owners.end(), [&pod](const auto& owner) {
    return owner.controller() && owner.uid() == pod.metadata().uid();
  });
  if (is_generated && !is_ours) {
    return absl::InternalError(absl::StrCat(
        "PVC ", pod.metadata().namespace_(), "/", name, " was not created for pod ",
        pod.metadata().namespace_(), "/", pod.metadata().name(), " (pod is not owner)"));
  }
  return *std::move(claim);
}

absl::StatusOr<PersistentVolume> VolumeOf(const PersistentVolumeClaim& claim,
                                          kube::Client& client) {
  const std::string& name = claim.spec().volume_name();
  kube::Result<PersistentVolume> volume = kube::Get<PersistentVolume>(client, "", name);
  if (!volume.ok()) {
    return absl::InternalError(
        absl::StrCat("failed to fetch PV ", name, " from API server: ", volume.status().message));
  }
  if (!volume->spec().has_claim_ref()) {
    return absl::InternalError(absl::StrCat("found PV object ", name,
                                            " but it has a nil pv.Spec.ClaimRef indicating it ",
                                            "is not yet bound to the claim"));
  }
  if (volume->spec().claim_ref().uid() != claim.metadata().uid()) {
    return absl::InternalError(absl::StrCat(
        "found PV object ", name, " but its pv.Spec.ClaimRef.UID ",
        volume->spec().claim_ref().uid(), " does not point to claim.UID ", claim.metadata().uid()));
  }
  return *std::move(volume);
}

absl::Status CheckAffinity(const PersistentVolume& volume, const std::string& node_name,
                           ApiObjects& api) {
  if (!volume.spec().node_affinity().has_required()) return absl::OkStatus();
  const auto node = api.GetNode(node_name, kLabelAgeMax);
  if (!node.ok()) return node.status();
  const auto facts = scheduler::MakeNodeFacts(*node);
  for (const auto& term : volume.spec().node_affinity().required().node_selector_terms()) {
    if (scheduler::NodeTerm(term).Matches(*facts)) return absl::OkStatus();
  }
  return absl::FailedPreconditionError("no matching NodeSelectorTerms");
}

// The folder of a local volume; one that was provisioned for this node is made at its first use.
absl::Status CheckLocal(const std::string& path, const std::string& local_volumes) {
  const std::string prefix = absl::StrCat(local_volumes, "/");
  const bool is_ours = !local_volumes.empty() && absl::StartsWith(path, prefix) &&
                       path.find('/', prefix.size()) == std::string::npos;
  if (is_ours && !LinkStatOf(path).has_value()) {
    absl::Status made = MakeFolders(local_volumes, 0755);
    // Whatever user the pod runs as: the volume is the pod's alone.
    if (made.ok()) made = MakeFolders(path, 0777);
    if (!made.ok()) return made;
  }
  if (!StatOf(path).has_value()) {
    return absl::NotFoundError(absl::StrCat("path \"", path, "\" does not exist"));
  }
  if (!IsFolder(path)) {
    return absl::FailedPreconditionError("only directory and block device are supported");
  }
  return absl::OkStatus();
}

}  // namespace

bool HasClaim(const Volume& volume) {
  return volume.volume_source().has_persistent_volume_claim() ||
         volume.volume_source().has_ephemeral();
}

absl::StatusOr<ClaimedVolume> FindClaimed(const Pod& pod, const Volume& volume,
                                          const std::string& node_name,
                                          const std::string& local_volumes, kube::Client& client,
                                          ApiObjects& api) {
  const bool is_generated = volume.volume_source().has_ephemeral();
  const auto& source = volume.volume_source().persistent_volume_claim();
  const std::string claim_name =
      is_generated ? absl::StrCat(pod.metadata().name(), "-", volume.name()) : source.claim_name();
  const std::string process =
      absl::StrCat("error processing PVC ", pod.metadata().namespace_(), "/", claim_name, ": ");
  const auto claim = BoundClaim(pod, claim_name, is_generated, client);
  if (!claim.ok()) {
    return NotProcessed(volume.name(), absl::StrCat(process, claim.status().message()));
  }
  const auto held = VolumeOf(*claim, client);
  if (!held.ok()) {
    return NotProcessed(volume.name(), absl::StrCat(process, held.status().message()));
  }
  const std::string& name = held->metadata().name();
  if (held->spec().volume_mode() == "Block") {
    return NotProcessed(volume.name(), absl::StrCat("volume ", volume.name(),
                                                    " has volumeMode Block, but is specified in "
                                                    "volumeMounts"));
  }
  if (absl::Status fits = CheckAffinity(*held, node_name, api); !fits.ok()) {
    return Failed("MountVolume.NodeAffinity check", name, fits.message());
  }
  const auto& modes = held->spec().access_modes();
  ClaimedVolume out{.volume = name,
                    .read_only = source.read_only(),
                    .once_pod = modes.size() == 1 && modes[0] == "ReadWriteOncePod"};
  const auto& behind = held->spec().persistent_volume_source();
  if (behind.has_host_path()) {
    out.path = behind.host_path().path();
    const absl::Status there = CheckHostPath(out.path, behind.host_path().type());
    if (!there.ok()) return Failed("MountVolume.SetUp", name, there.message());
  } else if (behind.has_local()) {
    out.path = behind.local().path();
    out.is_local = true;
    const absl::Status there = CheckLocal(out.path, local_volumes);
    if (!there.ok()) {
      return Failed("MountVolume.NewMounter initialization", name, there.message());
    }
  } else {
    return NotProcessed(
        volume.name(),
        absl::StrCat("failed to get Plugin from volumeSpec for volume \"", name,
                     "\" err=no volume plugin matched: this node mounts hostPath and local "
                     "volumes"));
  }
  return out;
}

}  // namespace meltemi::kubelet
