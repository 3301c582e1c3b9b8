#include "pilot/translate/translator.h"

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "pilot/snapshot/scope.h"
#include "pilot/translate/clusters.h"
#include "pilot/translate/gateway.h"
#include "pilot/translate/inbound.h"
#include "pilot/translate/listeners.h"
#include "pilot/translate/scope_class.h"

namespace meltemi::pilot {
namespace {

ResourceSetPtr EmptySet() { return std::make_shared<const ResourceSet>(); }

// The node says who it is; what it leaves out is read off the workload at its address.
ProxyNode WithWorkload(const ProxyNode& node, const Snapshot& snapshot) {
  ProxyNode result = node;
  if (!node.labels.empty()) return result;
  for (const std::string& address : node.addresses) {
    const WorkloadPtr workload = snapshot.workloads->FindByAddress(address);
    if (workload == nullptr || workload->meta.ns != node.ns) continue;
    result.labels = workload->meta.labels;
    break;
  }
  return result;
}

std::string ClassKey(const ProxyNode& node, const Snapshot& snapshot) {
  std::string key = absl::StrCat(static_cast<int>(node.kind), "|", node.ns, "|",
                                 node.access_log_path, "|", node.cluster_id);
  for (const auto& [name, value] : RelevantLabels(snapshot, node.labels)) {
    absl::StrAppend(&key, "|", name, "=", value);
  }
  return key;
}

}  // namespace

ProxyView::ProxyView(Translator* translator, ProxyNode node)
    : translator_(translator), node_(std::move(node)) {}

ProxyView::~ProxyView() = default;

void ProxyView::Use(const SnapshotPtr& snapshot) {
  if (snapshot_ == snapshot) return;
  snapshot_ = snapshot;
  class_ = translator_->ClassFor(WithWorkload(node_, *snapshot), snapshot);
  own_current_ = false;
}

void ProxyView::BuildOwn() {
  if (own_current_) return;
  own_current_ = true;
  if (node_.kind == ProxyKind::kGateway) BuildOwnOfGateway();
  if (node_.kind != ProxyKind::kSidecar) return;
  std::vector<InboundPort> ports =
      FindInboundPorts(WithWorkload(node_, *snapshot_), *class_->scope());
  if (!own_listeners_.empty() && ports == ports_) return;
  ports_ = std::move(ports);
  own_clusters_ = BuildInboundClusters(ports_, *snapshot_->mesh);
  own_listeners_ = {BuildInboundListener(ports_, *snapshot_->mesh, class_->access_log())};
  clusters_ = nullptr;
  listeners_ = nullptr;
}

void ProxyView::BuildOwnOfGateway() {
  own_listeners_ = BuildGatewayListeners(WithWorkload(node_, *snapshot_), *class_->scope(),
                                         class_->access_log());
  listeners_ = nullptr;
}

ResourceSetPtr ProxyView::Clusters() {
  BuildOwn();
  auto shared = class_->Clusters();
  if (clusters_ == nullptr || shared_clusters_ != shared) {
    std::vector<ResourcePtr> all = *shared;
    all.insert(all.end(), own_clusters_.begin(), own_clusters_.end());
    clusters_ = MakeResourceSet(std::move(all));
    shared_clusters_ = std::move(shared);
  }
  return clusters_;
}

ResourceSetPtr ProxyView::Listeners() {
  BuildOwn();
  auto shared = class_->OutboundListeners();
  if (listeners_ == nullptr || shared_listeners_ != shared) {
    std::vector<ResourcePtr> all = *shared;
    all.insert(all.end(), own_listeners_.begin(), own_listeners_.end());
    listeners_ = MakeResourceSet(std::move(all));
    shared_listeners_ = std::move(shared);
  }
  return listeners_;
}

ResourceSetPtr ProxyView::All(XdsType type) {
  if (snapshot_ == nullptr) return EmptySet();
  if (type == XdsType::kCluster) return Clusters();
  if (type == XdsType::kListener && node_.kind != ProxyKind::kProxyless) return Listeners();
  return EmptySet();
}

ResourcePtr ProxyView::Find(XdsType type, absl::string_view name) {
  if (snapshot_ == nullptr) return nullptr;
  switch (type) {
    case XdsType::kRoute:
      if (node_.kind == ProxyKind::kGateway) {
        return BuildGatewayRoute(name, WithWorkload(node_, *snapshot_), *class_->scope());
      }
      return class_->Route(name);
    case XdsType::kEndpoint:
      return class_->LoadAssignment(name);
    case XdsType::kListener:
      if (node_.kind == ProxyKind::kProxyless) return class_->ApiListener(name);
      return All(type)->Find(name);
    case XdsType::kSecret:
      return nullptr;
    case XdsType::kCluster:
      break;
  }
  return All(type)->Find(name);
}

std::vector<ResourcePtr> ProxyView::Everything(XdsType type) {
  if (type == XdsType::kCluster || type == XdsType::kListener) return All(type)->resources;
  // Secrets are asked for by names that only the proxy knows; their keys are not for dumps anyway.
  if (type == XdsType::kSecret) return {};
  std::set<std::string> names;
  const XdsType parent = type == XdsType::kEndpoint ? XdsType::kCluster : XdsType::kListener;
  for (const ResourcePtr& resource : All(parent)->resources) {
    names.insert(resource->needs.begin(), resource->needs.end());
  }
  std::vector<ResourcePtr> result;
  for (const std::string& name : names) {
    if (ResourcePtr resource = Find(type, name)) result.push_back(std::move(resource));
  }
  return result;
}

Translator::Translator() = default;
Translator::~Translator() = default;

std::unique_ptr<ProxyView> Translator::NewView(ProxyNode node) {
  return std::make_unique<ProxyView>(this, std::move(node));
}

std::shared_ptr<ScopeClass> Translator::ClassFor(const ProxyNode& node,
                                                 const SnapshotPtr& snapshot) {
  if (snapshot->version != dropped_at_version_) {
    DropUnused();
    dropped_at_version_ = snapshot->version;
  }
  std::shared_ptr<ScopeClass>& place = classes_[ClassKey(node, *snapshot)];
  if (place == nullptr) {
    place = std::make_shared<ScopeClass>(node, snapshot);
  } else {
    place->Use(snapshot);
  }
  return place;
}

void Translator::DropUnused() {
  absl::erase_if(classes_, [](const auto& entry) { return entry.second.use_count() == 1; });
}

}  // namespace meltemi::pilot
