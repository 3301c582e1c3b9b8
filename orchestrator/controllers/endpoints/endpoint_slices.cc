// The EndpointSlice controller.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kube/queue/controller.h"
#include "orchestrator/controllers/endpoints/endpoints.h"
#include "orchestrator/controllers/endpoints/slice_writes.h"
#include "orchestrator/controllers/endpoints/slices.h"
#include "orchestrator/controllers/runtime/context.h"
#include "orchestrator/controllers/runtime/expectations.h"

namespace meltemi::controllers {
namespace {

using kube::core::v1::Node;
using kube::core::v1::Pod;
using kube::core::v1::Service;
using kube::discovery::v1::EndpointSlice;

constexpr char kByService[] = "endpointslice service";
constexpr char kPodsByNode[] = "endpointslice node";
constexpr char kZone[] = "topology.kubernetes.io/zone";

const std::string& LabelOf(const google::protobuf::Message& object, const char* key) {
  static const std::string& none = *new std::string();
  const auto& labels = kube::MetaOf(object).labels();
  const auto at = labels.find(key);
  return at == labels.end() ? none : at->second;
}

// Only the controller's own: mirrored ones and those that users make are not looked at.
std::vector<std::string> ByService(const google::protobuf::Message& slice) {
  const std::string& service = LabelOf(slice, kServiceNameLabel);
  if (service.empty() || LabelOf(slice, kManagedByLabel) != kManagedBy) return {};
  return {absl::StrCat(kube::MetaOf(slice).namespace_(), "/", service)};
}

std::vector<std::string> ByNode(const google::protobuf::Message& object) {
  const std::string& node = static_cast<const Pod&>(object).spec().node_name();
  return node.empty() ? std::vector<std::string>() : std::vector<std::string>{node};
}

std::vector<std::string> FamiliesOf(const Service& service) {
  if (service.spec().ip_families().empty()) return {"IPv4"};
  return {service.spec().ip_families().begin(), service.spec().ip_families().end()};
}

class SliceController final : public Running {
 public:
  explicit SliceController(Context& context)
      : context_(context),
        recorder_(context.recorder("endpoint-slice-controller")),
        services_(context.informers.ListerOf<Service>()),
        pods_(context.informers.ListerOf<Pod>()),
        nodes_(context.informers.ListerOf<Node>()),
        slices_(context.informers.Of<EndpointSlice>()),
        expectations_(context.executor.clock()) {
    slices_.AddIndex(kByService, ByService);
    context.informers.Of<Pod>().AddIndex(kPodsByNode, ByNode);
    kube::ControllerOptions options;
    options.name = "endpoint_slice";
    options.backoff_min = seconds(1);
    queue_ =
        kube::NewController(options, context.executor, context.metrics,
                            [this](const kube::NamespacedName& key) { return Reconcile(key); });
    context.informers.Of<Service>().AddHandler([this](const kube::Change& change) {
      queue_->Add(kube::NameOf(*(change.after ? change.after : change.before)));
    });
    context.informers.Of<Pod>().AddHandler([this](const kube::Change& change) {
      for (const kube::NamespacedName& key : ServicesOf(change, services_)) queue_->Add(key);
    });
    context.informers.Of<Node>().AddHandler([this](const kube::Change& change) { OnNode(change); });
    slices_.AddHandler([this](const kube::Change& change) {
      if (change.before != nullptr) OnSlice(*change.before);
      if (change.after != nullptr) OnSlice(*change.after);
    });
  }

  void Start() override { queue_->Start(); }

 private:
  void OnSlice(const google::protobuf::Message& slice) {
    const std::string& service = LabelOf(slice, kServiceNameLabel);
    if (service.empty() || LabelOf(slice, kManagedByLabel) != kManagedBy) return;
    queue_->Add({kube::MetaOf(slice).namespace_(), service});
  }
  // A node that comes, or whose zone changes: the endpoints on it say so.
  void OnNode(const kube::Change& change) {
    if (change.after == nullptr || change.initial) return;
    if (change.before != nullptr &&
        LabelOf(*change.before, kZone) == LabelOf(*change.after, kZone)) {
      return;
    }
    for (const PodPtr& pod : pods_.ByIndex(kPodsByNode, kube::MetaOf(*change.after).name())) {
      for (const kube::NamespacedName& key :
           ServicesOf({kube::Change::Type::kAdded, nullptr, pod}, services_)) {
        queue_->Add(key);
      }
    }
  }

  kube::ReconcileResult Reconcile(const kube::NamespacedName& key);

  Context& context_;
  kube::EventRecorder& recorder_;
  const kube::Lister<Service> services_;
  const kube::Lister<Pod> pods_;
  const kube::Lister<Node> nodes_;
  kube::Informer& slices_;
  Expectations expectations_;
  TriggerTimes trigger_times_;
  // Last: it is gone first, and with it everything under way.
  std::unique_ptr<kube::Controller> queue_;
};

kube::ReconcileResult SliceController::Reconcile(const kube::NamespacedName& key) {
  const ServicePtr service = services_.Get(key);
  if (service == nullptr) {
    // The slices go with their owner.
    expectations_.Drop(key);
    trigger_times_.Drop(key);
    return kube::Finished();
  }
  if (!HasBackends(*service) || service->metadata().has_deletion_timestamp()) {
    return kube::Finished();
  }
  // What was written last is not seen yet: the same endpoints would be written twice.
  if (!expectations_.Met(key, slices_)) return Expectations::Wait();

  std::vector<SlicePtr> existing;
  for (const kube::MessagePtr& slice : slices_.IndexedMessages(kByService, key.ToString())) {
    existing.push_back(kube::Lister<EndpointSlice>::Cast(slice));
  }
  const std::vector<PodPtr> pods = BackendsOf(*service, pods_);
  const std::optional<std::string> trigger_time = trigger_times_.Next(*service, pods);
  SlicePlan plan;
  std::vector<std::string> missing_nodes;
  const std::vector<std::string> families = FamiliesOf(*service);
  for (const std::string& family : families) {
    Backends backends = GroupBackends(*service, pods, family, nodes_);
    std::vector<SlicePtr> own;
    std::copy_if(existing.begin(), existing.end(), std::back_inserter(own),
                 [&](const SlicePtr& slice) { return slice->address_type() == family; });
    SlicePlan part = PlanSlices(*service, family, std::move(backends.groups), own);
    std::move(part.create.begin(), part.create.end(), std::back_inserter(plan.create));
    std::move(part.update.begin(), part.update.end(), std::back_inserter(plan.update));
    std::move(part.remove.begin(), part.remove.end(), std::back_inserter(plan.remove));
    missing_nodes = std::move(backends.missing_nodes);
  }
  for (const SlicePtr& slice : existing) {
    const bool wanted =
        std::find(families.begin(), families.end(), slice->address_type()) != families.end();
    if (!wanted) plan.remove.push_back(slice);
  }
  const kube::Outcome written =
      WriteSlices(context_.client, expectations_, key, plan, trigger_time);
  if (!written.ok()) {
    recorder_.Record(*service, kube::kWarning, "FailedToUpdateEndpointSlices",
                     absl::StrCat("Error updating Endpoint Slices for Service ", key.ToString(),
                                  ": ", written.status().message));
    return written.status();
  }
  if (missing_nodes.empty()) return kube::Finished();
  return kube::InternalError(absl::StrCat("skipping a Pod for Service ", key.ToString(), ", Node ",
                                          missing_nodes.front(), " Not Found"));
}

}  // namespace

std::unique_ptr<Running> NewEndpointSliceController(Context& context) {
  return std::make_unique<SliceController>(context);
}

}  // namespace meltemi::controllers
