// From accepted resources to what the workers route by: holds back what is not ready, so that no
// request ever sees half an update.
//
// Main loop only; no protobuf, no timers of its own. Resources come in with Set… and Retain…;
// Advance then moves forward whatever is ready:
//
//   cluster   wanted -> installed (its endpoints are known) -> usable (the directory says warm)
//   routes    wanted -> active once every cluster they name is usable
//   listener  wanted -> active once its routes are active, its clusters usable and the certificates
//             of its TLS there
//
// Clusters are published before the snapshot that names them. A cluster that is wanted no more
// stays while active routes or listeners name it, and a little longer for retries of requests that
// are on their way. Old versions stay active until the new ones are ready: nothing is taken away
// early.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock/clock.h"
#include "proxy/config/snapshot.h"

namespace meltemi::proxy {

class ClusterDirectory;
struct ClusterConfig;
struct EndpointsConfig;

struct ConfigStoreOptions {
  // How long endpoints, routes or a first health check are waited for (Envoy's
  // initial_fetch_timeout). 0: for ever.
  Duration initial_fetch_timeout = seconds(15);
  // How long routes wait for a cluster that nobody has heard of: its CDS may be on the way.
  Duration unknown_cluster_hold = seconds(1);
  // How long a cluster outlives the last route to it.
  Duration removed_cluster_linger = seconds(5);
};

// The names of the clusters that a request may be sent to by these routes, or a connection or
// request by this listener (without its RDS routes).
std::set<std::string> ClustersOf(const RouteTable& routes);
std::set<std::string> ClustersOf(const ListenerConfig& listener);
std::set<std::string> RouteNamesOf(const ListenerConfig& listener);

class ConfigStore {
 public:
  // Both outlive the store.
  ConfigStore(ClusterDirectory& clusters, SnapshotSink& sink,
              const ConfigStoreOptions& options = {});
  ~ConfigStore();

  // --- What is wanted. Static ones come from the bootstrap and are never removed.
  void SetCluster(std::shared_ptr<const ClusterConfig> config,
                  std::shared_ptr<const EndpointsConfig> inline_endpoints, bool is_static,
                  MonotonicTime now);
  // `eds_name`: the name of the resource, the cluster's eds_service_name or name.
  void SetEndpoints(const std::string& eds_name, std::shared_ptr<const EndpointsConfig> endpoints);
  void SetListener(std::shared_ptr<const ListenerConfig> listener, bool is_static,
                   MonotonicTime now);
  void SetRoutes(const std::string& name, std::shared_ptr<const RouteTable> routes,
                 MonotonicTime now);
  // Clusters (listeners) that are not static and not in `names` are wanted no more.
  void RetainClusters(const std::set<std::string>& names);
  void RetainListeners(const std::set<std::string>& names);
  // These, unless they are static, are wanted no more.
  void RemoveCluster(const std::string& name);
  void RemoveListener(const std::string& name);
  bool IsStaticCluster(const std::string& name) const;
  bool IsStaticListener(const std::string& name) const;

  // --- What to subscribe to
  std::set<std::string> EndpointNames() const;
  std::set<std::string> RouteNames() const;
  bool WantsEndpoints(const std::string& eds_name) const { return eds_users_.contains(eds_name); }
  bool HasEndpoints(const std::string& eds_name) const { return endpoints_.contains(eds_name); }
  // Another number whenever EndpointNames or RouteNames may say something else.
  uint64_t names_version() const { return names_version_; }

  // Some cluster has become warm (ClusterDirectory::OnWarm), or secrets have come that clusters
  // wait for: the next Advance tells the workers.
  void OnClusterWarm() { clusters_changed_ = true; }
  // Takes all that is ready to the workers. Call after each batch of Set… and when a cluster has
  // become warm; again at the returned time at the latest (unset: nothing is waiting).
  std::optional<MonotonicTime> Advance(MonotonicTime now);

  // What is held back and why, by "kind name": for logs and readiness.
  const std::map<std::string, std::string>& waiting() const { return waiting_; }
  uint64_t sequence() const { return sequence_; }
  // What was given to the sink last; null before the first.
  std::shared_ptr<const Snapshot> snapshot() const { return snapshot_; }
  size_t active_clusters() const;
  size_t warming_clusters() const;
  size_t warming_listeners() const;

 private:
  struct Cluster {
    std::shared_ptr<const ClusterConfig> wanted;  // null: wanted no more
    std::shared_ptr<const EndpointsConfig> inline_endpoints;
    std::shared_ptr<const ClusterConfig> installed;  // what the directory has; null: nothing
    bool is_static = false;
    MonotonicTime wanted_since{};               // when it began to wait
    std::optional<MonotonicTime> unused_since;  // wanted no more and named by nobody
  };
  // A listener or route table on its way.
  template <typename T>
  struct Item {
    std::shared_ptr<const T> wanted;  // null: wanted no more
    std::shared_ptr<const T> active;  // null: the workers don't have it
    std::set<std::string> wanted_clusters, active_clusters;
    bool is_static = false;
    MonotonicTime wanted_since{};  // when it began to wait: later versions don't start that anew
  };

  // The cluster `name` takes its endpoints from what `to` says, no longer from what `from` says.
  void MoveEdsUser(const std::string& name, const ClusterConfig* from, const ClusterConfig* to);
  // Returns what follows it.
  std::map<std::string, Cluster>::iterator DropCluster(std::map<std::string, Cluster>::iterator it);
  std::map<std::string, Item<ListenerConfig>>::iterator DropListener(
      std::map<std::string, Item<ListenerConfig>>::iterator it);
  bool TryInstall(const std::string& name, Cluster& cluster, MonotonicTime now);
  void InstallClusters(MonotonicTime now);
  bool InstalledAndWarm(const std::string& name) const;
  // True when nothing that `item` waits for is missing, or it has waited long enough.
  template <typename T>
  bool ClustersReady(const std::string& key, const Item<T>& item, MonotonicTime now);
  bool RoutesReady(const std::string& key, const Item<ListenerConfig>& item, MonotonicTime now);
  bool SecretsReady(const std::string& key, const Item<ListenerConfig>& item, MonotonicTime now);
  template <typename T>
  void Activate(Item<T>& item);
  void ActivateRoutes(MonotonicTime now);
  void ActivateListeners(MonotonicTime now);
  void DropRoutesWithoutListener();
  void RemoveUnusedClusters(MonotonicTime now);
  std::set<std::string> ClustersInUse() const;
  void PublishSnapshot();
  // Notes that `key` waits because of `reason`, until `until` at most.
  void Wait(const std::string& key, std::string reason, MonotonicTime until);

  ClusterDirectory& directory_;
  SnapshotSink& sink_;
  const ConfigStoreOptions options_;

  std::map<std::string, Cluster> clusters_;
  std::set<std::string> pending_clusters_;  // wanted, and not yet installed as wanted
  std::set<std::string> retired_clusters_;  // installed, and wanted no more
  std::map<std::string, std::shared_ptr<const EndpointsConfig>> endpoints_;  // by EDS name
  std::map<std::string, std::set<std::string>> eds_users_;                   // EDS name -> clusters
  std::map<std::string, Item<RouteTable>> routes_;
  std::map<std::string, Item<ListenerConfig>> listeners_;
  std::map<std::string, std::string> waiting_;

  std::shared_ptr<const Snapshot> snapshot_;
  uint64_t sequence_ = 0;
  uint64_t names_version_ = 1;
  bool clusters_changed_ = false;
  bool snapshot_changed_ = false;
  std::optional<MonotonicTime> wake_at_;
};

}  // namespace meltemi::proxy
