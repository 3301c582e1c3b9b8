// The EndpointSliceMirroring controller.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kube/queue/controller.h"
#include "orchestrator/controllers/endpoints/endpoints.h"
#include "orchestrator/controllers/endpoints/mirror.h"
#include "orchestrator/controllers/endpoints/slice_writes.h"
#include "orchestrator/controllers/runtime/context.h"
#include "orchestrator/controllers/runtime/expectations.h"

namespace meltemi::controllers {
namespace {

using kube::core::v1::Endpoints;
using kube::core::v1::Service;
using kube::discovery::v1::EndpointSlice;

constexpr char kByEndpoints[] = "endpointslice endpoints";

// "NAMESPACE/NAME" of the Endpoints that a mirrored slice shows; none for others.
std::vector<std::string> ByEndpoints(const google::protobuf::Message& object) {
  const auto& meta = kube::MetaOf(object);
  const auto service = meta.labels().find(kServiceNameLabel);
  const auto manager = meta.labels().find(kManagedByLabel);
  if (service == meta.labels().end() || service->second.empty() || manager == meta.labels().end() ||
      manager->second != kMirroredBy) {
    return {};
  }
  return {absl::StrCat(meta.namespace_(), "/", service->second)};
}

bool IsMirrored(const Endpoints& endpoints) {
  const auto& labels = endpoints.metadata().labels();
  const auto skip = labels.find(kSkipMirrorLabel);
  return (skip == labels.end() || skip->second != "true") &&
         endpoints.metadata().annotations().count(kLeaderAnnotation) == 0;
}

class MirroringController final : public Running {
 public:
  explicit MirroringController(Context& context)
      : context_(context),
        recorder_(context.recorder("endpoint-slice-mirroring-controller")),
        services_(context.informers.ListerOf<Service>()),
        endpoints_(context.informers.ListerOf<Endpoints>()),
        slices_(context.informers.Of<EndpointSlice>()),
        expectations_(context.executor.clock()) {
    slices_.AddIndex(kByEndpoints, ByEndpoints);
    kube::ControllerOptions options;
    options.name = "endpoint_slice_mirroring";
    options.backoff_min = seconds(1);
    queue_ =
        kube::NewController(options, context.executor, context.metrics,
                            [this](const kube::NamespacedName& key) { return Reconcile(key); });
    const auto add = [this](const kube::Change& change) {
      queue_->Add(kube::NameOf(*(change.after ? change.after : change.before)));
    };
    context.informers.Of<Service>().AddHandler([this, add](const kube::Change& change) {
      if (change.before == nullptr || change.after == nullptr ||
          HasSelector(*change.before) != HasSelector(*change.after)) {
        add(change);
      }
    });
    context.informers.Of<Endpoints>().AddHandler([this, add](const kube::Change& change) {
      // Of most services the endpoints are not written by hand.
      const auto service =
          services_.Get(kube::NameOf(*(change.after ? change.after : change.before)));
      if (service == nullptr || !HasSelector(*service)) add(change);
    });
    slices_.AddHandler([this](const kube::Change& change) {
      for (const kube::MessagePtr& slice : {change.before, change.after}) {
        if (slice == nullptr || ByEndpoints(*slice).empty()) continue;
        const auto& meta = kube::MetaOf(*slice);
        queue_->Add({meta.namespace_(), meta.labels().at(kServiceNameLabel)});
      }
    });
  }

  void Start() override { queue_->Start(); }

 private:
  static bool HasSelector(const google::protobuf::Message& service) {
    return !static_cast<const Service&>(service).spec().selector().empty();
  }
  kube::ReconcileResult Reconcile(const kube::NamespacedName& key);
  void Tell(const Endpoints& endpoints, const MirrorPlan& plan);

  Context& context_;
  kube::EventRecorder& recorder_;
  const kube::Lister<Service> services_;
  const kube::Lister<Endpoints> endpoints_;
  kube::Informer& slices_;
  Expectations expectations_;
  // Last: it is gone first, and with it everything under way.
  std::unique_ptr<kube::Controller> queue_;
};

kube::ReconcileResult MirroringController::Reconcile(const kube::NamespacedName& key) {
  if (!expectations_.Met(key, slices_)) return Expectations::Wait();
  std::vector<SlicePtr> existing;
  for (const kube::MessagePtr& slice : slices_.IndexedMessages(kByEndpoints, key.ToString())) {
    existing.push_back(kube::Lister<EndpointSlice>::Cast(slice));
  }
  const auto endpoints = endpoints_.Get(key);
  const auto service = services_.Get(key);
  MirrorPlan plan;
  if (endpoints == nullptr || service == nullptr || HasSelector(*service) ||
      !IsMirrored(*endpoints)) {
    plan.slices.remove = existing;
  } else {
    plan = PlanMirror(*endpoints, existing);
    Tell(*endpoints, plan);
  }
  const kube::Outcome written =
      WriteSlices(context_.client, expectations_, key, plan.slices, std::nullopt);
  if (!written.ok()) return written.status();
  if (endpoints == nullptr && existing.empty()) expectations_.Drop(key);
  return kube::Finished();
}

void MirroringController::Tell(const Endpoints& endpoints, const MirrorPlan& plan) {
  if (plan.invalid > 0) {
    recorder_.Record(endpoints, kube::kWarning, "InvalidIPAddress",
                     absl::StrCat("Skipped ", plan.invalid,
                                  " invalid IP addresses when mirroring to EndpointSlices"));
  }
  if (plan.skipped > plan.invalid) {
    recorder_.Record(endpoints, kube::kWarning, "TooManyAddressesToMirror",
                     absl::StrCat("A max of ", kMirroredPerSubset,
                                  " addresses can be mirrored to EndpointSlices per Endpoints "
                                  "subset. ",
                                  plan.skipped, " addresses were skipped"));
  }
}

}  // namespace

std::unique_ptr<Running> NewEndpointSliceMirroringController(Context& context) {
  return std::make_unique<MirroringController>(context);
}

}  // namespace meltemi::controllers
