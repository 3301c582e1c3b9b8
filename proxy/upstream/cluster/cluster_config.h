// A cluster as configured: immutable, compiled from CDS, free of protobuf.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock/clock.h"
#include "base/http/codec.h"
#include "base/net/address.h"
#include "base/net/connection.h"
#include "base/net/dns.h"

namespace meltemi::proxy {

enum class Discovery : uint8_t { kStatic, kEds, kStrictDns, kLogicalDns, kOriginalDst };

enum class Balance : uint8_t {
  kRoundRobin,
  kLeastRequest,
  kRandom,
  kRingHash,
  kMaglev,
  kClusterProvided
};

// Unset: no limit was given; the default applies (Envoy's 1024, 3 for retries).
struct CircuitBreakers {
  uint32_t connections_max = 1024;
  uint32_t pending_requests_max = 1024;
  uint32_t requests_max = 1024;
  uint32_t retries_max = 3;
  // A retry budget replaces retries_max when set.
  std::optional<double> retry_budget_percent;
  uint32_t retry_budget_min_concurrency = 3;
};

struct OutlierDetection {
  uint32_t consecutive_5xx = 5;
  uint32_t consecutive_gateway_failure = 5;
  uint32_t consecutive_local_origin_failure = 5;
  uint32_t enforcing_consecutive_5xx = 100;  // percent
  uint32_t enforcing_consecutive_gateway_failure = 0;
  uint32_t enforcing_consecutive_local_origin_failure = 100;
  bool split_external_local_origin_errors = false;
  Duration interval = seconds(10);
  Duration base_ejection_time = seconds(30);
  Duration ejection_time_max = seconds(300);
  Duration ejection_time_jitter_max{0};
  uint32_t ejection_percent_max = 10;
  uint32_t success_rate_minimum_hosts = 5;
  uint32_t success_rate_request_volume = 100;
  uint32_t success_rate_stdev_factor = 1900;
  uint32_t enforcing_success_rate = 100;
  uint32_t failure_percentage_threshold = 85;
  uint32_t enforcing_failure_percentage = 0;
  uint32_t failure_percentage_minimum_hosts = 5;
  uint32_t failure_percentage_request_volume = 50;
  bool always_eject_one_host = false;
  bool uneject_on_health_check = true;  // a successful active check ends an ejection
  bool operator==(const OutlierDetection&) const = default;
};

struct HealthCheck {
  enum class Kind : uint8_t { kHttp, kTcp };
  Kind kind = Kind::kHttp;
  Duration timeout = seconds(1);
  Duration interval = seconds(10);
  Duration initial_jitter{0}, interval_jitter{0};
  std::optional<Duration> no_traffic_interval, unhealthy_interval;
  uint32_t unhealthy_threshold = 2, healthy_threshold = 1;
  std::string path, host, method = "GET";
  bool http2 = false;
  std::vector<std::pair<uint32_t, uint32_t>> expected_statuses;  // [from, to)
  std::string tcp_send;                                          // bytes
  std::vector<std::string> tcp_receive;                          // bytes, each must appear in order
  bool reuse_connection = true;
  uint32_t alt_port = 0;
  bool operator==(const HealthCheck&) const = default;
};

// For ClusterConfig::idle_timeout: none.
inline constexpr Duration kNoIdleTimeout = Duration::max();

// kByAlpn: what the TLS handshake agrees on; HTTP/1 without one.
enum class UpstreamProtocol : uint8_t { kHttp1, kHttp2, kSameAsDownstream, kByAlpn };

struct ClusterTransport;  // proxy/transport/host_transport.h

struct ClusterConfig {
  std::string name;
  std::string alt_stat_name;
  std::string eds_service_name;  // "" = name
  Discovery discovery = Discovery::kStatic;
  Balance balance = Balance::kRoundRobin;
  uint32_t least_request_choices = 2;
  uint64_t ring_size_min = 1024, ring_size_max = 8 * 1024 * 1024;
  uint64_t maglev_table_size = 65537;
  bool hash_by_hostname = false;
  bool locality_weighted = false;  // localities share by their weight, hosts within them
  double panic_threshold_percent = 50;
  uint32_t overprovisioning_percent = 140;
  bool fail_traffic_on_panic = false;
  bool ignore_new_hosts_until_first_health_check = false;

  Duration connect_timeout = seconds(5);
  uint32_t buffer_bytes_max = 1024 * 1024;  // per connection
  // Of a pooled connection without streams. Unset: 4 s for HTTP/1, 1 h for HTTP/2.
  std::optional<Duration> idle_timeout;
  std::optional<Duration> connection_duration_max;
  uint32_t requests_per_connection_max = 0;  // 0: no limit
  UpstreamProtocol protocol = UpstreamProtocol::kHttp1;
  std::shared_ptr<const ClusterTransport> transport;  // null: plaintext to all hosts
  http::Http1Limits http1;
  http::Http2Limits http2;
  Duration http2_ping_interval{0};  // 0: none
  Duration http2_ping_timeout = seconds(10);
  std::optional<net::TcpKeepalive> keepalive;
  net::Address bind_source;  // unset: the kernel chooses

  CircuitBreakers breakers_default, breakers_high;
  std::optional<OutlierDetection> outlier;
  std::vector<HealthCheck> health_checks;

  // kOriginalDst
  bool original_dst_use_header = false;
  std::string original_dst_header;  // lower case
  std::optional<uint16_t> original_dst_port_override;
  Duration cleanup_interval = seconds(5);
  // kStrictDns, kLogicalDns
  net::DnsFamily dns_family = net::DnsFamily::kAuto;
  Duration dns_refresh = seconds(5);
  Duration dns_failure_refresh{0};  // after a failure; 0: dns_refresh
  bool respect_dns_ttl = false;

  // Istio's cluster metadata ("istio".services[0]) and service names for statistics.
  std::string service_host, service_name, service_namespace;

  // Identity of the proto that this came from: equal means nothing has changed.
  uint64_t fingerprint = 0;
};

enum class EndpointHealth : uint8_t { kHealthy, kUnhealthy, kDraining, kDegraded };

// One endpoint as discovered. For DNS clusters `address` is unset and `dns_name`/`port` tell what
// to ask.
struct EndpointConfig {
  net::Address address;
  std::string hostname;  // for auto_host_rewrite, health checks
  std::string dns_name;
  uint16_t port = 0;
  uint32_t weight = 1;  // > 0
  uint32_t priority = 0;
  EndpointHealth health = EndpointHealth::kHealthy;
  uint16_t health_check_port = 0;
  std::string region, zone, sub_zone;
  uint32_t locality_weight = 0;
  // Istio's endpoint metadata "istio".workload = "name;namespace;canonical name;revision;cluster".
  std::string workload;
  // The metadata that transport_socket_matches ask for: "tlsMode: istio", and all others.
  bool mtls = false;
  std::vector<std::pair<std::string, std::string>> transport_labels;
};

// What EDS (or the cluster itself) says of a cluster.
struct EndpointsConfig {
  std::string cluster_name;  // the EDS service name
  std::vector<EndpointConfig> endpoints;
  uint32_t overprovisioning_percent = 140;
  std::vector<uint32_t> drop_per_million;  // drop_overloads, each
  uint64_t fingerprint = 0;
};

}  // namespace meltemi::proxy
