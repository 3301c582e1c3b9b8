// One cluster on the main loop: its hosts, how they are found and what is known of their health.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "base/loop/loop.h"
#include "base/metrics/metrics.h"
#include "base/net/dns.h"
#include "base/random/random.h"
#include "proxy/upstream/cluster/cluster_view.h"
#include "proxy/upstream/cluster/dns_discovery.h"
#include "proxy/upstream/health/checker.h"
#include "proxy/upstream/outlier/detector.h"
#include "proxy/upstream/pool/connector.h"

namespace meltemi::proxy {

class MainCluster;

// What all clusters of the main loop share. Outlives them.
struct MainResources {
  Loop& loop;
  Random& random;
  net::DnsResolver& dns;
  metrics::Shard& shard;
  const Connector& connector;
};

class MainClusterOwner {
 public:
  virtual ~MainClusterOwner() = default;
  // New addresses or another health: workers should get a new view soon. From the loop.
  virtual void OnHostsChanged(MainCluster& cluster) = 0;
  // Warm() has become true. From the loop or from within SetEndpoints.
  virtual void OnClusterWarm(MainCluster& cluster) = 0;
};

// Main loop only. Two sets of hosts are kept apart: the current one, and the one that the last
// Publish gave to the workers. Health changes reach the workers at once, but never carry endpoints
// with them that were not published.
class MainCluster {
 public:
  MainCluster(MainResources& resources, MainClusterOwner& owner, std::string name);
  ~MainCluster();
  MainCluster(const MainCluster&) = delete;
  MainCluster& operator=(const MainCluster&) = delete;

  void SetConfig(std::shared_ptr<const ClusterConfig> config,
                 std::shared_ptr<const EndpointsConfig> inline_endpoints);
  void SetEndpoints(std::shared_ptr<const EndpointsConfig> endpoints);

  bool warm() const;
  // Something has changed since the last Publish.
  bool dirty() const { return dirty_; }
  bool published() const { return published_; }
  // What the workers are to have from now on.
  std::shared_ptr<const ClusterView> Publish();
  // The published hosts with their health of now.
  std::shared_ptr<const ClusterView> Refresh();

  // Brings the gauges of the circuit breakers up to date, where one has ever been open.
  void RefreshBreakerGauges();

  const std::string& name() const { return name_; }
  const ClusterConfig& config() const { return *config_; }
  const std::vector<PlacedHost>& hosts() const { return hosts_; }
  const Breakers& breakers() const { return *breakers_; }
  double SuccessRate(const Host& host) const;

 private:
  class Alarm;

  void ApplyEndpoints(std::shared_ptr<const EndpointsConfig> endpoints);
  std::shared_ptr<Host> FindOrMake(const EndpointConfig& endpoint,
                                   const std::vector<PlacedHost>& before);
  void StartOutlierDetection();
  void StartHealthChecks();
  // Ends ejections of hosts that have passed an active check since.
  void LetHealthyIn();
  void TellHosts();
  void CheckWarm();
  std::shared_ptr<const ClusterView> BuildView();
  void CountMembers(const HostSet& set);

  MainResources& resources_;
  MainClusterOwner& owner_;
  const std::string name_;
  const std::shared_ptr<Breakers> breakers_ = std::make_shared<Breakers>();
  std::shared_ptr<const ClusterConfig> config_;
  // As given: with names for DNS clusters.
  std::shared_ptr<const EndpointsConfig> endpoints_;
  // As resolved; what hosts_ was made from.
  std::shared_ptr<const EndpointsConfig> resolved_;
  std::vector<PlacedHost> hosts_;

  bool dirty_ = false;
  bool published_ = false;
  bool was_warm_ = false;
  std::vector<PlacedHost> published_hosts_;
  std::shared_ptr<const EndpointsConfig> published_endpoints_;
  std::shared_ptr<const ClusterConfig> published_config_;

  std::unique_ptr<metrics::Scope> scope_;
  std::unique_ptr<DnsDiscovery> dns_;
  std::unique_ptr<OutlierDetector> outlier_;
  std::unique_ptr<Timer> outlier_timer_;
  std::shared_ptr<Alarm> alarm_;
  std::unique_ptr<HealthChecker> health_;
};

}  // namespace meltemi::proxy
