#include "proxy/config/compile/listener.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/extensions/filters/http/router/v3/router.pb.h"
#include "envoy/extensions/filters/listener/http_inspector/v3/http_inspector.pb.h"
#include "envoy/extensions/filters/listener/original_dst/v3/original_dst.pb.h"
#include "envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.pb.h"
#include "envoy/extensions/request_id/uuid/v3/uuid.pb.h"
#include "google/protobuf/text_format.h"
#include "proxy/config/compile/context.h"
#include "proxy/config/secrets/secret_store_fake.h"
#include "proxy/observe/log_sink.h"
#include "proxy/route/route.h"

namespace meltemi::proxy {
namespace {

using ::testing::HasSubstr;

// The descriptors that TextFormat needs to read Anys are linked in by their use.
void LinkTypes() {
  (void)envoy::extensions::filters::http::router::v3::Router::descriptor();
  (void)envoy::extensions::filters::listener::http_inspector::v3::HttpInspector::descriptor();
  (void)envoy::extensions::filters::listener::original_dst::v3::OriginalDst::descriptor();
  (void)envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector::descriptor();
  (void)envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy::descriptor();
  (void)envoy::extensions::request_id::uuid::v3::UuidRequestIdConfig::descriptor();
}

// "@X@" in a text stands for these.
std::string Expand(const std::string& text) {
  return absl::StrReplaceAll(
      text, {{"@ADDRESS@", "address { socket_address { address: '0.0.0.0' port_value: 15001 } }"},
             {"@TCP@",
              "filters { name: 'tcp' typed_config { "
              "[type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy] { "
              "stat_prefix: 'p' cluster: 'PassthroughCluster' } } }"},
             {"@HCM@",
              "[type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3."
              "HttpConnectionManager]"},
             {"@ROUTER@",
              "http_filters { name: 'envoy.filters.http.router' typed_config { "
              "[type.googleapis.com/envoy.extensions.filters.http.router.v3.Router] {} } }"},
             {"@L@", "type.googleapis.com/envoy.extensions.filters.listener"}});
}

absl::StatusOr<std::shared_ptr<const ListenerConfig>> Compile(const std::string& text) {
  LinkTypes();
  envoy::config::listener::v3::Listener listener;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(Expand(text), &listener)) << text;
  LogSinks sinks;
  SecretStoreFake secrets;
  const CompileContext context{sinks, {}, "node", secrets};
  return CompileListener(listener, context);
}
std::string ErrorOf(const std::string& text) {
  const auto compiled = Compile(text);
  return compiled.ok() ? "no error" : std::string(compiled.status().message());
}

TEST(CompileListenerTest, IstiosVirtualOutbound) {
  const auto listener = Compile(R"(
    name: 'virtualOutbound' @ADDRESS@
    filter_chains {
      filter_chain_match { destination_port { value: 15001 } }
      name: 'virtualOutbound-blackhole'
      filters {
        name: 'istio.stats'
        typed_config { type_url: 'type.googleapis.com/udpa.type.v1.TypedStruct' }
      }
      @TCP@ }
    filter_chains { name: 'virtualOutbound-catchall-tcp' @TCP@ }
    use_original_dst { value: true }
    traffic_direction: OUTBOUND
  )");
  ASSERT_TRUE(listener.ok()) << listener.status();
  const ListenerConfig& config = **listener;
  EXPECT_TRUE(config.use_original_dst);
  EXPECT_TRUE(config.bind_to_port);
  EXPECT_FALSE(config.inbound);
  ASSERT_EQ(config.filter_chains.size(), 2u);
  EXPECT_EQ(config.filter_chains[0].match.destination_port, 15001);
  EXPECT_EQ(config.filter_chains[1].tcp->targets.at(0).cluster, "PassthroughCluster");
  EXPECT_NE(config.fingerprint, 0u);
  EXPECT_NE(config.filter_chains[0].fingerprint, config.filter_chains[1].fingerprint);
}

TEST(CompileListenerTest, IstiosOutboundHttp) {
  const auto listener = Compile(R"(
    name: '0.0.0.0_80' address { socket_address { address: '0.0.0.0' port_value: 80 } }
    bind_to_port { value: false } traffic_direction: OUTBOUND
    listener_filters { name: 'tls' typed_config { [@L@.tls_inspector.v3.TlsInspector] {} } }
    listener_filters { name: 'http' typed_config { [@L@.http_inspector.v3.HttpInspector] {} }
      filter_disabled { or_match { rules { destination_port_range { start: 3306 end: 3307 } } } } }
    listener_filters_timeout { } continue_on_listener_filters_timeout: true
    filter_chains {
      filter_chain_match { transport_protocol: 'raw_buffer'
        application_protocols: 'http/1.1' application_protocols: 'h2c' }
      filters { name: 'hcm' typed_config { @HCM@ {
        stat_prefix: 'outbound_0.0.0.0_80'
        rds {
          config_source { ads {} initial_fetch_timeout {} resource_api_version: V3 }
          route_config_name: '80'
        }
        @ROUTER@
        tracing { client_sampling { value: 100 } }
        use_remote_address { value: true }
        upgrade_configs { upgrade_type: 'websocket' }
        stream_idle_timeout {}
        normalize_path { value: true }
        path_with_escaped_slashes_action: KEEP_UNCHANGED
        request_id_extension { typed_config {
          [type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig] {
            use_request_id_for_trace_sampling { value: true } } } }
        http_protocol_options { accept_http_10: true }
        http2_protocol_options { max_concurrent_streams { value: 77 } }
        common_http_protocol_options { idle_timeout { seconds: 30 } }
        max_request_headers_kb { value: 8 }
      } } } }
    default_filter_chain { name: 'PassthroughFilterChain' @TCP@ }
  )");
  ASSERT_TRUE(listener.ok()) << listener.status();
  const ListenerConfig& config = **listener;
  EXPECT_FALSE(config.bind_to_port);
  EXPECT_TRUE(config.tls_inspector);
  EXPECT_TRUE(config.http_inspector);
  EXPECT_EQ(config.http_inspector_off.at(0), std::make_pair(uint16_t{3306}, uint16_t{3307}));
  EXPECT_EQ(config.sniff_timeout, Duration(0));
  EXPECT_TRUE(config.continue_on_sniff_timeout);
  const HttpConfig& http = *config.filter_chains[0].http;
  EXPECT_EQ(http.rds_name, "80");
  EXPECT_TRUE(http.use_remote_address);
  EXPECT_EQ(http.upgrades, std::vector<std::string>{"websocket"});
  EXPECT_EQ(http.stream_idle_timeout, Duration(0));
  EXPECT_EQ(http.idle_timeout, seconds(30));
  EXPECT_TRUE(http.http1.accept_http10);
  EXPECT_EQ(http.http2.concurrent_streams_max, 77u);
  EXPECT_EQ(http.http1.headers_bytes_max, 8192u);
  EXPECT_TRUE(config.default_chain.has_value());
}

TEST(CompileListenerTest, InlineRoutesAndWeights) {
  const auto listener = Compile(R"(
    name: 'l' @ADDRESS@ traffic_direction: INBOUND
    filter_chains { filters { name: 'hcm' typed_config { @HCM@ { stat_prefix: 'x' @ROUTER@
      route_config { name: 'r' virtual_hosts { name: 'v' domains: '*'
        routes { match { prefix: '/' } route { cluster: 'c' } } } } } } } }
    default_filter_chain { filters { name: 'tcp' typed_config {
      [type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy] {
        stat_prefix: 'p'
        weighted_clusters { clusters { name: 'a' weight: 30 } clusters { name: 'b' weight: 70 } }
        idle_timeout { seconds: 9 } max_connect_attempts { value: 3 }
        hash_policy { source_ip {} } } } } }
  )");
  ASSERT_TRUE(listener.ok()) << listener.status();
  const ListenerConfig& config = **listener;
  EXPECT_TRUE(config.inbound);
  ASSERT_NE(config.filter_chains[0].http->inline_routes, nullptr);
  EXPECT_EQ(config.filter_chains[0].http->inline_routes->name, "r");
  const TcpProxyConfig& tcp = *config.default_chain->tcp;
  EXPECT_EQ(tcp.weight_total, 100u);
  EXPECT_EQ(tcp.idle_timeout, seconds(9));
  EXPECT_EQ(tcp.connect_attempts_max, 3u);
  EXPECT_EQ(tcp.hash.size(), 1u);
}

TEST(CompileListenerTest, EqualMessagesHaveEqualFingerprints) {
  const std::string text = "name: 'l' @ADDRESS@ filter_chains { @TCP@ }";
  const auto a = Compile(text), b = Compile(text), c = Compile(text + " drain_type: MODIFY_ONLY");
  EXPECT_EQ((*a)->fingerprint, (*b)->fingerprint);
  EXPECT_NE((*a)->fingerprint, (*c)->fingerprint);
  EXPECT_EQ((*a)->filter_chains[0].fingerprint, (*c)->filter_chains[0].fingerprint);
}

TEST(CompileListenerTest, WhatIsNotSupportedIsNamed) {
  const std::string ok = "name: 'l' @ADDRESS@ ";
  EXPECT_THAT(ErrorOf("name: 'l' api_listener {}"),
              HasSubstr("listener 'l': field 'api_listener'"));
  EXPECT_THAT(ErrorOf(ok), HasSubstr("no filter chain"));
  EXPECT_THAT(ErrorOf(ok + "filter_chains { @TCP@ } tcp_fast_open_queue_length { value: 3 }"),
              HasSubstr("'tcp_fast_open_queue_length' is not supported"));
  EXPECT_THAT(ErrorOf(ok + "filter_chains { name: 'f' @TCP@ transport_socket { name: 'tls' } }"),
              HasSubstr("filter chain 'f': transport_socket: transport socket 'tls' of type ''"));
  EXPECT_THAT(ErrorOf(ok + "filter_chains { filters { name: 'rbac' typed_config { type_url: "
                           "'type.googleapis.com/some.Rbac' } } @TCP@ }"),
              HasSubstr("'some.Rbac' ('rbac') is not supported"));
  EXPECT_THAT(ErrorOf(ok + "filter_chains { @TCP@ @TCP@ }"), HasSubstr("must be the last filter"));
  EXPECT_THAT(ErrorOf(ok + "filter_chains { @TCP@ } filter_chains { @TCP@ }"),
              HasSubstr("is the same as that of"));
  EXPECT_THAT(ErrorOf(ok + "filter_chains { @TCP@ } listener_filters { name: 'p' typed_config { "
                           "type_url: 'type.googleapis.com/proxy.Protocol' } }"),
              HasSubstr("listener_filters[0]: a listener filter of type 'proxy.Protocol'"));
  EXPECT_THAT(ErrorOf("name: 'l' address { socket_address { protocol: UDP address: '1.1.1.1' "
                      "port_value: 1 } } filter_chains { @TCP@ }"),
              HasSubstr("only TCP"));
  EXPECT_THAT(ErrorOf("name: 'l' address { socket_address { address: 'host' port_value: 1 } } "
                      "filter_chains { @TCP@ }"),
              HasSubstr("listener 'l': address"));
}

TEST(CompileListenerTest, WhatTheManagerDoesNotSupportIsNamed) {
  const auto manager = [](const std::string& fields) {
    return ErrorOf(
        "name: 'l' @ADDRESS@ filter_chains { name: 'f' filters { name: 'hcm' "
        "typed_config { @HCM@ { stat_prefix: 'x' @ROUTER@ " +
        fields + " } } } }");
  };
  const std::string rds = "rds { config_source { ads {} } route_config_name: 'r' } ";
  EXPECT_EQ(manager(rds), "no error");
  EXPECT_THAT(manager(""), HasSubstr("neither 'rds' nor 'route_config'"));
  EXPECT_THAT(manager("rds { config_source { ads {} } }"), HasSubstr("route_config_name"));
  EXPECT_THAT(manager("rds { config_source { path: '/x' } route_config_name: 'r' }"),
              HasSubstr("not supported"));
  EXPECT_THAT(manager(rds + "codec_type: HTTP3"), HasSubstr("codec_type: HTTP3"));
  EXPECT_THAT(manager(rds + "local_reply_config {}"), HasSubstr("'local_reply_config'"));
  EXPECT_THAT(manager(rds + "drain_timeout { seconds: -1 }"),
              HasSubstr("listener 'l': filter chain 'f': 'drain_timeout'"));
  EXPECT_THAT(manager(rds + "http_protocol_options { default_host_for_http_10: 'x' }"),
              HasSubstr("default_host_for_http_10"));
}

}  // namespace
}  // namespace meltemi::proxy
