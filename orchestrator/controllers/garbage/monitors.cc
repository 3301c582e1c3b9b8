#include "orchestrator/controllers/garbage/monitors.h"

#include <algorithm>

#include "kube/apps/v1/apps.pb.h"
#include "kube/autoscaling/v2/autoscaling.pb.h"
#include "kube/batch/v1/batch.pb.h"
#include "kube/coordination/v1/coordination.pb.h"
#include "kube/core/v1/config.pb.h"
#include "kube/core/v1/namespace.pb.h"
#include "kube/core/v1/node.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/core/v1/replication.pb.h"
#include "kube/core/v1/service.pb.h"
#include "kube/discovery/v1/discovery.pb.h"
#include "kube/meta/v1/meta.pb.h"
#include "kube/policy/v1/policy.pb.h"

namespace meltemi::controllers {
namespace {

using kube::meta::v1::ObjectMeta;
using kube::meta::v1::OwnerReference;

KindName KindOf(const kube::ApiResource& resource) {
  return {kube::ApiVersion(resource.group, resource.version), resource.kind};
}

bool SameOwner(const OwnerReference& a, const OwnerReference& b) {
  return a.uid() == b.uid() && a.name() == b.name() && a.kind() == b.kind() &&
         a.api_version() == b.api_version() && a.block_owner_deletion() == b.block_owner_deletion();
}

// Nothing that the graph knows about has changed: so it is with nearly all changes.
bool SameForGraph(const ObjectMeta& a, const ObjectMeta& b) {
  return a.has_deletion_timestamp() == b.has_deletion_timestamp() &&
         std::equal(a.finalizers().begin(), a.finalizers().end(), b.finalizers().begin(),
                    b.finalizers().end()) &&
         std::equal(a.owner_references().begin(), a.owner_references().end(),
                    b.owner_references().begin(), b.owner_references().end(), SameOwner);
}

void KeepLittle(google::protobuf::Message& object) {
  ObjectMeta& meta = kube::MutableMetaOf(object);
  meta.clear_labels();
  meta.clear_annotations();
  meta.clear_managed_fields();
  meta.clear_generate_name();
}

}  // namespace

Monitors::Monitors(Context& context, OwnerGraph& graph, std::function<void(const GraphWork&)> apply,
                   std::function<void()> on_kinds)
    : context_(context), graph_(graph), apply_(std::move(apply)), on_kinds_(std::move(on_kinds)) {
  kube::Informers& all = context.informers;
  namespace core = kube::core::v1;
  namespace apps = kube::apps::v1;
  for (kube::Informer* informer :
       {&all.Of<core::Pod>(), &all.Of<core::Node>(), &all.Of<core::Namespace>(),
        &all.Of<core::Service>(), &all.Of<core::Endpoints>(), &all.Of<core::ServiceAccount>(),
        &all.Of<core::ReplicationController>(), &all.Of<apps::ReplicaSet>(),
        &all.Of<apps::Deployment>(), &all.Of<apps::StatefulSet>(), &all.Of<apps::DaemonSet>(),
        &all.Of<apps::ControllerRevision>(), &all.Of<kube::batch::v1::Job>(),
        &all.Of<kube::batch::v1::CronJob>(), &all.Of<kube::discovery::v1::EndpointSlice>(),
        &all.Of<kube::autoscaling::v2::HorizontalPodAutoscaler>(),
        &all.Of<kube::policy::v1::PodDisruptionBudget>(),
        &all.Of<kube::coordination::v1::Lease>()}) {
    WatchTyped(*informer);
  }
}

Monitors::~Monitors() = default;

void Monitors::WatchTyped(kube::Informer& informer) {
  typed_[informer.resource().group_resource()] = &informer;
  informer.AddHandler([this, kind = KindOf(informer.resource())](const kube::Change& change) {
    OnChange(kind, change);
  });
}

void Monitors::OnChange(const KindName& kind, const kube::Change& change) {
  const ObjectMeta* before = change.before == nullptr ? nullptr : &kube::MetaOf(*change.before);
  const ObjectMeta* after = change.after == nullptr ? nullptr : &kube::MetaOf(*change.after);
  // One name, two objects: the first has gone unseen.
  const bool replaced = before != nullptr && after != nullptr && before->uid() != after->uid();
  if (before != nullptr && (after == nullptr || replaced)) apply_(graph_.Gone(kind, *before));
  if (replaced) before = nullptr;
  if (after != nullptr && (before == nullptr || !SameForGraph(*before, *after))) {
    apply_(graph_.Seen(kind, before, *after));
  }
  if (kind.kind == "CustomResourceDefinition" && !change.initial) on_kinds_();
}

bool Monitors::Wanted(const kube::ServedResource& served) const {
  const kube::ApiResource& resource = served.resource;
  return served.preferred && served.Can("delete") && served.Can("list") && served.Can("watch") &&
         resource.resource != "events" && typed_.count(resource.group_resource()) == 0;
}

void Monitors::Sync(const kube::ServedResources& served) {
  std::map<Key, const kube::ApiResource*> wanted;
  for (const kube::ServedResource& each : served.resources) {
    const kube::ApiResource& resource = each.resource;
    if (Wanted(each)) wanted[{resource.group_resource(), resource.version}] = &resource;
  }
  for (const std::shared_ptr<Custom>& each : TakeUnserved(served, wanted)) {
    each->informers->Stop();
    apply_(graph_.Forget(KindOf(each->resource)));
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  if (stopped_) return;
  for (const auto& [key, resource] : wanted) {
    std::shared_ptr<Custom>& custom = custom_[key];
    if (custom == nullptr) custom = Begin(*resource);
  }
}

std::vector<std::shared_ptr<Monitors::Custom>> Monitors::TakeUnserved(
    const kube::ServedResources& served, const std::map<Key, const kube::ApiResource*>& wanted) {
  std::vector<std::shared_ptr<Custom>> out;
  const std::lock_guard<std::mutex> lock(mutex_);
  for (auto at = custom_.begin(); at != custom_.end();) {
    const kube::ApiResource& resource = at->second->resource;
    const bool unknown =
        served.failures.count(kube::ApiVersion(resource.group, resource.version)) != 0;
    if (unknown || wanted.count(at->first) != 0) {
      ++at;
      continue;
    }
    out.push_back(std::move(at->second));
    at = custom_.erase(at);
  }
  return out;
}

void Monitors::Stop() {
  std::map<Key, std::shared_ptr<Custom>> all;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopped_ = true;
    all = custom_;
  }
  for (const auto& [key, custom] : all) custom->informers->Stop();
}

std::shared_ptr<Monitors::Custom> Monitors::Begin(const kube::ApiResource& resource) {
  auto custom = std::make_shared<Custom>();
  custom->resource = resource;
  // Informers of its own: so that it can be given up alone.
  custom->informers = kube::NewInformers(context_.client, context_.executor);
  custom->informer = &custom->informers->OfMetadata(resource);
  custom->informer->SetTransform(KeepLittle);
  custom->informer->AddHandler(
      [this, kind = KindOf(resource)](const kube::Change& change) { OnChange(kind, change); });
  custom->informers->Start();
  return custom;
}

bool Monitors::synced() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return !custom_.empty() && std::all_of(custom_.begin(), custom_.end(), [](const auto& each) {
    return each.second->informer->synced();
  });
}

std::vector<kube::ApiResource> Monitors::Behind(int64_t revision) const {
  std::vector<kube::ApiResource> out;
  for (const auto& [name, informer] : typed_) {
    if (informer->revision() < revision) out.push_back(informer->resource());
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& [key, custom] : custom_) {
    if (custom->informer->revision() < revision) out.push_back(custom->resource);
  }
  return out;
}

}  // namespace meltemi::controllers
