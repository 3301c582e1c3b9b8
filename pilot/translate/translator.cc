#include "pilot/translate/translator.h"

#include <algorithm>
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
#include "pilot/translate/secrets.h"

namespace meltemi::pilot {
namespace {

ResourceSetPtr EmptySet() { return EmptyResourceSet(); }

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
  std::string key =
      absl::StrCat(static_cast<int>(node.kind), "|", node.ns, "|", node.access_log_path, "|",
                   node.cluster_id, "|", node.HasIdentity() ? "identity" : "");
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
  const bool stays = snapshot_ != nullptr && OwnStays(*snapshot);
  snapshot_ = snapshot;
  if (stays) return class_->Use(snapshot);
  class_ = translator_->ClassFor(WithWorkload(node_, *snapshot), snapshot);
  own_current_ = false;
}

bool ProxyView::OwnStays(const Snapshot& next) const {
  if (next.config_version != snapshot_->config_version) return false;
  if (node_.kind == ProxyKind::kGateway) return false;
  // Its labels may come from its workload.
  if (node_.labels.empty() && next.workloads != snapshot_->workloads) return false;
  return std::all_of(node_.addresses.begin(), node_.addresses.end(),
                     [&](const std::string& address) {
                       return next.endpoints->At(address) == snapshot_->endpoints->At(address);
                     });
}

void ProxyView::BuildOwn() {
  if (own_current_) return;
  own_current_ = true;
  if (node_.kind == ProxyKind::kGateway) BuildOwnOfGateway();
  if (node_.kind != ProxyKind::kSidecar) return;
  const ProxyNode node = WithWorkload(node_, *snapshot_);
  std::vector<InboundPort> ports = FindInboundPorts(node, *class_->scope());
  const std::string& root = snapshot_->mesh->root_namespace;
  InboundSettings inbound{snapshot_->mesh, node.HasIdentity(),
                          snapshot_->peer_authentications->For(node.ns, root, node.labels),
                          snapshot_->authorization->For(node.ns, root, node.labels)};
  if (!own_listeners_.empty() && ports == ports_ && inbound == inbound_) return;
  ports_ = std::move(ports);
  inbound_ = std::move(inbound);
  own_clusters_ = BuildInboundClusters(ports_, *snapshot_->mesh);
  own_listeners_ = {BuildInboundListener(ports_, inbound_, class_->access_log())};
  clusters_ = nullptr;
  listeners_ = nullptr;
  own_cluster_set_ = nullptr;
  own_listener_set_ = nullptr;
}

void ProxyView::BuildOwnOfGateway() {
  own_listeners_ = BuildGatewayListeners(WithWorkload(node_, *snapshot_), *class_->scope(),
                                         class_->access_log());
  listeners_ = nullptr;
  own_listener_set_ = nullptr;
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

ResourceSetPtr ProxyView::Shared(XdsType type) {
  if (snapshot_ == nullptr) return EmptySet();
  if (type == XdsType::kCluster) return class_->ClusterSet();
  if (type == XdsType::kListener && node_.kind != ProxyKind::kProxyless) {
    return class_->ListenerSet();
  }
  return EmptySet();
}

ResourceSetPtr ProxyView::Own(XdsType type) {
  if (snapshot_ == nullptr || node_.kind == ProxyKind::kProxyless) return EmptySet();
  if (type != XdsType::kCluster && type != XdsType::kListener) return EmptySet();
  BuildOwn();
  const bool clusters = type == XdsType::kCluster;
  ResourceSetPtr& set = clusters ? own_cluster_set_ : own_listener_set_;
  if (set == nullptr) {
    const std::vector<ResourcePtr>& own = clusters ? own_clusters_ : own_listeners_;
    set = own.empty() ? EmptySet() : MakeResourceSet(own);
  }
  return set;
}

ResourceSetPtr ProxyView::Resolve(XdsType type, const NameSetPtr& names) {
  const bool by_class =
      type == XdsType::kEndpoint || (type == XdsType::kRoute && node_.kind != ProxyKind::kGateway);
  if (snapshot_ == nullptr || !by_class) return ResourceSource::Resolve(type, names);
  return class_->Resolve(type, names);
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
      return BuildSecret(name, node_, *snapshot_);
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
