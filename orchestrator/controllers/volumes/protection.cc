// Claims stay as long as a pod uses them, volumes as long as they are bound: by finalizers, which
// admission adds and this takes away.
#include <algorithm>

#include "kube/client/typed.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/queue/controller.h"
#include "orchestrator/controllers/runtime/context.h"
#include "orchestrator/controllers/volumes/matching.h"
#include "orchestrator/controllers/volumes/pod_claims.h"
#include "orchestrator/controllers/volumes/volumes.h"

namespace meltemi::controllers {
namespace {

using kube::core::v1::Pod;

constexpr char kClaimFinalizer[] = "kubernetes.io/pvc-protection";
constexpr char kVolumeFinalizer[] = "kubernetes.io/pv-protection";

bool Has(const kube::meta::v1::ObjectMeta& meta, absl::string_view finalizer) {
  const auto& all = meta.finalizers();
  return std::find(all.begin(), all.end(), finalizer) != all.end();
}

void Toggle(kube::meta::v1::ObjectMeta* meta, absl::string_view finalizer) {
  auto& all = *meta->mutable_finalizers();
  const auto found = std::find(all.begin(), all.end(), finalizer);
  if (found != all.end()) {
    all.erase(found);
  } else {
    meta->add_finalizers(std::string(finalizer));
  }
}

// Both kinds in the same way: those that go lose the finalizer when nothing needs them, those that
// stay have it.
template <typename T>
kube::ReconcileResult Protect(kube::Client& client, const T& object, absl::string_view finalizer,
                              const std::function<kube::Result<bool>()>& is_needed) {
  const bool goes = object.metadata().has_deletion_timestamp();
  if (goes != Has(object.metadata(), finalizer)) return kube::Finished();
  if (goes) {
    const kube::Result<bool> needed = is_needed();
    if (!needed.ok()) return needed.status();
    if (*needed) return kube::Finished();
  }
  T changed = object;
  Toggle(changed.mutable_metadata(), finalizer);
  const kube::Result<T> written = kube::Update(client, changed);
  if (!written.ok() && !kube::IsNotFound(written.status())) return written.status();
  return kube::Finished();
}

class ClaimProtection final : public Running {
 public:
  explicit ClaimProtection(Context& context)
      : context_(context),
        claims_(context.informers.ListerOf<PersistentVolumeClaim>()),
        pods_(context.informers.ListerOf<Pod>()) {
    context.informers.Of<Pod>().AddIndex(kByClaim, PodsByClaim);
    queue_ = kube::NewController({.name = "pvcprotection", .workers = 2}, context.executor,
                                 context.metrics,
                                 [this](const kube::NamespacedName& key) { return Sync(key); });
    context.informers.Of<PersistentVolumeClaim>().AddHandler([this](const kube::Change& change) {
      if (change.after != nullptr) queue_->Add(kube::NameOf(*change.after));
    });
    context.informers.Of<Pod>().AddHandler([this](const kube::Change& change) { OnPod(change); });
  }
  void Start() override { queue_->Start(); }

 private:
  void OnPod(const kube::Change& change) {
    // A pod begins to need claims, or ceases to.
    if (change.after != nullptr &&
        !static_cast<const Pod&>(*change.after).metadata().has_deletion_timestamp()) {
      return;
    }
    const auto& pod =
        static_cast<const Pod&>(change.after == nullptr ? *change.before : *change.after);
    for (const auto& volume : pod.spec().volumes()) {
      const std::string claim = ClaimNameOf(pod, volume);
      if (!claim.empty()) queue_->Add({pod.metadata().namespace_(), claim});
    }
  }

  kube::ReconcileResult Sync(const kube::NamespacedName& key) {
    const ClaimPtr claim = claims_.Get(key);
    if (claim == nullptr) return kube::Finished();
    return Protect(context_.client, *claim, kClaimFinalizer, [&] { return IsUsed(*claim); });
  }

  kube::Result<bool> IsUsed(const PersistentVolumeClaim& claim) {
    for (const auto& pod : pods_.ByIndex(kByClaim, kube::NameOf(claim).ToString())) {
      if (Uses(*pod, claim)) return true;
    }
    // The informer may not know the youngest pods yet.
    const auto all = kube::List<Pod>(context_.client, {.ns = claim.metadata().namespace_()});
    if (!all.ok()) return all.status();
    return std::any_of(all->begin(), all->end(),
                       [&claim](const Pod& pod) { return Uses(pod, claim); });
  }

  Context& context_;
  const kube::Lister<PersistentVolumeClaim> claims_;
  const kube::Lister<Pod> pods_;
  // Last: it is gone first, and with it everything under way.
  std::unique_ptr<kube::Controller> queue_;
};

class VolumeProtection final : public Running {
 public:
  explicit VolumeProtection(Context& context)
      : context_(context), volumes_(context.informers.ListerOf<PersistentVolume>()) {
    queue_ = kube::NewController({.name = "pvprotection", .workers = 2}, context.executor,
                                 context.metrics,
                                 [this](const kube::NamespacedName& key) { return Sync(key); });
    context.informers.Of<PersistentVolume>().AddHandler([this](const kube::Change& change) {
      if (change.after != nullptr) queue_->Add(kube::NameOf(*change.after));
    });
  }
  void Start() override { queue_->Start(); }

 private:
  kube::ReconcileResult Sync(const kube::NamespacedName& key) {
    const VolumePtr volume = volumes_.Get(key);
    if (volume == nullptr) return kube::Finished();
    return Protect(context_.client, *volume, kVolumeFinalizer, [&volume]() -> kube::Result<bool> {
      return volume->status().phase() == "Bound";
    });
  }

  Context& context_;
  const kube::Lister<PersistentVolume> volumes_;
  // Last: it is gone first, and with it everything under way.
  std::unique_ptr<kube::Controller> queue_;
};

}  // namespace

std::unique_ptr<Running> NewClaimProtection(Context& context) {
  return std::make_unique<ClaimProtection>(context);
}

std::unique_ptr<Running> NewVolumeProtection(Context& context) {
  return std::make_unique<VolumeProtection>(context);
}

}  // namespace meltemi::controllers
