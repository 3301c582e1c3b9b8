#include "orchestrator/kubeproxy/sync_metrics.h"

#include <array>

#include "kube/discovery/v1/discovery.pb.h"
#include "kube/object/object.h"

namespace meltemi::kubeproxy {
namespace {

constexpr char kTriggerTime[] = "endpoints.kubernetes.io/last-change-trigger-time";
// More are not told apart: they come from one flood.
constexpr size_t kTriggersMax = 10'000;

constexpr std::array<double, 15> kSyncBounds = {0.001, 0.002, 0.004, 0.008, 0.016,
                                                0.032, 0.064, 0.128, 0.256, 0.512,
                                                1.024, 2.048, 4.096, 8.192, 16.384};

// Quarters of a second, seconds up to a minute, then coarser up to five minutes.
constexpr std::array<double, 80> ProgrammingBounds() {
  std::array<double, 80> bounds{};
  size_t n = 0;
  for (double b : {0.25, 0.5}) bounds[n++] = b;
  for (int i = 1; i <= 59; i++) bounds[n++] = i;
  for (int i = 0; i < 12; i++) bounds[n++] = 60 + 5 * i;
  for (int i = 0; i < 7; i++) bounds[n++] = 120 + 30 * i;
  return bounds;
}
constexpr std::array<double, 80> kProgrammingBounds = ProgrammingBounds();

double Seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

std::optional<WallTime> TriggerOf(const kube::discovery::v1::EndpointSlice& slice) {
  const auto at = slice.metadata().annotations().find(kTriggerTime);
  if (at == slice.metadata().annotations().end()) return std::nullopt;
  const std::optional<int64_t> micros = kube::ParseTimeMicros(at->second);
  if (!micros) return std::nullopt;
  return WallTime{microseconds(*micros)};
}

SyncMetrics::Metrics::Metrics(metrics::Scope& scope)
    : sync(scope.GetHistogram("kubeproxy_sync_proxy_rules_duration_seconds", kSyncBounds)),
      full(scope.GetHistogram("kubeproxy_sync_full_proxy_rules_duration_seconds", kSyncBounds)),
      partial(
          scope.GetHistogram("kubeproxy_sync_partial_proxy_rules_duration_seconds", kSyncBounds)),
      programming(
          scope.GetHistogram("kubeproxy_network_programming_duration_seconds", kProgrammingBounds)),
      services(scope.GetCounter("kubeproxy_sync_proxy_rules_service_changes_total")),
      endpoints(scope.GetCounter("kubeproxy_sync_proxy_rules_endpoint_changes_total")),
      failures(scope.GetCounter("kubeproxy_sync_proxy_rules_failures_total")),
      last(scope.GetGauge("kubeproxy_sync_proxy_rules_last_timestamp_seconds")),
      last_queued(scope.GetGauge("kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds")) {}

SyncMetrics::SyncMetrics(metrics::Registry* registry) {
  if (registry == nullptr) return;
  registry->Describe("kubeproxy_sync_proxy_rules_duration_seconds",
                     "SyncProxyRules latency in seconds");
  registry->Describe("kubeproxy_network_programming_duration_seconds",
                     "In Cluster Network Programming Latency in seconds");
  metrics_ = std::make_unique<Metrics>(registry->NewShard().root());
}

void SyncMetrics::CountServiceChange() {
  if (metrics_) metrics_->services.Inc();
}
void SyncMetrics::CountEndpointChange() {
  if (metrics_) metrics_->endpoints.Inc();
}
void SyncMetrics::CountFailure() {
  if (metrics_) metrics_->failures.Inc();
}

void SyncMetrics::NoteTrigger(WallTime trigger) {
  if (metrics_ && triggers_.size() < kTriggersMax) triggers_.push_back(trigger);
}

void SyncMetrics::RecordSync(Duration duration, bool full, bool success, WallTime now) {
  if (metrics_ == nullptr) return;
  metrics_->sync.Record(Seconds(duration));
  (full ? metrics_->full : metrics_->partial).Record(Seconds(duration));
  const auto since_epoch = std::chrono::duration_cast<seconds>(now.time_since_epoch());
  metrics_->last_queued.Set(since_epoch.count());
  if (!success) return;
  metrics_->last.Set(since_epoch.count());
  for (WallTime trigger : triggers_) metrics_->programming.Record(Seconds(now - trigger));
  triggers_.clear();
}

}  // namespace meltemi::kubeproxy
