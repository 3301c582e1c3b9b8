#include "pilot/translate/traffic_policy.h"

#include <google/protobuf/any.pb.h>

#include <cstdint>
#include <limits>
#include <string>

#include "absl/strings/string_view.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/extensions/upstreams/http/v3/http_protocol_options.pb.h"
#include "networking/v1/destination_rule.pb.h"
#include "pilot/translate/resource.h"

namespace meltemi::pilot {
namespace {

using envoy::config::cluster::v3::Cluster;
using envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
using networking::ConnectionPoolSettings;
using networking::LoadBalancerSettings;

constexpr char kHttpOptionsKey[] = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
constexpr uint64_t kDefaultRingSize = 1024;

void MergePolicy(const networking::TrafficPolicy& policy, uint32_t port, EffectivePolicy* out) {
  if (policy.has_connection_pool()) out->connection_pool = &policy.connection_pool();
  if (policy.has_load_balancer()) out->load_balancer = &policy.load_balancer();
  if (policy.has_outlier_detection()) out->outlier_detection = &policy.outlier_detection();
  if (policy.has_tls()) out->tls = &policy.tls();
  for (const auto& settings : policy.port_level_settings()) {
    if (settings.port().number() != port) continue;
    out->connection_pool = settings.has_connection_pool() ? &settings.connection_pool() : nullptr;
    out->load_balancer = settings.has_load_balancer() ? &settings.load_balancer() : nullptr;
    out->outlier_detection =
        settings.has_outlier_detection() ? &settings.outlier_detection() : nullptr;
    out->tls = settings.has_tls() ? &settings.tls() : nullptr;
    return;
  }
}

void ApplyConnectionPool(const ConnectionPoolSettings& pool, Cluster* cluster) {
  auto& breaker = *cluster->mutable_circuit_breakers()->mutable_thresholds(0);
  const auto& tcp = pool.tcp();
  const auto& http = pool.http();
  if (tcp.max_connections() > 0) {
    breaker.mutable_max_connections()->set_value(static_cast<uint32_t>(tcp.max_connections()));
  }
  if (http.http1_max_pending_requests() > 0) {
    breaker.mutable_max_pending_requests()->set_value(
        static_cast<uint32_t>(http.http1_max_pending_requests()));
  }
  if (http.http2_max_requests() > 0) {
    breaker.mutable_max_requests()->set_value(static_cast<uint32_t>(http.http2_max_requests()));
  }
  if (http.max_retries() > 0) {
    breaker.mutable_max_retries()->set_value(static_cast<uint32_t>(http.max_retries()));
  }
  if (tcp.has_connect_timeout()) *cluster->mutable_connect_timeout() = tcp.connect_timeout();
  if (!tcp.has_tcp_keepalive()) return;
  auto& keepalive = *cluster->mutable_upstream_connection_options()->mutable_tcp_keepalive();
  const auto& wanted = tcp.tcp_keepalive();
  if (wanted.probes() > 0) keepalive.mutable_keepalive_probes()->set_value(wanted.probes());
  if (wanted.has_time()) {
    keepalive.mutable_keepalive_time()->set_value(static_cast<uint32_t>(wanted.time().seconds()));
  }
  if (wanted.has_interval()) {
    keepalive.mutable_keepalive_interval()->set_value(
        static_cast<uint32_t>(wanted.interval().seconds()));
  }
}

void ApplyOutlierDetection(const networking::OutlierDetection& wanted, Cluster* cluster) {
  auto& out = *cluster->mutable_outlier_detection();
  const auto enforce = [](uint32_t value) { return value > 0 ? 100u : 0u; };
  if (wanted.has_consecutive_5xx_errors()) {
    const uint32_t count = wanted.consecutive_5xx_errors().value();
    out.mutable_consecutive_5xx()->set_value(count);
    out.mutable_enforcing_consecutive_5xx()->set_value(enforce(count));
  }
  if (wanted.has_consecutive_gateway_errors()) {
    const uint32_t count = wanted.consecutive_gateway_errors().value();
    out.mutable_consecutive_gateway_failure()->set_value(count);
    out.mutable_enforcing_consecutive_gateway_failure()->set_value(enforce(count));
  } else if (wanted.consecutive_errors() > 0) {  // deprecated form
    const uint32_t count = static_cast<uint32_t>(wanted.consecutive_errors());
    out.mutable_consecutive_gateway_failure()->set_value(count);
    out.mutable_enforcing_consecutive_gateway_failure()->set_value(100);
    out.mutable_enforcing_consecutive_5xx()->set_value(0);
  }
  out.mutable_enforcing_success_rate()->set_value(0);
  if (wanted.has_interval()) *out.mutable_interval() = wanted.interval();
  if (wanted.has_base_ejection_time()) {
    *out.mutable_base_ejection_time() = wanted.base_ejection_time();
  }
  if (wanted.max_ejection_percent() > 0) {
    out.mutable_max_ejection_percent()->set_value(
        static_cast<uint32_t>(wanted.max_ejection_percent()));
  }
  if (wanted.split_external_local_origin_errors()) {
    out.set_split_external_local_origin_errors(true);
    if (wanted.has_consecutive_local_origin_failures()) {
      const uint32_t count = wanted.consecutive_local_origin_failures().value();
      out.mutable_consecutive_local_origin_failure()->set_value(count);
      out.mutable_enforcing_consecutive_local_origin_failure()->set_value(enforce(count));
    }
    out.mutable_enforcing_local_origin_success_rate()->set_value(0);
  }
  cluster->mutable_common_lb_config()->mutable_healthy_panic_threshold()->set_value(
      wanted.min_health_percent());
}

Cluster::LbPolicy EnvoyBalancer(SimpleBalancer balancer) {
  switch (balancer) {
    case SimpleBalancer::kRoundRobin:
      return Cluster::ROUND_ROBIN;
    case SimpleBalancer::kRandom:
      return Cluster::RANDOM;
    case SimpleBalancer::kLeastRequest:
      break;
  }
  return Cluster::LEAST_REQUEST;
}

void ApplyConsistentHash(const LoadBalancerSettings::ConsistentHashLB& hash, Cluster* cluster) {
  if (hash.has_maglev()) {
    cluster->set_lb_policy(Cluster::MAGLEV);
    if (hash.maglev().table_size() > 0) {
      cluster->mutable_maglev_lb_config()->mutable_table_size()->set_value(
          hash.maglev().table_size());
    }
    return;
  }
  uint64_t size =
      hash.has_ring_hash() ? hash.ring_hash().minimum_ring_size() : hash.minimum_ring_size();
  if (size == 0) size = kDefaultRingSize;
  cluster->set_lb_policy(Cluster::RING_HASH);
  cluster->mutable_ring_hash_lb_config()->mutable_minimum_ring_size()->set_value(size);
}

void ApplyBalancer(const LoadBalancerSettings* wanted, const MeshSettings& mesh, Cluster* cluster) {
  // The original destination leaves nothing to choose.
  if (cluster->type() == Cluster::ORIGINAL_DST) return;
  cluster->set_lb_policy(EnvoyBalancer(mesh.default_balancer));
  if (wanted == nullptr) return;
  if (wanted->has_consistent_hash()) {
    ApplyConsistentHash(wanted->consistent_hash(), cluster);
    return;
  }
  switch (wanted->simple()) {
    case LoadBalancerSettings::LEAST_CONN:
    case LoadBalancerSettings::LEAST_REQUEST:
      cluster->set_lb_policy(Cluster::LEAST_REQUEST);
      break;
    case LoadBalancerSettings::RANDOM:
      cluster->set_lb_policy(Cluster::RANDOM);
      break;
    case LoadBalancerSettings::ROUND_ROBIN:
      cluster->set_lb_policy(Cluster::ROUND_ROBIN);
      break;
    case LoadBalancerSettings::PASSTHROUGH:
      cluster->set_type(Cluster::ORIGINAL_DST);
      cluster->set_lb_policy(Cluster::CLUSTER_PROVIDED);
      cluster->clear_eds_cluster_config();
      cluster->clear_load_assignment();
      break;
    default:
      break;
  }
}

void ApplyHttp2Settings(const ConnectionPoolSettings::HTTPSettings& http,
                        envoy::config::core::v3::Http2ProtocolOptions* options) {
  if (http.max_concurrent_streams() > 0) {
    options->mutable_max_concurrent_streams()->set_value(
        static_cast<uint32_t>(http.max_concurrent_streams()));
  }
  if (!http.has_http2_keep_alive()) return;
  auto& keepalive = *options->mutable_connection_keepalive();
  if (http.http2_keep_alive().has_interval()) {
    *keepalive.mutable_interval() = http.http2_keep_alive().interval();
  }
  if (http.http2_keep_alive().has_timeout()) {
    *keepalive.mutable_timeout() = http.http2_keep_alive().timeout();
  }
}

void SetUpstreamProtocol(const ConnectionPoolSettings::HTTPSettings& http, Protocol protocol,
                         HttpProtocolOptions* options) {
  const bool upgrade = http.h2_upgrade_policy() == ConnectionPoolSettings::HTTPSettings::UPGRADE;
  if (IsHttp2(protocol) || (protocol == Protocol::kHttp && upgrade)) {
    ApplyHttp2Settings(http,
                       options->mutable_explicit_http_config()->mutable_http2_protocol_options());
  } else if (IsSniffed(protocol) || http.use_client_protocol()) {
    auto& same = *options->mutable_use_downstream_protocol_config();
    same.mutable_http_protocol_options();
    ApplyHttp2Settings(http, same.mutable_http2_protocol_options());
  } else {
    options->mutable_explicit_http_config()->mutable_http_protocol_options();
  }
}

// The name that a server is asked for, and that its certificate must have, is that of the request
// where a rule names none.
void SetNamesOfRequest(const networking::ClientTLSSettings* tls, HttpProtocolOptions* options) {
  if (tls == nullptr || !tls->sni().empty() ||
      (tls->mode() != networking::ClientTLSSettings::SIMPLE &&
       tls->mode() != networking::ClientTLSSettings::MUTUAL)) {
    return;
  }
  auto& names = *options->mutable_upstream_http_protocol_options();
  names.set_auto_sni(true);
  names.set_auto_san_validation(tls->subject_alt_names().empty() &&
                                !tls->insecure_skip_verify().value());
}

void ApplyHttpOptions(const ConnectionPoolSettings* pool, const networking::ClientTLSSettings* tls,
                      Protocol protocol, Cluster* cluster) {
  static const auto& defaults = *new ConnectionPoolSettings();
  const ConnectionPoolSettings& wanted = pool != nullptr ? *pool : defaults;
  const auto& http = wanted.http();
  if (IsTcp(protocol) && !wanted.tcp().has_max_connection_duration()) return;
  HttpProtocolOptions options;
  SetUpstreamProtocol(http, protocol, &options);
  SetNamesOfRequest(tls, &options);
  if (http.max_requests_per_connection() > 0) {
    options.mutable_common_http_protocol_options()
        ->mutable_max_requests_per_connection()
        ->set_value(static_cast<uint32_t>(http.max_requests_per_connection()));
  }
  if (http.has_idle_timeout()) {
    *options.mutable_common_http_protocol_options()->mutable_idle_timeout() = http.idle_timeout();
  }
  if (wanted.tcp().has_max_connection_duration()) {
    *options.mutable_common_http_protocol_options()->mutable_max_connection_duration() =
        wanted.tcp().max_connection_duration();
  }
  PackAny(options, &(*cluster->mutable_typed_extension_protocol_options())[kHttpOptionsKey]);
}

}  // namespace

const networking::LoadBalancerSettings_ConsistentHashLB* EffectivePolicy::consistent_hash() const {
  return load_balancer != nullptr && load_balancer->has_consistent_hash()
             ? &load_balancer->consistent_hash()
             : nullptr;
}

EffectivePolicy ResolvePolicy(const DestinationRule* rule, uint32_t port,
                              absl::string_view subset) {
  EffectivePolicy policy;
  if (rule == nullptr) return policy;
  if (rule->spec->has_traffic_policy()) MergePolicy(rule->spec->traffic_policy(), port, &policy);
  if (subset.empty()) return policy;
  for (const auto& candidate : rule->spec->subsets()) {
    if (candidate.name() != subset || !candidate.has_traffic_policy()) continue;
    MergePolicy(candidate.traffic_policy(), port, &policy);
    break;
  }
  return policy;
}

void ApplyPolicy(const EffectivePolicy& policy, Protocol protocol, const MeshSettings& mesh,
                 Cluster* cluster) {
  ApplyDefaultBreakers(cluster);
  ApplyBalancer(policy.load_balancer, mesh, cluster);
  if (policy.connection_pool != nullptr) ApplyConnectionPool(*policy.connection_pool, cluster);
  if (policy.outlier_detection != nullptr) {
    ApplyOutlierDetection(*policy.outlier_detection, cluster);
  }
  ApplyHttpOptions(policy.connection_pool, policy.tls, protocol, cluster);
}

bool SpeaksHttp2(const Cluster& cluster) {
  const auto it = cluster.typed_extension_protocol_options().find(kHttpOptionsKey);
  HttpProtocolOptions options;
  return it != cluster.typed_extension_protocol_options().end() && it->second.UnpackTo(&options) &&
         options.explicit_http_config().has_http2_protocol_options();
}

void ApplyDefaultBreakers(Cluster* cluster) {
  constexpr uint32_t kNoLimit = std::numeric_limits<uint32_t>::max();
  auto& breaker = *cluster->mutable_circuit_breakers()->add_thresholds();
  breaker.mutable_max_connections()->set_value(kNoLimit);
  breaker.mutable_max_pending_requests()->set_value(kNoLimit);
  breaker.mutable_max_requests()->set_value(kNoLimit);
  breaker.mutable_max_retries()->set_value(kNoLimit);
  breaker.set_track_remaining(true);
}

void ApplyDownstreamProtocol(Cluster* cluster) {
  ApplyHttpOptions(nullptr, nullptr, Protocol::kSniffed, cluster);
}

}  // namespace meltemi::pilot
