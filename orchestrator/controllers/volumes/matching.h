// Which volume suits a claim: the rules that the binder and the scheduler share.
//
// Threads: functions without state. Source: the binding rules of Kubernetes' documentation of
// persistent volumes; k8s.io/component-helpers/storage/volume (names of annotations).
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "kube/core/v1/claim.pb.h"
#include "kube/core/v1/persistent_volume.pb.h"
#include "kube/meta/v1/meta.pb.h"
#include "kube/storage/v1/storage.pb.h"

namespace meltemi::scheduler {
struct NodeFacts;
}  // namespace meltemi::scheduler

namespace meltemi::controllers {

using kube::core::v1::PersistentVolume;
using kube::core::v1::PersistentVolumeClaim;
using VolumePtr = std::shared_ptr<const PersistentVolume>;
using ClaimPtr = std::shared_ptr<const PersistentVolumeClaim>;

inline constexpr char kBindCompleted[] = "pv.kubernetes.io/bind-completed";
inline constexpr char kBoundByController[] = "pv.kubernetes.io/bound-by-controller";
inline constexpr char kProvisionedBy[] = "pv.kubernetes.io/provisioned-by";
inline constexpr char kSelectedNode[] = "volume.kubernetes.io/selected-node";
inline constexpr char kStorageProvisioner[] = "volume.kubernetes.io/storage-provisioner";
inline constexpr char kBetaStorageProvisioner[] = "volume.beta.kubernetes.io/storage-provisioner";
inline constexpr char kBetaStorageClass[] = "volume.beta.kubernetes.io/storage-class";

// "" for one that is missing or empty.
std::string Annotation(const kube::meta::v1::ObjectMeta& meta, absl::string_view name);
bool HasAnnotation(const kube::meta::v1::ObjectMeta& meta, absl::string_view name);

// The class of storage: by annotation, as long ago, or by field; "": none.
std::string ClassOf(const PersistentVolumeClaim& claim);
std::string ClassOf(const PersistentVolume& volume);
inline bool WaitsForConsumer(const kube::storage::v1::StorageClass& storage_class) {
  return storage_class.volume_binding_mode() == "WaitForFirstConsumer";
}

// The volume is meant for the claim, or has it already.
bool IsMeantFor(const PersistentVolume& volume, const PersistentVolumeClaim& claim);
// Both are bound and know of each other as far as the claim tells.
inline bool IsFullyBound(const PersistentVolumeClaim& claim) {
  return !claim.spec().volume_name().empty() && HasAnnotation(claim.metadata(), kBindCompleted);
}

// Whether the volume can be used on the node.
bool FitsNode(const PersistentVolume& volume, const scheduler::NodeFacts& node);
bool FitsModes(const PersistentVolume& volume, const PersistentVolumeClaim& claim);

// Why a volume that was asked for by name can't be had: "requested PV is too small"; "": it can.
std::string WhyUnfit(const PersistentVolume& volume, const PersistentVolumeClaim& claim);

struct MatchOptions {
  // Of the scheduler: where it must be usable; null: anywhere.
  const scheduler::NodeFacts* node = nullptr;
  // Names that are taken already; may be null.
  const std::set<std::string>* taken = nullptr;
  // Only those that are meant for the claim: the scheduler will choose.
  bool only_meant = false;
};
// The best volume: one that is meant for the claim, else the one with the fewest access modes too
// many and then the smallest. Null: none.
VolumePtr BestMatch(const PersistentVolumeClaim& claim, const std::vector<VolumePtr>& volumes,
                    const MatchOptions& options);

// Makes the volume the claim's. False: it was already.
bool BindTo(const PersistentVolumeClaim& claim, PersistentVolume* volume);

}  // namespace meltemi::controllers
