#include "proxy/observe/http_stats.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace meltemi::proxy {
namespace {

using metrics::Labels;

Labels Tag(absl::string_view name, absl::string_view value) {
  return {{std::string(name), std::string(value)}};
}

void FillClasses(metrics::Scope& scope, absl::string_view name, const Labels& tag,
                 metrics::Counter* (&out)[5]) {
  for (int i = 0; i < 5; ++i) {
    Labels labels = tag;
    labels.emplace_back("envoy_response_code_class", absl::StrCat(i + 1));
    out[i] = &scope.GetCounter(name, labels);
  }
}

double Millis(Duration d) { return static_cast<double>(d.count()) / 1e6; }

constexpr absl::string_view kHttpTag = "envoy_http_conn_manager_prefix";
constexpr absl::string_view kListenerTag = "envoy_listener_address";
constexpr absl::string_view kTcpTag = "envoy_tcp_prefix";

// Envoy's tag has no ":": "0.0.0.0_15006", "[__]_80".
std::string ListenerTag(absl::string_view address) {
  return absl::StrReplaceAll(address, {{":", "_"}});
}

}  // namespace

#define COUNTER(name) name(scope.GetCounter(PREFIX #name, TAG)),
#define GAUGE(name) name(scope.GetGauge(PREFIX #name, TAG)),

#define PREFIX "envoy_http_"
#define TAG Tag(kHttpTag, stat_prefix)
HttpStats::HttpStats(metrics::Scope& scope, absl::string_view stat_prefix)
    : MELTEMI_HTTP_COUNTERS(COUNTER) MELTEMI_HTTP_GAUGES(GAUGE) downstream_rq_time(
          scope.GetHistogram("envoy_http_downstream_rq_time", metrics::kMillisecondBounds, TAG)),
      downstream_cx_length_ms(scope.GetHistogram("envoy_http_downstream_cx_length_ms",
                                                 metrics::kMillisecondBounds, TAG)) {
  FillClasses(scope, "envoy_http_downstream_rq_xx", TAG, downstream_rq_xx);
}
#undef PREFIX
#undef TAG

#define PREFIX "envoy_listener_"
#define TAG Tag(kListenerTag, ListenerTag(address))
ListenerStats::ListenerStats(metrics::Scope& scope, absl::string_view address)
    : MELTEMI_LISTENER_COUNTERS(COUNTER) MELTEMI_LISTENER_GAUGES(GAUGE)
          downstream_cx_length_ms(scope.GetHistogram("envoy_listener_downstream_cx_length_ms",
                                                     metrics::kMillisecondBounds, TAG)),
      http_downstream_rq_completed(
          scope.GetCounter("envoy_listener_http_downstream_rq_completed", TAG)),
      scope_(scope),
      tag_(TAG) {
  FillClasses(scope, "envoy_listener_http_downstream_rq_xx", TAG, http_downstream_rq_xx);
}
#undef PREFIX
#undef TAG

#define PREFIX "envoy_tcp_"
#define TAG Tag(kTcpTag, stat_prefix)
TcpStats::TcpStats(metrics::Scope& scope, absl::string_view stat_prefix)
    : MELTEMI_TCP_COUNTERS(COUNTER) MELTEMI_TCP_GAUGES(GAUGE)
          upstream_flush_total(scope.GetCounter("envoy_tcp_upstream_flush_total", TAG)) {}
#undef PREFIX
#undef TAG
#undef COUNTER
#undef GAUGE

void HttpStats::OnConnection(http::Protocol protocol) {
  downstream_cx_total.Inc();
  downstream_cx_active.Inc();
  if (protocol == http::Protocol::kHttp2) {
    downstream_cx_http2_total.Inc();
    downstream_cx_http2_active.Inc();
  } else {
    downstream_cx_http1_total.Inc();
    downstream_cx_http1_active.Inc();
  }
}

void HttpStats::OnConnectionEnd(http::Protocol protocol, bool by_remote, size_t open_streams,
                                Duration length) {
  downstream_cx_destroy.Inc();
  (by_remote ? downstream_cx_destroy_remote : downstream_cx_destroy_local).Inc();
  if (open_streams > 0) {
    downstream_cx_destroy_active_rq.Inc();
    (by_remote ? downstream_cx_destroy_remote_active_rq : downstream_cx_destroy_local_active_rq)
        .Inc();
  }
  downstream_cx_active.Dec();
  (protocol == http::Protocol::kHttp2 ? downstream_cx_http2_active : downstream_cx_http1_active)
      .Dec();
  downstream_cx_length_ms.Record(Millis(length));
}

void HttpStats::OnRequest(http::Protocol protocol) {
  downstream_rq_total.Inc();
  downstream_rq_active.Inc();
  (protocol == http::Protocol::kHttp2 ? downstream_rq_http2_total : downstream_rq_http1_total)
      .Inc();
}

void HttpStats::OnRequestEnd(int status, Duration took) {
  downstream_rq_active.Dec();
  if (status >= 100 && status < 600) {
    downstream_rq_completed.Inc();
    downstream_rq_xx[status / 100 - 1]->Inc();
  }
  downstream_rq_time.Record(Millis(took));
}

void HttpStats::OnError(StreamError error) {
  switch (error) {
    case StreamError::kRouteNotFound:
      no_route.Inc();
      break;
    case StreamError::kClusterNotFound:
      no_cluster.Inc();
      break;
    case StreamError::kStreamIdleTimeout:
      downstream_rq_idle_timeout.Inc();
      break;
    case StreamError::kMaxDuration:
      downstream_rq_max_duration_reached.Inc();
      break;
    case StreamError::kRequestHeaderTimeout:
      downstream_rq_header_timeout.Inc();
      break;
    case StreamError::kBodyTooLarge:
      downstream_rq_too_large.Inc();
      break;
    case StreamError::kUpgradeRefused:
      downstream_rq_ws_on_non_ws_route.Inc();
      break;
    case StreamError::kDownstreamReset:
      downstream_rq_rx_reset.Inc();
      break;
    case StreamError::kDownstreamProtocol:
      downstream_cx_protocol_error.Inc();
      break;
    default:
      break;
  }
}

void ListenerStats::OnConnection() {
  downstream_cx_total.Inc();
  downstream_cx_active.Inc();
}

void ListenerStats::OnConnectionEnd(Duration length) {
  downstream_cx_destroy.Inc();
  downstream_cx_active.Dec();
  downstream_cx_length_ms.Record(Millis(length));
}

TlsStats& ListenerStats::tls() {
  if (tls_ == nullptr) tls_ = std::make_unique<TlsStats>(scope_, "envoy_listener_", tag_, true);
  return *tls_;
}

void ListenerStats::OnResponse(int status) {
  if (status < 100 || status >= 600) return;
  http_downstream_rq_completed.Inc();
  http_downstream_rq_xx[status / 100 - 1]->Inc();
}

}  // namespace meltemi::proxy
