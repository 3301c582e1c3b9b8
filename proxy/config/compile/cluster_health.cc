#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "envoy/config/cluster/v3/circuit_breaker.pb.h"
#include "envoy/config/cluster/v3/outlier_detection.pb.h"
#include "envoy/config/core/v3/health_check.pb.h"
#include "proxy/config/compile/cluster_parts.h"
#include "proxy/config/compile/matchers.h"
#include "proxy/config/compile/try.h"
#include "proxy/config/compile/unsupported.h"

namespace meltemi::proxy {
namespace {

namespace core = envoy::config::core::v3;
using BreakersProto = envoy::config::cluster::v3::CircuitBreakers;

absl::Status Invalid(absl::string_view where, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(where, ": ", what));
}

void Read(const google::protobuf::UInt32Value& value, bool present, uint32_t& to) {
  if (present) to = value.value();
}

absl::Status ReadDuration(const google::protobuf::Duration& from, bool present,
                          absl::string_view where, absl::string_view field, Duration& to) {
  if (!present) return absl::OkStatus();
  ASSIGN_OR_RETURN(to, CompileDuration(from, absl::StrCat(where, ".", field)));
  return absl::OkStatus();
}

// "hex" text, or bytes.
absl::Status ReadPayload(const core::HealthCheck::Payload& payload, absl::string_view where,
                         std::string& to) {
  if (payload.payload_case() == core::HealthCheck::Payload::kBinary) {
    to = payload.binary();
    return absl::OkStatus();
  }
  if (payload.text().empty() || payload.text().size() % 2 != 0 ||
      payload.text().find_first_not_of("0123456789abcdefABCDEF") != std::string::npos) {
    return Invalid(where, "text must be hexadecimal digits");
  }
  to = absl::HexStringToBytes(payload.text());
  return absl::OkStatus();
}

absl::Status ReadTcp(const core::HealthCheck::TcpHealthCheck& tcp, absl::string_view where,
                     HealthCheck& check) {
  RETURN_IF_ERROR(CheckSupported(tcp, where, {"send.**", "receive.**"}));
  check.kind = HealthCheck::Kind::kTcp;
  if (tcp.has_send()) {
    RETURN_IF_ERROR(ReadPayload(tcp.send(), absl::StrCat(where, ".send"), check.tcp_send));
  }
  for (const auto& payload : tcp.receive()) {
    std::string bytes;
    RETURN_IF_ERROR(ReadPayload(payload, absl::StrCat(where, ".receive"), bytes));
    check.tcp_receive.push_back(std::move(bytes));
  }
  return absl::OkStatus();
}

absl::Status ReadHttp(const core::HealthCheck::HttpHealthCheck& http, absl::string_view where,
                      HealthCheck& check) {
  RETURN_IF_ERROR(CheckSupported(
      http, where, {"host", "path", "expected_statuses.**", "codec_client_type", "method"}));
  check.kind = HealthCheck::Kind::kHttp;
  check.host = http.host();
  check.path = http.path();
  if (check.path.empty() || check.path[0] != '/') return Invalid(where, "path must begin with '/'");
  if (http.method() != core::METHOD_UNSPECIFIED) {
    if (http.method() == core::CONNECT) return Invalid(where, "method CONNECT is not allowed");
    check.method = core::RequestMethod_Name(http.method());
  }
  if (http.codec_client_type() == envoy::type::v3::HTTP3) {
    return Invalid(where, "codec_client_type HTTP3 is not supported");
  }
  check.http2 = http.codec_client_type() == envoy::type::v3::HTTP2;
  for (const auto& range : http.expected_statuses()) {
    if (range.start() < 100 || range.end() > 600 || range.start() >= range.end()) {
      return Invalid(where, "expected_statuses must be ranges within 100 and 600");
    }
    check.expected_statuses.emplace_back(static_cast<uint32_t>(range.start()),
                                         static_cast<uint32_t>(range.end()));
  }
  return absl::OkStatus();
}

absl::Status ReadTimes(const core::HealthCheck& proto, absl::string_view where,
                       HealthCheck& check) {
  RETURN_IF_ERROR(
      ReadDuration(proto.timeout(), proto.has_timeout(), where, "timeout", check.timeout));
  RETURN_IF_ERROR(
      ReadDuration(proto.interval(), proto.has_interval(), where, "interval", check.interval));
  if (check.timeout <= Duration(0) || check.interval <= Duration(0)) {
    return Invalid(where, "timeout and interval must be greater than 0");
  }
  RETURN_IF_ERROR(ReadDuration(proto.initial_jitter(), proto.has_initial_jitter(), where,
                               "initial_jitter", check.initial_jitter));
  RETURN_IF_ERROR(ReadDuration(proto.interval_jitter(), proto.has_interval_jitter(), where,
                               "interval_jitter", check.interval_jitter));
  check.interval_jitter +=
      check.interval * static_cast<int64_t>(proto.interval_jitter_percent()) / 100;
  if (proto.has_no_traffic_interval()) {
    check.no_traffic_interval.emplace();
    RETURN_IF_ERROR(ReadDuration(proto.no_traffic_interval(), true, where, "no_traffic_interval",
                                 *check.no_traffic_interval));
  }
  if (proto.has_unhealthy_interval()) {
    check.unhealthy_interval.emplace();
    RETURN_IF_ERROR(ReadDuration(proto.unhealthy_interval(), true, where, "unhealthy_interval",
                                 *check.unhealthy_interval));
  }
  return absl::OkStatus();
}

absl::Status ReadThresholds(const BreakersProto::Thresholds& thresholds, absl::string_view where,
                            CircuitBreakers& breakers) {
  RETURN_IF_ERROR(
      CheckSupported(thresholds, where,
                     {"priority", "max_connections", "max_pending_requests", "max_requests",
                      "max_retries", "track_remaining", "retry_budget.**"}));
  Read(thresholds.max_connections(), thresholds.has_max_connections(), breakers.connections_max);
  Read(thresholds.max_pending_requests(), thresholds.has_max_pending_requests(),
       breakers.pending_requests_max);
  Read(thresholds.max_requests(), thresholds.has_max_requests(), breakers.requests_max);
  Read(thresholds.max_retries(), thresholds.has_max_retries(), breakers.retries_max);
  if (!thresholds.has_retry_budget()) return absl::OkStatus();
  const auto& budget = thresholds.retry_budget();
  breakers.retry_budget_percent =
      budget.has_budget_percent() ? budget.budget_percent().value() : 20;
  Read(budget.min_retry_concurrency(), budget.has_min_retry_concurrency(),
       breakers.retry_budget_min_concurrency);
  return absl::OkStatus();
}

}  // namespace

absl::Status CompileBreakers(const BreakersProto& breakers, absl::string_view where,
                             ClusterConfig& config) {
  RETURN_IF_ERROR(
      CheckSupported(breakers, absl::StrCat(where, ": circuit_breakers"), {"thresholds"}));
  bool seen[2] = {false, false};
  for (int i = 0; i < breakers.thresholds_size(); ++i) {
    const auto& thresholds = breakers.thresholds(i);
    const bool high = thresholds.priority() == core::HIGH;
    // The first one of a priority counts.
    if (std::exchange(seen[high], true)) continue;
    RETURN_IF_ERROR(ReadThresholds(thresholds,
                                   absl::StrCat(where, ": circuit_breakers.thresholds[", i, "]"),
                                   high ? config.breakers_high : config.breakers_default));
  }
  return absl::OkStatus();
}

absl::Status CompileOutlierDetection(const envoy::config::cluster::v3::OutlierDetection& proto,
                                     absl::string_view cluster, ClusterConfig& config) {
  const std::string where = absl::StrCat(cluster, ": outlier_detection");
  RETURN_IF_ERROR(CheckSupported(proto, where,
                                 {"consecutive_5xx",
                                  "interval",
                                  "base_ejection_time",
                                  "max_ejection_percent",
                                  "enforcing_consecutive_5xx",
                                  "enforcing_success_rate",
                                  "success_rate_minimum_hosts",
                                  "success_rate_request_volume",
                                  "success_rate_stdev_factor",
                                  "consecutive_gateway_failure",
                                  "enforcing_consecutive_gateway_failure",
                                  "split_external_local_origin_errors",
                                  "consecutive_local_origin_failure",
                                  "enforcing_consecutive_local_origin_failure",
                                  "enforcing_local_origin_success_rate",
                                  "failure_percentage_threshold",
                                  "enforcing_failure_percentage",
                                  "enforcing_failure_percentage_local_origin",
                                  "failure_percentage_minimum_hosts",
                                  "failure_percentage_request_volume",
                                  "max_ejection_time",
                                  "max_ejection_time_jitter",
                                  "successful_active_health_check_uneject_host",
                                  "always_eject_one_host"}));
  OutlierDetection& to = config.outlier.emplace();
#define READ(field, member) Read(proto.field(), proto.has_##field(), to.member)
  READ(consecutive_5xx, consecutive_5xx);
  READ(consecutive_gateway_failure, consecutive_gateway_failure);
  READ(consecutive_local_origin_failure, consecutive_local_origin_failure);
  READ(enforcing_consecutive_5xx, enforcing_consecutive_5xx);
  READ(enforcing_consecutive_gateway_failure, enforcing_consecutive_gateway_failure);
  READ(enforcing_consecutive_local_origin_failure, enforcing_consecutive_local_origin_failure);
  READ(max_ejection_percent, ejection_percent_max);
  READ(success_rate_minimum_hosts, success_rate_minimum_hosts);
  READ(success_rate_request_volume, success_rate_request_volume);
  READ(success_rate_stdev_factor, success_rate_stdev_factor);
  READ(enforcing_success_rate, enforcing_success_rate);
  READ(failure_percentage_threshold, failure_percentage_threshold);
  READ(enforcing_failure_percentage, enforcing_failure_percentage);
  READ(failure_percentage_minimum_hosts, failure_percentage_minimum_hosts);
  READ(failure_percentage_request_volume, failure_percentage_request_volume);
#undef READ
  // Rates of local errors alone are not kept: 0 says that nobody wants them.
  if (proto.enforcing_local_origin_success_rate().value() != 0) {
    return Invalid(where, "enforcing_local_origin_success_rate other than 0 is not supported");
  }
  if (proto.enforcing_failure_percentage_local_origin().value() != 0) {
    return Invalid(where,
                   "enforcing_failure_percentage_local_origin other than 0 is not supported");
  }
  to.uneject_on_health_check = !proto.has_successful_active_health_check_uneject_host() ||
                               proto.successful_active_health_check_uneject_host().value();
  to.split_external_local_origin_errors = proto.split_external_local_origin_errors();
  to.always_eject_one_host = proto.always_eject_one_host().value();
  if (to.ejection_percent_max > 100) return Invalid(where, "max_ejection_percent is above 100");
  RETURN_IF_ERROR(
      ReadDuration(proto.interval(), proto.has_interval(), where, "interval", to.interval));
  RETURN_IF_ERROR(ReadDuration(proto.base_ejection_time(), proto.has_base_ejection_time(), where,
                               "base_ejection_time", to.base_ejection_time));
  RETURN_IF_ERROR(ReadDuration(proto.max_ejection_time(), proto.has_max_ejection_time(), where,
                               "max_ejection_time", to.ejection_time_max));
  RETURN_IF_ERROR(ReadDuration(proto.max_ejection_time_jitter(),
                               proto.has_max_ejection_time_jitter(), where,
                               "max_ejection_time_jitter", to.ejection_time_jitter_max));
  if (to.interval <= Duration(0)) return Invalid(where, "interval must be greater than 0");
  return absl::OkStatus();
}

absl::Status CompileHealthCheck(const core::HealthCheck& proto, absl::string_view where,
                                ClusterConfig& config) {
  RETURN_IF_ERROR(CheckSupported(
      proto, where,
      {"timeout", "interval", "initial_jitter", "interval_jitter", "interval_jitter_percent",
       "unhealthy_threshold", "healthy_threshold", "alt_port", "reuse_connection",
       "http_health_check", "tcp_health_check", "no_traffic_interval", "unhealthy_interval",
       "always_log_health_check_failures", "always_log_health_check_success"}));
  HealthCheck check;
  RETURN_IF_ERROR(ReadTimes(proto, where, check));
  Read(proto.unhealthy_threshold(), proto.has_unhealthy_threshold(), check.unhealthy_threshold);
  Read(proto.healthy_threshold(), proto.has_healthy_threshold(), check.healthy_threshold);
  Read(proto.alt_port(), proto.has_alt_port(), check.alt_port);
  if (check.alt_port > 65535) return Invalid(where, "alt_port is no port");
  if (proto.has_reuse_connection()) check.reuse_connection = proto.reuse_connection().value();
  if (proto.has_tcp_health_check()) {
    RETURN_IF_ERROR(
        ReadTcp(proto.tcp_health_check(), absl::StrCat(where, ".tcp_health_check"), check));
  } else if (proto.has_http_health_check()) {
    RETURN_IF_ERROR(
        ReadHttp(proto.http_health_check(), absl::StrCat(where, ".http_health_check"), check));
  } else {
    return Invalid(where, "needs an http_health_check or a tcp_health_check");
  }
  config.health_checks.push_back(std::move(check));
  return absl::OkStatus();
}

}  // namespace meltemi::proxy
