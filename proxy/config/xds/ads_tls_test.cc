// The conversation with a control plane over TLS: tokens, roots, and the secrets that it sends.
#include <gtest/gtest.h>

#include <cstdio>
#include <ctime>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "base/metrics/metrics.h"
#include "base/net/dns.h"
#include "base/random/random_fake.h"
#include "base/tls/tls.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "proxy/config/secrets/authority_fake.h"
#include "proxy/config/secrets/secret_loader.h"
#include "proxy/config/secrets/secrets.h"
#include "proxy/config/store/config_store.h"
#include "proxy/config/store/config_store_fake.h"
#include "proxy/config/xds/ads_server_fake.h"
#include "proxy/config/xds/ads_transport.h"
#include "proxy/config/xds/compiler_fake.h"
#include "proxy/config/xds/intake.h"
#include "proxy/config/xds/xds_client.h"

namespace meltemi::proxy {
namespace {

using envoy::extensions::transport_sockets::tls::v3::Secret;

class AdsTlsTest : public testing::Test {
 protected:
  AdsTlsTest() {
    Write(root_file_, authority_.root_pem());
    Write(token_file_, "token-1\n");
    Serve(authority_);
    envoy::config::core::v3::Node node;
    node.set_id("node-1");
    client_ = std::make_unique<XdsClient>(
        *loop_, intake_, store_, node, registry_.NewShard().root(),
        [this](std::string request) { transport_->Send(std::move(request)); });
  }
  ~AdsTlsTest() override {
    transport_.reset();
    server_.reset();
    loop_->RunOnce(Duration::zero());
  }

  static void Write(const std::string& path, const std::string& text) {
    const std::string beside = path + ".new";
    std::ofstream(beside) << text;
    ASSERT_EQ(std::rename(beside.c_str(), path.c_str()), 0);
  }
  void Serve(const FakeAuthority& authority) {
    const uint16_t port = server_ == nullptr ? 0 : server_->address().port();
    server_.reset();
    loop_->RunOnce(Duration::zero());
    const auto context = *tls::NewServerContext(
        {.identity = authority.ServerCertificate("localhost"), .alpn = {"h2"}});
    server_ = std::make_unique<FakeAdsServer>(
        *loop_, port, [this, context](int fd, const net::Address& remote) {
          return tls::NewServerConnection(*loop_, fd, remote, net::ConnectionLimits(), context);
        });
  }
  void Start() { Start({.tls = true, .root_file = root_file_, .token_file = token_file_}); }
  void Start(const CredentialFiles& credentials) {
    AdsTarget target;
    target.endpoints = {{"localhost", server_->address().port()}};
    target.authority = "xds-grpc";
    target.credentials = credentials;
    transport_ = std::make_unique<AdsTransport>(
        *loop_, random_, *dns_, target, *client_,
        AdsBackoff{.first = milliseconds(2), .max = milliseconds(20)});
    transport_->Start();
  }
  template <typename Condition>
  void Until(Condition&& condition) {
    for (int i = 0; i < 5000; ++i) {
      if (condition()) return;
      loop_->RunOnce(milliseconds(5));
    }
    FAIL() << "it never happened";
  }
  void UntilAsked(ResourceType type) {
    Until([&] {
      last_ = server_->Take(type);
      return last_.has_value();
    });
  }
  std::vector<std::string> AskedNames() const {
    return {last_->resource_names().begin(), last_->resource_names().end()};
  }
  static Secret CertificateOf(const std::string& name, const tls::KeyPair& pair) {
    Secret secret;
    secret.set_name(name);
    auto* certificate = secret.mutable_tls_certificate();
    certificate->mutable_certificate_chain()->set_inline_string(pair.certificate_chain_pem);
    certificate->mutable_private_key()->set_inline_bytes(pair.private_key_pem);
    return secret;
  }

  const std::string root_file_ = testing::TempDir() + "/ads_tls_root.pem";
  const std::string token_file_ = testing::TempDir() + "/ads_tls_token";
  SystemClock clock_;
  std::unique_ptr<Loop> loop_ = NewEventLoop(clock_);
  std::unique_ptr<net::DnsResolver> dns_ = *net::NewDnsResolver(*loop_, {});
  FakeRandom random_;
  metrics::Registry registry_;
  FakeAuthority authority_{std::time(nullptr)};
  std::vector<std::string> events_;
  FakeClusterDirectory directory_{events_};
  FakeSnapshotSink sink_{events_};
  ConfigStore store_{directory_, sink_};
  NameCompiler compiler_;
  FileWatcher watcher_{*loop_};
  Secrets secrets_{clock_};
  SecretLoader loader_{watcher_, secrets_};
  Intake intake_{compiler_, store_, clock_, &loader_};
  std::unique_ptr<FakeAdsServer> server_;
  std::unique_ptr<XdsClient> client_;
  std::unique_ptr<AdsTransport> transport_;
  std::optional<envoy::service::discovery::v3::DiscoveryRequest> last_;
};

TEST_F(AdsTlsTest, TheTokenIsReadForEachStream) {
  server_->token = "token-2";
  Start();
  Until([this] { return server_->streams >= 2; });
  EXPECT_EQ(server_->authorizations[0], "Bearer token-1");
  server_->requests.clear();
  Write(token_file_, "token-2");
  UntilAsked(ResourceType::kCluster);
  EXPECT_EQ(server_->authorizations.back(), "Bearer token-2");
}

TEST_F(AdsTlsTest, AControlPlaneOfAnotherRootHearsNothingUntilTheRootIsReplaced) {
  const FakeAuthority next(std::time(nullptr), "next");
  Serve(next);
  Start();
  for (int i = 0; i < 20; ++i) loop_->RunOnce(milliseconds(5));
  EXPECT_EQ(server_->streams, 0);
  Write(root_file_, next.root_pem());
  UntilAsked(ResourceType::kCluster);
}

TEST_F(AdsTlsTest, TheControlPlanesNameIsCheckedAsTheBootstrapSays) {
  CredentialFiles credentials{.tls = true, .root_pem = authority_.root_pem()};
  credentials.server_name = "elsewhere";
  Start(credentials);
  for (int i = 0; i < 10; ++i) loop_->RunOnce(milliseconds(5));
  EXPECT_EQ(server_->streams, 0);
  credentials.peer = CredentialFiles::Peer::kNames;
  credentials.names = {"elsewhere"};
  Start(credentials);
  for (int i = 0; i < 10; ++i) loop_->RunOnce(milliseconds(5));
  EXPECT_EQ(server_->streams, 0);
  credentials.names = {"elsewhere", "localhost"};
  Start(credentials);
  UntilAsked(ResourceType::kCluster);
  credentials.peer = CredentialFiles::Peer::kAny;
  credentials.names = {};
  Start(credentials);
  UntilAsked(ResourceType::kCluster);
  // Whatever it is for, somebody who is trusted has to have signed it.
  const int streams = server_->streams;
  credentials.root_pem = FakeAuthority(std::time(nullptr)).root_pem();
  Start(credentials);
  for (int i = 0; i < 10; ++i) loop_->RunOnce(milliseconds(5));
  EXPECT_EQ(server_->streams, streams);
  credentials.peer = CredentialFiles::Peer::kAnybody;
  Start(credentials);
  UntilAsked(ResourceType::kCluster);
}

TEST_F(AdsTlsTest, SecretsAreAskedForWhileTheyAreWatched) {
  Start();
  UntilAsked(ResourceType::kListener);
  EXPECT_FALSE(server_->Take(ResourceType::kSecrets).has_value());
  int told = 0;
  auto watch = secrets_.Watch(SecretKind::kCertificate, "kubernetes://shop", [&] { ++told; });
  auto roots = secrets_.Watch(SecretKind::kRoots, "kubernetes://shop-cacert", [&] { ++told; });
  client_->Advance();
  UntilAsked(ResourceType::kSecrets);
  EXPECT_EQ(AskedNames(),
            (std::vector<std::string>{"kubernetes://shop", "kubernetes://shop-cacert"}));
  const tls::KeyPair pair = authority_.ServerCertificate("shop.test");
  Secret ca;
  ca.set_name("kubernetes://shop-cacert");
  ca.mutable_validation_context()->mutable_trusted_ca()->set_inline_string(authority_.root_pem());
  server_->Serve<Secret>(ResourceType::kSecrets, "s1",
                         {CertificateOf("kubernetes://shop", pair), ca});
  UntilAsked(ResourceType::kSecrets);
  EXPECT_EQ(last_->version_info(), "s1");
  EXPECT_EQ(last_->error_detail().message(), "");
  EXPECT_EQ(told, 2);
  EXPECT_EQ(secrets_.Certificate("kubernetes://shop")->private_key_pem, pair.private_key_pem);
  EXPECT_EQ(*secrets_.Roots("kubernetes://shop-cacert"), authority_.root_pem());
  // Versions are the control plane's affair, also when it has none.
  server_->Serve<Secret>(
      ResourceType::kSecrets, "",
      {CertificateOf("kubernetes://shop", authority_.ServerCertificate("shop.test"))});
  UntilAsked(ResourceType::kSecrets);
  EXPECT_EQ(told, 3);
  // Nobody needs the certificate any more.
  watch.reset();
  client_->Advance();
  UntilAsked(ResourceType::kSecrets);
  EXPECT_EQ(AskedNames(), std::vector<std::string>{"kubernetes://shop-cacert"});
  EXPECT_EQ(secrets_.Certificate("kubernetes://shop"), nullptr);
}

TEST_F(AdsTlsTest, ABadSecretIsRefusedWithoutAWordOfItAndTheGoodOneStays) {
  auto watch = secrets_.Watch(SecretKind::kCertificate, "shop", [] {});
  client_->Advance();
  Start();
  UntilAsked(ResourceType::kSecrets);
  const tls::KeyPair pair = authority_.ServerCertificate("shop.test");
  server_->Serve<Secret>(ResourceType::kSecrets, "s1", {CertificateOf("shop", pair)});
  UntilAsked(ResourceType::kSecrets);
  tls::KeyPair mixed = authority_.ServerCertificate("shop.test");
  mixed.certificate_chain_pem = pair.certificate_chain_pem;
  Secret locked = CertificateOf("shop", pair);
  locked.mutable_tls_certificate()->mutable_password()->set_inline_string("open sesame");
  Secret ticket;
  ticket.set_name("shop");
  ticket.mutable_session_ticket_keys();
  Secret empty;
  empty.set_name("shop");
  for (const Secret& bad :
       {CertificateOf("shop", mixed), CertificateOf("shop", {"garbage", "garbage"}),
        CertificateOf("shop", {pair.certificate_chain_pem, ""}), locked, ticket, empty}) {
    server_->Serve<Secret>(ResourceType::kSecrets, "s2", {bad});
    UntilAsked(ResourceType::kSecrets);
    const std::string& error = last_->error_detail().message();
    EXPECT_NE(error.find("secret 'shop'"), std::string::npos) << error;
    EXPECT_EQ(error.find("PRIVATE"), std::string::npos) << error;
    EXPECT_EQ(error.find("sesame"), std::string::npos) << error;
    EXPECT_EQ(last_->version_info(), "s1");
  }
  EXPECT_EQ(secrets_.Certificate("shop")->private_key_pem, pair.private_key_pem);
}

TEST_F(AdsTlsTest, TheWorkloadsOwnSecretsAreNeverAskedForAndNeverReplaced) {
  secrets_.Claim(SecretKind::kCertificate, std::string(kWorkloadCertificate));
  auto own = secrets_.Watch(SecretKind::kCertificate, std::string(kWorkloadCertificate), [] {});
  auto watch = secrets_.Watch(SecretKind::kCertificate, "shop", [] {});
  client_->Advance();
  Start();
  UntilAsked(ResourceType::kSecrets);
  EXPECT_EQ(AskedNames(), std::vector<std::string>{"shop"});
  server_->Serve<Secret>(ResourceType::kSecrets, "s1",
                         {CertificateOf("default", authority_.ServerCertificate("x"))});
  UntilAsked(ResourceType::kSecrets);
  EXPECT_EQ(secrets_.Certificate(kWorkloadCertificate), nullptr);
}

TEST_F(AdsTlsTest, SecretsComeIncrementallyToo) {
  using envoy::service::discovery::v3::DeltaDiscoveryRequest;
  std::vector<DeltaDiscoveryRequest> asked;
  XdsClient client(*loop_, intake_, store_, envoy::config::core::v3::Node(),
                   registry_.NewShard().root(), [&](const std::string& bytes) {
                     DeltaDiscoveryRequest request;
                     ASSERT_TRUE(request.ParseFromString(bytes));
                     if (request.type_url() == TypeUrl(ResourceType::kSecrets)) {
                       asked.push_back(std::move(request));
                     }
                   });
  client.SetProtocol(XdsProtocol::kDelta);
  client.OnConnected();
  auto watch = secrets_.Watch(SecretKind::kCertificate, "shop", [] {});
  client.Advance();
  ASSERT_EQ(asked.size(), 1u);
  EXPECT_EQ(asked[0].resource_names_subscribe(0), "shop");
  const tls::KeyPair pair = authority_.ServerCertificate("shop.test");
  envoy::service::discovery::v3::DeltaDiscoveryResponse response;
  response.set_type_url(std::string(TypeUrl(ResourceType::kSecrets)));
  response.set_nonce("1");
  response.add_resources()->set_name("shop");
  response.mutable_resources(0)->mutable_resource()->PackFrom(CertificateOf("shop", pair));
  ASSERT_TRUE(client.OnMessage(response.SerializeAsString()).ok());
  ASSERT_NE(secrets_.Certificate("shop"), nullptr);
  EXPECT_EQ(asked.back().error_detail().message(), "");
  // Gone at the control plane: what is in use stays in use.
  response.clear_resources();
  response.add_removed_resources("shop");
  ASSERT_TRUE(client.OnMessage(response.SerializeAsString()).ok());
  EXPECT_NE(secrets_.Certificate("shop"), nullptr);
  watch.reset();
  client.Advance();
  EXPECT_EQ(asked.back().resource_names_unsubscribe(0), "shop");
  EXPECT_EQ(secrets_.Certificate("shop"), nullptr);
}

TEST_F(AdsTlsTest, SecretsInFilesAreReadAgainWhenTheyChange) {
  const std::string chain_file = testing::TempDir() + "/ads_tls_chain.pem";
  const std::string key_file = testing::TempDir() + "/ads_tls_key.pem";
  const tls::KeyPair first = authority_.ServerCertificate("one.test");
  const tls::KeyPair second = authority_.ServerCertificate("two.test");
  Write(chain_file, first.certificate_chain_pem);
  Write(key_file, first.private_key_pem);
  envoy::config::bootstrap::v3::Bootstrap bootstrap;
  Secret& secret = *bootstrap.mutable_static_resources()->add_secrets();
  secret.set_name("fixed");
  secret.mutable_tls_certificate()->mutable_certificate_chain()->set_filename(chain_file);
  secret.mutable_tls_certificate()->mutable_private_key()->set_filename(key_file);
  int told = 0;
  auto watch = secrets_.Watch(SecretKind::kCertificate, "fixed", [&] { ++told; });
  ASSERT_TRUE(intake_.AddStatic(bootstrap, loop_->Now()).ok());
  EXPECT_EQ(told, 1);
  EXPECT_TRUE(secrets_.SdsNames().empty());
  // Between the two renames they do not fit.
  Write(chain_file, second.certificate_chain_pem);
  for (int i = 0; i < 10; ++i) loop_->RunOnce(milliseconds(10));
  EXPECT_EQ(told, 1);
  Write(key_file, second.private_key_pem);
  Until([&] { return told == 2; });
  EXPECT_EQ(secrets_.Certificate("fixed")->certificate_chain_pem, second.certificate_chain_pem);
  std::remove(key_file.c_str());
  for (int i = 0; i < 10; ++i) loop_->RunOnce(milliseconds(10));
  EXPECT_NE(secrets_.Certificate("fixed"), nullptr);
}

}  // namespace
}  // namespace meltemi::proxy
