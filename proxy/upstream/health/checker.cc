#include "proxy/upstream/health/checker.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "base/log/log.h"
#include "proxy/transport/host_transport.h"
#include "proxy/upstream/health/probe.h"

namespace meltemi::proxy {
namespace {

// Envoy's, for a cluster that nobody has sent a request to.
constexpr Duration kNoTrafficIntervalDefault = seconds(60);

ProbeTarget TargetOf(Loop& loop, const Connector& connector, const std::shared_ptr<Host>& to,
                     const HealthCheck& check, std::shared_ptr<const ClusterConfig> config) {
  const Host& host = *to;
  net::Address address = host.config.address;
  if (check.alt_port != 0) address.set_port(static_cast<uint16_t>(check.alt_port));
  if (host.config.health_check_port != 0) address.set_port(host.config.health_check_port);
  const std::string& name = host.config.hostname;
  std::string authority = name.empty() ? config->name : name;
  return {loop, connector, address, std::move(authority), std::move(config), to};
}

}  // namespace

// As those of requests, so that what is checked is what they meet.
std::unique_ptr<net::Connection> ProbeTarget::Connect(
    std::optional<http::Protocol> protocol) const {
  TransportNeeds needs;
  needs.protocol = protocol;
  return ConnectHost(loop, connector, *cluster, host->config, address, {}, needs).connection;
}

// One check of one host.
class HealthSession {
 public:
  HealthSession(HealthChecker& owner, std::shared_ptr<Host> host, const HealthCheck& check)
      : owner_(owner),
        host_(std::move(host)),
        check_(check),
        healthy_(!host_->HasHealthBit(Host::kFailedActiveCheck)),
        timer_(owner.loop_.NewTimer([this] { OnTimer(); })),
        timeout_(owner.loop_.NewTimer([this] { OnTimeout(); })) {
    const ProbeTarget target =
        TargetOf(owner.loop_, owner.connector_, host_, check_, owner.config_);
    const auto on_done = [this](ProbeResult result) { OnResult(result); };
    probe_ = check.kind == HealthCheck::Kind::kHttp ? NewHttpProbe(target, check_, on_done)
                                                    : NewTcpProbe(target, check_, on_done);
    timer_->Arm(Jitter(check_.initial_jitter));
  }
  ~HealthSession() { owner_.loop_.DeferDelete(std::move(probe_)); }

  bool first_done() const { return first_done_; }
  bool healthy() const { return healthy_; }
  bool TakePassed() { return std::exchange(passed_, false); }
  void StopProbing() { probe_->Cancel(); }

 private:
  Duration Jitter(Duration bound) {
    return Duration(owner_.random_.Below(static_cast<uint64_t>(bound.count()) + 1));
  }
  void OnTimer() {
    owner_.scope_.GetCounter("envoy_cluster_health_check_attempt").Inc();
    timeout_->Arm(check_.timeout);
    probe_->Start();
  }
  void OnTimeout() {
    probe_->Cancel();
    OnResult(ProbeResult::kNetworkFailure);
  }
  void OnResult(ProbeResult result) {
    timeout_->Disarm();
    metrics::Scope& scope = owner_.scope_;
    const bool was_healthy = healthy_, was_done = first_done_;
    if (result == ProbeResult::kSuccess) {
      scope.GetCounter("envoy_cluster_health_check_success").Inc();
      failures_ = 0;
      if (!healthy_ && (!first_done_ || ++successes_ >= check_.healthy_threshold)) healthy_ = true;
    } else {
      scope.GetCounter("envoy_cluster_health_check_failure").Inc();
      if (result == ProbeResult::kNetworkFailure) {
        scope.GetCounter("envoy_cluster_health_check_network_failure").Inc();
      }
      successes_ = 0;
      // A host that answers the wrong thing is not well, whatever the threshold says.
      if (healthy_ &&
          (result == ProbeResult::kFailure || ++failures_ >= check_.unhealthy_threshold)) {
        healthy_ = false;
      }
    }
    if (healthy_ != was_healthy) successes_ = failures_ = 0;
    first_done_ = true;
    timer_->Arm(NextInterval());
    if (result == ProbeResult::kSuccess && host_->HasHealthBit(Host::kEjected)) {
      passed_ = true;
      owner_.OnSessionChanged();
    }
    if (healthy_ == was_healthy && was_done) return;
    LOG(kInfo, "upstream", "cluster ", owner_.config_->name, ": host ",
        host_->config.address.ToString(), healthy_ ? " is healthy" : " fails its health check");
    owner_.UpdateBits(*host_);
  }
  Duration NextInterval() {
    Duration interval = check_.interval;
    if (host_->connections_total.load(std::memory_order_relaxed) == 0) {
      interval = check_.no_traffic_interval.value_or(kNoTrafficIntervalDefault);
    }
    if (!healthy_) interval = check_.unhealthy_interval.value_or(check_.interval);
    return interval + Jitter(check_.interval_jitter);
  }

  HealthChecker& owner_;
  const std::shared_ptr<Host> host_;
  const HealthCheck& check_;  // of the cluster's configuration, which the checker holds
  bool healthy_;
  std::unique_ptr<Probe> probe_;
  std::unique_ptr<Timer> timer_;    // between checks
  std::unique_ptr<Timer> timeout_;  // of a check
  bool first_done_ = false;
  bool passed_ = false;  // while the host was ejected
  uint32_t successes_ = 0, failures_ = 0;
};

HealthChecker::HealthChecker(Loop& loop, Random& random, const Connector& connector,
                             metrics::Scope& scope, std::shared_ptr<const ClusterConfig> config,
                             Callback on_change)
    : loop_(loop),
      random_(random),
      connector_(connector),
      scope_(scope),
      config_(std::move(config)),
      on_change_(std::move(on_change)) {}

HealthChecker::~HealthChecker() {
  for (auto& [host, sessions] : sessions_) {
    for (const auto& session : sessions) session->StopProbing();
  }
}

void HealthChecker::SetHosts(const std::vector<std::shared_ptr<Host>>& hosts) {
  absl::flat_hash_set<const Host*> present;
  for (const std::shared_ptr<Host>& host : hosts) {
    present.insert(host.get());
    if (sessions_.contains(host.get())) continue;
    std::vector<std::unique_ptr<HealthSession>>& sessions = sessions_[host.get()];
    for (const HealthCheck& check : config_->health_checks) {
      sessions.push_back(std::make_unique<HealthSession>(*this, host, check));
    }
  }
  for (auto it = sessions_.begin(); it != sessions_.end();) {
    if (present.contains(it->first)) {
      ++it;
      continue;
    }
    for (const auto& session : it->second) session->StopProbing();
    sessions_.erase(it++);
  }
  OnSessionChanged();
}

void HealthChecker::UpdateBits(Host& host) {
  const auto it = sessions_.find(&host);
  if (it == sessions_.end()) return;
  const auto& sessions = it->second;
  const bool done = std::all_of(sessions.begin(), sessions.end(),
                                [](const auto& session) { return session->first_done(); });
  const bool healthy = std::all_of(sessions.begin(), sessions.end(),
                                   [](const auto& session) { return session->healthy(); });
  bool changed = host.SetHealthBit(Host::kPendingFirstCheck, !done);
  changed |= host.SetHealthBit(Host::kFailedActiveCheck, !healthy);
  if (changed) OnSessionChanged();
}

bool HealthChecker::TakeSuccess(const Host& host) {
  const auto it = sessions_.find(&host);
  if (it == sessions_.end()) return false;
  bool all = true;
  for (const auto& session : it->second) all = session->TakePassed() && all;
  return all;
}

bool HealthChecker::first_round_done() const {
  return std::all_of(sessions_.begin(), sessions_.end(), [](const auto& entry) {
    return std::all_of(entry.second.begin(), entry.second.end(),
                       [](const auto& session) { return session->first_done(); });
  });
}

}  // namespace meltemi::proxy
