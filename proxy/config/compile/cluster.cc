#include "proxy/config/compile/cluster.h"

#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "proxy/config/compile/cluster_parts.h"
#include "proxy/config/compile/endpoints.h"
#include "proxy/config/compile/matchers.h"
#include "proxy/config/compile/transport_socket.h"
#include "proxy/config/compile/try.h"
#include "proxy/config/compile/unsupported.h"
#include "proxy/transport/host_transport.h"

namespace meltemi::proxy {
namespace {

using envoy::config::cluster::v3::Cluster;

absl::Status Invalid(absl::string_view where, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(where, ": ", what));
}

absl::Status CompileDurationInto(const google::protobuf::Duration& from, absl::string_view where,
                                 absl::string_view field, Duration& to) {
  ASSIGN_OR_RETURN(to, CompileDuration(from, absl::StrCat(where, ": ", field)));
  return absl::OkStatus();
}

absl::Status CompileMatch(const Cluster::TransportSocketMatch& proto, absl::string_view where,
                          TlsSockets* sockets, TransportMatch& match) {
  RETURN_IF_ERROR(CheckSupported(proto, where, {"name", "match.**", "transport_socket"}));
  match.name = proto.name();
  for (const auto& [key, value] : proto.match().fields()) {
    if (!value.has_string_value()) {
      return Invalid(where, absl::StrCat("match '", key, "' is no text"));
    }
    match.labels.emplace_back(key, value.string_value());
  }
  ASSIGN_OR_RETURN(match.tls, CompileUpstreamSocket(proto.transport_socket(), where, sockets));
  return absl::OkStatus();
}

absl::Status CompileTransport(const Cluster& cluster, absl::string_view where, TlsSockets* sockets,
                              ClusterConfig& config) {
  for (const auto& filter : cluster.filters()) {
    // Istio's exchange of peer metadata: without its ALPN, which is never agreed on, it passes
    // bytes on.
    if (filter.name() == "istio.metadata_exchange") continue;
    return Invalid(where, absl::StrCat("filter '", filter.name(), "' is not supported"));
  }
  auto transport = std::make_shared<ClusterTransport>();
  ASSIGN_OR_RETURN(transport->tls,
                   CompileUpstreamSocket(cluster.transport_socket(),
                                         absl::StrCat(where, ": transport_socket"), sockets));
  bool any_tls = transport->tls != nullptr;
  for (const auto& proto : cluster.transport_socket_matches()) {
    TransportMatch match;
    RETURN_IF_ERROR(
        CompileMatch(proto, absl::StrCat(where, ": transport_socket_matches '", proto.name(), "'"),
                     sockets, match));
    any_tls |= match.tls != nullptr;
    transport->matches.push_back(std::move(match));
  }
  RETURN_IF_ERROR(CompileAutoNames(cluster, where, *transport));
  if (any_tls) config.transport = std::move(transport);
  return absl::OkStatus();
}

absl::Status CompileDns(const Cluster& cluster, absl::string_view where, ClusterConfig& config) {
  switch (cluster.dns_lookup_family()) {
    case Cluster::V4_ONLY:
      config.dns_family = net::DnsFamily::kV4Only;
      break;
    case Cluster::V6_ONLY:
      config.dns_family = net::DnsFamily::kV6Only;
      break;
    case Cluster::V4_PREFERRED:
      config.dns_family = net::DnsFamily::kV4Preferred;
      break;
    case Cluster::ALL:
      config.dns_family = net::DnsFamily::kAll;
      break;
    default:
      config.dns_family = net::DnsFamily::kAuto;
  }
  config.respect_dns_ttl = cluster.respect_dns_ttl();
  if (cluster.has_dns_refresh_rate()) {
    RETURN_IF_ERROR(CompileDurationInto(cluster.dns_refresh_rate(), where, "dns_refresh_rate",
                                        config.dns_refresh));
  }
  if (cluster.has_dns_failure_refresh_rate()) {
    RETURN_IF_ERROR(CompileDurationInto(cluster.dns_failure_refresh_rate().base_interval(), where,
                                        "dns_failure_refresh_rate.base_interval",
                                        config.dns_failure_refresh));
  }
  return absl::OkStatus();
}

absl::Status CompileDiscovery(const Cluster& cluster, absl::string_view where,
                              ClusterConfig& config) {
  if (cluster.has_cluster_type()) {
    return Invalid(
        where, absl::StrCat("cluster_type '", cluster.cluster_type().name(), "' is not supported"));
  }
  switch (cluster.type()) {
    case Cluster::STATIC:
      config.discovery = Discovery::kStatic;
      break;
    case Cluster::STRICT_DNS:
      config.discovery = Discovery::kStrictDns;
      break;
    case Cluster::LOGICAL_DNS:
      config.discovery = Discovery::kLogicalDns;
      break;
    case Cluster::EDS:
      config.discovery = Discovery::kEds;
      break;
    case Cluster::ORIGINAL_DST:
      config.discovery = Discovery::kOriginalDst;
      break;
    default:
      return Invalid(where, "type is not a known discovery type");
  }
  if ((cluster.type() == Cluster::EDS) != cluster.has_eds_cluster_config()) {
    return Invalid(where, "eds_cluster_config must be set for type EDS, and only then");
  }
  if (cluster.has_load_assignment() &&
      (cluster.type() == Cluster::EDS || cluster.type() == Cluster::ORIGINAL_DST)) {
    return Invalid(where, "load_assignment goes only with STATIC and DNS types");
  }
  config.eds_service_name = cluster.eds_cluster_config().service_name();
  return CompileDns(cluster, where, config);
}

absl::Status CompileSocket(const Cluster& cluster, absl::string_view where, ClusterConfig& config) {
  if (cluster.has_upstream_bind_config()) {
    const auto& bind = cluster.upstream_bind_config();
    RETURN_IF_ERROR(CheckSupported(bind, absl::StrCat(where, ": upstream_bind_config"),
                                   {"source_address.address", "source_address.port_value"}));
    auto source = net::Address::FromIp(bind.source_address().address(),
                                       static_cast<uint16_t>(bind.source_address().port_value()));
    if (!source.ok()) {
      return Invalid(
          where, absl::StrCat("upstream_bind_config.source_address: ", source.status().message()));
    }
    config.bind_source = *source;
  }
  const auto& options = cluster.upstream_connection_options();
  RETURN_IF_ERROR(CheckSupported(options, absl::StrCat(where, ": upstream_connection_options"),
                                 {"tcp_keepalive.**"}));
  if (options.has_tcp_keepalive()) {
    net::TcpKeepalive keepalive;
    keepalive.probes = static_cast<int>(options.tcp_keepalive().keepalive_probes().value());
    keepalive.idle_seconds = static_cast<int>(options.tcp_keepalive().keepalive_time().value());
    keepalive.interval_seconds =
        static_cast<int>(options.tcp_keepalive().keepalive_interval().value());
    config.keepalive = keepalive;
  }
  return absl::OkStatus();
}

// Istio's cluster metadata: which service this is, for logs and statistics.
void ReadMetadata(const Cluster& cluster, ClusterConfig& config) {
  const auto istio = cluster.metadata().filter_metadata().find("istio");
  if (istio == cluster.metadata().filter_metadata().end()) return;
  const auto services = istio->second.fields().find("services");
  if (services == istio->second.fields().end()) return;
  if (services->second.list_value().values_size() == 0) return;
  const auto& fields = services->second.list_value().values(0).struct_value().fields();
  const auto text = [&](const char* name) {
    const auto field = fields.find(name);
    return field == fields.end() ? std::string() : field->second.string_value();
  };
  config.service_host = text("host");
  config.service_name = text("name");
  config.service_namespace = text("namespace");
}

// All that CompileCluster and its parts read. Fields with "**" have no meaning that we would miss:
// they are about logs, about load reports, or about what comes with TLS.
absl::Status CheckFields(const Cluster& cluster, absl::string_view where) {
  return CheckSupported(cluster, where,
                        {"name",
                         "alt_stat_name",
                         "type",
                         "cluster_type",
                         "eds_cluster_config.service_name",
                         "eds_cluster_config.eds_config.ads.**",
                         "eds_cluster_config.eds_config.self.**",
                         "eds_cluster_config.eds_config.initial_fetch_timeout.**",
                         "eds_cluster_config.eds_config.resource_api_version",
                         "connect_timeout",
                         "per_connection_buffer_limit_bytes",
                         "lb_policy",
                         "load_assignment",
                         "health_checks",
                         "max_requests_per_connection",
                         "circuit_breakers",
                         "upstream_http_protocol_options",
                         "common_http_protocol_options",
                         "http_protocol_options",
                         "http2_protocol_options",
                         "typed_extension_protocol_options",
                         "dns_refresh_rate",
                         "dns_failure_refresh_rate.base_interval.**",
                         "dns_failure_refresh_rate.max_interval.**",
                         "respect_dns_ttl",
                         "dns_lookup_family",
                         "wait_for_warm_on_init.**",
                         "outlier_detection",
                         "cleanup_interval",
                         "upstream_bind_config",
                         "ring_hash_lb_config",
                         "maglev_lb_config",
                         "original_dst_lb_config",
                         "least_request_lb_config",
                         "round_robin_lb_config",
                         "common_lb_config",
                         "transport_socket",
                         "transport_socket_matches",
                         "metadata.**",
                         "protocol_selection",
                         "upstream_connection_options",
                         "ignore_health_on_host_removal",
                         "filters",
                         "load_balancing_policy",
                         "lrs_server.**",
                         "lrs_report_endpoint_metrics",
                         "track_timeout_budgets",
                         "track_cluster_stats.**"});
}

absl::Status CompileEndpointsOf(const Cluster& cluster, absl::string_view where,
                                CompiledCluster& compiled, ClusterConfig& config) {
  const bool by_name =
      config.discovery == Discovery::kStrictDns || config.discovery == Discovery::kLogicalDns;
  if (config.discovery == Discovery::kEds) return absl::OkStatus();
  ASSIGN_OR_RETURN(compiled.endpoints,
                   CompileInlineEndpoints(cluster.load_assignment(), where, by_name));
  if (config.discovery == Discovery::kLogicalDns && compiled.endpoints->endpoints.size() != 1) {
    return Invalid(where, "LOGICAL_DNS needs exactly one endpoint");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<CompiledCluster> CompileCluster(const Cluster& cluster, TlsSockets* sockets) {
  if (cluster.name().empty()) return absl::InvalidArgumentError("a cluster has no name");
  const std::string where = absl::StrCat("cluster '", cluster.name(), "'");
  RETURN_IF_ERROR(CheckFields(cluster, where));
  auto config = std::make_shared<ClusterConfig>();
  config->name = cluster.name();
  config->alt_stat_name = cluster.alt_stat_name();
  RETURN_IF_ERROR(CompileDiscovery(cluster, where, *config));
  RETURN_IF_ERROR(CompileTransport(cluster, where, sockets, *config));
  if (cluster.has_connect_timeout()) {
    RETURN_IF_ERROR(CompileDurationInto(cluster.connect_timeout(), where, "connect_timeout",
                                        config->connect_timeout));
    if (config->connect_timeout <= Duration(0)) {
      return Invalid(where, "connect_timeout must be greater than 0");
    }
  }
  if (cluster.has_per_connection_buffer_limit_bytes()) {
    config->buffer_bytes_max = cluster.per_connection_buffer_limit_bytes().value();
  }
  if (cluster.has_cleanup_interval()) {
    RETURN_IF_ERROR(CompileDurationInto(cluster.cleanup_interval(), where, "cleanup_interval",
                                        config->cleanup_interval));
  }
  RETURN_IF_ERROR(CompileBalancing(cluster, where, *config));
  RETURN_IF_ERROR(CompileProtocol(cluster, where, *config));
  RETURN_IF_ERROR(CompileSocket(cluster, where, *config));
  RETURN_IF_ERROR(CompileBreakers(cluster.circuit_breakers(), where, *config));
  if (cluster.has_outlier_detection()) {
    RETURN_IF_ERROR(CompileOutlierDetection(cluster.outlier_detection(), where, *config));
  }
  for (int i = 0; i < cluster.health_checks_size(); ++i) {
    RETURN_IF_ERROR(CompileHealthCheck(cluster.health_checks(i),
                                       absl::StrCat(where, ": health_checks[", i, "]"), *config));
  }
  ReadMetadata(cluster, *config);
  CompiledCluster compiled;
  RETURN_IF_ERROR(CompileEndpointsOf(cluster, where, compiled, *config));
  config->fingerprint = Fingerprint(cluster);
  compiled.config = std::move(config);
  return compiled;
}

}  // namespace meltemi::proxy
