// Envoy's statistics of a cluster on one worker, in Prometheus form (envoy_cluster_*).
//
// Loop-owned. Each metric is created at its first use, so a cluster without traffic costs nothing.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/metrics/metrics.h"
#include "proxy/transport/tls_stats.h"
#include "proxy/upstream/cluster/cluster_config.h"

namespace meltemi::proxy {

// clang-format off
#define MELTEMI_CLUSTER_COUNTERS(X)                                                             \
  X(kCxTotal, "upstream_cx_total") X(kCxHttp1Total, "upstream_cx_http1_total")                  \
  X(kCxHttp2Total, "upstream_cx_http2_total") X(kCxConnectFail, "upstream_cx_connect_fail")     \
  X(kCxConnectTimeout, "upstream_cx_connect_timeout") X(kCxOverflow, "upstream_cx_overflow")    \
  X(kCxIdleTimeout, "upstream_cx_idle_timeout") X(kCxDestroy, "upstream_cx_destroy")            \
  X(kCxDestroyLocal, "upstream_cx_destroy_local")                                               \
  X(kCxDestroyRemote, "upstream_cx_destroy_remote")                                             \
  X(kCxDestroyWithActiveRq, "upstream_cx_destroy_with_active_rq")                               \
  X(kCxDestroyLocalWithActiveRq, "upstream_cx_destroy_local_with_active_rq")                    \
  X(kCxDestroyRemoteWithActiveRq, "upstream_cx_destroy_remote_with_active_rq")                  \
  X(kCxCloseNotify, "upstream_cx_close_notify") X(kCxMaxRequests, "upstream_cx_max_requests")   \
  X(kCxMaxDurationReached, "upstream_cx_max_duration_reached")                                  \
  X(kCxProtocolError, "upstream_cx_protocol_error") X(kCxNoneHealthy, "upstream_cx_none_healthy") \
  X(kCxRxBytes, "upstream_cx_rx_bytes_total") X(kCxTxBytes, "upstream_cx_tx_bytes_total")       \
  X(kRqTotal, "upstream_rq_total") X(kRqCompleted, "upstream_rq_completed")                     \
  X(kRqPendingTotal, "upstream_rq_pending_total")                                               \
  X(kRqPendingOverflow, "upstream_rq_pending_overflow")                                         \
  X(kRqPendingFailureEject, "upstream_rq_pending_failure_eject")                                \
  X(kRqCancelled, "upstream_rq_cancelled") X(kRqMaintenance, "upstream_rq_maintenance_mode")    \
  X(kRqTimeout, "upstream_rq_timeout") X(kRqPerTryTimeout, "upstream_rq_per_try_timeout")       \
  X(kRqPerTryIdleTimeout, "upstream_rq_per_try_idle_timeout")                                   \
  X(kRqRxReset, "upstream_rq_rx_reset") X(kRqTxReset, "upstream_rq_tx_reset")                   \
  X(kRqRetry, "upstream_rq_retry") X(kRqRetryOverflow, "upstream_rq_retry_overflow")            \
  X(kRqRetrySuccess, "upstream_rq_retry_success")                                               \
  X(kRqRetryLimitExceeded, "upstream_rq_retry_limit_exceeded")                                  \
  X(kRqDropOverload, "upstream_rq_drop_overload")                                               \
  X(kRqStaleRepeat, "upstream_rq_stale_repeat")                                                 \
  X(kFlowControlPaused, "upstream_flow_control_paused_reading_total")                           \
  X(kFlowControlResumed, "upstream_flow_control_resumed_reading_total")                         \
  X(kBindErrors, "bind_errors") X(kLbHealthyPanic, "lb_healthy_panic")                          \
  X(kOriginalDstHostInvalid, "original_dst_host_invalid")

#define MELTEMI_CLUSTER_GAUGES(X)                                                               \
  X(kCxActive, "upstream_cx_active") X(kRqActive, "upstream_rq_active")                         \
  X(kRqPendingActive, "upstream_rq_pending_active")

#define MELTEMI_CLUSTER_HISTOGRAMS(X)                                                           \
  X(kRqTime, "upstream_rq_time") X(kCxConnectMs, "upstream_cx_connect_ms")                      \
  X(kCxLengthMs, "upstream_cx_length_ms")
// clang-format on

#define X(id, name) id,
enum class ClusterCounter : uint8_t { MELTEMI_CLUSTER_COUNTERS(X) kCount };
enum class ClusterGauge : uint8_t { MELTEMI_CLUSTER_GAUGES(X) kCount };
enum class ClusterHistogram : uint8_t { MELTEMI_CLUSTER_HISTOGRAMS(X) kCount };
#undef X

class ClusterStats {
 public:
  ClusterStats(metrics::Shard& shard, const ClusterConfig& config);

  void Inc(ClusterCounter counter) { Get(counter).Inc(); }
  void Add(ClusterCounter counter, uint64_t n) { Get(counter).Add(n); }
  void Add(ClusterGauge gauge, int64_t n) { Get(gauge).Add(n); }
  void RecordMs(ClusterHistogram histogram, Duration value);
  // upstream_rq{response_code}, upstream_rq_xx{response_code_class}, upstream_rq_completed.
  void CountResponse(int status);
  TlsStats& tls();

 private:
  metrics::Counter& Get(ClusterCounter counter) {
    metrics::Counter*& slot = counters_[static_cast<size_t>(counter)];
    if (slot == nullptr) [[unlikely]]
      slot = &Create(counter);
    return *slot;
  }
  metrics::Gauge& Get(ClusterGauge gauge) {
    metrics::Gauge*& slot = gauges_[static_cast<size_t>(gauge)];
    if (slot == nullptr) [[unlikely]]
      slot = &Create(gauge);
    return *slot;
  }
  metrics::Counter& Create(ClusterCounter counter);
  metrics::Gauge& Create(ClusterGauge gauge);

  metrics::Scope scope_;
  std::unique_ptr<TlsStats> tls_;
  std::array<metrics::Counter*, static_cast<size_t>(ClusterCounter::kCount)> counters_{};
  std::array<metrics::Gauge*, static_cast<size_t>(ClusterGauge::kCount)> gauges_{};
  std::array<metrics::Histogram*, static_cast<size_t>(ClusterHistogram::kCount)> histograms_{};
  std::array<metrics::Counter*, 6> classes_{};
  std::vector<std::pair<int, metrics::Counter*>> codes_;  // few: searched from the front
};

// The label that all metrics of the cluster carry.
metrics::Labels ClusterLabels(const ClusterConfig& config);

}  // namespace meltemi::proxy
