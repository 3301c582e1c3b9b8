// Binds claims and volumes to each other, provisions and reclaims.
//
//   claim   Pending ──volume found or made──→ Bound ──its volume is gone──→ Lost
//   volume  Available ──claim──→ Bound ──claim gone──→ Released ──Delete──→ gone, or Failed
#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kube/client/typed.h"
#include "kube/core/v1/node.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/queue/controller.h"
#include "orchestrator/controllers/runtime/context.h"
#include "orchestrator/controllers/runtime/expectations.h"
#include "orchestrator/controllers/runtime/pods.h"
#include "orchestrator/controllers/volumes/matching.h"
#include "orchestrator/controllers/volumes/pod_claims.h"
#include "orchestrator/controllers/volumes/provisioner.h"
#include "orchestrator/controllers/volumes/volumes.h"

namespace meltemi::controllers {
namespace {

using kube::core::v1::Node;
using kube::core::v1::Pod;
using kube::storage::v1::StorageClass;
using ClassPtr = std::shared_ptr<const StorageClass>;

// What waits says so again, as often as Kubernetes repeats it.
constexpr Duration kSayAgain = seconds(15);
constexpr char kByClass[] = "class of unbound claims";
constexpr char kIsDefault[] = "storageclass.kubernetes.io/is-default-class";
constexpr char kIsDefaultBeta[] = "storageclass.beta.kubernetes.io/is-default-class";

std::vector<std::string> UnboundByClass(const google::protobuf::Message& object) {
  const auto& claim = static_cast<const PersistentVolumeClaim&>(object);
  if (IsFullyBound(claim)) return {};
  return {ClassOf(claim)};
}

bool IsDefault(const StorageClass& storage_class) {
  return Annotation(storage_class.metadata(), kIsDefault) == "true" ||
         Annotation(storage_class.metadata(), kIsDefaultBeta) == "true";
}

bool IsReclaimable(const std::string& phase) { return phase == "Released" || phase == "Failed"; }

class Binder final : public Running {
 public:
  explicit Binder(Context& context)
      : context_(context),
        recorder_(context.recorder("persistentvolume-controller")),
        claims_(context.informers.ListerOf<PersistentVolumeClaim>()),
        volumes_(context.informers.ListerOf<PersistentVolume>()),
        classes_(context.informers.ListerOf<StorageClass>()),
        nodes_(context.informers.ListerOf<Node>()),
        pods_(context.informers.ListerOf<Pod>()),
        expectations_(context.executor.clock()) {
    auto& informers = context.informers;
    informers.Of<PersistentVolumeClaim>().AddIndex(kByClass, UnboundByClass);
    informers.Of<Pod>().AddIndex(kByClaim, PodsByClaim);
    // One at a time, so that no two claims reach for the same volume.
    queue_ = kube::NewController({.name = "persistentvolume", .workers = 1}, context.executor,
                                 context.metrics, [this](const kube::NamespacedName& key) {
                                   return key.ns.empty() ? SyncVolume(key) : SyncClaim(key);
                                 });
    informers.Of<PersistentVolumeClaim>().AddHandler(
        [this](const kube::Change& change) { OnClaim(change); });
    informers.Of<PersistentVolume>().AddHandler(
        [this](const kube::Change& change) { OnVolume(change); });
    informers.Of<StorageClass>().AddHandler(
        [this](const kube::Change& change) { OnClass(change); });
  }

  void Start() override { queue_->Start(); }

 private:
  void OnClaim(const kube::Change& change);
  void OnVolume(const kube::Change& change);
  void OnClass(const kube::Change& change);
  void AddUnbound(const std::string& storage_class);

  kube::ReconcileResult SyncClaim(const kube::NamespacedName& key);
  kube::ReconcileResult SyncUnbound(const PersistentVolumeClaim& claim);
  kube::ReconcileResult SyncAnyVolume(const PersistentVolumeClaim& claim);
  kube::ReconcileResult SyncNamedVolume(const PersistentVolumeClaim& claim);
  kube::ReconcileResult SyncBound(const PersistentVolumeClaim& claim);
  kube::ReconcileResult StillPending(const PersistentVolumeClaim& claim);
  void TellOfConsumers(const PersistentVolumeClaim& claim);
  // True: the claim has got the default class just now.
  kube::Result<bool> AssignDefaultClass(const PersistentVolumeClaim& claim);

  kube::ReconcileResult Provision(const PersistentVolumeClaim& claim, const ClassPtr& of);
  kube::ReconcileResult ProvisionOutside(const PersistentVolumeClaim& claim,
                                         const StorageClass& of);
  kube::Result<NodePtr> NodeFor(const PersistentVolumeClaim& claim, const StorageClass& of);
  kube::ReconcileResult ProvisioningFailed(const PersistentVolumeClaim& claim,
                                           const std::string& why);

  kube::Outcome Bind(PersistentVolume volume, PersistentVolumeClaim claim);
  kube::Outcome SetClaimStatus(PersistentVolumeClaim claim, const std::string& phase,
                               const PersistentVolume* volume);
  kube::Outcome Lose(const PersistentVolumeClaim& claim, const char* reason, const char* message);

  kube::ReconcileResult SyncVolume(const kube::NamespacedName& key);
  kube::ReconcileResult SyncClaimed(const PersistentVolume& volume);
  kube::ReconcileResult Release(PersistentVolume volume);
  kube::ReconcileResult FailVolume(PersistentVolume volume, const char* reason,
                                   const std::string& message);
  kube::Outcome Unbind(PersistentVolume volume);
  kube::Result<PersistentVolume> SetVolumePhase(PersistentVolume volume, const std::string& phase,
                                                const std::string& message = "");
  // Null: there is no such claim (any more), by the API server's own word.
  kube::Result<ClaimPtr> ClaimOf(const PersistentVolume& volume);

  Context& context_;
  kube::EventRecorder& recorder_;
  const kube::Lister<PersistentVolumeClaim> claims_;
  const kube::Lister<PersistentVolume> volumes_;
  const kube::Lister<StorageClass> classes_;
  const kube::Lister<Node> nodes_;
  const kube::Lister<Pod> pods_;
  Expectations expectations_;  // of claims
  // Last: it is gone first, and with it everything under way.
  std::unique_ptr<kube::Controller> queue_;
};

// ---- what is to be looked at ----

void Binder::OnClaim(const kube::Change& change) {
  const bool is_gone = change.after == nullptr;
  const auto& claim =
      static_cast<const PersistentVolumeClaim&>(is_gone ? *change.before : *change.after);
  if (is_gone) expectations_.Drop(kube::NameOf(claim));
  queue_->Add(kube::NameOf(claim));
  if (!claim.spec().volume_name().empty()) queue_->Add({"", claim.spec().volume_name()});
  // One that was provisioned for a claim that did not live to see it.
  if (is_gone) queue_->Add({"", ProvisionedName(claim)});
}

void Binder::OnVolume(const kube::Change& change) {
  const auto& volume = static_cast<const PersistentVolume&>(
      change.after == nullptr ? *change.before : *change.after);
  if (change.after != nullptr) queue_->Add({"", volume.metadata().name()});
  const auto& reference = volume.spec().claim_ref();
  if (volume.spec().has_claim_ref()) {
    queue_->Add({reference.namespace_(), reference.name()});
  } else {
    AddUnbound(ClassOf(volume));
  }
}

void Binder::OnClass(const kube::Change& change) {
  if (change.after == nullptr) return;
  const auto& storage_class = static_cast<const StorageClass&>(*change.after);
  AddUnbound(storage_class.metadata().name());
  if (IsDefault(storage_class)) AddUnbound("");
}

void Binder::AddUnbound(const std::string& storage_class) {
  for (const ClaimPtr& claim : claims_.ByIndex(kByClass, storage_class)) {
    queue_->Add(kube::NameOf(*claim));
  }
}

// ---- claims ----

kube::ReconcileResult Binder::SyncClaim(const kube::NamespacedName& key) {
  const ClaimPtr claim = claims_.Get(key);
  if (claim == nullptr) return kube::Finished();
  if (!expectations_.Met(key, claims_.informer())) return Expectations::Wait();
  return HasAnnotation(claim->metadata(), kBindCompleted) ? SyncBound(*claim) : SyncUnbound(*claim);
}

kube::ReconcileResult Binder::SyncUnbound(const PersistentVolumeClaim& claim) {
  return claim.spec().volume_name().empty() ? SyncAnyVolume(claim) : SyncNamedVolume(claim);
}

kube::ReconcileResult Binder::SyncAnyVolume(const PersistentVolumeClaim& claim) {
  const std::string class_name = ClassOf(claim);
  const ClassPtr of = class_name.empty() ? nullptr : classes_.Get("", class_name);
  const bool waits = of != nullptr && WaitsForConsumer(*of);
  const VolumePtr volume = BestMatch(claim, volumes_.List(), {.only_meant = waits});
  if (volume != nullptr) {
    const kube::Outcome bound = Bind(*volume, claim);
    if (!bound.ok()) return bound.status();
    return kube::Finished();
  }
  const kube::Result<bool> assigned = AssignDefaultClass(claim);
  if (!assigned.ok()) return assigned.status();
  if (*assigned) return kube::Finished();
  if (waits && !HasAnnotation(claim.metadata(), kSelectedNode)) {
    TellOfConsumers(claim);
    return StillPending(claim);
  }
  if (!class_name.empty()) return Provision(claim, of);
  recorder_.Record(claim, kube::kNormal, "FailedBinding",
                   "no persistent volumes available for this claim and no storage class is set");
  return StillPending(claim);
}

kube::ReconcileResult Binder::StillPending(const PersistentVolumeClaim& claim) {
  const kube::Outcome written = SetClaimStatus(claim, "Pending", nullptr);
  if (!written.ok()) return written.status();
  return kube::Again(kSayAgain);
}

void Binder::TellOfConsumers(const PersistentVolumeClaim& claim) {
  std::vector<std::string> waiting;
  for (const auto& pod : pods_.ByIndex(kByClaim, kube::NameOf(claim).ToString())) {
    if (pod->spec().node_name().empty() && !IsFinished(*pod)) {
      waiting.push_back(pod->metadata().name());
    }
  }
  if (waiting.empty()) {
    recorder_.Record(claim, kube::kNormal, "WaitForFirstConsumer",
                     "waiting for first consumer to be created before binding");
    return;
  }
  recorder_.Record(claim, kube::kNormal, "WaitForPodScheduled",
                   absl::StrCat("waiting for pod", waiting.size() > 1 ? "s " : " ",
                                absl::StrJoin(waiting, ","), " to be scheduled"));
}

kube::Result<bool> Binder::AssignDefaultClass(const PersistentVolumeClaim& claim) {
  if (claim.spec().has_storage_class_name() || HasAnnotation(claim.metadata(), kBetaStorageClass)) {
    return false;
  }
  ClassPtr chosen;  // the newest, as admission chooses
  for (const ClassPtr& one : classes_.List()) {
    if (!IsDefault(*one)) continue;
    if (chosen == nullptr || ToWall(one->metadata().creation_timestamp()) >
                                 ToWall(chosen->metadata().creation_timestamp())) {
      chosen = one;
    }
  }
  if (chosen == nullptr) return false;
  PersistentVolumeClaim changed = claim;
  changed.mutable_spec()->set_storage_class_name(chosen->metadata().name());
  const auto written = kube::Update(context_.client, changed);
  if (!written.ok()) return written.status();
  return true;
}

kube::ReconcileResult Binder::SyncNamedVolume(const PersistentVolumeClaim& claim) {
  const VolumePtr volume = volumes_.Get("", claim.spec().volume_name());
  if (volume == nullptr) return StillPending(claim);
  const std::string& name = volume->metadata().name();
  if (volume->spec().has_claim_ref() && !IsMeantFor(*volume, claim)) {
    recorder_.Record(claim, kube::kWarning, "FailedBinding",
                     absl::StrCat("volume \"", name, "\" already bound to a different claim."));
    return StillPending(claim);
  }
  if (!volume->spec().has_claim_ref()) {
    if (const std::string unfit = WhyUnfit(*volume, claim); !unfit.empty()) {
      recorder_.Record(claim, kube::kWarning, "VolumeMismatch",
                       absl::StrCat("Cannot bind to requested volume \"", name, "\": ", unfit));
      return StillPending(claim);
    }
  }
  const kube::Outcome bound = Bind(*volume, claim);
  if (!bound.ok()) return bound.status();
  return kube::Finished();
}

kube::ReconcileResult Binder::SyncBound(const PersistentVolumeClaim& claim) {
  const std::string& name = claim.spec().volume_name();
  kube::Outcome done = kube::Done{};
  if (name.empty()) {
    done = Lose(claim, "ClaimLost",
                "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!");
    if (!done.ok()) return done.status();
    return kube::Finished();
  }
  VolumePtr volume = volumes_.Get("", name);
  if (volume == nullptr) {
    // The informer of volumes may be behind that of claims.
    const auto asked = kube::Get<PersistentVolume>(context_.client, "", name);
    if (!asked.ok() && !kube::IsNotFound(asked.status())) return asked.status();
    if (asked.ok()) volume = std::make_shared<PersistentVolume>(*asked);
  }
  if (volume == nullptr) {
    done = Lose(claim, "ClaimLost",
                "Bound claim has lost its PersistentVolume. Data on the volume is lost!");
  } else if (volume->spec().has_claim_ref() &&
             volume->spec().claim_ref().uid() != claim.metadata().uid() &&
             !IsMeantFor(*volume, claim)) {
    done = Lose(claim, "ClaimMisbound",
                "Two claims are bound to the same volume, this one is bound incorrectly");
  } else {
    done = Bind(*volume, claim);
  }
  if (!done.ok()) return done.status();
  return kube::Finished();
}

kube::Outcome Binder::Lose(const PersistentVolumeClaim& claim, const char* reason,
                           const char* message) {
  if (claim.status().phase() == "Lost") return kube::Done{};
  kube::Outcome written = SetClaimStatus(claim, "Lost", nullptr);
  if (written.ok()) recorder_.Record(claim, kube::kWarning, reason, message);
  return written;
}

// The volume first: it can have one claim only, so whoever writes it has it.
kube::Outcome Binder::Bind(PersistentVolume volume, PersistentVolumeClaim claim) {
  const kube::NamespacedName key = kube::NameOf(claim);
  if (BindTo(claim, &volume)) {
    kube::Result<PersistentVolume> written = kube::Update(context_.client, volume);
    if (!written.ok()) return written.status();
    volume = *std::move(written);
  }
  const kube::Result<PersistentVolume> marked = SetVolumePhase(volume, "Bound");
  if (!marked.ok()) return marked.status();
  auto& annotations = *claim.mutable_metadata()->mutable_annotations();
  bool changed = false;
  if (claim.spec().volume_name() != volume.metadata().name()) {
    claim.mutable_spec()->set_volume_name(volume.metadata().name());
    annotations[kBoundByController] = "yes";
    changed = true;
  }
  if (annotations.count(kBindCompleted) == 0) {
    annotations[kBindCompleted] = "yes";
    changed = true;
  }
  if (changed) {
    kube::Result<PersistentVolumeClaim> written = kube::Update(context_.client, claim);
    if (!written.ok()) return written.status();
    claim = *std::move(written);
    expectations_.ExpectRevision(key, claim.metadata().resource_version());
  }
  return SetClaimStatus(std::move(claim), "Bound", &volume);
}

kube::Outcome Binder::SetClaimStatus(PersistentVolumeClaim claim, const std::string& phase,
                                     const PersistentVolume* volume) {
  const kube::core::v1::PersistentVolumeClaimStatus before = claim.status();
  auto& status = *claim.mutable_status();
  if (volume == nullptr) {
    status.clear_access_modes();
    status.clear_capacity();
    status.clear_current_volume_attributes_class_name();
  } else {
    *status.mutable_access_modes() = volume->spec().access_modes();
    // What has been resized since is not what the volume was made with.
    if (status.phase() != phase) *status.mutable_capacity() = volume->spec().capacity();
  }
  status.set_phase(phase);
  const bool same = before.phase() == phase &&
                    std::equal(before.access_modes().begin(), before.access_modes().end(),
                               status.access_modes().begin(), status.access_modes().end()) &&
                    before.capacity_size() == status.capacity_size();
  if (same) return kube::Done{};
  const auto written = kube::UpdateStatus(context_.client, claim);
  if (!written.ok()) return written.status();
  expectations_.ExpectRevision(kube::NameOf(claim), written->metadata().resource_version());
  return kube::Done{};
}

// ---- provisioning ----

kube::ReconcileResult Binder::ProvisioningFailed(const PersistentVolumeClaim& claim,
                                                 const std::string& why) {
  recorder_.Record(claim, kube::kWarning, "ProvisioningFailed", why);
  return StillPending(claim);
}

kube::ReconcileResult Binder::Provision(const PersistentVolumeClaim& claim, const ClassPtr& of) {
  if (claim.metadata().has_deletion_timestamp()) return kube::Finished();
  if (of == nullptr) {
    return ProvisioningFailed(
        claim, absl::StrCat("storageclass.storage.k8s.io \"", ClassOf(claim), "\" not found"));
  }
  if (of->provisioner() != kLocalPathProvisioner) return ProvisionOutside(claim, *of);
  const std::string head = absl::StrCat("Failed to provision volume with StorageClass \"",
                                        of->metadata().name(), "\": ");
  if (const std::string why = WhyNotProvisioned(claim, *of); !why.empty()) {
    return ProvisioningFailed(claim, head + why);
  }
  const kube::Result<NodePtr> node = NodeFor(claim, *of);
  if (!node.ok()) return node.status();
  if (*node == nullptr) {
    return ProvisioningFailed(claim, absl::StrCat(head, "no node is ready to hold the volume"));
  }
  const PersistentVolume volume = ProvisionedVolume(claim, *of, **node);
  const auto made = kube::Create(context_.client, volume);
  if (!made.ok() && !kube::IsAlreadyExists(made.status())) {
    recorder_.Record(claim, kube::kWarning, "ProvisioningFailed",
                     absl::StrCat("Error creating provisioned PV object for claim ",
                                  kube::NameOf(claim).ToString(), ": ", made.status().message));
    return made.status();
  }
  if (made.ok()) {
    recorder_.Record(claim, kube::kNormal, "ProvisioningSucceeded",
                     absl::StrCat("Successfully provisioned volume ", volume.metadata().name(),
                                  " using ", kLocalPathProvisioner));
    const kube::Outcome bound = Bind(*made, claim);
    if (!bound.ok()) return bound.status();
  }
  return kube::Finished();
}

// Null: there is none now. A node that was chosen and is gone is not waited for: the scheduler
// chooses again.
kube::Result<NodePtr> Binder::NodeFor(const PersistentVolumeClaim& claim, const StorageClass& of) {
  const std::string selected = Annotation(claim.metadata(), kSelectedNode);
  if (selected.empty()) return ChooseNode(of, nodes_.List(), volumes_.List());
  NodePtr node = nodes_.Get("", selected);
  if (node != nullptr) return node;
  // By a list, because the controller's role has no right to get one.
  const auto asked = kube::List<Node>(context_.client,
                                      {.field_selector = absl::StrCat("metadata.name=", selected)});
  if (!asked.ok()) return asked.status();
  if (!asked->empty()) return NodePtr(std::make_shared<Node>(asked->front()));
  recorder_.Record(claim, kube::kWarning, "ProvisioningFailed",
                   absl::StrCat("Failed to get target node: node \"", selected, "\" not found"));
  PersistentVolumeClaim changed = claim;
  changed.mutable_metadata()->mutable_annotations()->erase(kSelectedNode);
  const auto written = kube::Update(context_.client, changed);
  if (!written.ok()) return written.status();
  return NodePtr();
}

kube::ReconcileResult Binder::ProvisionOutside(const PersistentVolumeClaim& claim,
                                               const StorageClass& of) {
  const std::string& who = of.provisioner();
  if (absl::StartsWith(who, "kubernetes.io/")) {
    return ProvisioningFailed(claim, absl::StrCat("no volume plugin matched name: ", who));
  }
  PersistentVolumeClaim changed = claim;
  if (Annotation(claim.metadata(), kStorageProvisioner) != who) {
    auto& annotations = *changed.mutable_metadata()->mutable_annotations();
    annotations[kStorageProvisioner] = who;
    annotations[kBetaStorageProvisioner] = who;
    kube::Result<PersistentVolumeClaim> written = kube::Update(context_.client, changed);
    if (!written.ok()) return written.status();
    changed = *std::move(written);
  }
  recorder_.Record(
      claim, kube::kNormal, "ExternalProvisioning",
      absl::StrCat("Waiting for a volume to be created either by the external provisioner '", who,
                   "' or manually by the system administrator. If volume creation is delayed, "
                   "please verify that the provisioner is running and correctly registered."));
  return StillPending(changed);
}

// ---- volumes ----

kube::ReconcileResult Binder::SyncVolume(const kube::NamespacedName& key) {
  const VolumePtr volume = volumes_.Get(key);
  if (volume == nullptr) return kube::Finished();
  const auto& reference = volume->spec().claim_ref();
  if (volume->spec().has_claim_ref() && !reference.uid().empty()) return SyncClaimed(*volume);
  const auto marked = SetVolumePhase(*volume, "Available");
  if (!marked.ok()) return marked.status();
  return kube::Finished();
}

kube::Result<ClaimPtr> Binder::ClaimOf(const PersistentVolume& volume) {
  const auto& reference = volume.spec().claim_ref();
  const ClaimPtr known = claims_.Get(reference.namespace_(), reference.name());
  if (known != nullptr && known->metadata().uid() == reference.uid()) return known;
  // Nothing is thrown away on an informer's word.
  const auto asked =
      kube::Get<PersistentVolumeClaim>(context_.client, reference.namespace_(), reference.name());
  if (!asked.ok()) {
    if (kube::IsNotFound(asked.status())) return ClaimPtr();
    return asked.status();
  }
  if (asked->metadata().uid() != reference.uid()) return ClaimPtr();
  return ClaimPtr(std::make_shared<PersistentVolumeClaim>(*asked));
}

kube::ReconcileResult Binder::SyncClaimed(const PersistentVolume& volume) {
  const kube::Result<ClaimPtr> found = ClaimOf(volume);
  if (!found.ok()) return found.status();
  const ClaimPtr& claim = *found;
  if (claim == nullptr) return Release(volume);
  const std::string& name = volume.metadata().name();
  if (claim->spec().volume_name().empty()) {
    // The claim's turn.
    queue_->Add(kube::NameOf(*claim));
    return kube::Finished();
  }
  if (claim->spec().volume_name() == name) {
    const auto marked = SetVolumePhase(volume, "Bound");
    if (!marked.ok()) return marked.status();
    return kube::Finished();
  }
  // The claim has another volume.
  if (HasAnnotation(volume.metadata(), kProvisionedBy) &&
      volume.spec().persistent_volume_reclaim_policy() == "Delete") {
    return Release(volume);
  }
  const kube::Outcome unbound = Unbind(volume);
  if (!unbound.ok()) return unbound.status();
  return kube::Finished();
}

kube::ReconcileResult Binder::Release(PersistentVolume volume) {
  if (!IsReclaimable(volume.status().phase())) {
    kube::Result<PersistentVolume> marked = SetVolumePhase(volume, "Released");
    if (!marked.ok()) return marked.status();
    volume = *std::move(marked);
  }
  const std::string& policy = volume.spec().persistent_volume_reclaim_policy();
  const std::string& name = volume.metadata().name();
  if (policy == "Retain" || volume.metadata().has_deletion_timestamp()) return kube::Finished();
  if (policy == "Recycle") {
    return FailVolume(std::move(volume), "VolumeFailedRecycle",
                      "No recycler plugin found for the volume!");
  }
  const std::string who = Annotation(volume.metadata(), kProvisionedBy);
  if (who == kLocalPathProvisioner) {
    // Its node's kubelet removes the folder once the object is gone.
    const kube::Outcome deleted =
        kube::Delete<PersistentVolume>(context_.client, "", name, {.uid = volume.metadata().uid()});
    if (!deleted.ok() && !kube::IsNotFound(deleted.status())) return deleted.status();
    return kube::Finished();
  }
  // Whoever has made it deletes it.
  if (!who.empty()) return kube::Finished();
  return FailVolume(std::move(volume), "VolumeFailedDelete",
                    absl::StrCat("error getting deleter volume plugin for volume \"", name,
                                 "\": no deletable volume plugin matched"));
}

kube::ReconcileResult Binder::FailVolume(PersistentVolume volume, const char* reason,
                                         const std::string& message) {
  if (volume.status().phase() == "Failed") return kube::Finished();
  const auto marked = SetVolumePhase(volume, "Failed", message);
  if (!marked.ok()) return marked.status();
  recorder_.Record(volume, kube::kWarning, reason, message);
  return kube::Finished();
}

kube::Outcome Binder::Unbind(PersistentVolume volume) {
  auto& annotations = *volume.mutable_metadata()->mutable_annotations();
  if (annotations.count(kBoundByController) > 0) {
    annotations.erase(kBoundByController);
    volume.mutable_spec()->clear_claim_ref();
  } else {
    // A user has said whose it is.
    volume.mutable_spec()->mutable_claim_ref()->clear_uid();
  }
  const kube::Result<PersistentVolume> written = kube::Update(context_.client, volume);
  if (!written.ok()) return written.status();
  const kube::Result<PersistentVolume> marked = SetVolumePhase(*written, "Available");
  if (!marked.ok()) return marked.status();
  return kube::Done{};
}

kube::Result<PersistentVolume> Binder::SetVolumePhase(PersistentVolume volume,
                                                      const std::string& phase,
                                                      const std::string& message) {
  auto& status = *volume.mutable_status();
  if (status.phase() == phase) return volume;
  status.set_phase(phase);
  status.set_message(message);
  *status.mutable_last_phase_transition_time() = FromWall(context_.WallNow());
  return kube::UpdateStatus(context_.client, volume);
}

}  // namespace

std::unique_ptr<Running> NewVolumeBinder(Context& context) {
  return std::make_unique<Binder>(context);
}

}  // namespace meltemi::controllers
