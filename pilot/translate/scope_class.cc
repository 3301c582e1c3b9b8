#include "pilot/translate/scope_class.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "pilot/translate/listeners.h"
#include "pilot/translate/metadata.h"
#include "pilot/translate/proxyless.h"
#include "pilot/translate/routes.h"

namespace meltemi::pilot {
namespace {

constexpr size_t kHostChangesMax = 4096;

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

// Whether the same services can be called by the same rules. What both see is one object in both.
bool SeesTheSame(const Scope& a, const Scope& b) {
  return a.services == b.services && a.virtual_services == b.virtual_services &&
         a.rule_by_host == b.rule_by_host && a.outbound_policy == b.outbound_policy &&
         a.snapshot->peer_authentications == b.snapshot->peer_authentications;
}

}  // namespace

ScopeClass::ScopeClass(const ProxyNode& node, const SnapshotPtr& snapshot)
    : kind_(node.kind),
      identity_(node.HasIdentity()),
      ns_(node.ns),
      labels_(node.labels),
      cluster_id_(node.cluster_id),
      access_log_(AccessLogSettings::For(*snapshot->mesh, node.access_log_path)) {
  Use(snapshot);
}

void ScopeClass::Use(const SnapshotPtr& snapshot) {
  if (scope_ != nullptr && scope_->snapshot == snapshot) return;
  clusters_current_ = false;
  ++epoch_;
  ScopePtr next;
  bool same = false;
  if (scope_ != nullptr && scope_->snapshot->config_version == snapshot->config_version) {
    auto moved = std::make_shared<Scope>(*scope_);
    moved->snapshot = snapshot;
    next = std::move(moved);
    same = true;
  } else {
    next = BuildScope(snapshot, ns_, labels_, kind_ == ProxyKind::kSidecar);
    same = scope_ != nullptr && SeesTheSame(*scope_, *next);
  }
  if (same) {
    // Only endpoints differ, or what others see: the view of everything else stays as it is.
    NoteEndpointChanges(*scope_->snapshot->endpoints, snapshot);
    scope_ = std::move(next);
    if (ListenerEndpoints(*scope_) != listener_endpoints_) outbound_listeners_current_ = false;
    return;
  }
  all_epoch_ = epoch_;
  scope_ = std::move(next);
  routes_.clear();
  outbound_listeners_current_ = false;
  // Entries of services that are gone.
  absl::erase_if(service_clusters_,
                 [this](const auto& entry) { return !scope_->by_host.contains(entry.first); });
  absl::erase_if(assignments_, [this](const auto& entry) {
    return entry.second.service == nullptr || !scope_->by_host.contains(entry.second.service->host);
  });
}

// ---- What has changed since when

void ScopeClass::NoteEndpointChanges(const EndpointTable& before, const SnapshotPtr& now) {
  if (now->endpoints.get() == &before) return;
  if (now->version == scope_->snapshot->version + 1) {
    for (const std::string& host : now->endpoints->changed_hosts()) {
      host_changes_.push_back({epoch_, host});
    }
  } else {
    // Snapshots in between were passed over.
    const auto& was = before.all();
    for (const auto& [key, endpoints] : now->endpoints->all()) {
      const auto it = was.find(key);
      if (it != was.end() && it->second == endpoints) continue;
      host_changes_.push_back({epoch_, key.substr(key.find('/') + 1)});
    }
  }
  while (host_changes_.size() > kHostChangesMax) {
    forgotten_epoch_ = host_changes_.front().epoch;
    host_changes_.pop_front();
  }
}

bool ScopeClass::AllChangedSince(uint64_t epoch) const {
  return epoch < all_epoch_ || epoch < forgotten_epoch_;
}

template <typename Visit>
void ScopeClass::ForEachHostSince(uint64_t epoch, Visit visit) const {
  for (auto change = host_changes_.rbegin(); change != host_changes_.rend(); ++change) {
    if (change->epoch <= epoch) break;
    visit(change->host);
  }
}

const std::vector<ResourcePtr>& ScopeClass::ClustersOf(const ServicePtr& service) {
  ServiceClusters& entry = service_clusters_[service->host];
  DestinationRulePtr rule = scope_->FindRule(service->host);
  ServiceEndpointsPtr endpoints = scope_->snapshot->endpoints->Find(*service);
  const ClusterOptions options{kind_, identity_};
  const bool looks = ClustersLookAtEndpoints(*service, rule.get(), options);
  ServiceEndpointsPtr held = looks ? endpoints : nullptr;
  PeerAuthenticationsPtr peers = looks ? scope_->snapshot->peer_authentications : nullptr;
  static const auto& nobody = *new std::vector<std::string>();
  const std::vector<std::string>& accounts = identity_ ? endpoints->accounts : nobody;
  if (entry.service != service || entry.rule != rule || entry.endpoints != held ||
      entry.peers != peers || entry.accounts != accounts) {
    entry.resources =
        BuildServiceClusters(*service, rule.get(), *endpoints, *scope_->snapshot, options);
    entry.service = service;
    entry.rule = std::move(rule);
    entry.endpoints = std::move(held);
    entry.accounts = accounts;
    entry.peers = std::move(peers);
  }
  return entry.resources;
}

ScopeClass::SharedResources ScopeClass::Clusters() {
  if (clusters_current_) return clusters_;
  clusters_current_ = true;
  if (clusters_ != nullptr && !AllChangedSince(clusters_epoch_) && !ClustersOfHostsChanged()) {
    clusters_epoch_ = epoch_;
    return clusters_;
  }
  if (static_clusters_.empty()) {
    static_clusters_ =
        BuildStaticClusters(*scope_->snapshot->mesh, ClusterOptions{kind_, identity_});
  }
  std::vector<ResourcePtr> all = static_clusters_;
  for (const ServicePtr& service : scope_->services) {
    const std::vector<ResourcePtr>& own = ClustersOf(service);
    all.insert(all.end(), own.begin(), own.end());
  }
  Replace(std::move(all), &clusters_);
  clusters_epoch_ = epoch_;
  return clusters_;
}

bool ScopeClass::ClustersOfHostsChanged() {
  bool changed = false;
  ForEachHostSince(clusters_epoch_, [&](const std::string& host) {
    const ServicePtr service = scope_->FindService(host);
    if (service == nullptr) return;
    const std::vector<ResourcePtr> before = service_clusters_[host].resources;
    const std::vector<ResourcePtr>& now = ClustersOf(service);
    changed =
        changed || !std::equal(before.begin(), before.end(), now.begin(), now.end(), SameResource);
  });
  return changed;
}

ResourceSetPtr ScopeClass::ClusterSet() {
  SharedResources now = Clusters();
  if (cluster_set_ == nullptr || clusters_in_set_ != now) {
    cluster_set_ = MakeResourceSet(*now);
    clusters_in_set_ = std::move(now);
  }
  return cluster_set_;
}

ResourceSetPtr ScopeClass::ListenerSet() {
  SharedResources now = OutboundListeners();
  if (listener_set_ == nullptr || listeners_in_set_ != now) {
    listener_set_ = MakeResourceSet(*now);
    listeners_in_set_ = std::move(now);
  }
  return listener_set_;
}

// ---- By name

ResourcePtr ScopeClass::FindNamed(XdsType type, const std::string& name) {
  ResourcePtr found = type == XdsType::kEndpoint ? LoadAssignment(name) : Route(name);
  return found != nullptr ? found : AbsentResource(name);
}

ResourceSetPtr ScopeClass::Resolve(XdsType type, const NameSetPtr& names) {
  if (!resolved_.contains({type, names.get()})) DropResolved();
  Resolved& entry = resolved_[{type, names.get()}];
  if (entry.set != nullptr && entry.epoch == epoch_) return entry.set;
  entry.names = names;
  const bool all = entry.set == nullptr || AllChangedSince(entry.epoch);
  if (all || type == XdsType::kEndpoint) ResolveAnew(type, &entry);
  entry.epoch = epoch_;
  return entry.set;
}

void ScopeClass::ResolveAnew(XdsType type, Resolved* entry) {
  const std::vector<std::string>& names = entry->names->names;
  const bool all = entry->set == nullptr || AllChangedSince(entry->epoch);
  std::vector<absl::string_view> hosts;
  if (!all) {
    ForEachHostSince(entry->epoch, [&](const std::string& host) { hosts.push_back(host); });
    if (hosts.empty()) return;
  }
  std::shared_ptr<ResourceSet> next;
  for (size_t i = 0; i < names.size(); ++i) {
    // "outbound|PORT|SUBSET|HOST"
    const auto ends = [&](absl::string_view host) { return absl::EndsWith(names[i], host); };
    if (!all && std::none_of(hosts.begin(), hosts.end(), ends)) continue;
    ResourcePtr found = FindNamed(type, names[i]);
    if (entry->set != nullptr) {
      const ResourcePtr& before = entry->set->resources[i];
      if (before->absent == found->absent && before->hash == found->hash) continue;
    }
    if (next == nullptr) {
      next = entry->set == nullptr ? std::make_shared<ResourceSet>()
                                   : std::make_shared<ResourceSet>(*entry->set);
      next->resources.resize(names.size());
    }
    next->resources[i] = std::move(found);
  }
  if (next == nullptr && entry->set != nullptr) return;
  if (next == nullptr) next = std::make_shared<ResourceSet>();
  next->SetHash();
  entry->set = std::move(next);
}

// What nobody asks for any more, whenever an eighth has been added: a client that names others all
// the time leaves nothing behind.
void ScopeClass::DropResolved() {
  if (resolved_.size() < drop_resolved_at_) return;
  absl::erase_if(resolved_, [](const auto& entry) { return entry.second.names.use_count() == 1; });
  drop_resolved_at_ = resolved_.size() + resolved_.size() / 8 + 1;
}

ScopeClass::SharedResources ScopeClass::OutboundListeners() {
  if (outbound_listeners_current_) return outbound_listeners_;
  listener_endpoints_ = ListenerEndpoints(*scope_);
  Replace(kind_ == ProxyKind::kSidecar ? BuildOutboundListeners(*scope_, access_log_, identity_)
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
  const Snapshot& snapshot = *scope_->snapshot;
  Assignment& entry = assignments_[std::string(name)];
  if (entry.resource == nullptr || entry.service != service || entry.rule != rule ||
      entry.endpoints != endpoints || entry.peers != snapshot.peer_authentications) {
    const EndpointMtls mtls{identity_, snapshot.peer_authentications.get(),
                            snapshot.mesh->root_namespace,
                            ResolvePolicy(rule.get(), port, subset).tls};
    ResourcePtr resource = BuildLoadAssignment(name, port, SubsetLabels(rule.get(), subset),
                                               *endpoints, mtls, cluster_id_);
    entry = Assignment{service, std::move(rule), std::move(endpoints),
                       snapshot.peer_authentications, std::move(resource)};
  }
  return entry.resource;
}

}  // namespace meltemi::pilot
