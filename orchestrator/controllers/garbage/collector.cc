#include "orchestrator/controllers/garbage/collector.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "kube/client/typed.h"
#include "kube/discovery/any_resource.h"
#include "orchestrator/controllers/garbage/patches.h"

namespace meltemi::controllers {
namespace {

using kube::meta::v1::ObjectMeta;
using kube::meta::v1::OwnerReference;
using kube::meta::v1::PartialObjectMetadata;

constexpr char kForeground[] = "foregroundDeletion";
constexpr char kOrphan[] = "orphan";
constexpr int kConflictsMax = 5;
// What can't be decided is looked at again after a second, twice as long each time, up to this.
constexpr Duration kPutOffMax = minutes(5);
constexpr int kDoublingsMax = 9;

bool HasFinalizer(const ObjectMeta& meta, absl::string_view name) {
  return std::find(meta.finalizers().begin(), meta.finalizers().end(), name) !=
         meta.finalizers().end();
}

Identity OwnerIdentity(const OwnerReference& owner, absl::string_view ns) {
  return {{owner.api_version(), owner.kind()}, std::string(ns), owner.name(), owner.uid()};
}

// Where the object is, or nullopt when a namespace is wanted and none known.
std::optional<std::string> Place(const kube::ApiResource& resource, const Identity& identity) {
  if (!resource.namespaced) return "";
  if (identity.ns.empty()) return std::nullopt;
  return identity.ns;
}

}  // namespace

kube::ReconcileResult Collector::PutOff(const std::string& uid) {
  const int before = std::min(deps_.graph.CountPutOff(uid), kDoublingsMax);
  return kube::Again(std::min<Duration>(kPutOffMax, seconds(int64_t{1} << before)));
}

kube::ReconcileResult Collector::Check(const std::string& uid) {
  const std::optional<NodeView> node = deps_.graph.Look(uid);
  if (!node.has_value()) return kube::Finished();
  if (!node->is_virtual && !node->check) return kube::Finished();
  // A deletion is a one-way road: its end will be seen.
  if (!node->is_virtual && node->being_deleted && !node->waits_for_dependents) {
    deps_.graph.SetCheck(uid, false);
    return kube::Finished();
  }
  deps_.graph.SetCheck(uid, false);
  kube::ReconcileResult done = Look(*node);
  if (!done.ok() || done->after.has_value()) deps_.graph.SetCheck(uid, true);
  return done;
}

kube::ReconcileResult Collector::Look(const NodeView& node) {
  const Identity& identity = node.identity;
  const std::optional<kube::ApiResource> resource = deps_.kinds.Find(identity.kind);
  if (!resource.has_value()) return PutOff(identity.uid);
  const std::optional<std::string> ns = Place(*resource, identity);
  if (!ns.has_value()) return kube::Finished();
  const kube::Result<PartialObjectMetadata> latest =
      kube::GetMetadata(deps_.client, *resource, *ns, identity.name);
  if (!latest.ok() && !kube::IsNotFound(latest.status())) return latest.status();
  if (!latest.ok() || latest->metadata().uid() != identity.uid) {
    ApplyAbsent(identity);
    return kube::Finished();
  }
  // Its informer will show it: all that follows is decided then.
  if (node.is_virtual) return PutOff(identity.uid);
  if (node.waits_for_dependents) return LetGo(node, *resource);
  return Decide(node, *resource, latest->metadata());
}

kube::ReconcileResult Collector::Decide(const NodeView& node, const kube::ApiResource& resource,
                                        const ObjectMeta& latest) {
  const Identity& identity = node.identity;
  if (latest.owner_references_size() == 0) return kube::Finished();
  const kube::Result<Owners> owners = Classify(identity, latest);
  if (!owners.ok()) return owners.status();
  if (owners->impossible) return kube::Finished();
  if (owners->undecided) return PutOff(identity.uid);
  kube::Outcome done = kube::Done{};
  if (owners->solid) {
    // Those that wait for their dependents would wait for this one for ever.
    if (!owners->to_drop.empty()) done = DropOwners(identity, owners->to_drop);
  } else if (owners->waits && node.dependents > 0) {
    if (deps_.graph.DependentThatWaits(identity.uid).has_value()) {
      done = Unblock(identity, resource, latest);
      // It has another resourceVersion now: the next round deletes it.
      if (done.ok()) done = Delete(identity, resource, ObjectMeta(), "Foreground");
    } else {
      done = Delete(identity, resource, latest, "Foreground");
    }
  } else if (HasFinalizer(latest, kOrphan)) {
    done = Delete(identity, resource, latest, "Orphan");
  } else if (HasFinalizer(latest, kForeground)) {
    done = Delete(identity, resource, latest, "Foreground");
  } else {
    done = Delete(identity, resource, latest, "Background");
  }
  if (!done.ok() && !kube::IsNotFound(done.status())) return done.status();
  return kube::Finished();
}

kube::ReconcileResult Collector::LetGo(const NodeView& node, const kube::ApiResource& resource) {
  const std::vector<OwnerGraph::Blocking> blocking =
      deps_.graph.BlockingDependents(node.identity.uid);
  for (const OwnerGraph::Blocking& dependent : blocking) {
    if (dependent.waits_for_dependents) continue;
    deps_.graph.SetCheck(dependent.uid, true);
    deps_.check(dependent.uid);
  }
  if (!blocking.empty()) return kube::Finished();
  const kube::Outcome done = RemoveFinalizer(node.identity, resource, kForeground);
  if (!done.ok()) return done.status();
  return kube::Finished();
}

kube::Result<Collector::Owners> Collector::Classify(const Identity& dependent,
                                                    const ObjectMeta& latest) {
  Owners out;
  for (const OwnerReference& owner : latest.owner_references()) {
    const kube::Result<OwnerState> state = StateOf(owner, dependent);
    if (!state.ok()) return state.status();
    switch (*state) {
      case OwnerState::kSolid:
        out.solid = true;
        break;
      case OwnerState::kWaitsForDependents:
        out.waits = true;
        out.to_drop.push_back(owner.uid());
        break;
      case OwnerState::kAbsent:
        out.to_drop.push_back(owner.uid());
        break;
      case OwnerState::kUndecided:
        out.undecided = true;
        break;
      case OwnerState::kImpossible:
        out.impossible = true;
        break;
    }
  }
  return out;
}

kube::Result<Collector::OwnerState> Collector::StateOf(const OwnerReference& owner,
                                                       const Identity& dependent) {
  if (deps_.graph.IsAbsent(OwnerIdentity(owner, "")) ||
      deps_.graph.IsAbsent(OwnerIdentity(owner, dependent.ns))) {
    return OwnerState::kAbsent;
  }
  const std::optional<kube::ApiResource> resource =
      deps_.kinds.Find({owner.api_version(), owner.kind()});
  if (!resource.has_value()) return OwnerState::kUndecided;
  if (resource->namespaced && dependent.ns.empty()) return OwnerState::kImpossible;
  const std::string ns = resource->namespaced ? dependent.ns : "";
  const kube::Result<PartialObjectMetadata> latest =
      kube::GetMetadata(deps_.client, *resource, ns, owner.name());
  if (!latest.ok() && !kube::IsNotFound(latest.status())) return latest.status();
  if (!latest.ok() || latest->metadata().uid() != owner.uid()) {
    deps_.graph.AddAbsent(OwnerIdentity(owner, ns));
    return OwnerState::kAbsent;
  }
  const ObjectMeta& meta = latest->metadata();
  const bool waits = meta.has_deletion_timestamp() && HasFinalizer(meta, kForeground);
  return waits ? OwnerState::kWaitsForDependents : OwnerState::kSolid;
}

kube::Outcome Collector::Delete(const Identity& identity, const kube::ApiResource& resource,
                                const ObjectMeta& latest, absl::string_view propagation) {
  kube::DeleteOptions options;
  options.uid = identity.uid;
  // Whoever has got an owner since it was read stays.
  options.resource_version = latest.resource_version();
  options.propagation = std::string(propagation);
  return kube::Delete(deps_.client, resource, identity.ns, identity.name, options);
}

kube::Outcome Collector::RemoveFinalizer(const Identity& identity,
                                         const kube::ApiResource& resource,
                                         absl::string_view finalizer) {
  for (int attempt = 1;; ++attempt) {
    const kube::Result<PartialObjectMetadata> latest =
        kube::GetMetadata(deps_.client, resource, identity.ns, identity.name);
    if (!latest.ok() && kube::IsNotFound(latest.status())) return kube::Done{};
    if (!latest.ok()) return latest.status();
    if (latest->metadata().uid() != identity.uid) return kube::Done{};
    const std::string patch = DropFinalizerPatch(latest->metadata(), finalizer);
    if (patch.empty()) return kube::Done{};
    kube::Outcome done = kube::PatchObject(deps_.client, resource, identity.ns, identity.name,
                                           kube::PatchType::kMerge, patch);
    if (done.ok() || kube::IsNotFound(done.status())) return kube::Done{};
    if (!kube::IsConflict(done.status()) || attempt == kConflictsMax) return done;
  }
}

kube::Outcome Collector::DropOwners(const Identity& identity,
                                    const std::vector<std::string>& owner_uids) {
  const std::optional<kube::ApiResource> resource = deps_.kinds.Find(identity.kind);
  if (!resource.has_value()) {
    return kube::InternalError(absl::StrCat("no resource serves ", identity.ToString()));
  }
  kube::Outcome done = kube::PatchObject(deps_.client, *resource, identity.ns, identity.name,
                                         kube::PatchType::kStrategicMerge,
                                         DropOwnersPatch(identity.uid, owner_uids));
  // Custom resources take merge patches alone.
  if (done.ok() || done.status().code != 415) return done;
  const kube::Result<PartialObjectMetadata> latest =
      kube::GetMetadata(deps_.client, *resource, identity.ns, identity.name);
  if (!latest.ok()) return latest.status();
  if (latest->metadata().uid() != identity.uid) return kube::Done{};
  return kube::PatchObject(deps_.client, *resource, identity.ns, identity.name,
                           kube::PatchType::kMerge,
                           DropOwnersMergePatch(latest->metadata(), owner_uids));
}

kube::Outcome Collector::Unblock(const Identity& identity, const kube::ApiResource& resource,
                                 const ObjectMeta& latest) {
  return kube::PatchObject(deps_.client, resource, identity.ns, identity.name,
                           kube::PatchType::kMerge, UnblockPatch(latest));
}

kube::ReconcileResult Collector::Orphan(const std::string& uid) {
  const std::optional<NodeView> node = deps_.graph.Look(uid);
  if (!node.has_value()) return kube::Finished();
  const Identity& owner = node->identity;
  const std::optional<kube::ApiResource> resource = deps_.kinds.Find(owner.kind);
  if (!resource.has_value()) return PutOff(uid);
  const kube::Result<PartialObjectMetadata> latest =
      kube::GetMetadata(deps_.client, *resource, owner.ns, owner.name);
  if (!latest.ok() && !kube::IsNotFound(latest.status())) return latest.status();
  if (!latest.ok() || latest->metadata().uid() != uid ||
      !latest->metadata().has_deletion_timestamp() || !HasFinalizer(latest->metadata(), kOrphan)) {
    return kube::Finished();
  }
  for (const Identity& dependent : deps_.graph.Dependents(uid)) {
    const kube::Outcome freed = DropOwners(dependent, {uid});
    if (!freed.ok() && !kube::IsNotFound(freed.status())) return freed.status();
  }
  int64_t revision = 0;
  if (absl::SimpleAtoi(latest->metadata().resource_version(), &revision)) {
    const kube::Outcome freed = FreeUnseenDependents(owner, !resource->namespaced, revision);
    if (!freed.ok()) return freed.status();
  }
  const kube::Outcome done = RemoveFinalizer(owner, *resource, kOrphan);
  if (!done.ok()) return done.status();
  return kube::Finished();
}

// Dependents that were made just before the owner was deleted may not have been seen yet; once it
// is gone they would be taken for garbage.
kube::Outcome Collector::FreeUnseenDependents(const Identity& owner, bool cluster_scoped,
                                              int64_t revision) {
  for (const kube::ApiResource& resource : deps_.behind(revision)) {
    if (!resource.namespaced && !cluster_scoped) continue;
    const kube::Result<std::vector<kube::ObjectHead>> heads =
        kube::ListHeads(deps_.client, resource, owner.ns);
    if (!heads.ok() && kube::IsNotFound(heads.status())) continue;
    if (!heads.ok()) return heads.status();
    for (const kube::ObjectHead& head : *heads) {
      const auto& owners = head.owner_uids;
      if (std::find(owners.begin(), owners.end(), owner.uid) == owners.end()) continue;
      const Identity dependent{{kube::ApiVersion(resource.group, resource.version), resource.kind},
                               head.ns,
                               head.name,
                               head.uid};
      kube::Outcome freed = DropOwners(dependent, {owner.uid});
      if (!freed.ok() && !kube::IsNotFound(freed.status())) return freed;
    }
  }
  return kube::Done{};
}

}  // namespace meltemi::controllers
