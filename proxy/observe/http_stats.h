// Envoy's counters of listeners, connection managers and TCP proxies, under Envoy's Prometheus
// names and tags. Resolved once per scope; incrementing one is a store.
//
// Loop-owned: one object per listener or stat_prefix and worker; it must not outlive its scope.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "base/http/stream.h"
#include "base/metrics/metrics.h"
#include "proxy/stream/reply/stream_error.h"
#include "proxy/transport/tls_stats.h"

namespace meltemi::proxy {

// clang-format off
// envoy_http_NAME{envoy_http_conn_manager_prefix="PREFIX"}
#define MELTEMI_HTTP_COUNTERS(X)                                                          \
  X(downstream_cx_total) X(downstream_cx_http1_total) X(downstream_cx_http2_total)        \
  X(downstream_cx_destroy) X(downstream_cx_destroy_local)                                 \
  X(downstream_cx_destroy_remote) X(downstream_cx_destroy_active_rq)                      \
  X(downstream_cx_destroy_local_active_rq) X(downstream_cx_destroy_remote_active_rq)      \
  X(downstream_cx_drain_close) X(downstream_cx_idle_timeout)                              \
  X(downstream_cx_max_duration_reached) X(downstream_cx_max_requests_reached)             \
  X(downstream_cx_protocol_error) X(downstream_cx_overload_disable_keepalive)             \
  X(downstream_cx_rx_bytes_total) X(downstream_cx_tx_bytes_total)                         \
  X(downstream_cx_upgrades_total) X(downstream_cx_delayed_close_timeout)                  \
  X(downstream_flow_control_paused_reading_total)                                         \
  X(downstream_flow_control_resumed_reading_total)                                        \
  X(downstream_rq_total) X(downstream_rq_http1_total) X(downstream_rq_http2_total)        \
  X(downstream_rq_completed) X(downstream_rq_rx_reset) X(downstream_rq_tx_reset)          \
  X(downstream_rq_non_relative_path) X(downstream_rq_too_large)                           \
  X(downstream_rq_failed_path_normalization) X(downstream_rq_idle_timeout)                \
  X(downstream_rq_max_duration_reached) X(downstream_rq_timeout)                          \
  X(downstream_rq_header_timeout) X(downstream_rq_response_before_rq_complete)            \
  X(downstream_rq_ws_on_non_ws_route) X(downstream_rq_overload_close)                     \
  X(downstream_rq_redirected_with_normalized_path)                                        \
  X(no_route) X(no_cluster) X(rq_direct_response) X(rq_redirect) X(rq_total)              \
  X(rq_reset_after_downstream_response_started) X(rs_too_large)                           \
  X(tracing_not_traceable)
#define MELTEMI_HTTP_GAUGES(X)                                                            \
  X(downstream_cx_active) X(downstream_cx_http1_active) X(downstream_cx_http2_active)     \
  X(downstream_cx_upgrades_active) X(downstream_cx_rx_bytes_buffered)                     \
  X(downstream_cx_tx_bytes_buffered) X(downstream_rq_active)
// envoy_listener_NAME{envoy_listener_address="0.0.0.0_15006"}
#define MELTEMI_LISTENER_COUNTERS(X)                                                      \
  X(downstream_cx_total) X(downstream_cx_destroy) X(downstream_cx_overflow)               \
  X(downstream_cx_overload_reject) X(downstream_pre_cx_timeout)                           \
  X(downstream_global_cx_overflow) X(no_filter_chain_match)
#define MELTEMI_LISTENER_GAUGES(X) X(downstream_cx_active) X(downstream_pre_cx_active)
// envoy_tcp_NAME{envoy_tcp_prefix="PREFIX"}
#define MELTEMI_TCP_COUNTERS(X)                                                           \
  X(downstream_cx_total) X(downstream_cx_no_route) X(downstream_cx_rx_bytes_total)        \
  X(downstream_cx_tx_bytes_total) X(downstream_flow_control_paused_reading_total)         \
  X(downstream_flow_control_resumed_reading_total) X(idle_timeout)                        \
  X(max_downstream_connection_duration)
#define MELTEMI_TCP_GAUGES(X)                                                             \
  X(downstream_cx_rx_bytes_buffered) X(downstream_cx_tx_bytes_buffered)                   \
  X(upstream_flush_active)
// clang-format on

#define MELTEMI_METRIC_MEMBER_COUNTER(name) metrics::Counter& name;
#define MELTEMI_METRIC_MEMBER_GAUGE(name) metrics::Gauge& name;

// A connection manager's. PREFIX is HttpConfig::stat_prefix.
struct HttpStats {
  HttpStats(metrics::Scope& scope, absl::string_view stat_prefix);

  MELTEMI_HTTP_COUNTERS(MELTEMI_METRIC_MEMBER_COUNTER)
  MELTEMI_HTTP_GAUGES(MELTEMI_METRIC_MEMBER_GAUGE)
  // envoy_http_downstream_rq_xx{…,envoy_response_code_class="2"}: [status / 100 - 1].
  metrics::Counter* downstream_rq_xx[5];
  metrics::Histogram& downstream_rq_time;  // milliseconds
  metrics::Histogram& downstream_cx_length_ms;

  // The counters that belong together at these moments, the gauges included.
  void OnConnection(http::Protocol protocol);
  void OnConnectionEnd(http::Protocol protocol, bool by_remote, size_t open_streams,
                       Duration length);
  void OnRequest(http::Protocol protocol);
  // When the stream is over. `status` 0: no response was begun. Codes that no StreamError brings
  // (direct responses, resets) are the caller's.
  void OnRequestEnd(int status, Duration took);
  // What `error` adds beside the status: no_route, no_cluster, rq_timeout, idle_timeout …
  void OnError(StreamError error);
};

// A listener's. `address`: "0.0.0.0:15006" (written as Envoy's tag, with "_" for ":").
struct ListenerStats {
  ListenerStats(metrics::Scope& scope, absl::string_view address);

  MELTEMI_LISTENER_COUNTERS(MELTEMI_METRIC_MEMBER_COUNTER)
  MELTEMI_LISTENER_GAUGES(MELTEMI_METRIC_MEMBER_GAUGE)
  metrics::Histogram& downstream_cx_length_ms;
  // envoy_listener_http_downstream_rq_xx{envoy_response_code_class}: of all connection managers
  // below.
  metrics::Counter* http_downstream_rq_xx[5];
  metrics::Counter& http_downstream_rq_completed;

  void OnConnection();
  void OnConnectionEnd(Duration length);
  void OnResponse(int status);
  // Made at the first handshake.
  TlsStats& tls();

 private:
  metrics::Scope& scope_;
  const metrics::Labels tag_;
  std::unique_ptr<TlsStats> tls_;
};

// A TCP proxy's.
struct TcpStats {
  TcpStats(metrics::Scope& scope, absl::string_view stat_prefix);

  MELTEMI_TCP_COUNTERS(MELTEMI_METRIC_MEMBER_COUNTER)
  MELTEMI_TCP_GAUGES(MELTEMI_METRIC_MEMBER_GAUGE)
  metrics::Counter& upstream_flush_total;
};

#undef MELTEMI_METRIC_MEMBER_COUNTER
#undef MELTEMI_METRIC_MEMBER_GAUGE

}  // namespace meltemi::proxy
