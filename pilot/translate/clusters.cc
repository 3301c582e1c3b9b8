#include "pilot/translate/clusters.h"

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/struct.pb.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"
#include "networking/v1/destination_rule.pb.h"
#include "pilot/translate/metadata.h"
#include "pilot/translate/tls_context.h"
#include "pilot/translate/traffic_policy.h"

namespace meltemi::pilot {
namespace {

namespace tls = envoy::extensions::transport_sockets::tls::v3;
using envoy::config::cluster::v3::Cluster;
using envoy::config::endpoint::v3::ClusterLoadAssignment;
using envoy::config::endpoint::v3::LbEndpoint;

// iptables lets connections from this address through to the application (Istio's convention).
constexpr char kInboundSourceAddress[] = "127.0.0.6";
constexpr int64_t kDnsRefreshSeconds = 60;

void SetMillis(uint32_t millis, google::protobuf::Duration* duration) {
  duration->set_seconds(millis / 1000);
  duration->set_nanos(static_cast<int32_t>(millis % 1000) * 1'000'000);
}

void FillEndpoint(const Endpoint& endpoint, const EndpointMtls& mtls, absl::string_view cluster_id,
                  LbEndpoint* out) {
  auto& address = *out->mutable_endpoint()->mutable_address()->mutable_socket_address();
  address.set_address(endpoint.address);
  address.set_port_value(endpoint.port);
  if (!endpoint.healthy) out->set_health_status(envoy::config::core::v3::UNHEALTHY);
  out->mutable_load_balancing_weight()->set_value(endpoint.weight > 0 ? endpoint.weight : 1);
  if (!endpoint.workload.empty()) {
    SetIstioText("workload", WorkloadMetadata(endpoint, cluster_id), out->mutable_metadata());
  }
  if (mtls.Takes(endpoint)) SetTakesMtls(out->mutable_metadata());
}

void FillAssignment(const std::string& name, const ServiceEndpoints& endpoints, uint32_t port,
                    const Labels& subset, const EndpointMtls& mtls, absl::string_view cluster_id,
                    ClusterLoadAssignment* out) {
  out->set_cluster_name(name);
  envoy::config::endpoint::v3::LocalityLbEndpoints* group = nullptr;
  uint32_t total = 0;
  for (const Endpoint& endpoint : endpoints.endpoints) {
    if (endpoint.service_port != port || !LabelsMatch(subset, endpoint.labels)) continue;
    if (group == nullptr) {
      group = out->add_endpoints();
      group->mutable_locality();  // gRPC ignores a group without one
    }
    LbEndpoint* added = group->add_lb_endpoints();
    FillEndpoint(endpoint, mtls, cluster_id, added);
    total += added->load_balancing_weight().value();
  }
  if (group != nullptr) group->mutable_load_balancing_weight()->set_value(total);
}

// True for a service whose endpoints pilot sends, although a sidecar would use the original
// destination: a proxyless client has no original destination.
bool SendsEndpoints(const Service& service, const ClusterOptions& options) {
  return service.resolution == Resolution::kEndpoints ||
         (service.resolution == Resolution::kPassthrough && options.kind != ProxyKind::kSidecar);
}

void SetDiscovery(const Service& service, const ClusterOptions& options, Cluster* cluster) {
  if (SendsEndpoints(service, options)) {
    cluster->set_type(Cluster::EDS);
    auto& source = *cluster->mutable_eds_cluster_config();
    source.set_service_name(cluster->name());
    source.mutable_eds_config()->mutable_ads();
    source.mutable_eds_config()->set_resource_api_version(envoy::config::core::v3::V3);
    source.mutable_eds_config()->mutable_initial_fetch_timeout();  // 0: wait for it
    return;
  }
  if (service.resolution == Resolution::kPassthrough) {
    cluster->set_type(Cluster::ORIGINAL_DST);
    cluster->set_lb_policy(Cluster::CLUSTER_PROVIDED);
    return;
  }
  cluster->set_type(service.resolution == Resolution::kDns ? Cluster::STRICT_DNS
                                                           : Cluster::LOGICAL_DNS);
  cluster->set_dns_lookup_family(Cluster::V4_ONLY);
  cluster->mutable_dns_refresh_rate()->set_seconds(kDnsRefreshSeconds);
  cluster->set_respect_dns_ttl(true);
}

class ServiceClusterBuilder {
 public:
  ServiceClusterBuilder(const Service& service, const DestinationRule* rule,
                        const ServiceEndpoints& endpoints, const Snapshot& snapshot,
                        const ClusterOptions& options)
      : service_(service),
        rule_(rule),
        endpoints_(endpoints),
        snapshot_(snapshot),
        mesh_(*snapshot.mesh),
        options_(options) {}

  ResourcePtr Build(const ServicePort& port, const std::string& subset) const {
    Cluster cluster;
    cluster.set_name(OutboundClusterName(port.number, subset, service_.host));
    SetMillis(mesh_.connect_timeout_ms, cluster.mutable_connect_timeout());
    SetDiscovery(service_, options_, &cluster);
    EffectivePolicy policy = ResolvePolicy(rule_, port.number, subset);
    const EndpointMtls mtls{options_.identity, snapshot_.peer_authentications.get(),
                            mesh_.root_namespace, policy.tls};
    if (ClustersHoldEndpoints(service_)) {
      FillAssignment(cluster.name(), endpoints_, port.number, SubsetLabels(rule_, subset), mtls, "",
                     cluster.mutable_load_assignment());
    }
    // Istio: credentials of Secrets are for gateways, and for the workloads that a rule selects.
    if (policy.tls != nullptr && !policy.tls->credential_name().empty() &&
        options_.kind == ProxyKind::kSidecar && rule_->workload_selector.empty()) {
      policy.tls = nullptr;
    }
    ApplyPolicy(policy, port.protocol, mesh_, &cluster);
    if (options_.kind != ProxyKind::kProxyless) ApplyTls(port, subset, policy, mtls, &cluster);
    // gRPC knows neither random nor least request.
    if (options_.kind == ProxyKind::kProxyless && cluster.lb_policy() != Cluster::RING_HASH) {
      cluster.set_lb_policy(Cluster::ROUND_ROBIN);
    }
    AddServiceMetadata(service_, cluster.mutable_metadata());
    SetIstioNumber("default_original_port", port.number, cluster.mutable_metadata());
    // A rule that changes nothing about this cluster must not make it a new one.
    if (rule_ != nullptr && (!subset.empty() || rule_->spec->has_traffic_policy())) {
      SetIstioText("config", ConfigPath(rule_->meta), cluster.mutable_metadata());
    }
    if (!subset.empty()) SetIstioText("subset", subset, cluster.mutable_metadata());
    std::vector<std::string> needs;
    if (cluster.type() == Cluster::EDS) needs.push_back(cluster.name());
    std::string name = cluster.name();
    return MakeResource(std::move(name), cluster, std::move(needs));
  }

 private:
  void ApplyTls(const ServicePort& port, const std::string& subset, const EffectivePolicy& policy,
                const EndpointMtls& mtls, Cluster* cluster) const {
    const networking::ClientTLSSettings* tls = policy.tls;
    const bool http2 = SpeaksHttp2(*cluster);
    if (tls == nullptr) {
      AddAutomaticTls(port, subset, http2, mtls, cluster);
      return;
    }
    tls::UpstreamTlsContext context;
    switch (tls->mode()) {
      case networking::ClientTLSSettings::SIMPLE:
      case networking::ClientTLSSettings::MUTUAL:
        FillClientTls(*tls, UserNames(*tls), http2, &context);
        break;
      case networking::ClientTLSSettings::ISTIO_MUTUAL:
        FillMeshClientTls(
            tls->subject_alt_names().empty() ? MeshNames() : UserNames(*tls),
            tls->sni().empty() ? MeshServerName(port.number, subset, service_.host) : tls->sni(),
            http2, &context);
        break;
      default:
        return;
    }
    SetTls(context, cluster->mutable_transport_socket());
  }

  // Mutual TLS to the endpoints that take it, plaintext to the others.
  void AddAutomaticTls(const ServicePort& port, const std::string& subset, bool http2,
                       const EndpointMtls& mtls, Cluster* cluster) const {
    if (!options_.identity || service_.external) return;
    tls::UpstreamTlsContext context;
    FillMeshClientTls(MeshNames(), MeshServerName(port.number, subset, service_.host), http2,
                      &context);
    if (cluster->type() == Cluster::ORIGINAL_DST) {
      // One way for all of them, as their addresses tell nothing.
      if (AllTakeMtls(port.number, mtls)) SetTls(context, cluster->mutable_transport_socket());
      return;
    }
    auto& with = *cluster->add_transport_socket_matches();
    with.set_name("tlsMode-istio");
    (*with.mutable_match()->mutable_fields())["tlsMode"].set_string_value("istio");
    SetTls(context, with.mutable_transport_socket());
    auto& without = *cluster->add_transport_socket_matches();
    without.set_name("tlsMode-disabled");
    without.mutable_match();
    SetPlaintext(without.mutable_transport_socket());
  }

  bool AllTakeMtls(uint32_t port, const EndpointMtls& mtls) const {
    bool any = false;
    for (const Endpoint& endpoint : endpoints_.endpoints) {
      if (endpoint.service_port != port) continue;
      if (!mtls.Takes(endpoint)) return false;
      any = true;
    }
    return any;
  }

  std::vector<std::string> MeshNames() const {
    std::vector<std::string> names = SpiffeNames(endpoints_.accounts, mesh_.trust_domain);
    names.insert(names.end(), service_.subject_alt_names.begin(), service_.subject_alt_names.end());
    return names;
  }

  std::vector<std::string> UserNames(const networking::ClientTLSSettings& tls) const {
    if (tls.subject_alt_names().empty()) return service_.subject_alt_names;
    return {tls.subject_alt_names().begin(), tls.subject_alt_names().end()};
  }

  const Service& service_;
  const DestinationRule* const rule_;
  const ServiceEndpoints& endpoints_;
  const Snapshot& snapshot_;
  const MeshSettings& mesh_;
  const ClusterOptions& options_;
};

Cluster OriginalDestination(absl::string_view name, const MeshSettings& mesh) {
  Cluster cluster;
  cluster.set_name(std::string(name));
  cluster.set_type(Cluster::ORIGINAL_DST);
  cluster.set_lb_policy(Cluster::CLUSTER_PROVIDED);
  SetMillis(mesh.connect_timeout_ms, cluster.mutable_connect_timeout());
  return cluster;
}

ResourcePtr Finished(const Cluster& cluster) { return MakeResource(cluster.name(), cluster); }

void BindToInboundSource(Cluster* cluster) {
  auto& source = *cluster->mutable_upstream_bind_config()->mutable_source_address();
  source.set_address(kInboundSourceAddress);
  source.set_port_value(0);
}

// To the application itself: at its own port, or where a Sidecar says.
Cluster InboundCluster(const InboundPort& port, const MeshSettings& mesh) {
  Cluster cluster = OriginalDestination(InboundClusterName(port.port), mesh);
  if (port.forward_port == 0) {
    BindToInboundSource(&cluster);
  } else {
    cluster.set_type(Cluster::STATIC);
    const ServiceEndpoints one{"",
                               {Endpoint{.address = port.forward_address,
                                         .port = port.forward_port,
                                         .service_port = port.port}}};
    FillAssignment(cluster.name(), one, port.port, {}, EndpointMtls{}, "",
                   cluster.mutable_load_assignment());
  }
  EffectivePolicy policy;
  policy.connection_pool = port.connection_pool;
  ApplyPolicy(policy, port.protocol, mesh, &cluster);
  for (const ServicePtr& service : port.services) {
    AddServiceMetadata(*service, cluster.mutable_metadata());
  }
  return cluster;
}

}  // namespace

Labels SubsetLabels(const DestinationRule* rule, absl::string_view name) {
  if (rule == nullptr || name.empty()) return {};
  for (const auto& subset : rule->spec->subsets()) {
    if (subset.name() == name) return Labels(subset.labels().begin(), subset.labels().end());
  }
  return {};
}

bool EndpointMtls::Takes(const Endpoint& endpoint) const {
  if (!identity) return false;
  if (tls != nullptr) return tls->mode() == networking::ClientTLSSettings::ISTIO_MUTUAL;
  return endpoint.takes_mtls &&
         policies->For(endpoint.ns, root_namespace, endpoint.labels).ForPort(endpoint.port) !=
             MtlsMode::kDisable;
}

bool ClustersLookAtEndpoints(const Service& service, const DestinationRule* rule,
                             const ClusterOptions& options) {
  if (ClustersHoldEndpoints(service)) return true;
  if (!options.identity) return false;
  if (service.resolution == Resolution::kPassthrough) return true;
  if (rule == nullptr) return false;
  // A rule can have the original destination used instead of a balancer.
  const auto passes = [](const networking::TrafficPolicy& policy) {
    constexpr auto kPassthrough = networking::LoadBalancerSettings::PASSTHROUGH;
    if (policy.load_balancer().simple() == kPassthrough) return true;
    return std::any_of(
        policy.port_level_settings().begin(), policy.port_level_settings().end(),
        [](const auto& port) { return port.load_balancer().simple() == kPassthrough; });
  };
  return passes(rule->spec->traffic_policy()) ||
         std::any_of(rule->spec->subsets().begin(), rule->spec->subsets().end(),
                     [&](const auto& subset) { return passes(subset.traffic_policy()); });
}

bool ClustersHoldEndpoints(const Service& service) {
  return service.resolution == Resolution::kDns || service.resolution == Resolution::kDnsRoundRobin;
}

std::vector<ResourcePtr> BuildServiceClusters(const Service& service, const DestinationRule* rule,
                                              const ServiceEndpoints& endpoints,
                                              const Snapshot& snapshot,
                                              const ClusterOptions& options) {
  std::vector<ResourcePtr> result;
  const ServiceClusterBuilder builder(service, rule, endpoints, snapshot, options);
  for (const ServicePort& port : service.ports) {
    if (port.protocol == Protocol::kUdp) continue;
    result.push_back(builder.Build(port, ""));
    if (rule == nullptr) continue;
    for (const auto& subset : rule->spec->subsets()) {
      result.push_back(builder.Build(port, subset.name()));
    }
  }
  return result;
}

std::vector<ResourcePtr> BuildStaticClusters(const MeshSettings& mesh,
                                             const ClusterOptions& options) {
  std::vector<ResourcePtr> result;
  if (options.kind == ProxyKind::kProxyless) return result;
  Cluster black_hole;
  black_hole.set_name(std::string(kBlackHoleCluster));
  black_hole.set_type(Cluster::STATIC);
  SetMillis(mesh.connect_timeout_ms, black_hole.mutable_connect_timeout());
  result.push_back(Finished(black_hole));
  if (options.kind == ProxyKind::kGateway) return result;

  Cluster passthrough = OriginalDestination(kPassthroughCluster, mesh);
  ApplyDefaultBreakers(&passthrough);
  ApplyDownstreamProtocol(&passthrough);
  result.push_back(Finished(passthrough));
  Cluster inbound = OriginalDestination(kInboundPassthroughCluster, mesh);
  ApplyDefaultBreakers(&inbound);
  ApplyDownstreamProtocol(&inbound);
  BindToInboundSource(&inbound);
  result.push_back(Finished(inbound));
  return result;
}

std::vector<ResourcePtr> BuildInboundClusters(const std::vector<InboundPort>& ports,
                                              const MeshSettings& mesh) {
  std::vector<ResourcePtr> result;
  for (const InboundPort& port : ports) result.push_back(Finished(InboundCluster(port, mesh)));
  return result;
}

ResourcePtr BuildLoadAssignment(absl::string_view name, uint32_t port, const Labels& labels,
                                const ServiceEndpoints& endpoints, const EndpointMtls& mtls,
                                absl::string_view cluster_id) {
  ClusterLoadAssignment assignment;
  FillAssignment(std::string(name), endpoints, port, labels, mtls, cluster_id, &assignment);
  return MakeResource(std::string(name), assignment);
}

}  // namespace meltemi::pilot
