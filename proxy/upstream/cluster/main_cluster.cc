#include "proxy/upstream/cluster/main_cluster.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "proxy/upstream/cluster/cluster_stats.h"

namespace meltemi::proxy {
namespace {

// Everything but weight, priority and health, which a host keeps outside of its configuration.
bool SameIdentity(const EndpointConfig& a, const EndpointConfig& b) {
  return a.hostname == b.hostname && a.health_check_port == b.health_check_port &&
         a.region == b.region && a.zone == b.zone && a.sub_zone == b.sub_zone &&
         a.workload == b.workload && a.mtls == b.mtls;
}

bool ByDns(const ClusterConfig& config) {
  return config.discovery == Discovery::kStrictDns || config.discovery == Discovery::kLogicalDns;
}

bool SameDiscovery(const ClusterConfig& a, const ClusterConfig& b) {
  return a.discovery == b.discovery && a.dns_family == b.dns_family &&
         a.dns_refresh == b.dns_refresh && a.respect_dns_ttl == b.respect_dns_ttl &&
         a.eds_service_name == b.eds_service_name;
}

std::vector<std::shared_ptr<Host>> HostsOf(const std::vector<PlacedHost>& placed) {
  std::vector<std::shared_ptr<Host>> hosts;
  for (const PlacedHost& one : placed) hosts.push_back(one.host);
  return hosts;
}

}  // namespace

// Shared with the workers. Only the main loop touches `cluster`, which is null once that is gone.
class MainCluster::Alarm final : public OutlierAlarm, public std::enable_shared_from_this<Alarm> {
 public:
  Alarm(Loop& loop, MainCluster& cluster) : loop_(loop), cluster_(&cluster) {}
  void Forget() { cluster_ = nullptr; }
  void OnThreshold(std::shared_ptr<Host> host, OutlierKind kind) override {
    loop_.Post([self = shared_from_this(), host = std::move(host), kind] {
      MainCluster* cluster = self->cluster_;
      if (cluster == nullptr || cluster->outlier_ == nullptr) return;
      if (cluster->outlier_->OnAlarm(*host, kind, self->loop_.Now())) {
        cluster->owner_.OnHostsChanged(*cluster);
      }
    });
  }

 private:
  Loop& loop_;
  MainCluster* cluster_;
};

MainCluster::MainCluster(MainResources& resources, MainClusterOwner& owner, std::string name)
    : resources_(resources), owner_(owner), name_(std::move(name)) {}

MainCluster::~MainCluster() {
  if (alarm_ != nullptr) alarm_->Forget();
}

void MainCluster::SetConfig(std::shared_ptr<const ClusterConfig> config,
                            std::shared_ptr<const EndpointsConfig> inline_endpoints) {
  if (config_ != nullptr && config->fingerprint != 0 &&
      config->fingerprint == config_->fingerprint) {
    return;
  }
  const bool same_discovery = config_ != nullptr && SameDiscovery(*config_, *config);
  const bool same_outlier = config_ != nullptr && config_->outlier == config->outlier;
  const bool same_checks = config_ != nullptr && config_->health_checks == config->health_checks;
  config_ = std::move(config);
  dirty_ = true;
  if (scope_ == nullptr) {
    scope_ = std::make_unique<metrics::Scope>(resources_.shard, ClusterLabels(*config_));
  }
  // What is known of the hosts' health survives changes of other things.
  if (!same_outlier) StartOutlierDetection();
  if (!same_checks) StartHealthChecks();
  const bool same_names = same_discovery && endpoints_ != nullptr && inline_endpoints != nullptr &&
                          endpoints_->fingerprint != 0 &&
                          endpoints_->fingerprint == inline_endpoints->fingerprint;
  if (ByDns(*config_)) {
    if (same_names && dns_ != nullptr) {
      TellHosts();
      return;
    }
    // Until the new names are resolved the old hosts serve on.
    endpoints_ = std::move(inline_endpoints);
    if (endpoints_ == nullptr) endpoints_ = std::make_shared<EndpointsConfig>();
    dns_ = std::make_unique<DnsDiscovery>(resources_.loop, resources_.random, resources_.dns,
                                          *scope_, config_, endpoints_,
                                          [this](std::shared_ptr<const EndpointsConfig> resolved) {
                                            ApplyEndpoints(std::move(resolved));
                                            if (published_) owner_.OnHostsChanged(*this);
                                            CheckWarm();
                                          });
    if (endpoints_->endpoints.empty()) ApplyEndpoints(endpoints_);
    TellHosts();
    return;
  }
  dns_.reset();
  if (config_->discovery == Discovery::kEds && !same_discovery) resolved_.reset();
  if (config_->discovery == Discovery::kOriginalDst) {
    inline_endpoints = std::make_shared<EndpointsConfig>();
  }
  if (config_->discovery != Discovery::kEds && inline_endpoints != nullptr) {
    endpoints_ = inline_endpoints;
    ApplyEndpoints(std::move(inline_endpoints));
  } else {
    TellHosts();
  }
  CheckWarm();
}

void MainCluster::SetEndpoints(std::shared_ptr<const EndpointsConfig> endpoints) {
  if (endpoints == nullptr) return;
  if (resolved_ != nullptr && endpoints->fingerprint != 0 &&
      endpoints->fingerprint == resolved_->fingerprint) {
    return;
  }
  endpoints_ = endpoints;
  ApplyEndpoints(std::move(endpoints));
  CheckWarm();
}

std::shared_ptr<Host> MainCluster::FindOrMake(const EndpointConfig& endpoint,
                                              const std::vector<PlacedHost>& before) {
  for (const PlacedHost& placed : before) {
    if (placed.host->config.address != endpoint.address) continue;
    if (SameIdentity(placed.host->config, endpoint)) return placed.host;
    // The same application under another description: what is known of its health still holds.
    auto host = std::make_shared<Host>(endpoint, name_);
    host->health.store(placed.host->health.load(std::memory_order_relaxed),
                       std::memory_order_relaxed);
    return host;
  }
  auto host = std::make_shared<Host>(endpoint, name_);
  if (health_ != nullptr) {
    host->SetHealthBit(Host::kFailedActiveCheck, true);
    host->SetHealthBit(Host::kPendingFirstCheck, true);
  }
  return host;
}

void MainCluster::ApplyEndpoints(std::shared_ptr<const EndpointsConfig> endpoints) {
  absl::flat_hash_map<net::Address, std::vector<PlacedHost>> before;
  for (PlacedHost& placed : hosts_) before[placed.host->config.address].push_back(placed);
  resolved_ = std::move(endpoints);
  hosts_.clear();
  absl::flat_hash_set<net::Address> seen;
  static const std::vector<PlacedHost> kNone;
  for (const EndpointConfig& endpoint : resolved_->endpoints) {
    if (!endpoint.address.set() || !seen.insert(endpoint.address).second) continue;
    const auto known = before.find(endpoint.address);
    std::shared_ptr<Host> host =
        FindOrMake(endpoint, known == before.end() ? kNone : known->second);
    host->SetHealthBit(Host::kEdsUnhealthy, endpoint.health == EndpointHealth::kUnhealthy);
    host->SetHealthBit(Host::kEdsDraining, endpoint.health == EndpointHealth::kDraining);
    host->SetHealthBit(Host::kEdsDegraded, endpoint.health == EndpointHealth::kDegraded);
    hosts_.push_back({std::move(host), std::max(1u, endpoint.weight), endpoint.priority,
                      endpoint.locality_weight});
  }
  dirty_ = true;
  TellHosts();
}

void MainCluster::TellHosts() {
  if (outlier_ == nullptr && health_ == nullptr) return;
  const std::vector<std::shared_ptr<Host>> hosts = HostsOf(hosts_);
  if (outlier_ != nullptr) outlier_->SetHosts(hosts);
  if (health_ != nullptr) health_->SetHosts(hosts);
}

void MainCluster::StartOutlierDetection() {
  // Ejections of the detector that goes would never end.
  if (outlier_ != nullptr) {
    for (const PlacedHost& placed : hosts_) placed.host->SetHealthBit(Host::kEjected, false);
  }
  outlier_.reset();
  outlier_timer_.reset();
  if (alarm_ != nullptr) std::exchange(alarm_, nullptr)->Forget();
  if (!config_->outlier.has_value()) return;
  outlier_ = std::make_unique<OutlierDetector>(*config_->outlier, resources_.random, *scope_);
  alarm_ = std::make_shared<Alarm>(resources_.loop, *this);
  outlier_timer_ = resources_.loop.NewTimer([this] {
    outlier_timer_->Arm(config_->outlier->interval);
    if (outlier_->OnInterval(resources_.loop.Now())) owner_.OnHostsChanged(*this);
  });
  outlier_timer_->Arm(config_->outlier->interval);
}

void MainCluster::StartHealthChecks() {
  const bool before = health_ != nullptr;
  health_.reset();
  if (config_->health_checks.empty()) {
    for (const PlacedHost& placed : hosts_) {
      if (!before) break;
      placed.host->SetHealthBit(Host::kFailedActiveCheck, false);
      placed.host->SetHealthBit(Host::kPendingFirstCheck, false);
    }
    return;
  }
  health_ = std::make_unique<HealthChecker>(resources_.loop, resources_.random,
                                            resources_.connector, *scope_, config_, [this] {
                                              LetHealthyIn();
                                              if (published_) owner_.OnHostsChanged(*this);
                                              CheckWarm();
                                            });
}

void MainCluster::LetHealthyIn() {
  if (outlier_ == nullptr || !config_->outlier->uneject_on_health_check) return;
  for (const PlacedHost& placed : hosts_) {
    const Host& host = *placed.host;
    if (!host.HasHealthBit(Host::kEjected) || host.HasHealthBit(Host::kFailedActiveCheck)) continue;
    if (health_->TakeSuccess(host)) outlier_->OnHealthCheckSuccess(host, resources_.loop.Now());
  }
}

bool MainCluster::warm() const {
  if (config_ == nullptr || resolved_ == nullptr) return false;
  return health_ == nullptr || health_->first_round_done();
}

void MainCluster::CheckWarm() {
  if (was_warm_ || !warm()) return;
  was_warm_ = true;
  owner_.OnClusterWarm(*this);
}

std::shared_ptr<const ClusterView> MainCluster::Publish() {
  dirty_ = false;
  published_ = true;
  published_hosts_ = hosts_;
  published_endpoints_ = resolved_;
  published_config_ = config_;
  return BuildView();
}

std::shared_ptr<const ClusterView> MainCluster::Refresh() {
  // Names are not part of any update of the control plane: their new addresses go out at once.
  if (dns_ != nullptr && published_config_ == config_) {
    published_hosts_ = hosts_;
    published_endpoints_ = resolved_;
  }
  return BuildView();
}

std::shared_ptr<const ClusterView> MainCluster::BuildView() {
  auto view = std::make_shared<ClusterView>();
  view->config = published_config_;
  view->breakers = breakers_;
  if (published_config_ == config_) view->outlier_alarm = alarm_;
  HostSetOptions options;
  options.panic_threshold_percent = published_config_->panic_threshold_percent;
  options.overprovisioning_percent = published_config_->overprovisioning_percent;
  options.ignore_new_hosts_until_first_check =
      published_config_->ignore_new_hosts_until_first_health_check;
  options.locality_weighted = published_config_->locality_weighted;
  if (published_endpoints_ != nullptr) {
    options.overprovisioning_percent = published_endpoints_->overprovisioning_percent;
    view->drop_per_million = published_endpoints_->drop_per_million;
  }
  view->hosts = BuildHostSet(published_hosts_, options);
  CountMembers(*view->hosts);
  return view;
}

void MainCluster::RefreshBreakerGauges() {
  struct Kind {
    BreakerKind kind;
    const char* open;
    const char* remaining;
  };
  static constexpr Kind kKinds[] = {{BreakerKind::kConnections, "cx_open", "remaining_cx"},
                                    {BreakerKind::kPending, "rq_pending_open", "remaining_pending"},
                                    {BreakerKind::kRequests, "rq_open", "remaining_rq"},
                                    {BreakerKind::kRetries, "rq_retry_open", "remaining_retries"}};
  if (!published_) return;
  for (const bool high : {false, true}) {
    if (!breakers_->ever_open(high)) continue;
    const std::string prefix =
        absl::StrCat("envoy_cluster_circuit_breakers_", high ? "high_" : "default_");
    for (const Kind& one : kKinds) {
      const uint32_t limit = breakers_->Limit(one.kind, high, *published_config_);
      const uint32_t count = breakers_->count(one.kind, high);
      scope_->GetGauge(prefix + one.open).Set(count >= limit);
      scope_->GetGauge(prefix + one.remaining).Set(count >= limit ? 0 : limit - count);
    }
  }
}

void MainCluster::CountMembers(const HostSet& set) {
  if (published_config_->discovery == Discovery::kOriginalDst) return;
  scope_->GetGauge("envoy_cluster_membership_total").Set(static_cast<int64_t>(set.total));
  scope_->GetGauge("envoy_cluster_membership_healthy").Set(static_cast<int64_t>(set.healthy));
  scope_->GetCounter("envoy_cluster_membership_change").Inc();
}

double MainCluster::SuccessRate(const Host& host) const {
  return outlier_ == nullptr ? -1 : outlier_->SuccessRate(host);
}

}  // namespace meltemi::proxy
