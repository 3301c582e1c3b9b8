// The real binary as a sidecar, against a control plane and an authority over TLS: from nothing but
// a root and a token to a certificate, a configuration and TLS for its clients.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <ctime>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/http/client/http_call.h"
#include "base/loop/loop.h"
#include "base/net/listener.h"
#include "base/protojson/decode.h"
#include "base/tls/tls.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"
#include "proxy/app/proxy_process.h"
#include "proxy/config/secrets/authority_fake.h"
#include "proxy/config/secrets/ca_server_fake.h"
#include "proxy/config/xds/ads_server_fake.h"

namespace meltemi::proxy {
namespace {

using envoy::config::cluster::v3::Cluster;
using envoy::config::listener::v3::Listener;

constexpr char kIdentity[] = "spiffe://cluster.local/ns/shop/sa/web";
constexpr char kListener[] = R"(---
name: web
address: {socket_address: {address: 127.0.0.1, port_value: 0}}
filter_chains:
- filters:
  - name: envoy.filters.network.tcp_proxy
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
      stat_prefix: web
      cluster: app
  transport_socket:
    name: envoy.transport_sockets.tls
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
      require_client_certificate: true
      common_tls_context:
        tls_certificate_sds_secret_configs:
        - {name: default, sds_config: {ads: {}, resource_api_version: V3}}
        validation_context_sds_secret_config:
          {name: ROOTCA, sds_config: {ads: {}, resource_api_version: V3}}
)";

// The linker keeps what is named: the decoder finds extensions by their registered types.
void LinkExtensions() {
  namespace extensions = envoy::extensions;
  google::protobuf::LinkMessageReflection<extensions::filters::network::tcp_proxy::v3::TcpProxy>();
  google::protobuf::LinkMessageReflection<
      extensions::transport_sockets::tls::v3::DownstreamTlsContext>();
}

// One connection of a client.
class Client final : private net::ConnectionHandler {
 public:
  Client(Loop& loop, const net::Address& to, std::shared_ptr<const tls::Context> context)
      : loop_(loop),
        connection_(tls::NewClientConnection(loop, to, net::Address(), net::ConnectionLimits(),
                                             std::move(context))) {
    connection_->SetHandler(this);
  }
  ~Client() override {
    connection_->SetHandler(nullptr);
    loop_.RunOnce(Duration::zero());
  }
  bool done() const { return connected || closed; }
  const tls::SessionInfo& session() const { return connection_->session(); }

  bool connected = false, closed = false;
  std::string detail;

 private:
  void OnConnected() override { connected = true; }
  void OnRead(Buffer&, bool) override {}
  void OnWriteBlocked(bool) override {}
  void OnDrained() override {}
  void OnClosed(net::CloseCause, absl::string_view why) override {
    closed = true;
    detail = std::string(why);
  }

  Loop& loop_;
  const std::unique_ptr<tls::Connection> connection_;
};

class IdentityTest : public testing::Test {
 protected:
  IdentityTest() {
    LinkExtensions();
    unlink(token_file_.c_str());
    unlink(address_file_.c_str());
    Write(root_file_, authority_.root_pem());
    const auto context = *tls::NewServerContext(
        {.identity = authority_.ServerCertificate("localhost"), .alpn = {"h2"}});
    ca_ = std::make_unique<FakeCaServer>(*loop_, context);
    ca_->answer = [this](const FakeCaServer::Request& request) {
      if (request.authorization != "Bearer good") {
        return FakeCaServer::Reply{.code = "16", .message = "Unauthenticated"};
      }
      const int64_t now_s = std::time(nullptr);
      return FakeCaServer::Reply{authority_.Sign(request.csr_pem, now_s, now_s + life_s_)};
    };
    pilot_ = std::make_unique<FakeAdsServer>(
        *loop_, uint16_t{0}, [this, context](int fd, const net::Address& remote) {
          return tls::NewServerConnection(*loop_, fd, remote, net::ConnectionLimits(), context);
        });
    pilot_->token = "good";
  }

  ~IdentityTest() override {
    for (const int fd : upstream_sockets_) close(fd);
  }

  static void Write(const std::string& path, const std::string& text) {
    const std::string beside = path + ".new";
    std::ofstream(beside) << text;
    ASSERT_EQ(std::rename(beside.c_str(), path.c_str()), 0);
  }
  template <typename Condition>
  bool Until(Condition&& condition) {
    const MonotonicTime deadline = clock_.Now() + seconds(30);
    while (!condition()) {
      if (clock_.Now() > deadline) return false;
      loop_->RunOnce(milliseconds(10));
    }
    return true;
  }
  void Start() {
    child_ = std::make_unique<ProxyProcess>(std::vector<std::string>{
        "sidecar", absl::StrCat("--xds-address=localhost:", pilot_->address().port()),
        absl::StrCat("--ca-address=localhost:", ca_->port()), "--root-cert=" + root_file_,
        "--token-file=" + token_file_, "--namespace=shop", "--service-account=web", "--ip=10.0.0.1",
        "--workload=web-1", "--admin-port=0", "--status-port=off", "--stats-port=off",
        "--concurrency=2", "--admin-address-path=" + address_file_, "--delta-xds=false"});
    ASSERT_TRUE(Until([&] {
      std::ifstream file(address_file_);
      std::string text;
      if (!(file >> text)) return child_->Ended();
      admin_ = net::Address::Parse(text).value();
      return true;
    }));
    ASSERT_FALSE(child_->Ended()) << child_->Log();
  }
  std::string Admin(const std::string& path) {
    std::optional<absl::StatusOr<http::CallResponse>> result;
    http::CallRequest request;
    request.path = path;
    const auto call =
        http::StartCall(*loop_, admin_, request,
                        [&](absl::StatusOr<http::CallResponse> got) { result = std::move(got); });
    if (!Until([&] { return result.has_value(); }) || !result->ok()) return "";
    return (**result).body;
  }
  bool Logged(absl::string_view text) {
    return Until([&] { return child_->Log().find(std::string(text)) != std::string::npos; });
  }
  // How often.
  int Lines(const std::string& text) {
    const std::string log = child_->Log();
    int count = 0;
    for (size_t at = 0; (at = log.find(text, at)) != std::string::npos; ++at) ++count;
    return count;
  }
  void ServeListener() {
    Cluster cluster;
    cluster.set_name("app");
    cluster.set_type(Cluster::STATIC);
    auto* endpoint = cluster.mutable_load_assignment()
                         ->add_endpoints()
                         ->add_lb_endpoints()
                         ->mutable_endpoint()
                         ->mutable_address()
                         ->mutable_socket_address();
    endpoint->set_address("127.0.0.1");
    endpoint->set_port_value(upstream_->address().port());
    Listener listener;
    const absl::Status status = protojson::DecodeText(kListener, "test", &listener);
    ASSERT_TRUE(status.ok()) << status;
    pilot_->Serve<Cluster>(ResourceType::kCluster, "c1", {cluster});
    pilot_->Serve<Listener>(ResourceType::kListener, "l1", {listener});
  }
  std::shared_ptr<const tls::Context> ClientContext() const {
    tls::ClientOptions options;
    options.identity = authority_.WorkloadCertificate("spiffe://cluster.local/ns/shop/sa/client",
                                                      std::time(nullptr) + 3600);
    options.ca_pem = authority_.root_pem();
    options.rules.emplace();
    return *tls::NewClientContext(options);
  }
  net::Address Web() {
    net::Address address;
    EXPECT_TRUE(Until([&] {
      const std::string text = Admin("/listeners");
      const size_t at = text.find("web::");
      if (at == std::string::npos) return false;
      address = net::Address::Parse(text.substr(at + 5, text.find('\n', at) - at - 5)).value();
      return true;
    }));
    return address;
  }

  const std::string folder_ = absl::StrCat(testing::TempDir(), "/identity.", getpid());
  const std::string root_file_ = folder_ + ".root.pem";
  const std::string token_file_ = folder_ + ".token";
  const std::string address_file_ = folder_ + ".admin";
  SystemClock clock_;
  std::unique_ptr<Loop> loop_ = NewEventLoop(clock_);
  FakeAuthority authority_{std::time(nullptr)};
  // It accepts and says nothing.
  std::vector<int> upstream_sockets_;
  std::unique_ptr<net::Listener> upstream_ =
      *net::Listen(*loop_, net::Address::Loopback4(0), net::ListenOptions(),
                   [this](int fd, const net::Address&) { upstream_sockets_.push_back(fd); });
  std::unique_ptr<FakeCaServer> ca_;
  std::unique_ptr<FakeAdsServer> pilot_;
  std::unique_ptr<ProxyProcess> child_;
  net::Address admin_;
  int64_t life_s_ = 86400;  // of the certificates that are given
};

TEST_F(IdentityTest, NotReadyBeforeItHasACertificateAndSaysWhyOnce) {
  Start();
  EXPECT_TRUE(Logged("no certificate for spiffe://cluster.local/ns/shop/sa/web"));
  EXPECT_TRUE(Logged("no stream to the control plane at localhost"));
  EXPECT_EQ(Admin("/ready"), "INITIALIZING\n");
  Write(token_file_, "bad");
  EXPECT_TRUE(Logged("was refused: Unauthenticated"));
  ASSERT_TRUE(Until([&] { return ca_->requests.size() >= 3 && pilot_->streams >= 3; }));
  EXPECT_EQ(Lines("no certificate for"), 2);
  EXPECT_EQ(Lines("no stream to"), 2);
  EXPECT_EQ(Admin("/ready"), "INITIALIZING\n");
  // What was asked for on streams that were refused.
  pilot_->requests.clear();
  Write(token_file_, "good");
  ASSERT_TRUE(Until([&] { return pilot_->Take(ResourceType::kListener).has_value(); }));
  ServeListener();
  ASSERT_TRUE(Until([&] { return Admin("/ready") == "LIVE\n"; }));
}

TEST_F(IdentityTest, ServesTlsWithTheCertificateThatItGot) {
  Write(token_file_, "good");
  Start();
  ASSERT_TRUE(Until([&] { return pilot_->Take(ResourceType::kListener).has_value(); }));
  ServeListener();
  ASSERT_TRUE(Until([&] { return Admin("/ready") == "LIVE\n"; }));
  Client client(*loop_, Web(), ClientContext());
  ASSERT_TRUE(Until([&] { return client.done(); }));
  ASSERT_TRUE(client.connected) << client.detail;
  ASSERT_FALSE(client.session().peer_chain_der.empty());
  EXPECT_EQ(tls::ReadCertificateDer(client.session().peer_chain_der[0])->uris,
            std::vector<std::string>{kIdentity});
  EXPECT_TRUE(pilot_->Take(ResourceType::kSecrets) == std::nullopt);
}

TEST_F(IdentityTest, ARotationTouchesNoConnection) {
  life_s_ = 4;
  Write(token_file_, "good");
  Start();
  ASSERT_TRUE(Until([&] { return pilot_->Take(ResourceType::kListener).has_value(); }));
  ServeListener();
  const net::Address web = Web();
  Client before(*loop_, web, ClientContext());
  ASSERT_TRUE(Until([&] { return before.done(); }));
  ASSERT_TRUE(before.connected) << before.detail;
  life_s_ = 86400;
  const std::string seen = before.session().peer_chain_der[0];
  std::string now = seen;
  ASSERT_TRUE(Until([&] {
    Client client(*loop_, web, ClientContext());
    if (!Until([&] { return client.done(); }) || !client.connected) return false;
    now = client.session().peer_chain_der[0];
    return now != seen;
  }));
  EXPECT_EQ(tls::ReadCertificateDer(now)->uris, std::vector<std::string>{kIdentity});
  EXPECT_FALSE(before.closed) << before.detail;
}

TEST_F(IdentityTest, ItsPagesShowCertificatesAndNoKeys) {
  Write(token_file_, "good");
  Start();
  ASSERT_TRUE(Until([&] { return Admin("/certs").find(kIdentity) != std::string::npos; }));
  const std::string certs = Admin("/certs");
  EXPECT_NE(certs.find("\"days_until_expiration\": \"36"), std::string::npos) << certs;
  const std::string dump = Admin("/config_dump");
  EXPECT_NE(dump.find("\"name\": \"ROOTCA\""), std::string::npos);
  EXPECT_NE(dump.find("[redacted]"), std::string::npos);
  EXPECT_EQ(dump.find("PRIVATE KEY"), std::string::npos);
  EXPECT_NE(Admin("/stats/prometheus").find("istio_agent_cert_expiry_seconds"), std::string::npos);
  EXPECT_EQ(child_->Log().find("PRIVATE KEY"), std::string::npos);
}

}  // namespace
}  // namespace meltemi::proxy
