#include "proxy/config/compile/cluster.h"

#include <string>

#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/extensions/load_balancing_policies/least_request/v3/least_request.pb.h"
#include "envoy/extensions/load_balancing_policies/ring_hash/v3/ring_hash.pb.h"
#include "envoy/extensions/load_balancing_policies/wrr_locality/v3/wrr_locality.pb.h"
#include "envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"
#include "envoy/extensions/upstreams/http/v3/http_protocol_options.pb.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "proxy/config/compile/endpoints.h"

namespace meltemi::proxy {
namespace {

using envoy::config::cluster::v3::Cluster;
using envoy::config::endpoint::v3::ClusterLoadAssignment;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

template <typename Message>
Message Parse(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

// The configuration of cluster 'x' with `text` added.
std::shared_ptr<const ClusterConfig> Compiled(const std::string& text) {
  auto compiled = CompileCluster(Parse<Cluster>("name: 'x' " + text));
  EXPECT_TRUE(compiled.ok()) << compiled.status();
  return compiled.ok() ? compiled->config : std::make_shared<ClusterConfig>();
}

std::string Refusal(const std::string& text) {
  auto compiled = CompileCluster(Parse<Cluster>("name: 'x' " + text));
  EXPECT_FALSE(compiled.ok());
  return std::string(compiled.status().message());
}

// As Istio and our pilot shape an outbound cluster.
TEST(ClusterCompileTest, AnOutboundClusterOfIstio) {
  const auto config = Compiled(R"(
    type: EDS
    eds_cluster_config {
      eds_config { ads {} resource_api_version: V3 initial_fetch_timeout {} }
      service_name: 'outbound|8000||httpbin'
    }
    connect_timeout { seconds: 10 }
    lb_policy: LEAST_REQUEST
    circuit_breakers { thresholds {
      max_connections { value: 1 } max_pending_requests { value: 1 }
      max_requests { value: 4294967295 } max_retries { value: 4294967295 } track_remaining: true } }
    common_lb_config { healthy_panic_threshold {} }
    outlier_detection {
      consecutive_5xx { value: 7 } interval { seconds: 1 } base_ejection_time { seconds: 180 }
      max_ejection_percent { value: 100 } enforcing_success_rate {}
      enforcing_consecutive_5xx { value: 100 } }
    upstream_connection_options { tcp_keepalive { keepalive_time { value: 30 } } }
    filters { name: 'istio.metadata_exchange' }
    metadata { filter_metadata { key: 'istio' value { fields { key: 'services' value { list_value {
      values { struct_value {
        fields { key: 'host' value { string_value: 'httpbin.default.svc.cluster.local' } }
        fields { key: 'name' value { string_value: 'httpbin' } }
        fields { key: 'namespace' value { string_value: 'default' } } } } } } } } } }
  )");
  EXPECT_EQ(config->discovery, Discovery::kEds);
  EXPECT_EQ(config->eds_service_name, "outbound|8000||httpbin");
  EXPECT_EQ(config->connect_timeout, seconds(10));
  EXPECT_EQ(config->balance, Balance::kLeastRequest);
  EXPECT_EQ(config->breakers_default.connections_max, 1u);
  EXPECT_EQ(config->breakers_default.pending_requests_max, 1u);
  EXPECT_EQ(config->breakers_default.retries_max, 4294967295u);
  EXPECT_EQ(config->panic_threshold_percent, 0);
  ASSERT_TRUE(config->outlier.has_value());
  EXPECT_EQ(config->outlier->consecutive_5xx, 7u);
  EXPECT_EQ(config->outlier->base_ejection_time, seconds(180));
  EXPECT_EQ(config->outlier->enforcing_success_rate, 0u);
  EXPECT_EQ(config->keepalive->idle_seconds, 30);
  EXPECT_EQ(config->service_host, "httpbin.default.svc.cluster.local");
  EXPECT_EQ(config->service_name, "httpbin");
  EXPECT_EQ(config->service_namespace, "default");
  EXPECT_NE(config->fingerprint, 0u);
}

TEST(ClusterCompileTest, ProtocolOptions) {
  const auto with = [](const std::string& text) {
    Cluster cluster;
    cluster.set_name("x");
    (*cluster.mutable_typed_extension_protocol_options())
        ["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"]
            .PackFrom(Parse<envoy::extensions::upstreams::http::v3::HttpProtocolOptions>(text));
    return CompileCluster(cluster);
  };
  EXPECT_EQ(with("explicit_http_config { http_protocol_options {} }")->config->protocol,
            UpstreamProtocol::kHttp1);
  auto http2 = with(R"(
    common_http_protocol_options {
      idle_timeout { seconds: 5 } max_requests_per_connection { value: 1 } }
    explicit_http_config { http2_protocol_options {
      max_concurrent_streams { value: 7 } connection_keepalive { interval { seconds: 30 } } } })");
  ASSERT_TRUE(http2.ok()) << http2.status();
  EXPECT_EQ(http2->config->protocol, UpstreamProtocol::kHttp2);
  EXPECT_EQ(http2->config->http2.concurrent_streams_max, 7u);
  EXPECT_EQ(http2->config->http2_ping_interval, seconds(30));
  EXPECT_EQ(http2->config->idle_timeout, seconds(5));
  EXPECT_EQ(http2->config->requests_per_connection_max, 1u);
  EXPECT_EQ(with(R"(use_downstream_protocol_config {
                 http_protocol_options {} http2_protocol_options {} })")
                ->config->protocol,
            UpstreamProtocol::kSameAsDownstream);
  EXPECT_EQ(with("auto_config {}")->config->protocol, UpstreamProtocol::kByAlpn);
  EXPECT_THAT(
      std::string(with("explicit_http_config { http3_protocol_options {} }").status().message()),
      HasSubstr("http3_protocol_options' is not supported"));
  EXPECT_EQ(Compiled("http2_protocol_options {}")->protocol, UpstreamProtocol::kHttp2);
  EXPECT_THAT(Refusal("http_protocol_options { send_fully_qualified_url: true }"),
              HasSubstr("field 'send_fully_qualified_url' is not supported"));
}

TEST(ClusterCompileTest, BalancersByOldFieldsAndByPolicies) {
  EXPECT_EQ(Compiled("")->balance, Balance::kRoundRobin);
  EXPECT_EQ(Compiled("lb_policy: RANDOM")->balance, Balance::kRandom);
  EXPECT_EQ(Compiled("lb_policy: RING_HASH ring_hash_lb_config { minimum_ring_size { value: 64 } }")
                ->ring_size_min,
            64u);
  EXPECT_EQ(Compiled("lb_policy: MAGLEV maglev_lb_config { table_size { value: 1009 } }")
                ->maglev_table_size,
            1009u);
  EXPECT_THAT(Refusal("lb_policy: MAGLEV maglev_lb_config { table_size { value: 1000 } }"),
              HasSubstr("must be a prime"));
  EXPECT_THAT(Refusal("lb_policy: RING_HASH ring_hash_lb_config { hash_function: MURMUR_HASH_2 }"),
              HasSubstr("MURMUR_HASH_2 is not supported"));
  EXPECT_THAT(Refusal("round_robin_lb_config { slow_start_config { } }"),
              HasSubstr("round_robin_lb_config: field 'slow_start_config' is not supported"));

  Cluster cluster = Parse<Cluster>("name: 'x' lb_policy: RANDOM");
  const auto add = [](envoy::config::cluster::v3::LoadBalancingPolicy& policy,
                      const google::protobuf::Message& message) {
    auto& typed = *policy.add_policies()->mutable_typed_extension_config();
    typed.set_name("some");
    typed.mutable_typed_config()->PackFrom(message);
  };
  auto& policy = *cluster.mutable_load_balancing_policy();
  add(policy, Cluster());  // nothing that we know: the next one counts
  EXPECT_THAT(std::string(CompileCluster(cluster).status().message()),
              HasSubstr("none of [envoy.config.cluster.v3.Cluster] is supported"));
  envoy::extensions::load_balancing_policies::wrr_locality::v3::WrrLocality localities;
  add(*localities.mutable_endpoint_picking_policy(),
      Parse<envoy::extensions::load_balancing_policies::least_request::v3::LeastRequest>(
          "choice_count { value: 3 }"));
  add(policy, localities);
  auto compiled = CompileCluster(cluster);
  ASSERT_TRUE(compiled.ok()) << compiled.status();
  EXPECT_EQ(compiled->config->balance, Balance::kLeastRequest);
  EXPECT_EQ(compiled->config->least_request_choices, 3u);
  EXPECT_TRUE(compiled->config->locality_weighted);
}

TEST(ClusterCompileTest, OriginalDestination) {
  const auto config = Compiled(R"(
    type: ORIGINAL_DST lb_policy: CLUSTER_PROVIDED
    original_dst_lb_config { use_http_header: true upstream_port_override { value: 8080 } }
    upstream_bind_config { source_address { address: '127.0.0.6' port_value: 0 } })");
  EXPECT_EQ(config->discovery, Discovery::kOriginalDst);
  EXPECT_EQ(config->original_dst_header, "x-envoy-original-dst-host");
  EXPECT_EQ(config->original_dst_port_override, 8080);
  EXPECT_EQ(config->bind_source.ip(), "127.0.0.6");
  EXPECT_THAT(Refusal("type: ORIGINAL_DST"), HasSubstr("CLUSTER_PROVIDED"));
  EXPECT_THAT(Refusal("lb_policy: CLUSTER_PROVIDED"), HasSubstr("ORIGINAL_DST"));
}

TEST(ClusterCompileTest, DnsClusters) {
  auto compiled = CompileCluster(Parse<Cluster>(R"(
    name: 'x' type: STRICT_DNS dns_lookup_family: V4_ONLY dns_refresh_rate { seconds: 60 }
    respect_dns_ttl: true
    load_assignment { cluster_name: 'x' endpoints { lb_endpoints { endpoint { address {
      socket_address { address: 'www.example.com' port_value: 443 } } } } } })"));
  ASSERT_TRUE(compiled.ok()) << compiled.status();
  EXPECT_EQ(compiled->config->dns_family, net::DnsFamily::kV4Only);
  EXPECT_EQ(compiled->config->dns_refresh, seconds(60));
  EXPECT_EQ(compiled->endpoints->endpoints.at(0).dns_name, "www.example.com");
  EXPECT_EQ(compiled->endpoints->endpoints.at(0).port, 443);
  EXPECT_THAT(Refusal("type: LOGICAL_DNS load_assignment { }"), HasSubstr("exactly one endpoint"));
}

TEST(ClusterCompileTest, HealthChecks) {
  const auto config = Compiled(R"(
    health_checks { timeout { seconds: 2 } interval { seconds: 5 } interval_jitter_percent: 10
      unhealthy_threshold { value: 3 } healthy_threshold { value: 2 }
      http_health_check { path: '/ready' expected_statuses { start: 200 end: 300 } } }
    health_checks { timeout { seconds: 1 } interval { seconds: 1 } reuse_connection { value: false }
      tcp_health_check { send { text: '50494E47' } receive { text: '504F4E47' } } })");
  ASSERT_EQ(config->health_checks.size(), 2u);
  EXPECT_EQ(config->health_checks[0].path, "/ready");
  EXPECT_EQ(config->health_checks[0].interval_jitter, milliseconds(500));
  EXPECT_THAT(config->health_checks[0].expected_statuses, ElementsAre(std::pair(200u, 300u)));
  EXPECT_EQ(config->health_checks[1].tcp_send, "PING");
  EXPECT_THAT(config->health_checks[1].tcp_receive, ElementsAre("PONG"));
  EXPECT_FALSE(config->health_checks[1].reuse_connection);
  EXPECT_THAT(Refusal(R"(health_checks { timeout { seconds: 2 } interval { seconds: 5 }
                      grpc_health_check {} })"),
              HasSubstr("cluster 'x': health_checks[0]: field 'grpc_health_check'"));
}

TEST(ClusterCompileTest, EncryptionIsRefusedWhereNobodyKnowsTheSecrets) {
  Cluster cluster =
      Parse<Cluster>("name: 'x' transport_socket { name: 'envoy.transport_sockets.tls' }");
  cluster.mutable_transport_socket()->mutable_typed_config()->PackFrom(
      envoy::extensions::transport_sockets::tls::v3::UpstreamTlsContext());
  EXPECT_EQ(CompileCluster(cluster).status().message(),
            "cluster 'x': transport_socket: TLS is not supported here");
  Cluster plain = Parse<Cluster>(
      "name: 'x' transport_socket_matches { name: 'tlsMode-disabled' match {} "
      "transport_socket { name: 'envoy.transport_sockets.raw_buffer' } }");
  plain.mutable_transport_socket_matches(0)
      ->mutable_transport_socket()
      ->mutable_typed_config()
      ->PackFrom(envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer());
  EXPECT_TRUE(CompileCluster(plain).ok());
  *plain.add_transport_socket_matches()->mutable_transport_socket() = cluster.transport_socket();
  EXPECT_THAT(std::string(CompileCluster(plain).status().message()),
              HasSubstr("transport_socket_matches"));
}

TEST(ClusterCompileTest, NothingIsSilentlyIgnored) {
  EXPECT_EQ(Refusal("lb_subset_config {}"),
            "cluster 'x': field 'lb_subset_config' is not supported");
  EXPECT_EQ(Refusal("connection_pool_per_downstream_connection: true"),
            "cluster 'x': field 'connection_pool_per_downstream_connection' is not supported");
  EXPECT_EQ(Refusal("preconnect_policy {}"),
            "cluster 'x': field 'preconnect_policy' is not supported");
  EXPECT_EQ(Refusal("cluster_type { name: 'aggregate' }"),
            "cluster 'x': cluster_type 'aggregate' is not supported");
  EXPECT_EQ(Refusal("circuit_breakers { per_host_thresholds {} }"),
            "cluster 'x': circuit_breakers: field 'per_host_thresholds' is not supported");
  EXPECT_THAT(Refusal("type: EDS eds_cluster_config { eds_config { path: '/x' } }"),
              HasSubstr("eds_cluster_config.eds_config.path"));
  EXPECT_THAT(Refusal("connect_timeout { seconds: -1 }"), HasSubstr("connect_timeout"));
  EXPECT_FALSE(CompileCluster(Cluster()).ok());
}

TEST(EndpointsCompileTest, EndpointsWithTheirAttributes) {
  auto compiled = CompileEndpoints(Parse<ClusterLoadAssignment>(R"(
    cluster_name: 'shop'
    endpoints {
      locality { region: 'eu' zone: 'a' sub_zone: 'r1' } load_balancing_weight { value: 3 }
      lb_endpoints {
        endpoint { address { socket_address { address: '10.0.0.1' port_value: 80 } }
                   hostname: 'one' health_check_config { port_value: 81 } }
        load_balancing_weight { value: 5 }
        metadata {
          filter_metadata { key: 'istio' value { fields { key: 'workload'
            value { string_value: 'shop;default;shop;v1;Kubernetes' } } } }
          filter_metadata { key: 'envoy.transport_socket_match' value { fields { key: 'tlsMode'
            value { string_value: 'istio' } } } } } }
    }
    endpoints {
      priority: 1
      lb_endpoints { health_status: DRAINING
        endpoint { address { socket_address { address: '::1' port_value: 80 } } } }
      lb_endpoints { health_status: TIMEOUT
        endpoint { address { pipe { path: '/tmp/x' } } } }
    }
    policy { overprovisioning_factor { value: 100 }
             drop_overloads { category: 'a' drop_percentage { numerator: 5 } } })"));
  ASSERT_TRUE(compiled.ok()) << compiled.status();
  const EndpointsConfig& config = **compiled;
  ASSERT_EQ(config.endpoints.size(), 3u);
  const EndpointConfig& one = config.endpoints[0];
  EXPECT_EQ(one.address.ToString(), "10.0.0.1:80");
  EXPECT_EQ(one.hostname, "one");
  EXPECT_EQ(one.weight, 5u);
  EXPECT_EQ(one.health_check_port, 81);
  EXPECT_EQ(one.workload, "shop;default;shop;v1;Kubernetes");
  EXPECT_TRUE(one.mtls);
  EXPECT_EQ(one.region, "eu");
  EXPECT_EQ(one.locality_weight, 3u);
  EXPECT_EQ(config.endpoints[1].address.ToString(), "[::1]:80");
  EXPECT_EQ(config.endpoints[1].priority, 1u);
  EXPECT_EQ(config.endpoints[1].health, EndpointHealth::kDraining);
  EXPECT_EQ(config.endpoints[2].health, EndpointHealth::kUnhealthy);
  EXPECT_EQ(config.overprovisioning_percent, 100u);
  EXPECT_THAT(config.drop_per_million, ElementsAre(50000u));
}

TEST(EndpointsCompileTest, ErrorsNameTheEndpointAndTheField) {
  const auto refusal = [](const std::string& text) {
    return std::string(
        CompileEndpoints(Parse<ClusterLoadAssignment>("cluster_name: 'shop' " + text))
            .status()
            .message());
  };
  EXPECT_THAT(refusal("endpoints { lb_endpoints { endpoint { address { socket_address { address: "
                      "'www.example.com' port_value: 80 } } } } }"),
              HasSubstr("endpoints 'shop': endpoints[0].lb_endpoints[0]"));
  EXPECT_THAT(refusal("endpoints { lb_endpoints { endpoint_name: 'x' } }"),
              HasSubstr("field 'endpoint_name' is not supported"));
  EXPECT_THAT(refusal("endpoints { leds_cluster_locality_config {} }"),
              HasSubstr("endpoints[0]: field 'leds_cluster_locality_config'"));
  EXPECT_THAT(refusal("endpoints { priority: 129 }"), HasSubstr("priority"));
  EXPECT_THAT(refusal("policy { weighted_priority_health: true }"),
              HasSubstr("weighted_priority_health"));
}

}  // namespace
}  // namespace meltemi::proxy
