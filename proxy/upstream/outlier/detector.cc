#include "proxy/upstream/outlier/detector.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "base/log/log.h"

namespace meltemi::proxy {
namespace {

constexpr const char* kCauseNames[] = {"consecutive_5xx", "consecutive_gateway_failure",
                                       "consecutive_local_origin_failure", "success_rate",
                                       "failure_percentage"};

}  // namespace

OutlierDetector::OutlierDetector(const OutlierDetection& config, Random& random,
                                 metrics::Scope& scope)
    : config_(config), random_(random), scope_(scope) {}

OutlierDetector::~OutlierDetector() = default;

void OutlierDetector::SetHosts(const std::vector<std::shared_ptr<Host>>& hosts) {
  absl::flat_hash_set<const Host*> present;
  for (const std::shared_ptr<Host>& host : hosts) {
    present.insert(host.get());
    records_[host.get()].host = host;
  }
  for (auto it = records_.begin(); it != records_.end();) {
    if (present.contains(it->first)) {
      ++it;
      continue;
    }
    if (it->second.host->HasHealthBit(Host::kEjected)) --ejected_;
    records_.erase(it++);
  }
  if (ejected_ > 0)
    scope_.GetGauge("envoy_cluster_outlier_detection_ejections_active")
        .Set(static_cast<int64_t>(ejected_));
}

bool OutlierDetector::OnAlarm(Host& host, OutlierKind kind, MonotonicTime now) {
  const auto it = records_.find(&host);
  if (it == records_.end()) return false;
  OutlierCounters& counters = host.outlier;
  switch (kind) {
    case OutlierKind::kConsecutive5xx:
      counters.consecutive_5xx.store(0, std::memory_order_relaxed);
      return Eject(it->second, Cause::kConsecutive5xx, config_.enforcing_consecutive_5xx, now);
    case OutlierKind::kConsecutiveGateway:
      counters.consecutive_gateway_failure.store(0, std::memory_order_relaxed);
      return Eject(it->second, Cause::kConsecutiveGateway,
                   config_.enforcing_consecutive_gateway_failure, now);
    case OutlierKind::kConsecutiveLocalOrigin:
      counters.consecutive_local_origin_failure.store(0, std::memory_order_relaxed);
      return Eject(it->second, Cause::kConsecutiveLocalOrigin,
                   config_.enforcing_consecutive_local_origin_failure, now);
  }
  return false;
}

bool OutlierDetector::MayEject() const {
  // A share of few hosts would never reach one: the first may go as long as the limit is not zero,
  // or when the configuration says so.
  if (ejected_ == 0 && config_.always_eject_one_host) return true;
  return 100.0 * static_cast<double>(ejected_) / static_cast<double>(records_.size()) <
         config_.ejection_percent_max;
}

bool OutlierDetector::Eject(Record& record, Cause cause, uint32_t enforcing_percent,
                            MonotonicTime now) {
  Host& host = *record.host;
  if (host.HasHealthBit(Host::kEjected)) return false;
  const char* cause_name = kCauseNames[static_cast<size_t>(cause)];
  Count("envoy_cluster_outlier_detection_ejections_detected_", cause_name);
  if (random_.Below(100) >= enforcing_percent) return false;
  if (!MayEject()) {
    scope_.GetCounter("envoy_cluster_outlier_detection_ejections_overflow").Inc();
    return false;
  }
  Count("envoy_cluster_outlier_detection_ejections_enforced_", cause_name);
  scope_.GetCounter("envoy_cluster_outlier_detection_ejections_enforced_total").Inc();
  const Duration longest = std::max(config_.base_ejection_time, config_.ejection_time_max);
  if (config_.base_ejection_time * static_cast<int64_t>(record.backoff) < longest) {
    ++record.backoff;
  }
  record.ejected_for =
      std::min(config_.base_ejection_time * static_cast<int64_t>(record.backoff), longest);
  if (config_.ejection_time_jitter_max > Duration(0)) {
    record.ejected_for += Duration(
        random_.Below(static_cast<uint64_t>(config_.ejection_time_jitter_max.count()) + 1));
  }
  record.ejected_at = now;
  host.SetHealthBit(Host::kEjected, true);
  ++ejected_;
  scope_.GetGauge("envoy_cluster_outlier_detection_ejections_active")
      .Set(static_cast<int64_t>(ejected_));
  LOG(kInfo, "upstream", "cluster ", host.cluster_name, ": host ", host.config.address.ToString(),
      " ejected for ", ToMillis(record.ejected_for), " ms: ", cause_name);
  return true;
}

void OutlierDetector::LetIn(Record& record, MonotonicTime now) {
  Host& host = *record.host;
  host.SetHealthBit(Host::kEjected, false);
  host.outlier.consecutive_5xx.store(0, std::memory_order_relaxed);
  host.outlier.consecutive_gateway_failure.store(0, std::memory_order_relaxed);
  host.outlier.consecutive_local_origin_failure.store(0, std::memory_order_relaxed);
  record.let_in_at = now;
  --ejected_;
  scope_.GetGauge("envoy_cluster_outlier_detection_ejections_active")
      .Set(static_cast<int64_t>(ejected_));
  LOG(kInfo, "upstream", "cluster ", host.cluster_name, ": host ", host.config.address.ToString(),
      " is back after its ejection");
}

void OutlierDetector::OnHealthCheckSuccess(const Host& host, MonotonicTime now) {
  const auto it = records_.find(&host);
  if (it != records_.end() && host.HasHealthBit(Host::kEjected)) LetIn(it->second, now);
}

bool OutlierDetector::OnInterval(MonotonicTime now) {
  bool changed = false;
  for (auto& [host, record] : records_) {
    if (record.host->HasHealthBit(Host::kEjected)) {
      if (now - record.ejected_at < record.ejected_for) continue;
      LetIn(record, now);
      changed = true;
    } else if (record.backoff > 0 && now - record.let_in_at >= config_.interval) {
      // A host that behaves is forgiven step by step.
      --record.backoff;
    }
  }
  return LookAtRates(now) || changed;
}

bool OutlierDetector::LookAtRates(MonotonicTime now) {
  std::vector<Record*> rated, percentaged;
  double sum = 0;
  for (auto& [raw, record] : records_) {
    OutlierCounters& counters = record.host->outlier;
    const uint32_t requests = counters.requests.exchange(0, std::memory_order_relaxed);
    const uint32_t successes = counters.successes.exchange(0, std::memory_order_relaxed);
    record.success_rate = requests == 0 ? -1 : 100.0 * std::min(successes, requests) / requests;
    if (record.host->HasHealthBit(Host::kEjected)) continue;
    if (requests >= std::max(1u, config_.success_rate_request_volume)) {
      rated.push_back(&record);
      sum += record.success_rate;
    }
    if (requests >= std::max(1u, config_.failure_percentage_request_volume)) {
      percentaged.push_back(&record);
    }
  }
  bool changed = false;
  if (!rated.empty() && rated.size() >= config_.success_rate_minimum_hosts) {
    const double mean = sum / static_cast<double>(rated.size());
    double variance = 0;
    for (const Record* record : rated) variance += std::pow(record->success_rate - mean, 2);
    variance /= static_cast<double>(rated.size());
    const double threshold =
        mean - std::sqrt(variance) * (config_.success_rate_stdev_factor / 1000.0);
    for (Record* record : rated) {
      if (record->success_rate >= threshold) continue;
      changed |= Eject(*record, Cause::kSuccessRate, config_.enforcing_success_rate, now);
    }
  }
  if (!percentaged.empty() && percentaged.size() >= config_.failure_percentage_minimum_hosts) {
    for (Record* record : percentaged) {
      if (100 - record->success_rate < config_.failure_percentage_threshold) continue;
      changed |=
          Eject(*record, Cause::kFailurePercentage, config_.enforcing_failure_percentage, now);
    }
  }
  return changed;
}

void OutlierDetector::Count(const char* name, const char* cause) {
  scope_.GetCounter(std::string(name) + cause).Inc();
}

double OutlierDetector::SuccessRate(const Host& host) const {
  const auto it = records_.find(&host);
  return it == records_.end() ? -1 : it->second.success_rate;
}

}  // namespace meltemi::proxy
