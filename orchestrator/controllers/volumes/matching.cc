#include "orchestrator/controllers/volumes/matching.h"

#include <algorithm>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "kube/events/recorder.h"
#include "kube/quantity/quantity.h"
#include "orchestrator/controllers/runtime/owners.h"
#include "orchestrator/scheduler/plugins/placement.h"

namespace meltemi::controllers {
namespace {

using Amounts = google::protobuf::Map<std::string, kube::quantity::Quantity>;

kube::Quantity StorageOf(const Amounts& amounts) {
  const auto found = amounts.find("storage");
  if (found == amounts.end()) return {};
  return kube::Quantity::Parse(found->second.string()).value_or(kube::Quantity());
}

// Filesystem where nothing is said.
std::string ModeOf(const std::string& mode) { return mode.empty() ? "Filesystem" : mode; }

bool SameMode(const PersistentVolume& volume, const PersistentVolumeClaim& claim) {
  return ModeOf(volume.spec().volume_mode()) == ModeOf(claim.spec().volume_mode());
}

bool IsLargeEnough(const PersistentVolume& volume, const PersistentVolumeClaim& claim) {
  return !(StorageOf(volume.spec().capacity()) < StorageOf(claim.spec().resources().requests()));
}

// Whether a volume that is nobody's may become the claim's.
bool IsFree(const PersistentVolume& volume, const PersistentVolumeClaim& claim,
            const kube::LabelSelector& selector) {
  return !volume.spec().has_claim_ref() && volume.status().phase() == "Available" &&
         ClassOf(volume) == ClassOf(claim) && FitsModes(volume, claim) &&
         (!claim.spec().has_selector() || Matches(selector, volume));
}

}  // namespace

std::string Annotation(const kube::meta::v1::ObjectMeta& meta, absl::string_view name) {
  const auto found = meta.annotations().find(std::string(name));
  return found == meta.annotations().end() ? "" : found->second;
}

bool HasAnnotation(const kube::meta::v1::ObjectMeta& meta, absl::string_view name) {
  return meta.annotations().count(std::string(name)) > 0;
}

std::string ClassOf(const PersistentVolumeClaim& claim) {
  if (HasAnnotation(claim.metadata(), kBetaStorageClass)) {
    return Annotation(claim.metadata(), kBetaStorageClass);
  }
  return claim.spec().storage_class_name();
}

std::string ClassOf(const PersistentVolume& volume) {
  if (HasAnnotation(volume.metadata(), kBetaStorageClass)) {
    return Annotation(volume.metadata(), kBetaStorageClass);
  }
  return volume.spec().storage_class_name();
}

bool IsMeantFor(const PersistentVolume& volume, const PersistentVolumeClaim& claim) {
  const auto& reference = volume.spec().claim_ref();
  return volume.spec().has_claim_ref() && reference.name() == claim.metadata().name() &&
         reference.namespace_() == claim.metadata().namespace_() &&
         (reference.uid().empty() || reference.uid() == claim.metadata().uid());
}

bool FitsNode(const PersistentVolume& volume, const scheduler::NodeFacts& node) {
  if (!volume.spec().node_affinity().has_required()) return true;
  const auto& terms = volume.spec().node_affinity().required().node_selector_terms();
  return std::any_of(terms.begin(), terms.end(),
                     [&node](const auto& term) { return scheduler::NodeTerm(term).Matches(node); });
}

bool FitsModes(const PersistentVolume& volume, const PersistentVolumeClaim& claim) {
  const auto& has = volume.spec().access_modes();
  const auto& wants = claim.spec().access_modes();
  return std::all_of(wants.begin(), wants.end(), [&has](const std::string& mode) {
    return std::find(has.begin(), has.end(), mode) != has.end();
  });
}

std::string WhyUnfit(const PersistentVolume& volume, const PersistentVolumeClaim& claim) {
  if (volume.metadata().has_deletion_timestamp()) {
    return absl::StrCat("the volume is marked for deletion \"", volume.metadata().name(), "\"");
  }
  if (!IsLargeEnough(volume, claim)) return "requested PV is too small";
  if (ClassOf(volume) != ClassOf(claim)) return "storageClassName does not match";
  if (!SameMode(volume, claim)) return "incompatible volumeMode";
  if (!FitsModes(volume, claim)) return "incompatible accessMode";
  return "";
}

VolumePtr BestMatch(const PersistentVolumeClaim& claim, const std::vector<VolumePtr>& volumes,
                    const MatchOptions& options) {
  const kube::LabelSelector selector = SelectorOf(&claim.spec().selector());
  VolumePtr best;
  const auto rank = [](const PersistentVolume& volume) {
    return std::make_tuple(volume.spec().access_modes_size(),
                           StorageOf(volume.spec().capacity()).Value());
  };
  for (const VolumePtr& volume : volumes) {
    if (options.taken != nullptr && options.taken->count(volume->metadata().name()) > 0) continue;
    const bool is_meant = IsMeantFor(*volume, claim);
    if (!is_meant && (options.only_meant || !IsFree(*volume, claim, selector))) continue;
    if (volume->metadata().has_deletion_timestamp() || !SameMode(*volume, claim) ||
        !IsLargeEnough(*volume, claim)) {
      continue;
    }
    const bool is_near = options.node == nullptr || FitsNode(*volume, *options.node);
    if (is_meant) return is_near ? volume : nullptr;
    if (!is_near) continue;
    if (best == nullptr || rank(*volume) < rank(*best)) best = volume;
  }
  return best;
}

bool BindTo(const PersistentVolumeClaim& claim, PersistentVolume* volume) {
  bool changed = false;
  // Who made the volume for the claim is told from whom it fell to.
  if (!IsMeantFor(*volume, claim) && !HasAnnotation(volume->metadata(), kBoundByController)) {
    (*volume->mutable_metadata()->mutable_annotations())[kBoundByController] = "yes";
    changed = true;
  }
  const auto& reference = volume->spec().claim_ref();
  if (!volume->spec().has_claim_ref() || !IsMeantFor(*volume, claim) ||
      reference.uid() != claim.metadata().uid()) {
    *volume->mutable_spec()->mutable_claim_ref() = kube::ReferenceTo(claim);
    changed = true;
  }
  return changed;
}

}  // namespace meltemi::controllers
