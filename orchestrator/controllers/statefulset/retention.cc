#include "orchestrator/controllers/statefulset/retention.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "orchestrator/controllers/runtime/owners.h"
#include "orchestrator/controllers/statefulset/plan.h"

namespace meltemi::controllers::statefulsets {
namespace {

using kube::apps::v1::StatefulSet;
using kube::core::v1::PersistentVolumeClaim;
using kube::core::v1::Pod;
using kube::meta::v1::OwnerReference;

bool IsSet(const OwnerReference& owner, const StatefulSet& set) {
  return owner.kind() == "StatefulSet" && owner.name() == set.metadata().name();
}

bool IsPod(const OwnerReference& owner, const std::string& name) {
  return owner.kind() == "Pod" && owner.api_version() == "v1" && owner.name() == name;
}

// An owner of ours that is no more, or a controller that is none of ours: the claim is left alone.
bool IsSomebodyElses(const PersistentVolumeClaim& claim, const StatefulSet& set, const Pod& pod) {
  const auto& owners = claim.metadata().owner_references();
  return std::any_of(owners.begin(), owners.end(), [&](const OwnerReference& owner) {
    if (IsSet(owner, set)) return owner.uid() != set.metadata().uid();
    if (IsPod(owner, pod.metadata().name())) return owner.uid() != pod.metadata().uid();
    return owner.controller();
  });
}

bool IsTooMany(const StatefulSet& set, const Pod& pod) {
  const std::optional<int> ordinal = OrdinalOf(set, pod.metadata().name());
  const int start = set.spec().ordinals().start();
  const int replicas = set.spec().has_replicas() ? set.spec().replicas() : 1;
  return !ordinal.has_value() || *ordinal < start || *ordinal >= start + replicas;
}

}  // namespace

bool SetClaimOwners(const StatefulSet& set, const Pod& pod, PersistentVolumeClaim* claim) {
  const auto& policy = set.spec().persistent_volume_claim_retention_policy();
  const bool with_set = policy.when_deleted() == "Delete";
  const bool with_pod = policy.when_scaled() == "Delete" && IsTooMany(set, pod);
  const bool keeps_all = !with_set && policy.when_scaled() != "Delete";
  if (!keeps_all && IsSomebodyElses(*claim, set, pod)) return false;
  std::optional<OwnerReference> wanted;
  if (with_pod) {
    wanted = ControllerReference(pod);
  } else if (with_set) {
    wanted = ControllerReference(set);
  }
  bool has_wanted = false, changed = false;
  std::vector<OwnerReference> kept;
  for (const OwnerReference& owner : claim->metadata().owner_references()) {
    const bool is_ours = owner.uid() == set.metadata().uid() || owner.uid() == pod.metadata().uid();
    if (wanted.has_value() && owner.uid() == wanted->uid() && owner.controller()) {
      has_wanted = true;
    } else if (is_ours) {
      changed = true;
      continue;
    }
    kept.push_back(owner);
  }
  if (wanted.has_value() && !has_wanted) {
    kept.push_back(*wanted);
    changed = true;
  }
  if (!changed) return false;
  auto& owners = *claim->mutable_metadata()->mutable_owner_references();
  owners.Clear();
  for (const OwnerReference& owner : kept) *owners.Add() = owner;
  return true;
}

bool IsOfEarlierPod(const PersistentVolumeClaim& claim, const std::string& pod_name,
                    const std::string& pod_uid) {
  const auto& owners = claim.metadata().owner_references();
  return std::any_of(owners.begin(), owners.end(), [&](const OwnerReference& owner) {
    return IsPod(owner, pod_name) && owner.uid() != pod_uid;
  });
}

}  // namespace meltemi::controllers::statefulsets
