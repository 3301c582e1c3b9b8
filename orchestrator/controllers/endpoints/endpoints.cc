// The Endpoints controller.
#include "orchestrator/controllers/endpoints/endpoints.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kube/client/typed.h"
#include "kube/queue/controller.h"
#include "orchestrator/controllers/endpoints/backends.h"
#include "orchestrator/controllers/endpoints/subsets.h"
#include "orchestrator/controllers/runtime/context.h"

namespace meltemi::controllers {
namespace {

using kube::core::v1::Endpoints;
using kube::core::v1::Pod;
using kube::core::v1::Service;
using StringMap = google::protobuf::Map<std::string, std::string>;

constexpr char kOverCapacity[] = "endpoints.kubernetes.io/over-capacity";

bool SameMap(const StringMap& a, const StringMap& b) {
  return a.size() == b.size() && std::all_of(a.begin(), a.end(), [&b](const auto& entry) {
           const auto found = b.find(entry.first);
           return found != b.end() && found->second == entry.second;
         });
}

StringMap LabelsOf(const Service& service) {
  StringMap out = service.metadata().labels();
  out.erase(kHeadlessLabel);
  if (IsHeadless(service)) out[kHeadlessLabel] = "";
  return out;
}

class EndpointsController final : public Running {
 public:
  explicit EndpointsController(Context& context)
      : context_(context),
        recorder_(context.recorder("endpoint-controller")),
        services_(context.informers.ListerOf<Service>()),
        pods_(context.informers.ListerOf<Pod>()),
        endpoints_(context.informers.ListerOf<Endpoints>()) {
    kube::ControllerOptions options;
    options.name = "endpoint";
    queue_ =
        kube::NewController(options, context.executor, context.metrics,
                            [this](const kube::NamespacedName& key) { return Reconcile(key); });
    context.informers.Of<Service>().AddHandler([this](const kube::Change& change) {
      queue_->Add(kube::NameOf(*(change.after ? change.after : change.before)));
    });
    context.informers.Of<Pod>().AddHandler([this](const kube::Change& change) {
      for (const kube::NamespacedName& key : ServicesOf(change, services_)) queue_->Add(key);
    });
    // Somebody else's change is undone; what a service has left that went while nobody looked goes,
    // too. Who writes endpoints without a service has reasons.
    context.informers.Of<Endpoints>().AddHandler([this](const kube::Change& change) {
      const google::protobuf::Message& any = *(change.after ? change.after : change.before);
      if (kube::MetaOf(any).annotations().count(kLeaderAnnotation) > 0) return;
      const kube::NamespacedName key = kube::NameOf(any);
      if (change.initial || services_.Get(key) != nullptr) queue_->Add(key);
    });
  }

  void Start() override { queue_->Start(); }

 private:
  kube::ReconcileResult Reconcile(const kube::NamespacedName& key);
  kube::ReconcileResult RemoveLeftOver(const kube::NamespacedName& key);
  kube::Outcome Write(const Service& service, const Endpoints& wanted, bool create);

  Context& context_;
  kube::EventRecorder& recorder_;
  const kube::Lister<Service> services_;
  const kube::Lister<Pod> pods_;
  const kube::Lister<Endpoints> endpoints_;
  TriggerTimes trigger_times_;
  // Last: it is gone first, and with it everything under way.
  std::unique_ptr<kube::Controller> queue_;
};

// The informers of services and endpoints are not one: what is to go is asked for at the API
// server, so that endpoints whose service is merely not seen yet stay.
kube::ReconcileResult EndpointsController::RemoveLeftOver(const kube::NamespacedName& key) {
  trigger_times_.Drop(key);
  const kube::Result<Service> service = kube::Get<Service>(context_.client, key.ns, key.name);
  if (service.ok()) return kube::Finished();
  if (!kube::IsNotFound(service.status())) return service.status();
  // Those that were written a moment ago are not seen yet.
  const kube::Result<Endpoints> held = kube::Get<Endpoints>(context_.client, key.ns, key.name);
  if (!held.ok() && kube::IsNotFound(held.status())) return kube::Finished();
  if (!held.ok()) return held.status();
  kube::DeleteOptions options;
  options.uid = held->metadata().uid();
  kube::Outcome deleted = kube::Delete<Endpoints>(context_.client, key.ns, key.name, options);
  if (!deleted.ok() && !kube::IsNotFound(deleted.status()) && !kube::IsConflict(deleted.status())) {
    return deleted.status();
  }
  return kube::Finished();
}

kube::ReconcileResult EndpointsController::Reconcile(const kube::NamespacedName& key) {
  const ServicePtr service = services_.Get(key);
  if (service == nullptr) return RemoveLeftOver(key);
  if (!HasBackends(*service)) return kube::Finished();
  const std::vector<PodPtr> pods = BackendsOf(*service, pods_);
  const std::optional<std::string> trigger_time = trigger_times_.Next(*service, pods);

  const auto held = endpoints_.Get(key);
  Endpoints wanted = held == nullptr ? Endpoints() : *held;
  wanted.mutable_metadata()->set_name(key.name);
  wanted.mutable_metadata()->set_namespace_(key.ns);
  *wanted.mutable_metadata()->mutable_labels() = LabelsOf(*service);
  *wanted.mutable_subsets() = SubsetsOf(*service, pods);
  auto& annotations = *wanted.mutable_metadata()->mutable_annotations();
  annotations.erase(kOverCapacity);
  if (Truncate(wanted.mutable_subsets())) annotations[kOverCapacity] = "truncated";

  const bool same = held != nullptr && SameSubsets(held->subsets(), wanted.subsets()) &&
                    SameMap(held->metadata().labels(), wanted.metadata().labels()) &&
                    SameMap(held->metadata().annotations(), annotations);
  if (same) return kube::Finished();
  annotations.erase(kTriggerTimeAnnotation);
  if (trigger_time.has_value()) annotations[kTriggerTimeAnnotation] = *trigger_time;
  const kube::Outcome written = Write(*service, wanted, held == nullptr);
  if (!written.ok()) return written.status();
  return kube::Finished();
}

kube::Outcome EndpointsController::Write(const Service& service, const Endpoints& wanted,
                                         bool create) {
  // Updates carry the resourceVersion that the informer shows: what is out of date is refused.
  const kube::Result<Endpoints> written =
      create ? kube::Create(context_.client, wanted) : kube::Update(context_.client, wanted);
  if (written.ok() || kube::IsNamespaceTerminating(written.status())) return kube::Done{};
  const std::string& ns = service.metadata().namespace_();
  const std::string& name = service.metadata().name();
  // Made or changed meanwhile: the informer brings it, and it is looked at again.
  if (kube::IsAlreadyExists(written.status()) || kube::IsConflict(written.status())) {
    return written.status();
  }
  if (create) {
    recorder_.Record(service, kube::kWarning, "FailedToCreateEndpoint",
                     absl::StrCat("Failed to create endpoint for service ", ns, "/", name, ": ",
                                  written.status().message));
  } else {
    recorder_.Record(
        wanted, kube::kWarning, "FailedToUpdateEndpoint",
        absl::StrCat("Failed to update endpoint ", ns, "/", name, ": ", written.status().message));
  }
  return written.status();
}

}  // namespace

std::unique_ptr<Running> NewEndpointsController(Context& context) {
  return std::make_unique<EndpointsController>(context);
}

}  // namespace meltemi::controllers
