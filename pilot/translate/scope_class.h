// The translation that all proxies of one class share. Loop-owned.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "pilot/snapshot/scope.h"
#include "pilot/translate/clusters.h"
#include "pilot/translate/filters.h"
#include "pilot/translate/name_set.h"
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
  // The same as sets; the same pointer means the same content.
  ResourceSetPtr ClusterSet();
  ResourceSetPtr ListenerSet();
  // What there is under each of `names`, for routes and endpoints; likewise.
  ResourceSetPtr Resolve(XdsType type, const NameSetPtr& names);
  // How many sets of names are remembered with what is under them.
  size_t resolved() const { return resolved_.size(); }
  ResourcePtr ApiListener(absl::string_view name);
  // Not for gateways: theirs depend on the proxy.
  ResourcePtr Route(absl::string_view name);
  // Null for a cluster that is not there (any more): whoever still routes to it while it goes away
  // must keep the endpoints that it has.
  ResourcePtr LoadAssignment(absl::string_view name);

 private:
  using PeerAuthenticationsPtr = std::shared_ptr<const PeerAuthenticationTable>;
  struct ServiceClusters {
    ServicePtr service;
    DestinationRulePtr rule;
    ServiceEndpointsPtr endpoints;  // only where the clusters look at them
    std::vector<std::string> accounts;
    PeerAuthenticationsPtr peers;  // likewise
    std::vector<ResourcePtr> resources;
  };
  struct Assignment {
    ServicePtr service;
    DestinationRulePtr rule;
    ServiceEndpointsPtr endpoints;
    PeerAuthenticationsPtr peers;
    ResourcePtr resource;
  };

  // Sets of names that are asked for, with what was found last.
  struct Resolved {
    NameSetPtr names;
    ResourceSetPtr set;
    uint64_t epoch = 0;
  };
  // Endpoints of `host` are others since `epoch`.
  struct HostChange {
    uint64_t epoch;
    std::string host;
  };

  const std::vector<ResourcePtr>& ClustersOf(const ServicePtr& service);
  void NoteEndpointChanges(const EndpointTable& before, const SnapshotPtr& now);
  // True if anything but endpoints, or more than is remembered of them, is other since `epoch`.
  bool AllChangedSince(uint64_t epoch) const;
  // Runs `visit` with each host whose endpoints are others since `epoch`.
  template <typename Visit>
  void ForEachHostSince(uint64_t epoch, Visit visit) const;
  bool ClustersOfHostsChanged();
  void ResolveAnew(XdsType type, Resolved* entry);
  ResourcePtr FindNamed(XdsType type, const std::string& name);
  void DropResolved();

  const ProxyKind kind_;
  const bool identity_;
  const std::string ns_;
  const Labels labels_;
  const std::string cluster_id_;
  AccessLogSettings access_log_;
  ScopePtr scope_;

  // Grows with every change; when all that is not endpoints changed last; and which endpoints did.
  uint64_t epoch_ = 1;
  uint64_t all_epoch_ = 1;
  std::deque<HostChange> host_changes_;
  uint64_t forgotten_epoch_ = 0;  // of the newest host change that is not remembered any more

  // Of an earlier scope while `_current_` is false.
  SharedResources clusters_;
  bool clusters_current_ = false;
  uint64_t clusters_epoch_ = 0;
  SharedResources clusters_in_set_, listeners_in_set_;  // what the sets were made of
  ResourceSetPtr cluster_set_, listener_set_;
  SharedResources outbound_listeners_;
  bool outbound_listeners_current_ = false;
  absl::flat_hash_map<std::string, ServiceClusters> service_clusters_;  // by host
  std::vector<ResourcePtr> static_clusters_;
  std::vector<ServiceEndpointsPtr> listener_endpoints_;  // what `outbound_listeners_` hold
  absl::flat_hash_map<std::string, ResourcePtr> routes_;
  absl::flat_hash_map<std::string, Assignment> assignments_;
  absl::flat_hash_map<std::pair<XdsType, const NameSet*>, Resolved> resolved_;
  size_t drop_resolved_at_ = 1;
};

}  // namespace meltemi::pilot
