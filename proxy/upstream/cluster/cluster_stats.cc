#include "proxy/upstream/cluster/cluster_stats.h"

#include "absl/strings/str_cat.h"

namespace meltemi::proxy {
namespace {

#define X(id, name) "envoy_cluster_" name,
constexpr const char* kCounterNames[] = {MELTEMI_CLUSTER_COUNTERS(X)};
constexpr const char* kGaugeNames[] = {MELTEMI_CLUSTER_GAUGES(X)};
constexpr const char* kHistogramNames[] = {MELTEMI_CLUSTER_HISTOGRAMS(X)};
#undef X

// A peer chooses the status codes: beyond these many different ones only the class is counted.
constexpr size_t kCodesMax = 64;

}  // namespace

metrics::Labels ClusterLabels(const ClusterConfig& config) {
  return {{"cluster_name", config.alt_stat_name.empty() ? config.name : config.alt_stat_name}};
}

ClusterStats::ClusterStats(metrics::Shard& shard, const ClusterConfig& config)
    : scope_(shard, ClusterLabels(config)) {}

TlsStats& ClusterStats::tls() {
  if (tls_ == nullptr) {
    tls_ = std::make_unique<TlsStats>(scope_, "envoy_cluster_", metrics::Labels{}, false);
  }
  return *tls_;
}

metrics::Counter& ClusterStats::Create(ClusterCounter counter) {
  return scope_.GetCounter(kCounterNames[static_cast<size_t>(counter)]);
}

metrics::Gauge& ClusterStats::Create(ClusterGauge gauge) {
  return scope_.GetGauge(kGaugeNames[static_cast<size_t>(gauge)]);
}

void ClusterStats::RecordMs(ClusterHistogram histogram, Duration value) {
  metrics::Histogram*& slot = histograms_[static_cast<size_t>(histogram)];
  if (slot == nullptr) {
    slot = &scope_.GetHistogram(kHistogramNames[static_cast<size_t>(histogram)],
                                metrics::kMillisecondBounds);
  }
  slot->Record(static_cast<double>(value.count()) / 1e6);
}

void ClusterStats::CountResponse(int status) {
  Inc(ClusterCounter::kRqCompleted);
  const size_t class_of = status >= 100 && status < 600 ? static_cast<size_t>(status) / 100 : 0;
  metrics::Counter*& slot = classes_[class_of];
  if (slot == nullptr) {
    slot = &scope_.GetCounter("envoy_cluster_upstream_rq_xx",
                              {{"response_code_class", absl::StrCat(class_of)}});
  }
  slot->Inc();
  for (auto& [code, counter] : codes_) {
    if (code != status) continue;
    counter->Inc();
    return;
  }
  if (codes_.size() >= kCodesMax) return;
  codes_.emplace_back(status, &scope_.GetCounter("envoy_cluster_upstream_rq",
                                                 {{"response_code", absl::StrCat(status)}}));
  codes_.back().second->Inc();
}

}  // namespace meltemi::proxy
