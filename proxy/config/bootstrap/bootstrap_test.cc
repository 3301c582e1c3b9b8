#include "proxy/config/bootstrap/bootstrap.h"

#include <gtest/gtest.h>

#include <fstream>

#include "absl/strings/str_cat.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "envoy/extensions/access_loggers/stream/v3/stream.pb.h"
#include "envoy/extensions/filters/http/router/v3/router.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"
#include "envoy/extensions/upstreams/http/v3/http_protocol_options.pb.h"
#include "proxy/config/bootstrap/user_agent.h"
#include "proxy/observe/mesh_stats.h"

namespace meltemi::proxy {
namespace {

// The linker keeps what is named: the decoder finds extensions by their registered types.
void LinkExtensions() {
  namespace extensions = envoy::extensions;
  google::protobuf::LinkMessageReflection<
      extensions::access_loggers::stream::v3::StdoutAccessLog>();
  google::protobuf::LinkMessageReflection<extensions::filters::http::router::v3::Router>();
  google::protobuf::LinkMessageReflection<
      extensions::filters::network::http_connection_manager::v3::HttpConnectionManager>();
  google::protobuf::LinkMessageReflection<extensions::filters::network::tcp_proxy::v3::TcpProxy>();
  google::protobuf::LinkMessageReflection<extensions::upstreams::http::v3::HttpProtocolOptions>();
  google::protobuf::LinkMessageReflection<
      extensions::transport_sockets::tls::v3::UpstreamTlsContext>();
}

std::string Error(const std::string& text) {
  std::vector<std::string> notes;
  return std::string(ParseBootstrap(text, "b.yaml", &notes).status().message());
}

constexpr char kAds[] = R"(
node: {id: n1}
dynamic_resources:
  cds_config: {ads: {}, initial_fetch_timeout: 3s}
  lds_config: {ads: {}, initial_fetch_timeout: 7s}
  ads_config:
    api_type: GRPC
    transport_api_version: V3
    grpc_services:
    - envoy_grpc: {cluster_name: xds}
      initial_metadata: [{key: token, value: secret}]
static_resources:
  clusters:
  - name: xds
    connect_timeout: 0.25s
    load_assignment:
      cluster_name: xds
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: pilot.local, port_value: 15010}}}
        - endpoint: {address: {pipe: {path: /run/pilot.sock}}}
)";

TEST(BootstrapTest, TheExamplesAreGood) {
  LinkExtensions();
  for (const char* name : {"static", "ads"}) {
    std::vector<std::string> notes;
    const std::string path = std::string("examples/bootstrap/") + name + ".yaml";
    absl::StatusOr<Bootstrap> bootstrap = LoadBootstrap(path, &notes);
    EXPECT_TRUE(bootstrap.ok()) << bootstrap.status();
    EXPECT_TRUE(notes.empty());
  }
}

TEST(BootstrapTest, TheControlPlaneIsAStaticCluster) {
  std::vector<std::string> notes;
  absl::StatusOr<Bootstrap> bootstrap = ParseBootstrap(kAds, "b.yaml", &notes);
  ASSERT_TRUE(bootstrap.ok()) << bootstrap.status();
  ASSERT_TRUE(bootstrap->ads.has_value());
  ASSERT_EQ(bootstrap->ads->endpoints.size(), 2u);
  EXPECT_EQ(bootstrap->ads->endpoints[0].ToString(), "pilot.local:15010");
  EXPECT_EQ(bootstrap->ads->endpoints[1].ToString(), "unix:/run/pilot.sock");
  EXPECT_EQ(bootstrap->ads->connect_timeout, milliseconds(250));
  EXPECT_EQ(bootstrap->ads->authority, "xds");
  ASSERT_EQ(bootstrap->ads->initial_metadata.size(), 1u);
  EXPECT_EQ(bootstrap->ads->initial_metadata[0].second, "secret");
  EXPECT_TRUE(bootstrap->clusters_over_ads);
  EXPECT_TRUE(bootstrap->listeners_over_ads);
  EXPECT_EQ(bootstrap->initial_fetch_timeout, seconds(7));
  EXPECT_EQ(bootstrap->node().user_agent_name(), "meltemi");
}

TEST(BootstrapTest, JsonAndGoogleGrpc) {
  std::vector<std::string> notes;
  absl::StatusOr<Bootstrap> bootstrap = ParseBootstrap(
      R"({"node": {"id": "n"}, "dynamicResources": {"adsConfig": {"apiType": "GRPC",
          "grpcServices": [{"googleGrpc": {"targetUri": "dns:///[::1]:15010", "statPrefix": "x"}}]}},
          "admin": {"address": {"socketAddress": {"address": "127.0.0.1", "portValue": 0}}}})",
      "b.json", &notes);
  ASSERT_TRUE(bootstrap.ok()) << bootstrap.status();
  EXPECT_EQ(bootstrap->ads->endpoints[0].ToString(), "[::1]:15010");
  ASSERT_TRUE(bootstrap->admin_address.has_value());
  EXPECT_EQ(bootstrap->admin_address->ToString(), "127.0.0.1:0");
  EXPECT_FALSE(bootstrap->clusters_over_ads);
}

TEST(BootstrapTest, UnsupportedFieldsAreRefusedByName) {
  for (const auto& [text, field] : std::vector<std::pair<std::string, std::string>>{
           {"tracing: {http: {name: x}}", "tracing"},
           {"stats_sinks: [{name: x}]", "stats_sinks"},
           {"overload_manager: {}", "overload_manager"},
           {"header_prefix: x-other", "header_prefix"},
           {"hds_config: {api_type: GRPC}", "hds_config"},
           {"cluster_manager: {local_cluster_name: me}", "cluster_manager"},
           {"use_tcp_for_dns_lookups: true", "use_tcp_for_dns_lookups"},
           {"dynamic_resources: {lds_config: {path: /etc/lds.yaml}}", "lds_config.path"},
           {"layered_runtime: {layers: [{name: r, disk_layer: {symlink_root: /x}}]}", "disk_layer"},
           {"layered_runtime: {layers: [{name: r, static_layer: {upstream.use_retry: 1}}]}",
            "upstream.use_retry"}}) {
    EXPECT_NE(Error(text).find(field), std::string::npos) << text << " -> " << Error(text);
  }
}

TEST(BootstrapTest, WhatHasNoMeaningHereIsAcceptedAndSaidSo) {
  std::vector<std::string> notes;
  const absl::Status status =
      ParseBootstrap(
          "stats_flush_interval: 5s\n"
          "layered_runtime: {layers: [{name: r, static_layer: "
          "{re2.max_program_size.error_level: 1024}}, {name: a, admin_layer: {}}]}",
          "b.yaml", &notes)
          .status();
  ASSERT_TRUE(status.ok()) << status;
  ASSERT_EQ(notes.size(), 2u);
  EXPECT_NE(notes[0].find("re2.max_program_size.error_level"), std::string::npos);
  EXPECT_NE(notes[1].find("stats_flush_interval"), std::string::npos);
}

TEST(BootstrapTest, ErrorsSayWhereAndWhat) {
  EXPECT_NE(Error("node:\n  idd: x\n").find("b.yaml:2"), std::string::npos);
  EXPECT_NE(Error("node: {idd: x}").find("idd"), std::string::npos);
  EXPECT_NE(Error("node: [").find("b.yaml"), std::string::npos);
  const std::string ads = kAds;
  auto with = [&](const std::string& from, const std::string& to) {
    std::string text = ads;
    text.replace(text.find(from), from.size(), to);
    return Error(text);
  };
  EXPECT_EQ(with("api_type: GRPC", "api_type: DELTA_GRPC"), "");
  EXPECT_NE(with("api_type: GRPC", "api_type: REST").find("must be GRPC"), std::string::npos);
  EXPECT_NE(with("version: V3", "version: V2").find("V2"), std::string::npos);
  EXPECT_NE(with("cluster_name: xds}", "cluster_name: other}").find("'other'"), std::string::npos);
  EXPECT_NE(with("port_value: 15010", "port_value: 0").find("a port"), std::string::npos);
  EXPECT_NE(with("{id: n1}", "{}").find("node.id"), std::string::npos);
  EXPECT_NE(Error("admin: {address: {socket_address: {address: nowhere, port_value: 1}}}")
                .find("admin.address"),
            std::string::npos);
}

TEST(BootstrapTest, AFileThatIsNotThereIsNamed) {
  std::vector<std::string> notes;
  EXPECT_EQ(LoadBootstrap("/nowhere.yaml", &notes).status().message(),
            "/nowhere.yaml: the bootstrap can't be read");
}

std::string WithTls(const std::string& context) {
  return absl::StrCat(R"(
node: {id: n1}
dynamic_resources:
  ads_config: {api_type: GRPC, transport_api_version: V3,
               grpc_services: [{envoy_grpc: {cluster_name: xds}}]}
static_resources:
  clusters:
  - name: xds
    type: STRICT_DNS
    load_assignment:
      cluster_name: xds
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: istiod.test, port_value: 15012}}}
    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        )",
                      context);
}

TEST(BootstrapTest, TheControlPlanesClusterMayHaveTls) {
  std::vector<std::string> notes;
  absl::StatusOr<Bootstrap> bootstrap = ParseBootstrap(WithTls(R"(sni: istiod.test
        common_tls_context:
          alpn_protocols: [h2]
          tls_certificates:
          - certificate_chain: {filename: /certs/chain.pem}
            private_key: {filename: /certs/key.pem}
          validation_context:
            trusted_ca: {filename: /certs/root.pem}
            match_typed_subject_alt_names:
            - {san_type: DNS, matcher: {exact: istiod.test}})"),
                                                       "b.yaml", &notes);
  ASSERT_TRUE(bootstrap.ok()) << bootstrap.status();
  const CredentialFiles& tls = bootstrap->ads->credentials;
  EXPECT_TRUE(tls.tls);
  EXPECT_EQ(tls.server_name, "istiod.test");
  EXPECT_EQ(tls.root_file, "/certs/root.pem");
  EXPECT_EQ(tls.certificate_file, "/certs/chain.pem");
  EXPECT_EQ(tls.key_file, "/certs/key.pem");
  EXPECT_EQ(tls.peer, CredentialFiles::Peer::kNames);
  EXPECT_EQ(tls.names, std::vector<std::string>{"istiod.test"});
  bootstrap = ParseBootstrap(WithTls("sni: x"), "b.yaml", &notes);
  ASSERT_TRUE(bootstrap.ok()) << bootstrap.status();
  EXPECT_EQ(bootstrap->ads->credentials.peer, CredentialFiles::Peer::kAnybody);
  EXPECT_NE(Error(WithTls("common_tls_context: {alpn_protocols: [http/1.1]}")).find("h2"),
            std::string::npos);
  EXPECT_NE(
      Error(WithTls("common_tls_context: {tls_params: {cipher_suites: [x]}}")).find("tls_params"),
      std::string::npos);
}

TEST(SidecarBootstrapTest, TheNodeIdIsIstios) {
  SidecarOptions options;
  options.xds_address = "pilot:15010";
  options.ip = "10.1.2.3";
  options.workload = "web-7d9f-abcde";
  options.workload_name = "web";
  options.namespace_ = "shop";
  options.labels = {"app=web", "version=v2"};
  options.metadata = {"SIDECAR=yes", "EXTRA={\"a\": 1}"};
  absl::StatusOr<Bootstrap> bootstrap = SidecarBootstrap(options);
  ASSERT_TRUE(bootstrap.ok()) << bootstrap.status();
  const auto& node = bootstrap->node();
  EXPECT_EQ(node.id(), "sidecar~10.1.2.3~web-7d9f-abcde.shop~shop.svc.cluster.local");
  EXPECT_EQ(node.cluster(), "web.shop");
  const auto& fields = node.metadata().fields();
  EXPECT_EQ(fields.at("NAMESPACE").string_value(), "shop");
  EXPECT_EQ(fields.at("LABELS").struct_value().fields().at("version").string_value(), "v2");
  EXPECT_EQ(fields.at("SIDECAR").string_value(), "yes");
  EXPECT_EQ(fields.at("EXTRA").struct_value().fields().at("a").number_value(), 1);
  EXPECT_EQ(bootstrap->ads->endpoints[0].ToString(), "pilot:15010");
  EXPECT_TRUE(bootstrap->clusters_over_ads);
  EXPECT_EQ(bootstrap->admin_address->ToString(), "127.0.0.1:15000");

  const std::shared_ptr<const Workload> self = WorkloadOf(node);
  EXPECT_EQ(self->name, "web");
  EXPECT_EQ(self->namespace_, "shop");
  EXPECT_EQ(self->app, "web");
  EXPECT_EQ(self->version, "v2");
  EXPECT_EQ(self->canonical_service, "web");
  EXPECT_EQ(self->canonical_revision, "v2");
}

TEST(SidecarBootstrapTest, AWorkloadIsKnownByItsNodeIdAlone) {
  envoy::config::core::v3::Node node;
  node.set_id("sidecar~10.0.0.1~httpbin.foo~foo.svc.cluster.local");
  const std::shared_ptr<const Workload> self = WorkloadOf(node);
  EXPECT_EQ(self->name, "httpbin");
  EXPECT_EQ(self->namespace_, "foo");
  EXPECT_EQ(self->canonical_service, "httpbin");
  EXPECT_EQ(self->canonical_revision, "latest");
}

TEST(SidecarBootstrapTest, WrongOptionsAreNamed) {
  SidecarOptions options;
  options.ip = "10.0.0.1";
  options.workload = "w";
  EXPECT_NE(SidecarBootstrap(options).status().message().find("--xds-address"),
            absl::string_view::npos);
  options.xds_address = "pilot";
  EXPECT_NE(SidecarBootstrap(options).status().message().find("'pilot' is not host:port"),
            absl::string_view::npos);
  options.xds_address = "pilot:15010";
  options.labels = {"app"};
  EXPECT_NE(SidecarBootstrap(options).status().message().find("--labels"), absl::string_view::npos);
  options.labels = {};
  options.ip = "ten";
  EXPECT_NE(SidecarBootstrap(options).status().message().find("--ip"), absl::string_view::npos);
  options.ip = "10.0.0.1";
  options.node_type = "waypoint";
  EXPECT_NE(SidecarBootstrap(options).status().message().find("waypoint"), absl::string_view::npos);
}

SidecarOptions Secured() {
  SidecarOptions options;
  options.xds_address = "meltemi-pilot.istio-system.svc:15012";
  options.ip = "10.0.0.1";
  options.workload = "web-1";
  options.namespace_ = "shop";
  options.service_account = "web";
  options.root_cert = "/var/run/secrets/istio/root-cert.pem";
  options.token_file = "/var/run/secrets/tokens/istio-token";
  return options;
}

TEST(SidecarBootstrapTest, RootsAndATokenMeanTlsAndACertificateOfItsOwn) {
  absl::StatusOr<Bootstrap> bootstrap = SidecarBootstrap(Secured());
  ASSERT_TRUE(bootstrap.ok()) << bootstrap.status();
  const CredentialFiles& xds = bootstrap->ads->credentials;
  EXPECT_TRUE(xds.tls);
  EXPECT_EQ(xds.root_file, "/var/run/secrets/istio/root-cert.pem");
  EXPECT_EQ(xds.token_file, "/var/run/secrets/tokens/istio-token");
  ASSERT_TRUE(bootstrap->ca.has_value());
  EXPECT_EQ(bootstrap->ca->endpoint.ToString(), "meltemi-pilot.istio-system.svc:15012");
  EXPECT_EQ(bootstrap->ca->identity, "spiffe://cluster.local/ns/shop/sa/web");
  EXPECT_EQ(bootstrap->ca->cluster_id, "Kubernetes");
  SidecarOptions options = Secured();
  options.ca_address = "[fd00::1]:15013";
  options.trust_domain = "example.org";
  options.service_account = "";
  options.secret_ttl = minutes(90);
  bootstrap = SidecarBootstrap(options);
  ASSERT_TRUE(bootstrap.ok()) << bootstrap.status();
  EXPECT_EQ(bootstrap->ca->validity, minutes(90));
  EXPECT_EQ(bootstrap->ca->endpoint.host, "fd00::1");
  EXPECT_EQ(bootstrap->ca->identity, "spiffe://example.org/ns/shop/sa/default");
  options.ca_address = "off";
  EXPECT_FALSE(SidecarBootstrap(options)->ca.has_value());
  options.ca_address = "nowhere";
  EXPECT_EQ(SidecarBootstrap(options).status().message(),
            "--ca-address: 'nowhere' is not host:port");
}

TEST(SidecarBootstrapTest, WithoutRootsItIsPlaintextAndNoTokenIsSent) {
  SidecarOptions options = Secured();
  options.root_cert = "";
  EXPECT_NE(SidecarBootstrap(options).status().message().find("--token-file needs --root-cert"),
            absl::string_view::npos);
  options.token_file = "";
  absl::StatusOr<Bootstrap> bootstrap = SidecarBootstrap(options);
  ASSERT_TRUE(bootstrap.ok());
  EXPECT_FALSE(bootstrap->ads->credentials.tls);
  EXPECT_FALSE(bootstrap->ca.has_value());
}

TEST(SidecarBootstrapTest, LabelsComeFromAFileToo) {
  const std::string path = testing::TempDir() + "/bootstrap_labels";
  std::ofstream(path) << "app=\"web\"\nodd=\"a \\\"b\\\" \\\\ c\"\n\n"
                      << "example.com/x=\"\"\nversion=\"v1\"";
  SidecarOptions options = Secured();
  options.labels_file = path;
  options.labels = {"version=v2"};
  absl::StatusOr<Bootstrap> bootstrap = SidecarBootstrap(options);
  ASSERT_TRUE(bootstrap.ok()) << bootstrap.status();
  const auto& labels = bootstrap->node().metadata().fields().at("LABELS").struct_value().fields();
  EXPECT_EQ(labels.at("app").string_value(), "web");
  EXPECT_EQ(labels.at("odd").string_value(), "a \"b\" \\ c");
  EXPECT_EQ(labels.at("version").string_value(), "v2");  // the option wins
  for (const char* bad : {"app=web", "app", "=\"x\"", "app=\"", "a=\"\\q\""}) {
    std::ofstream(path, std::ios::trunc) << "ok=\"1\"\n" << bad;
    EXPECT_EQ(SidecarBootstrap(options).status().message(),
              absl::StrCat("--labels-file: ", path, ": line 2 is not key=\"value\""))
        << bad;
  }
  options.labels_file = "/nowhere";
  EXPECT_NE(SidecarBootstrap(options).status().message().find("--labels-file: /nowhere"),
            absl::string_view::npos);
}

}  // namespace
}  // namespace meltemi::proxy
