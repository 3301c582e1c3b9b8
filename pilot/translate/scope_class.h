// The translation that all proxies of one class share. Loop-owned.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "pilot/snapshot/scope.h"
#include "pilot/translate/clusters.h"
#include "pilot/translate/filters.h"
#include "pilot/translate/node.h"
#include "pilot/translate/resource.h"

namespace meltemi::pilot {

class ScopeClass {
 public:
  // `node`: any proxy of the class.
  ScopeClass(const ProxyNode& node, const SnapshotPtr& snapshot);

  // Moves on to `snapshot`. Translations whose inputs are the same are kept.
  void Use(const SnapshotPtr& snapshot);

  const ScopePtr& scope() const { return scope_; }
  const AccessLogSettings& access_log() const { return access_log_; }

  using SharedResources = std::shared_ptr<const std::vector<ResourcePtr>>;
  // Services' clusters and the static ones, not sorted. The same pointer means the same content.
  SharedResources Clusters();
  SharedResources OutboundListeners();
  ResourcePtr ApiListener(absl::string_view name);
  // Not for gateways: theirs depend on the proxy.
  ResourcePtr Route(absl::string_view name);
  // Null for a cluster that is not there (any more): whoever still routes to it while it goes away
  // must keep the endpoints that it has.
  ResourcePtr LoadAssignment(absl::string_view name);

 private:
  struct ServiceClusters {
    ServicePtr service;
    DestinationRulePtr rule;
    ServiceEndpointsPtr endpoints;  // only where the clusters hold them
    std::vector<ResourcePtr> resources;
  };
  struct Assignment {
    ServicePtr service;
    DestinationRulePtr rule;
    ServiceEndpointsPtr endpoints;
    ResourcePtr resource;
  };

  const std::vector<ResourcePtr>& ClustersOf(const ServicePtr& service);

  const ProxyKind kind_;
  const std::string ns_;
  const Labels labels_;
  const std::string cluster_id_;
  AccessLogSettings access_log_;
  ScopePtr scope_;

  // Of an earlier scope while `_current_` is false.
  SharedResources clusters_;
  bool clusters_current_ = false;
  SharedResources outbound_listeners_;
  bool outbound_listeners_current_ = false;
  absl::flat_hash_map<std::string, ServiceClusters> service_clusters_;  // by host
  std::vector<ResourcePtr> static_clusters_;
  std::vector<ServiceEndpointsPtr> listener_endpoints_;  // what `outbound_listeners_` hold
  absl::flat_hash_map<std::string, ResourcePtr> routes_;
  absl::flat_hash_map<std::string, Assignment> assignments_;
};

}  // namespace meltemi::pilot
