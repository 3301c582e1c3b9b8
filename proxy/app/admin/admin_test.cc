#include "proxy/app/admin/admin.h"

#include <gtest/gtest.h>

#include <thread>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/http/client/http_call.h"
#include "base/log/log.h"
#include "base/loop/loop_fake.h"
#include "base/metrics/metrics.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "envoy/service/discovery/v3/discovery.pb.h"
#include "proxy/app/admin/admin_servers.h"
#include "proxy/app/admin/stat_names.h"
#include "proxy/app/options.h"
#include "proxy/config/secrets/authority_fake.h"
#include "proxy/config/secrets/secrets.h"
#include "proxy/config/store/config_store.h"
#include "proxy/config/store/config_store_fake.h"
#include "proxy/config/xds/compiler_fake.h"
#include "proxy/config/xds/intake.h"
#include "proxy/config/xds/xds_client.h"

namespace meltemi::proxy {
namespace {

using envoy::config::cluster::v3::Cluster;
using envoy::config::listener::v3::Listener;
using testing::Test;

class FakeActions final : public AdminActions {
 public:
  ServerState state() const override { return state_now; }
  bool ready() const override { return !failed; }
  Duration uptime() const override { return seconds(42); }
  uint32_t workers() const override { return 2; }
  const std::map<std::string, net::Address>& bound_listeners() const override { return bound; }
  void FailHealthcheck(bool fail) override { failed = fail; }
  void DrainListeners() override { done.push_back("drain"); }
  void Quit() override { done.push_back("quit"); }
  void UpdateServerStats() override { done.push_back("update"); }

  ServerState state_now = ServerState::kLive;
  bool failed = false;
  std::map<std::string, net::Address> bound;
  std::vector<std::string> done;
};

class AdminTest : public Test {
 protected:
  AdminTest() {
    bootstrap_.proto->mutable_node()->set_id("node-1");
    xds_ = std::make_unique<XdsClient>(loop_, intake_, store_, bootstrap_.node(), shard_.root(),
                                       [](std::string) {});
    admin_ = std::make_unique<Admin>(Admin::Sources{.options = options_,
                                                    .bootstrap = bootstrap_,
                                                    .intake = intake_,
                                                    .store = store_,
                                                    .xds = *xds_,
                                                    .secrets = secrets_,
                                                    .clock = clock_,
                                                    .clusters = directory_,
                                                    .registry = registry_,
                                                    .actions = actions_,
                                                    .started = loop_.WallNow()});
    actions_.bound["web"] = net::Address::Loopback4(8080);
    actions_.bound["virtual"] = net::Address();
  }
  AdminResponse Get(const std::string& target) {
    return admin_->Handle(ParseAdminTarget("GET", target));
  }
  AdminResponse Post(const std::string& target) {
    return admin_->Handle(ParseAdminTarget("POST", target));
  }
  bool Says(const AdminResponse& response, absl::string_view text) {
    return response.body.find(text.data(), 0, text.size()) != std::string::npos;
  }
  template <typename T>
  void Serve(ResourceType type, const std::string& version, const std::vector<T>& resources) {
    if (!std::exchange(connected_, true)) xds_->OnConnected();
    envoy::service::discovery::v3::DiscoveryResponse response;
    response.set_type_url(std::string(TypeUrl(type)));
    response.set_version_info(version);
    for (const T& resource : resources) response.add_resources()->PackFrom(resource);
    ASSERT_TRUE(xds_->OnMessage(response.SerializeAsString()).ok());
  }

  FakeClock clock_;
  FakeLoop loop_{clock_};
  metrics::Registry registry_;
  metrics::Shard& shard_ = registry_.NewShard();
  Options options_;
  Bootstrap bootstrap_;
  std::vector<std::string> events_;
  FakeClusterDirectory directory_{events_};
  FakeSnapshotSink sink_{events_};
  ConfigStore store_{directory_, sink_};
  NameCompiler compiler_;
  Intake intake_{compiler_, store_, clock_};
  Secrets secrets_{clock_};
  FakeActions actions_;
  bool connected_ = false;
  std::unique_ptr<XdsClient> xds_;
  std::unique_ptr<Admin> admin_;
};

TEST_F(AdminTest, ReadinessFollowsTheState) {
  EXPECT_EQ(Get("/ready").status, 200);
  EXPECT_EQ(Get("/ready").body, "LIVE\n");
  actions_.state_now = ServerState::kInitializing;
  EXPECT_EQ(Get("/ready").status, 503);
  EXPECT_EQ(Get("/ready").body, "INITIALIZING\n");
}

TEST_F(AdminTest, TheStatusPortSaysWhatIsMissing) {
  const AdminRequest ready = ParseAdminTarget("GET", "/healthz/ready");
  EXPECT_EQ(admin_->HandleStatus(ready).status, 200);
  EXPECT_EQ(Post("/healthcheck/fail").status, 200);
  EXPECT_EQ(admin_->HandleStatus(ready).status, 503);
  Post("/healthcheck/ok");
  EXPECT_EQ(admin_->HandleStatus(ready).status, 200);
  actions_.state_now = ServerState::kInitializing;
  Cluster cluster;
  cluster.set_name("a");
  cluster.set_type(Cluster::EDS);
  Serve<Cluster>(ResourceType::kCluster, "c1", {cluster});
  const AdminResponse response = admin_->HandleStatus(ready);
  EXPECT_EQ(response.status, 503);
  EXPECT_TRUE(Says(response, "cluster a: no endpoints of a yet")) << response.body;
  EXPECT_EQ(admin_->HandleStatus(ParseAdminTarget("GET", "/config_dump")).status, 404);
}

TEST_F(AdminTest, WhatChangesSomethingNeedsPost) {
  for (const char* path : {"/quitquitquit", "/drain_listeners", "/logging", "/healthcheck/fail"}) {
    EXPECT_EQ(Get(path).status, 405) << path;
  }
  EXPECT_TRUE(actions_.done.empty());
  EXPECT_EQ(Post("/drain_listeners").body, "OK\n");
  EXPECT_EQ(Post("/quitquitquit").body, "OK\n");
  EXPECT_EQ(actions_.done, (std::vector<std::string>{"drain", "quit"}));
  EXPECT_EQ(Post("/clusters").status, 405);
}

TEST_F(AdminTest, HelpListsThePaths) {
  EXPECT_TRUE(Says(Get("/help"), "/config_dump"));
  EXPECT_EQ(Get("/").body, Get("/help").body);
  EXPECT_EQ(Get("/nothing").status, 404);
}

TEST_F(AdminTest, ListenersShowWhereTheyAreBound) {
  EXPECT_EQ(Get("/listeners").body, "web::127.0.0.1:8080\n");
  EXPECT_TRUE(Says(Get("/listeners?format=json"), R"("port_value": 8080)"));
  EXPECT_FALSE(Says(Get("/listeners?format=json"), "virtual"));
}

TEST_F(AdminTest, ServerInfoIsEnvoys) {
  const AdminResponse response = Get("/server_info");
  EXPECT_EQ(response.content_type, "application/json");
  EXPECT_TRUE(Says(response, R"("version": "meltemi/)")) << response.body;
  EXPECT_TRUE(Says(response, R"("uptime_current_epoch": "42s")")) << response.body;
  EXPECT_TRUE(Says(response, R"("id": "node-1")")) << response.body;
}

TEST_F(AdminTest, TheConfigDumpShowsWhatWasSentAndWhatWasRefused) {
  Cluster good;
  good.set_name("a");
  Cluster bad;
  bad.set_name("bad-1");
  Serve<Cluster>(ResourceType::kCluster, "c1", {good, bad});
  Listener listener;
  listener.set_name("l");
  listener.set_stat_prefix("80");
  Serve<Listener>(ResourceType::kListener, "l1", {listener});
  const AdminResponse all = Get("/config_dump");
  EXPECT_TRUE(Says(all, "envoy.admin.v3.BootstrapConfigDump"));
  EXPECT_TRUE(Says(all, "dynamic_active_clusters"));
  EXPECT_TRUE(Says(all, R"("version_info": "c1")"));
  EXPECT_TRUE(Says(all, "field 'x' is not supported")) << all.body;
  EXPECT_TRUE(Says(all, "warming_state")) << all.body;
  EXPECT_FALSE(Says(all, "EndpointsConfigDump"));
  EXPECT_TRUE(Says(Get("/config_dump?include_eds"), "EndpointsConfigDump"));
  const AdminResponse one = Get("/config_dump?resource=dynamic_listeners");
  EXPECT_TRUE(Says(one, "\"l\""));
  EXPECT_FALSE(Says(one, "bootstrap"));
  EXPECT_FALSE(Says(Get("/config_dump?name_regex=^zzz$"), "dynamic_active_clusters"));
  EXPECT_EQ(Get("/config_dump?name_regex=(").status, 400);
}

TEST_F(AdminTest, StatisticsInEnvoysAndInPrometheusForm) {
  metrics::Scope cluster(shard_, {{"envoy_cluster_name", "outbound|80||web"}});
  cluster.GetCounter("envoy_cluster_upstream_rq_total").Add(3);
  cluster.GetCounter("envoy_cluster_upstream_cx_total");
  EXPECT_TRUE(Says(Get("/stats"), "cluster.outbound|80||web.upstream_rq_total: 3\n"));
  EXPECT_TRUE(Says(Get("/stats"), "control_plane.connected_state: 0\n"));
  EXPECT_EQ(Get("/stats?filter=upstream_cx").body,
            "cluster.outbound|80||web.upstream_cx_total: 0\n");
  EXPECT_EQ(Get("/stats?filter=upstream&usedonly").body,
            "cluster.outbound|80||web.upstream_rq_total: 3\n");
  EXPECT_TRUE(Says(Get("/stats?format=json&filter=rq_total"), R"("value": "3")"));
  EXPECT_TRUE(Says(Get("/stats/prometheus"),
                   "envoy_cluster_upstream_rq_total{envoy_cluster_name=\"outbound|80||web\"} 3"));
  EXPECT_FALSE(Says(Get("/stats?format=prometheus&filter=cx_total"), "rq_total"));
  EXPECT_EQ(Get("/stats?filter=(").status, 400);
  EXPECT_EQ(Get("/stats?format=html").status, 400);
  EXPECT_EQ(admin_->HandleStats(ParseAdminTarget("GET", "/quitquitquit")).status, 404);
}

TEST_F(AdminTest, LevelsChangeTogetherOrNotAtAll) {
  LOG(kDebug, "admin_test", "makes the component known");
  EXPECT_EQ(Post("/logging?admin_test=trace").status, 200);
  EXPECT_TRUE(Says(Post("/logging"), "admin_test: trace"));
  EXPECT_EQ(Post("/logging?admin_test=loud").status, 400);
  EXPECT_EQ(Post("/logging?no_such_component=debug").status, 400);
  EXPECT_EQ(Post("/logging?paths=admin_test:warning,no_such:debug").status, 400);
  EXPECT_TRUE(Says(Post("/logging"), "admin_test: trace"));
  EXPECT_TRUE(Says(Post("/logging?level=error"), "admin_test: error"));
}

TEST_F(AdminTest, MemoryAndCertsAreJson) {
  EXPECT_TRUE(Says(Get("/memory"), "allocated"));
  EXPECT_TRUE(Says(Get("/certs"), "certificates"));
}

TEST(AdminTargetTest, QueriesAreDecoded) {
  const AdminRequest request = ParseAdminTarget("GET", "/stats?filter=a%2Eb+c&usedonly&bad=%zz%4");
  EXPECT_EQ(request.path, "/stats");
  EXPECT_EQ(request.query.at("filter"), "a.b c");
  EXPECT_EQ(request.query.at("usedonly"), "");
  EXPECT_EQ(request.query.at("bad"), "%zz%4");
}

TEST(StatNamesTest, LabelsGoBackIntoTheName) {
  EXPECT_EQ(EnvoyStatLine("envoy_cluster_upstream_rq_xx{envoy_response_code_class=\"2\","
                          "envoy_cluster_name=\"a\"}: 5"),
            "cluster.a.upstream_rq_2xx: 5");
  EXPECT_EQ(EnvoyStatLine("envoy_cluster_upstream_rq{envoy_cluster_name=\"a\","
                          "envoy_response_code=\"503\"}: 1"),
            "cluster.a.upstream_rq_503: 1");
  EXPECT_EQ(EnvoyStatLine("envoy_cluster_upstream_rq{cluster_name=\"a\",response_code=\"503\"}: 1"),
            "cluster.a.upstream_rq_503: 1");
  EXPECT_EQ(
      EnvoyStatLine("envoy_http_downstream_rq_total{envoy_http_conn_manager_prefix=\"in\"}: 2"),
      "http.in.downstream_rq_total: 2");
  EXPECT_EQ(EnvoyStatLine("envoy_cluster_ssl_fail_verify_san{envoy_cluster_name=\"a\"}: 2"),
            "cluster.a.ssl.fail_verify_san: 2");
  EXPECT_EQ(EnvoyStatLine("envoy_listener_ssl_ciphers{envoy_listener_address=\"l\","
                          "envoy_ssl_cipher=\"TLS_AES_128_GCM_SHA256\"}: 8"),
            "listener.l.ssl.ciphers.TLS_AES_128_GCM_SHA256: 8");
  EXPECT_EQ(EnvoyStatLine("envoy_cluster_circuit_breakers_default_cx_open"
                          "{envoy_cluster_name=\"a\"}: 1"),
            "cluster.a.circuit_breakers.default.cx_open: 1");
  EXPECT_EQ(EnvoyStatLine("envoy_listener_manager_lds_update_success: 2"),
            "listener_manager.lds.update_success: 2");
  EXPECT_EQ(EnvoyStatLine("istio_requests_total{a=\"b\"}: 2"), "istio_requests_total{a=\"b\"}: 2");
  EXPECT_EQ(EnvoyStatLine("envoy_cluster_x{envoy_cluster_name=\"a\\\"b\"}: 2"),
            "cluster.a\"b.x: 2");
}

// The pages over HTTP.
TEST_F(AdminTest, ThreeServersShowWhatEachMayShow) {
  SystemClock clock;
  std::unique_ptr<Loop> loop = NewEventLoop(clock);
  AdminServers servers(*loop, *admin_);
  ASSERT_TRUE(servers.ListenAdmin(net::Address::Loopback4(0)).ok());
  const net::Address address = servers.admin_address();
  ASSERT_NE(address.port(), 0);
  std::thread server([&] { loop->Run(); });
  http::CallRequest request;
  request.path = "/stats?filter=control_plane.connected";
  absl::StatusOr<http::CallResponse> response = http::CallAndWait(address, request);
  request.path = "/quitquitquit";
  absl::StatusOr<http::CallResponse> refused = http::CallAndWait(address, request);
  request.method = "POST";
  absl::StatusOr<http::CallResponse> done = http::CallAndWait(address, request);
  loop->Exit();
  server.join();
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->body, "control_plane.connected_state: 0\n");
  ASSERT_TRUE(refused.ok() && done.ok());
  EXPECT_EQ(refused->status, 405);
  EXPECT_EQ(done->status, 200);
  EXPECT_EQ(actions_.done.back(), "quit");
}

TEST_F(AdminTest, APortThatIsTakenIsNamed) {
  SystemClock clock;
  std::unique_ptr<Loop> loop = NewEventLoop(clock);
  AdminServers servers(*loop, *admin_);
  ASSERT_TRUE(servers.ListenAdmin(net::Address::Loopback4(0)).ok());
  const absl::Status status = servers.ListenStatus(servers.admin_address());
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.message().find("the status server can't listen on 127.0.0.1:"),
            absl::string_view::npos);
}

TEST_F(AdminTest, CertificatesAreShownAsEnvoyShowsThem) {
  EXPECT_EQ(Get("/certs").body, "{\n \"certificates\": []\n}\n");
  const int64_t now_s = 1704067200;
  const FakeAuthority authority(now_s);
  const char* const identity = "spiffe://cluster.local/ns/shop/sa/web";
  secrets_.SetLocalRoots(std::string(kMeshRoots), authority.root_pem());
  secrets_.SetLocalCertificate(
      std::string(kWorkloadCertificate),
      authority.WorkloadCertificate(identity, now_s + int64_t{3} * 86400 + 7200));
  secrets_.SetCertificate("shop", authority.ServerCertificate("shop.test"), "v1");
  const AdminResponse response = Get("/certs");
  EXPECT_EQ(response.content_type, "application/json");
  EXPECT_TRUE(Says(response, absl::StrCat("\"uri\": \"", identity, "\""))) << response.body;
  EXPECT_TRUE(Says(response, "\"dns\": \"shop.test\""));
  EXPECT_TRUE(Says(response, "\"path\": \"<inline>\""));
  EXPECT_TRUE(Says(response, "\"days_until_expiration\": \"3\"")) << response.body;
  EXPECT_TRUE(Says(response, "\"valid_from\": \"2023-12-31T23:59:00Z\""));
  EXPECT_TRUE(Says(response, "\"expiration_time\": \"2024-01-04T02:00:00Z\""));
  const auto serial = tls::ReadCertificatePem(authority.root_pem())->serial_hex;
  EXPECT_TRUE(Says(response, absl::StrCat("\"serial_number\": \"", serial, "\"")));
}

TEST_F(AdminTest, NoPageShowsAPrivateKey) {
  const FakeAuthority authority(1704067200);
  const tls::KeyPair pair = authority.ServerCertificate("shop.test");
  auto& secret = *bootstrap_.proto->mutable_static_resources()->add_secrets();
  secret.set_name("fixed");
  secret.mutable_tls_certificate()->mutable_certificate_chain()->set_inline_string(
      pair.certificate_chain_pem);
  secret.mutable_tls_certificate()->mutable_private_key()->set_inline_string(pair.private_key_pem);
  // As it lies in a cluster, packed twice.
  envoy::extensions::transport_sockets::tls::v3::Secret inner = secret;
  Cluster cluster;
  cluster.set_name("a");
  cluster.mutable_transport_socket()->mutable_typed_config()->PackFrom(inner);
  Serve<Cluster>(ResourceType::kCluster, "c1", {cluster});
  secrets_.SetCertificate("shop", pair, "v1");
  const AdminResponse response = Get("/config_dump");
  EXPECT_TRUE(Says(response, "[redacted]"));
  EXPECT_FALSE(Says(response, "PRIVATE KEY"));
  EXPECT_TRUE(Says(response, "BEGIN CERTIFICATE"));
  EXPECT_TRUE(Says(response, "dynamic_active_secrets"));
  EXPECT_FALSE(Says(Get("/config_dump?resource=dynamic_active_secrets"), "PRIVATE KEY"));
  // What is secret of it: behind the 36 bytes that all keys of a kind begin with.
  EXPECT_FALSE(Says(response, pair.private_key_pem.substr(28 + 49, 14)));
  // As bytes are shown.
  EXPECT_FALSE(Says(response, absl::Base64Escape(pair.private_key_pem).substr(120, 40)));
}

}  // namespace
}  // namespace meltemi::proxy
