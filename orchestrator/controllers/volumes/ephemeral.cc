// Makes the claims of generic ephemeral volumes: one per volume, owned by its pod, gone with it.
#include "absl/strings/str_cat.h"
#include "kube/client/typed.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/queue/controller.h"
#include "orchestrator/controllers/runtime/context.h"
#include "orchestrator/controllers/runtime/owners.h"
#include "orchestrator/controllers/volumes/matching.h"
#include "orchestrator/controllers/volumes/pod_claims.h"
#include "orchestrator/controllers/volumes/volumes.h"

namespace meltemi::controllers {
namespace {

using kube::core::v1::Pod;
using kube::core::v1::Volume;

class EphemeralVolumes final : public Running {
 public:
  explicit EphemeralVolumes(Context& context)
      : context_(context),
        recorder_(context.recorder("ephemeral_volume")),
        claims_(context.informers.ListerOf<PersistentVolumeClaim>()),
        pods_(context.informers.ListerOf<Pod>()) {
    context.informers.Of<Pod>().AddIndex(kByClaim, PodsByClaim);
    queue_ = kube::NewController({.name = "ephemeral_volume"}, context.executor, context.metrics,
                                 [this](const kube::NamespacedName& key) { return Sync(key); });
    context.informers.Of<Pod>().AddHandler([this](const kube::Change& change) {
      if (change.after != nullptr) Add(static_cast<const Pod&>(*change.after));
    });
    context.informers.Of<PersistentVolumeClaim>().AddHandler([this](const kube::Change& change) {
      if (change.after != nullptr) return;
      // Somebody has deleted it under the pod.
      for (const auto& pod : pods_.ByIndex(kByClaim, kube::NameOf(*change.before).ToString())) {
        Add(*pod);
      }
    });
  }
  void Start() override { queue_->Start(); }

 private:
  void Add(const Pod& pod) {
    if (pod.metadata().has_deletion_timestamp()) return;
    for (const Volume& volume : pod.spec().volumes()) {
      if (volume.volume_source().has_ephemeral()) return queue_->Add(kube::NameOf(pod));
    }
  }

  kube::ReconcileResult Sync(const kube::NamespacedName& key) {
    const auto pod = pods_.Get(key);
    if (pod == nullptr || pod->metadata().has_deletion_timestamp()) return kube::Finished();
    for (const Volume& volume : pod->spec().volumes()) {
      if (!volume.volume_source().has_ephemeral()) continue;
      const kube::Outcome made = Ensure(*pod, volume);
      if (!made.ok()) {
        recorder_.Record(
            *pod, kube::kWarning, "FailedBinding",
            absl::StrCat("ephemeral volume ", volume.name(), ": ", made.status().message));
        return made.status();
      }
    }
    return kube::Finished();
  }

  kube::Outcome Ensure(const Pod& pod, const Volume& volume) {
    const std::string name = ClaimNameOf(pod, volume);
    const ClaimPtr known = claims_.Get(pod.metadata().namespace_(), name);
    if (known != nullptr) {
      if (IsOwnedBy(*known, pod)) return kube::Done{};
      return kube::InternalError(absl::StrCat("PVC ", pod.metadata().namespace_(), "/", name,
                                              " was not created for pod ",
                                              kube::NameOf(pod).ToString(), " (pod is not owner)"));
    }
    const auto& from = volume.volume_source().ephemeral().volume_claim_template();
    PersistentVolumeClaim claim;
    auto& meta = *claim.mutable_metadata();
    meta.set_name(name);
    meta.set_namespace_(pod.metadata().namespace_());
    *meta.mutable_labels() = from.metadata().labels();
    *meta.mutable_annotations() = from.metadata().annotations();
    *meta.add_owner_references() = ControllerReference(pod);
    *claim.mutable_spec() = from.spec();
    const auto made = kube::Create(context_.client, claim);
    if (made.ok() || kube::IsAlreadyExists(made.status())) return kube::Done{};
    return made.status();
  }

  Context& context_;
  kube::EventRecorder& recorder_;
  const kube::Lister<PersistentVolumeClaim> claims_;
  const kube::Lister<Pod> pods_;
  // Last: it is gone first, and with it everything under way.
  std::unique_ptr<kube::Controller> queue_;
};

}  // namespace

std::unique_ptr<Running> NewEphemeralVolumes(Context& context) {
  return std::make_unique<EphemeralVolumes>(context);
}

}  // namespace meltemi::controllers
