#include "pilot/translate/scope_class.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "pilot/translate/listeners.h"
#include "pilot/translate/metadata.h"
#include "pilot/translate/proxyless.h"
#include "pilot/translate/routes.h"

namespace meltemi::pilot {
namespace {

bool SameResource(const ResourcePtr& a, const ResourcePtr& b) {
  return a == b || (a->hash == b->hash && a->name == b->name);
}

// Keeps the old list where the new one is equal to it.
void Replace(std::vector<ResourcePtr> now, std::shared_ptr<const std::vector<ResourcePtr>>* place) {
  if (*place != nullptr &&
      std::equal((*place)->begin(), (*place)->end(), now.begin(), now.end(), SameResource)) {
    return;
  }
  *place = std::make_shared<const std::vector<ResourcePtr>>(std::move(now));
}

}  // namespace

ScopeClass::ScopeClass(const ProxyNode& node, const SnapshotPtr& snapshot)
    : kind_(node.kind),
      ns_(node.ns),
      labels_(node.labels),
      cluster_id_(node.cluster_id),
      access_log_(AccessLogSettings::For(*snapshot->mesh, node.access_log_path)) {
  Use(snapshot);
}

void ScopeClass::Use(const SnapshotPtr& snapshot) {
  if (scope_ != nullptr && scope_->snapshot == snapshot) return;
  clusters_current_ = false;
  if (scope_ != nullptr && scope_->snapshot->config_version == snapshot->config_version) {
    // Only endpoints differ: the view of everything else stays as it is.
    auto same = std::make_shared<Scope>(*scope_);
    same->snapshot = snapshot;
    scope_ = std::move(same);
    if (ListenerEndpoints(*scope_) != listener_endpoints_) outbound_listeners_current_ = false;
    return;
  }
  scope_ = BuildScope(snapshot, ns_, labels_, kind_ == ProxyKind::kSidecar);
  routes_.clear();
  outbound_listeners_current_ = false;
  // Entries of services that are gone.
  absl::erase_if(service_clusters_,
                 [this](const auto& entry) { return !scope_->by_host.contains(entry.first); });
  absl::erase_if(assignments_, [this](const auto& entry) {
    return entry.second.service == nullptr || !scope_->by_host.contains(entry.second.service->host);
  });
}

const std::vector<ResourcePtr>& ScopeClass::ClustersOf(const ServicePtr& service) {
  ServiceClusters& entry = service_clusters_[service->host];
  DestinationRulePtr rule = scope_->FindRule(service->host);
  ServiceEndpointsPtr endpoints = scope_->snapshot->endpoints->Find(*service);
  ServiceEndpointsPtr held = ClustersHoldEndpoints(*service) ? endpoints : nullptr;
  if (entry.service != service || entry.rule != rule || entry.endpoints != held) {
    entry.resources = BuildServiceClusters(*service, rule.get(), *endpoints,
                                           *scope_->snapshot->mesh, ClusterOptions{kind_});
    entry.service = service;
    entry.rule = std::move(rule);
    entry.endpoints = std::move(held);
  }
  return entry.resources;
}

ScopeClass::SharedResources ScopeClass::Clusters() {
  if (clusters_current_) return clusters_;
  if (static_clusters_.empty()) {
    static_clusters_ = BuildStaticClusters(*scope_->snapshot->mesh, ClusterOptions{kind_});
  }
  std::vector<ResourcePtr> all = static_clusters_;
  for (const ServicePtr& service : scope_->services) {
    const std::vector<ResourcePtr>& own = ClustersOf(service);
    all.insert(all.end(), own.begin(), own.end());
  }
  Replace(std::move(all), &clusters_);
  clusters_current_ = true;
  return clusters_;
}

ScopeClass::SharedResources ScopeClass::OutboundListeners() {
  if (outbound_listeners_current_) return outbound_listeners_;
  listener_endpoints_ = ListenerEndpoints(*scope_);
  Replace(kind_ == ProxyKind::kSidecar ? BuildOutboundListeners(*scope_, access_log_)
                                       : std::vector<ResourcePtr>(),
          &outbound_listeners_);
  outbound_listeners_current_ = true;
  return outbound_listeners_;
}

ResourcePtr ScopeClass::ApiListener(absl::string_view name) {
  return BuildApiListener(name, *scope_);
}

ResourcePtr ScopeClass::Route(absl::string_view name) {
  const auto known = routes_.find(name);
  if (known != routes_.end()) return known->second;
  ResourcePtr route = kind_ == ProxyKind::kProxyless ? BuildApiRoute(name, *scope_)
                                                     : BuildOutboundRoute(name, *scope_);
  // Names that mean nothing are not kept: a peer could send any number of them.
  if (route != nullptr) routes_.emplace(name, route);
  return route;
}

ResourcePtr ScopeClass::LoadAssignment(absl::string_view name) {
  uint32_t port = 0;
  std::string subset;
  std::string host;
  if (!ParseOutboundClusterName(name, &port, &subset, &host)) return nullptr;
  const ServicePtr service = scope_->FindService(host);
  DestinationRulePtr rule = scope_->FindRule(host);
  if (service == nullptr || service->FindPort(port) == nullptr ||
      (!subset.empty() && (rule == nullptr || !rule->HasSubset(subset)))) {
    return nullptr;
  }
  ServiceEndpointsPtr endpoints = scope_->snapshot->endpoints->Find(*service);
  Assignment& entry = assignments_[std::string(name)];
  if (entry.resource == nullptr || entry.service != service || entry.rule != rule ||
      entry.endpoints != endpoints) {
    ResourcePtr resource =
        BuildLoadAssignment(name, port, SubsetLabels(rule.get(), subset), *endpoints, cluster_id_);
    entry = Assignment{service, std::move(rule), std::move(endpoints), std::move(resource)};
  }
  return entry.resource;
}

}  // namespace meltemi::pilot
