#include "proxy/config/store/config_store.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "proxy/listener/listener_config.h"
#include "proxy/route/route.h"
#include "proxy/transport/host_transport.h"
#include "proxy/transport/tls_socket.h"
#include "proxy/upstream/cluster/cluster_config.h"
#include "proxy/upstream/upstream.h"

namespace meltemi::proxy {
namespace {

const std::string& EdsName(const ClusterConfig& config) {
  return config.eds_service_name.empty() ? config.name : config.eds_service_name;
}

bool IsEds(const ClusterConfig* config) {
  return config != nullptr && config->discovery == Discovery::kEds;
}

void CollectRoutes(const RouteTable& table, std::set<std::string>* clusters) {
  for (const auto& host : table.virtual_hosts) {
    for (const auto& route : host->routes) {
      for (const WeightedCluster& cluster : route->clusters) {
        if (!cluster.cluster.empty()) clusters->insert(cluster.cluster);
      }
      for (const MirrorPolicy& mirror : route->mirrors) {
        if (!mirror.cluster.empty()) clusters->insert(mirror.cluster);
      }
    }
  }
}

template <typename F>
void ForEachChain(const ListenerConfig& listener, F&& f) {
  for (const FilterChain& chain : listener.filter_chains) f(chain);
  if (listener.default_chain) f(*listener.default_chain);
}

}  // namespace

std::set<std::string> ClustersOf(const RouteTable& routes) {
  std::set<std::string> clusters;
  CollectRoutes(routes, &clusters);
  return clusters;
}

std::set<std::string> ClustersOf(const ListenerConfig& listener) {
  std::set<std::string> clusters;
  ForEachChain(listener, [&](const FilterChain& chain) {
    if (chain.http && chain.http->inline_routes) {
      CollectRoutes(*chain.http->inline_routes, &clusters);
    }
    if (chain.tcp) {
      for (const TcpProxyConfig::Target& target : chain.tcp->targets) {
        clusters.insert(target.cluster);
      }
    }
  });
  return clusters;
}

std::set<std::string> RouteNamesOf(const ListenerConfig& listener) {
  std::set<std::string> names;
  ForEachChain(listener, [&](const FilterChain& chain) {
    if (chain.http && !chain.http->rds_name.empty()) names.insert(chain.http->rds_name);
  });
  return names;
}

namespace {

// Envoy: a time-out of 0 is none. Control planes of Istio's kind set it.
ConfigStoreOptions ZeroMeansForEver(ConfigStoreOptions options) {
  constexpr auto kForEver = std::chrono::hours(24 * 365);
  if (options.initial_fetch_timeout == Duration::zero()) options.initial_fetch_timeout = kForEver;
  return options;
}

}  // namespace

ConfigStore::ConfigStore(ClusterDirectory& clusters, SnapshotSink& sink,
                         const ConfigStoreOptions& options)
    : directory_(clusters), sink_(sink), options_(ZeroMeansForEver(options)) {}

ConfigStore::~ConfigStore() = default;

// ---- What is wanted ---------------------------------------------------------------------------

void ConfigStore::SetCluster(std::shared_ptr<const ClusterConfig> config,
                             std::shared_ptr<const EndpointsConfig> inline_endpoints,
                             bool is_static, MonotonicTime now) {
  const std::string name = config->name;
  Cluster& cluster = clusters_[name];
  const ClusterConfig* before =
      cluster.wanted != nullptr ? cluster.wanted.get() : cluster.installed.get();
  MoveEdsUser(name, before, config.get());
  cluster.wanted = std::move(config);
  cluster.inline_endpoints = std::move(inline_endpoints);
  cluster.is_static = is_static;
  if (!pending_clusters_.contains(name)) cluster.wanted_since = now;
  cluster.unused_since.reset();
  retired_clusters_.erase(name);
  pending_clusters_.insert(name);
}

void ConfigStore::MoveEdsUser(const std::string& name, const ClusterConfig* from,
                              const ClusterConfig* to) {
  // First the new name: endpoints that both name must not be forgotten.
  if (IsEds(to)) {
    if (!eds_users_.contains(EdsName(*to))) ++names_version_;
    eds_users_[EdsName(*to)].insert(name);
  }
  if (!IsEds(from) || (IsEds(to) && EdsName(*from) == EdsName(*to))) return;
  auto users = eds_users_.find(EdsName(*from));
  if (users == eds_users_.end()) return;
  users->second.erase(name);
  if (!users->second.empty()) return;
  ++names_version_;
  endpoints_.erase(users->first);
  eds_users_.erase(users);
}

void ConfigStore::SetEndpoints(const std::string& eds_name,
                               std::shared_ptr<const EndpointsConfig> endpoints) {
  auto users = eds_users_.find(eds_name);
  if (users == eds_users_.end()) return;  // unsubscribed meanwhile
  endpoints_[eds_name] = endpoints;
  for (const std::string& name : users->second) {
    const Cluster& cluster = clusters_.at(name);
    if (!IsEds(cluster.installed.get()) || EdsName(*cluster.installed) != eds_name) continue;
    directory_.SetEndpoints(name, endpoints);
    clusters_changed_ = true;
  }
}

void ConfigStore::SetListener(std::shared_ptr<const ListenerConfig> listener, bool is_static,
                              MonotonicTime now) {
  Item<ListenerConfig>& item = listeners_[listener->name];
  if (item.wanted == nullptr || item.wanted == item.active) item.wanted_since = now;
  ++names_version_;
  item.wanted_clusters = ClustersOf(*listener);
  item.wanted = std::move(listener);
  item.is_static = is_static;
}

void ConfigStore::SetRoutes(const std::string& name, std::shared_ptr<const RouteTable> routes,
                            MonotonicTime now) {
  Item<RouteTable>& item = routes_[name];
  if (item.wanted == item.active) item.wanted_since = now;
  item.wanted_clusters = ClustersOf(*routes);
  item.wanted = std::move(routes);
}

void ConfigStore::RetainClusters(const std::set<std::string>& names) {
  for (auto it = clusters_.begin(); it != clusters_.end();) {
    it = names.contains(it->first) ? std::next(it) : DropCluster(it);
  }
}

std::map<std::string, ConfigStore::Cluster>::iterator ConfigStore::DropCluster(
    std::map<std::string, Cluster>::iterator it) {
  const std::string& name = it->first;
  Cluster& cluster = it->second;
  if (cluster.is_static || cluster.wanted == nullptr) return std::next(it);
  pending_clusters_.erase(name);
  MoveEdsUser(name, cluster.wanted.get(), cluster.installed.get());
  if (cluster.installed == nullptr) return clusters_.erase(it);
  cluster.wanted = nullptr;
  retired_clusters_.insert(name);
  return std::next(it);
}

void ConfigStore::RemoveCluster(const std::string& name) {
  if (auto it = clusters_.find(name); it != clusters_.end()) DropCluster(it);
}

void ConfigStore::RetainListeners(const std::set<std::string>& names) {
  for (auto it = listeners_.begin(); it != listeners_.end();) {
    it = names.contains(it->first) ? std::next(it) : DropListener(it);
  }
}

std::map<std::string, ConfigStore::Item<ListenerConfig>>::iterator ConfigStore::DropListener(
    std::map<std::string, Item<ListenerConfig>>::iterator it) {
  Item<ListenerConfig>& item = it->second;
  if (item.is_static) return std::next(it);
  ++names_version_;
  item.wanted = nullptr;
  item.wanted_clusters.clear();
  return item.active == nullptr ? listeners_.erase(it) : std::next(it);
}

void ConfigStore::RemoveListener(const std::string& name) {
  if (auto it = listeners_.find(name); it != listeners_.end()) DropListener(it);
}

bool ConfigStore::IsStaticCluster(const std::string& name) const {
  auto it = clusters_.find(name);
  return it != clusters_.end() && it->second.is_static;
}

bool ConfigStore::IsStaticListener(const std::string& name) const {
  auto it = listeners_.find(name);
  return it != listeners_.end() && it->second.is_static;
}

// ---- What to subscribe to -----------------------------------------------------------------------

std::set<std::string> ConfigStore::EndpointNames() const {
  std::set<std::string> names;
  for (const auto& [name, cluster] : clusters_) {
    const ClusterConfig* config =
        cluster.wanted != nullptr ? cluster.wanted.get() : cluster.installed.get();
    if (IsEds(config)) names.insert(EdsName(*config));
  }
  return names;
}

std::set<std::string> ConfigStore::RouteNames() const {
  std::set<std::string> names;
  for (const auto& [name, item] : listeners_) {
    if (item.wanted != nullptr) names.merge(RouteNamesOf(*item.wanted));
    if (item.active != nullptr && item.active != item.wanted) {
      names.merge(RouteNamesOf(*item.active));
    }
  }
  return names;
}

// ---- Moving forward
// -------------------------------------------------------------------------------

std::optional<MonotonicTime> ConfigStore::Advance(MonotonicTime now) {
  wake_at_.reset();
  waiting_.clear();
  InstallClusters(now);
  if (std::exchange(clusters_changed_, false)) directory_.Publish();
  ActivateRoutes(now);
  ActivateListeners(now);
  DropRoutesWithoutListener();
  if (std::exchange(snapshot_changed_, false)) PublishSnapshot();
  RemoveUnusedClusters(now);
  if (std::exchange(clusters_changed_, false)) directory_.Publish();
  return wake_at_;
}

void ConfigStore::Wait(const std::string& key, std::string reason, MonotonicTime until) {
  waiting_.emplace(key, std::move(reason));
  if (!wake_at_ || until < *wake_at_) wake_at_ = until;
}

void ConfigStore::InstallClusters(MonotonicTime now) {
  for (auto it = pending_clusters_.begin(); it != pending_clusters_.end();) {
    it = TryInstall(*it, clusters_.at(*it), now) ? pending_clusters_.erase(it) : std::next(it);
  }
}

bool ConfigStore::TryInstall(const std::string& name, Cluster& cluster, MonotonicTime now) {
  if (!IsEds(cluster.wanted.get())) {
    directory_.SetCluster(cluster.wanted, cluster.inline_endpoints);
    cluster.installed = cluster.wanted;
    clusters_changed_ = true;
    return true;
  }
  const std::string& eds_name = EdsName(*cluster.wanted);
  auto endpoints = endpoints_.find(eds_name);
  std::shared_ptr<const EndpointsConfig> known;
  if (endpoints != endpoints_.end()) {
    known = endpoints->second;
  } else {
    const MonotonicTime until = cluster.wanted_since + options_.initial_fetch_timeout;
    if (now < until) {
      Wait(absl::StrCat("cluster ", name), absl::StrCat("no endpoints of ", eds_name, " yet"),
           until);
      return false;
    }
    LOG(kWarn, "config", "cluster ", name, ": the control plane sent no endpoints of ", eds_name,
        " within ", ToMillis(options_.initial_fetch_timeout), " ms; going on without any");
    auto none = std::make_shared<EndpointsConfig>();
    none->cluster_name = eds_name;
    known = std::move(none);
  }
  directory_.SetCluster(cluster.wanted, nullptr);
  directory_.SetEndpoints(name, std::move(known));
  cluster.installed = cluster.wanted;
  clusters_changed_ = true;
  return true;
}

bool ConfigStore::InstalledAndWarm(const std::string& name) const {
  auto it = clusters_.find(name);
  if (it == clusters_.end() || it->second.installed == nullptr) return false;
  if (it->second.wanted != nullptr && it->second.wanted != it->second.installed) return false;
  const ClusterConfig& config = *it->second.installed;
  if (config.transport != nullptr && !config.transport->ready()) return false;
  return directory_.Warm(name);
}

template <typename T>
bool ConfigStore::ClustersReady(const std::string& key, const Item<T>& item, MonotonicTime now) {
  bool ready = true;
  for (const std::string& name : item.wanted_clusters) {
    // What the active version sends there already, the new one need not wait for.
    if (item.active_clusters.contains(name) || InstalledAndWarm(name)) continue;
    const bool known = clusters_.contains(name);
    const MonotonicTime until = item.wanted_since + (known ? options_.initial_fetch_timeout
                                                           : options_.unknown_cluster_hold);
    if (now < until) {
      Wait(key, absl::StrCat("cluster ", name, known ? " is not warm yet" : " is not known"),
           until);
      ready = false;
    } else {
      LOG(kWarn, "config", key, " names cluster ", name, known ? ", which is not warm" : "",
          known ? "" : ", which the control plane has not sent", "; going on without it");
    }
  }
  return ready;
}

template <typename T>
void ConfigStore::Activate(Item<T>& item) {
  item.active = item.wanted;
  item.active_clusters = item.wanted_clusters;
  snapshot_changed_ = true;
}

void ConfigStore::ActivateRoutes(MonotonicTime now) {
  for (auto& [name, item] : routes_) {
    if (item.active == item.wanted) continue;
    if (ClustersReady(absl::StrCat("routes ", name), item, now)) Activate(item);
  }
}

bool ConfigStore::SecretsReady(const std::string& key, const Item<ListenerConfig>& item,
                               MonotonicTime now) {
  const ListenerConfig& listener = *item.wanted;
  const auto lacks = [](const FilterChain& chain) {
    return chain.tls != nullptr && !chain.tls->ready();
  };
  const bool ready =
      std::none_of(listener.filter_chains.begin(), listener.filter_chains.end(), lacks) &&
      !(listener.default_chain.has_value() && lacks(*listener.default_chain));
  if (ready) return true;
  const MonotonicTime until = item.wanted_since + options_.initial_fetch_timeout;
  if (now < until) {
    Wait(key, "secrets of its TLS are not there yet", until);
    return false;
  }
  // Its other chains can serve; those without secrets refuse.
  LOG(kWarn, "config", key, ": secrets of its TLS have not come; going on without them");
  return true;
}

bool ConfigStore::RoutesReady(const std::string& key, const Item<ListenerConfig>& item,
                              MonotonicTime now) {
  bool ready = true;
  for (const std::string& name : RouteNamesOf(*item.wanted)) {
    auto routes = routes_.find(name);
    if (routes != routes_.end() && routes->second.active != nullptr) continue;
    const MonotonicTime until = item.wanted_since + options_.initial_fetch_timeout;
    if (now < until) {
      Wait(key, absl::StrCat("no routes ", name, " yet"), until);
      ready = false;
      continue;
    }
    if (routes != routes_.end()) continue;  // they wait for a cluster of theirs
    LOG(kWarn, "config", key, ": the control plane sent no routes ", name, " within ",
        ToMillis(options_.initial_fetch_timeout), " ms; requests get 404 until it does");
    auto none = std::make_shared<RouteTable>();
    none->name = name;
    Item<RouteTable>& empty = routes_[name];
    empty.wanted = std::move(none);
    empty.wanted_since = now;
    Activate(empty);
  }
  return ready;
}

void ConfigStore::ActivateListeners(MonotonicTime now) {
  bool some_wait = false;
  for (auto& [name, item] : listeners_) {
    if (item.wanted == nullptr || item.active == item.wanted) continue;
    const std::string key = absl::StrCat("listener ", name);
    const bool clusters_ready = ClustersReady(key, item, now);
    const bool secrets_ready = SecretsReady(key, item, now);
    if (RoutesReady(key, item, now) && clusters_ready && secrets_ready) {
      Activate(item);
      ++names_version_;
    } else {
      some_wait = true;
    }
  }
  // What takes a removed listener's place may be among those that wait.
  if (some_wait) return;
  for (auto it = listeners_.begin(); it != listeners_.end();) {
    if (it->second.wanted != nullptr) {
      ++it;
      continue;
    }
    it = listeners_.erase(it);
    ++names_version_;
    snapshot_changed_ = true;
  }
}

void ConfigStore::DropRoutesWithoutListener() {
  const std::set<std::string> named = RouteNames();
  for (auto it = routes_.begin(); it != routes_.end();) {
    if (named.contains(it->first)) {
      ++it;
      continue;
    }
    snapshot_changed_ |= it->second.active != nullptr;
    waiting_.erase(absl::StrCat("routes ", it->first));
    it = routes_.erase(it);
  }
}

std::set<std::string> ConfigStore::ClustersInUse() const {
  std::set<std::string> in_use;
  for (const auto& [name, item] : routes_) {
    in_use.insert(item.active_clusters.begin(), item.active_clusters.end());
    in_use.insert(item.wanted_clusters.begin(), item.wanted_clusters.end());
  }
  for (const auto& [name, item] : listeners_) {
    in_use.insert(item.active_clusters.begin(), item.active_clusters.end());
    in_use.insert(item.wanted_clusters.begin(), item.wanted_clusters.end());
  }
  return in_use;
}

void ConfigStore::RemoveUnusedClusters(MonotonicTime now) {
  if (retired_clusters_.empty()) return;
  const std::set<std::string> in_use = ClustersInUse();
  for (auto it = retired_clusters_.begin(); it != retired_clusters_.end();) {
    const std::string name = *it;
    Cluster& cluster = clusters_.at(name);
    if (in_use.contains(name)) {
      cluster.unused_since.reset();
      ++it;
      continue;
    }
    if (!cluster.unused_since) cluster.unused_since = now;
    const MonotonicTime until = *cluster.unused_since + options_.removed_cluster_linger;
    if (now < until) {
      if (!wake_at_ || until < *wake_at_) wake_at_ = until;
      ++it;
      continue;
    }
    MoveEdsUser(name, cluster.installed.get(), nullptr);
    directory_.RemoveCluster(name);
    clusters_changed_ = true;
    clusters_.erase(name);
    it = retired_clusters_.erase(it);
  }
}

void ConfigStore::PublishSnapshot() {
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->sequence = ++sequence_;
  for (const auto& [name, item] : listeners_) {
    if (item.active != nullptr) snapshot->listeners.emplace(name, item.active);
  }
  for (const auto& [name, item] : routes_) {
    if (item.active != nullptr) snapshot->routes.emplace(name, item.active);
  }
  snapshot_ = snapshot;
  sink_.Apply(std::move(snapshot), [sequence = sequence_] {
    LOG(kDebug, "config", "snapshot ", sequence, " is on all workers");
  });
}

size_t ConfigStore::active_clusters() const {
  return static_cast<size_t>(std::count_if(clusters_.begin(), clusters_.end(), [](const auto& c) {
    return c.second.installed != nullptr;
  }));
}

size_t ConfigStore::warming_clusters() const { return pending_clusters_.size(); }

size_t ConfigStore::warming_listeners() const {
  return static_cast<size_t>(
      std::count_if(listeners_.begin(), listeners_.end(), [](const auto& entry) {
        return entry.second.wanted != nullptr && entry.second.wanted != entry.second.active;
      }));
}

}  // namespace meltemi::proxy
