#include "networking/v1/destination_rule.pb.h"

#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "networking/v1/virtual_service.pb.h"
#include "pilot/ingest/names.h"
#include "pilot/validate/grammar.h"
#include "pilot/validate/rules.h"
#include "pilot/validate/shared_rules.h"

namespace meltemi::pilot {
namespace {

using networking::ClientTLSSettings;
using networking::ConnectionPoolSettings;
using networking::DestinationRule;
using networking::LoadBalancerSettings;
using networking::OutlierDetection;
using networking::TrafficPolicy;

// Envoy's bounds of the tables.
constexpr uint64_t kRingSizeMax = 8 * 1024 * 1024;
constexpr uint64_t kMaglevSizeMax = 5'000'011;

bool IsPrime(uint64_t number) {
  if (number < 2) return false;
  for (uint64_t i = 2; i * i <= number; ++i) {
    if (number % i == 0) return false;
  }
  return true;
}

void NotNegative(int64_t value, const Path& path, Report* report) {
  if (value < 0) report->Error(path, absl::StrCat("must not be negative, but is ", value));
}

void ValidateConsistentHash(const LoadBalancerSettings::ConsistentHashLB& hash, const Path& path,
                            Report* report) {
  using Hash = LoadBalancerSettings::ConsistentHashLB;
  switch (hash.hash_key_case()) {
    case Hash::kHttpHeaderName:
      report->Check(path / "httpHeaderName", WhyNoHeaderNameOrPseudo(hash.http_header_name()));
      break;
    case Hash::kHttpCookie:
      if (hash.http_cookie().name().empty())
        report->Error(path / "httpCookie", "\"name\" is required");
      break;
    case Hash::kUseSourceIp:
      break;
    case Hash::kHttpQueryParameterName:
      if (hash.http_query_parameter_name().empty()) {
        report->Error(path / "httpQueryParameterName", "must not be empty");
      }
      break;
    case Hash::HASH_KEY_NOT_SET:
      report->Error(path,
                    "one of httpHeaderName, httpCookie, useSourceIp and "
                    "httpQueryParameterName is required");
      break;
  }
  if (hash.minimum_ring_size() != 0) {
    report->Warning(path / "minimumRingSize", "is out of date: write ringHash.minimumRingSize",
                    "IST0002");
  }
  if (hash.ring_hash().minimum_ring_size() > kRingSizeMax) {
    report->Error(path / "ringHash" / "minimumRingSize",
                  absl::StrCat("must be at most ", kRingSizeMax));
  }
  const uint64_t table_size = hash.maglev().table_size();
  if (table_size != 0 && (table_size > kMaglevSizeMax || !IsPrime(table_size))) {
    report->Error(path / "maglev" / "tableSize",
                  absl::StrCat("must be a prime number of at most ", kMaglevSizeMax));
  }
}

void ValidateLocalityLb(const networking::LocalityLoadBalancerSetting& locality, const Path& path,
                        Report* report) {
  const int given = (locality.distribute_size() > 0) + (locality.failover_size() > 0);
  if (given > 1) report->Error(path, "only one of distribute and failover may be given");
  for (int i = 0; i < locality.distribute_size(); ++i) {
    const Path at = (path / "distribute")[static_cast<size_t>(i)];
    uint64_t total = 0;
    for (const auto& [to, weight] : locality.distribute(i).to()) {
      if (weight < 1 || weight > 100) {
        report->Error((at / "to").Key(to), "a weight must be from 1 to 100");
      }
      total += weight;
    }
    if (total != 100) {
      report->Error(at / "to", absl::StrCat("the weights must make 100, not ", total));
    }
  }
  for (int i = 0; i < locality.failover_size(); ++i) {
    const auto& failover = locality.failover(i);
    if (failover.from() == failover.to()) {
      report->Error((path / "failover")[static_cast<size_t>(i)],
                    "\"from\" and \"to\" must be different regions");
    }
  }
  report->Warning(path, "localities are not looked at yet: this has no effect", kUnsupported);
}

void ValidateLoadBalancer(const LoadBalancerSettings& balancer, const Path& path, Report* report) {
  if (balancer.simple() == LoadBalancerSettings::LEAST_CONN) {
    report->Warning(path / "simple", "LEAST_CONN is out of date: write LEAST_REQUEST", "IST0002");
  }
  if (balancer.has_consistent_hash()) {
    ValidateConsistentHash(balancer.consistent_hash(), path / "consistentHash", report);
  }
  if (balancer.has_locality_lb_setting()) {
    ValidateLocalityLb(balancer.locality_lb_setting(), path / "localityLbSetting", report);
  }
  if (balancer.has_zone_aware_lb_setting()) {
    report->Warning(path / "zoneAwareLbSetting", "zones are not looked at yet: this has no effect",
                    kUnsupported);
  }
  if (balancer.has_warmup()) {
    if (!balancer.warmup().has_duration()) {
      report->Error(path / "warmup", "\"duration\" is required");
    } else {
      report->Check(path / "warmup" / "duration", WhyNoDuration(balancer.warmup().duration()));
    }
  }
  if (balancer.has_warmup() || balancer.has_warmup_duration_secs()) {
    report->Warning(path / (balancer.has_warmup() ? "warmup" : "warmupDurationSecs"),
                    "new hosts are not warmed up yet: this has no effect", kUnsupported);
  }
}

void ValidateOutlierDetection(const OutlierDetection& outlier, const Path& path, Report* report) {
  if (outlier.consecutive_errors() != 0) {
    report->Warning(path / "consecutiveErrors",
                    "is out of date: write consecutive5xxErrors or consecutiveGatewayErrors",
                    "IST0002");
    NotNegative(outlier.consecutive_errors(), path / "consecutiveErrors", report);
  }
  if (!outlier.split_external_local_origin_errors() &&
      outlier.consecutive_local_origin_failures().value() > 0) {
    report->Error(path / "consecutiveLocalOriginFailures",
                  "has no effect unless splitExternalLocalOriginErrors is true");
  }
  if (outlier.has_interval()) report->Check(path / "interval", WhyNoDuration(outlier.interval()));
  if (outlier.has_base_ejection_time()) {
    report->Check(path / "baseEjectionTime", WhyNoDuration(outlier.base_ejection_time()));
  }
  report->Check(path / "maxEjectionPercent", WhyNoPercent(outlier.max_ejection_percent()));
  report->Check(path / "minHealthPercent", WhyNoPercent(outlier.min_health_percent()));
  for (int i = 0; i < outlier.outlier_detection_http_error_codes_size(); ++i) {
    const uint32_t code = outlier.outlier_detection_http_error_codes(i);
    const Path at = (path / "outlierDetectionHttpErrorCodes")[static_cast<size_t>(i)];
    if (code < 400 || code > 599) {
      report->Error(at, absl::StrCat("must be from 400 to 599, not ", code));
    }
  }
}

void ValidateTls(const ClientTLSSettings& tls, const Path& path, Report* report) {
  if (tls.mode() == ClientTLSSettings::DISABLE) return;
  const bool has_files = !tls.client_certificate().empty() || !tls.ca_certificates().empty() ||
                         !tls.private_key().empty();
  if (!tls.credential_name().empty() && has_files) {
    report->Error(path, "only one of credentialName and the files of certificates may be given");
  }
  if (tls.mode() == ClientTLSSettings::MUTUAL && tls.credential_name().empty()) {
    if (tls.client_certificate().empty()) {
      report->Error(path, "\"clientCertificate\" is required for MUTUAL");
    }
    if (tls.private_key().empty()) report->Error(path, "\"privateKey\" is required for MUTUAL");
  }
  if (tls.insecure_skip_verify().value() &&
      (!tls.ca_certificates().empty() || tls.subject_alt_names_size() > 0 ||
       (tls.mode() == ClientTLSSettings::SIMPLE && !tls.credential_name().empty()))) {
    report->Error(path / "insecureSkipVerify",
                  "contradicts caCertificates, credentialName and subjectAltNames: without a look "
                  "at the certificate they mean nothing");
  }
  if (!tls.ca_crl().empty()) report->Unsupported(path / "caCrl", "a list of revoked certificates");
  if (tls.mode() == ClientTLSSettings::ISTIO_MUTUAL &&
      (has_files || !tls.credential_name().empty())) {
    report->Error(path, "ISTIO_MUTUAL takes no certificates: the mesh has its own");
  }
}

template <typename Policy>
bool IsEmptyPolicy(const Policy& policy) {
  return !policy.has_load_balancer() && !policy.has_connection_pool() &&
         !policy.has_outlier_detection() && !policy.has_tls();
}

// What the policies of a host, a subset and a port have in common.
template <typename Policy>
void ValidateSettings(const Policy& policy, const Path& path, Report* report) {
  if (policy.has_load_balancer()) {
    ValidateLoadBalancer(policy.load_balancer(), path / "loadBalancer", report);
  }
  if (policy.has_connection_pool()) {
    ValidateConnectionPool(policy.connection_pool(), path / "connectionPool", report);
  }
  if (policy.has_outlier_detection()) {
    ValidateOutlierDetection(policy.outlier_detection(), path / "outlierDetection", report);
  }
  if (policy.has_tls()) ValidateTls(policy.tls(), path / "tls", report);
}

// Istio: Secrets are for gateways and for the workloads that a rule selects; other sidecars go on
// as if the rule said nothing of TLS.
void WarnOfCredential(const TrafficPolicy& policy, const Path& path, Report* report) {
  const auto warn = [report](const ClientTLSSettings& tls, const Path& at) {
    if (tls.credential_name().empty()) return;
    report->Warning(at / "tls" / "credentialName",
                    "has an effect at gateways only: without a workloadSelector sidecars do not "
                    "encrypt");
  };
  warn(policy.tls(), path);
  for (int i = 0; i < policy.port_level_settings_size(); ++i) {
    warn(policy.port_level_settings(i).tls(), (path / "portLevelSettings")[static_cast<size_t>(i)]);
  }
}

void ValidatePortPolicies(const TrafficPolicy& policy, const Path& path, Report* report) {
  std::set<uint32_t> ports;
  for (int i = 0; i < policy.port_level_settings_size(); ++i) {
    const auto& settings = policy.port_level_settings(i);
    const Path at = path[static_cast<size_t>(i)];
    if (!settings.has_port()) {
      report->Error(at, "\"port\" is required");
    } else {
      report->Check(at / "port" / "number", WhyNoPort(settings.port().number()));
      if (!ports.insert(settings.port().number()).second) {
        report->Error(at / "port" / "number",
                      absl::StrCat("port ", settings.port().number(), " has settings already"));
      }
    }
    if (IsEmptyPolicy(settings)) report->Error(at, "holds no settings");
    ValidateSettings(settings, at, report);
  }
}

void ValidateTcpPool(const ConnectionPoolSettings::TCPSettings& tcp, const Path& path,
                     Report* report) {
  NotNegative(tcp.max_connections(), path / "maxConnections", report);
  if (tcp.has_connect_timeout()) {
    report->Check(path / "connectTimeout", WhyNoDuration(tcp.connect_timeout()));
  }
  if (tcp.has_max_connection_duration()) {
    report->Check(path / "maxConnectionDuration", WhyNoDuration(tcp.max_connection_duration()));
  }
  if (tcp.has_idle_timeout()) {
    report->Check(path / "idleTimeout", WhyNoDuration(tcp.idle_timeout()));
  }
  const Path keepalive = path / "tcpKeepalive";
  if (tcp.tcp_keepalive().has_time()) {
    report->Check(keepalive / "time", WhyNoDuration(tcp.tcp_keepalive().time()));
  }
  if (tcp.tcp_keepalive().has_interval()) {
    report->Check(keepalive / "interval", WhyNoDuration(tcp.tcp_keepalive().interval()));
  }
}

void ValidateHttpPool(const ConnectionPoolSettings::HTTPSettings& http, const Path& path,
                      Report* report) {
  NotNegative(http.http1_max_pending_requests(), path / "http1MaxPendingRequests", report);
  NotNegative(http.http2_max_requests(), path / "http2MaxRequests", report);
  NotNegative(http.max_requests_per_connection(), path / "maxRequestsPerConnection", report);
  NotNegative(http.max_retries(), path / "maxRetries", report);
  NotNegative(http.max_concurrent_streams(), path / "maxConcurrentStreams", report);
  if (http.has_idle_timeout()) {
    report->Check(path / "idleTimeout", WhyNoDuration(http.idle_timeout()));
  }
  if (http.use_client_protocol() &&
      http.h2_upgrade_policy() == ConnectionPoolSettings::HTTPSettings::UPGRADE) {
    report->Error(path / "useClientProtocol", "contradicts h2UpgradePolicy: UPGRADE");
  }
  const Path keepalive = path / "http2KeepAlive";
  if (http.http2_keep_alive().has_interval()) {
    report->Check(keepalive / "interval", WhyNoDuration(http.http2_keep_alive().interval()));
  }
  if (http.http2_keep_alive().has_timeout()) {
    report->Check(keepalive / "timeout", WhyNoDuration(http.http2_keep_alive().timeout()));
  }
}

}  // namespace

void ValidateConnectionPool(const ConnectionPoolSettings& pool, const Path& path, Report* report) {
  if (!pool.has_tcp() && !pool.has_http()) report->Error(path, "one of tcp and http is required");
  ValidateTcpPool(pool.tcp(), path / "tcp", report);
  ValidateHttpPool(pool.http(), path / "http", report);
}

void ValidateTrafficPolicy(const TrafficPolicy& policy, const Path& path, Report* report) {
  if (IsEmptyPolicy(policy) && policy.port_level_settings_size() == 0 && !policy.has_tunnel() &&
      !policy.has_proxy_protocol() && !policy.has_retry_budget()) {
    report->Error(path, "holds no settings");
  }
  ValidateSettings(policy, path, report);
  ValidatePortPolicies(policy, path / "portLevelSettings", report);
  if (policy.has_tunnel()) report->Unsupported(path / "tunnel", "a tunnel to upstreams");
  if (policy.has_proxy_protocol()) {
    report->Unsupported(path / "proxyProtocol", "the PROXY protocol");
  }
  if (policy.has_retry_budget()) {
    const Path at = path / "retryBudget";
    if (policy.retry_budget().has_percent()) {
      report->Check(at / "percent", WhyNoPercent(policy.retry_budget().percent().value()));
    }
    if (policy.retry_budget().has_budget_interval()) {
      report->Check(at / "budgetInterval", WhyNoDuration(policy.retry_budget().budget_interval()));
    }
  }
}

void ValidateDestinationRule(const DestinationRule& spec, Report* report) {
  const Path path("spec");
  report->Check(path / "host", WhyNoHostOrIp(spec.host()));
  if (spec.has_traffic_policy()) {
    ValidateTrafficPolicy(spec.traffic_policy(), path / "trafficPolicy", report);
  }
  std::set<std::string> names;
  for (int i = 0; i < spec.subsets_size(); ++i) {
    const auto& subset = spec.subsets(i);
    const Path at = (path / "subsets")[static_cast<size_t>(i)];
    if (subset.name().empty()) {
      report->Error(at, "\"name\" is required");
    } else {
      report->Check(at / "name", WhyNoDnsLabel(subset.name()));
    }
    if (!names.insert(subset.name()).second) {
      report->Error(at / "name",
                    absl::StrCat("the subset \"", subset.name(), "\" is there already"));
    }
    ValidateLabels(subset.labels(), at / "labels", report);
    if (subset.has_traffic_policy()) {
      ValidateTrafficPolicy(subset.traffic_policy(), at / "trafficPolicy", report);
    }
  }
  ValidateExportTo(spec.export_to(), false, path / "exportTo", report);
  if (!spec.has_workload_selector()) {
    WarnOfCredential(spec.traffic_policy(), path / "trafficPolicy", report);
    for (int i = 0; i < spec.subsets_size(); ++i) {
      WarnOfCredential(spec.subsets(i).traffic_policy(),
                       (path / "subsets")[static_cast<size_t>(i)] / "trafficPolicy", report);
    }
    return;
  }
  ValidateLabels(spec.workload_selector().match_labels(), path / "workloadSelector" / "matchLabels",
                 report);
  for (const std::string& word : spec.export_to()) {
    if (word != "." && word != report->object().meta.ns) {
      report->Error(path / "exportTo", "must be \".\" beside a workloadSelector");
    }
  }
}

}  // namespace meltemi::pilot
