#include "orchestrator/controllers/volumes/pod_claims.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace meltemi::controllers {

using kube::core::v1::PersistentVolumeClaim;
using kube::core::v1::Pod;
using kube::core::v1::Volume;

std::string ClaimNameOf(const Pod& pod, const Volume& volume) {
  const auto& source = volume.volume_source();
  if (source.has_persistent_volume_claim()) return source.persistent_volume_claim().claim_name();
  if (source.has_ephemeral()) return absl::StrCat(pod.metadata().name(), "-", volume.name());
  return "";
}

std::vector<std::string> PodsByClaim(const google::protobuf::Message& object) {
  const auto& pod = static_cast<const Pod&>(object);
  std::vector<std::string> keys;
  for (const Volume& volume : pod.spec().volumes()) {
    const std::string claim = ClaimNameOf(pod, volume);
    if (!claim.empty()) keys.push_back(absl::StrCat(pod.metadata().namespace_(), "/", claim));
  }
  return keys;
}

bool IsOwnedBy(const PersistentVolumeClaim& claim, const Pod& pod) {
  const auto& owners = claim.metadata().owner_references();
  return std::any_of(owners.begin(), owners.end(), [&pod](const auto& owner) {
    return owner.controller() && owner.uid() == pod.metadata().uid();
  });
}

bool Uses(const Pod& pod, const PersistentVolumeClaim& claim) {
  if (pod.spec().node_name().empty() ||
      pod.metadata().namespace_() != claim.metadata().namespace_()) {
    return false;
  }
  // Its kubelet has done with it: what waits for the claim to go may be what keeps the pod.
  const bool is_shut_down = pod.metadata().has_deletion_timestamp() &&
                            pod.metadata().has_deletion_grace_period_seconds() &&
                            pod.metadata().deletion_grace_period_seconds() == 0;
  const auto& volumes = pod.spec().volumes();
  return std::any_of(volumes.begin(), volumes.end(), [&](const Volume& volume) {
    if (ClaimNameOf(pod, volume) != claim.metadata().name()) return false;
    return volume.volume_source().has_persistent_volume_claim() ||
           (!is_shut_down && IsOwnedBy(claim, pod));
  });
}

}  // namespace meltemi::controllers
