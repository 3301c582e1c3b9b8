// The client against an authority in this process, over TLS and real files; the test's clock jumps.
#include "proxy/config/secrets/ca_client.h"

#include <cstdio>
#include <fstream>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/clock/clock.h"
#include "gtest/gtest.h"
#include "proxy/config/secrets/authority_fake.h"
#include "proxy/config/secrets/ca_server_fake.h"
#include "proxy/config/secrets/pem.h"
#include "proxy/config/secrets/secrets.h"

namespace meltemi::proxy {
namespace {

constexpr char kIdentity[] = "spiffe://cluster.local/ns/shop/sa/web";
constexpr char kHost[] = "localhost";

// The system's time, and what the test adds to it.
class JumpingClock final : public Clock {
 public:
  MonotonicTime Now() const override { return system_.Now() + ahead_; }
  WallTime WallNow() const override { return system_.WallNow() + ahead_; }
  void Jump(Duration by) { ahead_ += by; }

 private:
  SystemClock system_;
  Duration ahead_{};
};

class CaClientTest : public testing::Test {
 protected:
  CaClientTest() {
    Write(root_file_, authority_.root_pem());
    Write(token_file_, "token-1\n");
    Serve(authority_);
    answer_ = [this](const FakeCaServer::Request& request) {
      return FakeCaServer::Reply{authority_.Sign(request.csr_pem, NowS() - 10, NowS() + 3600)};
    };
    options_.host = kHost;
    options_.files = {.tls = true, .root_file = root_file_, .token_file = token_file_};
    options_.identity = kIdentity;
    options_.cluster_id = "Kubernetes";
    options_.times.retry_first = milliseconds(4);
    options_.times.retry_max = milliseconds(20);
  }
  ~CaClientTest() override {
    client_.reset();
    server_.reset();
    loop_->RunOnce(Duration::zero());
  }

  static void Write(const std::string& path, const std::string& text) {
    const std::string beside = path + ".new";
    std::ofstream(beside) << text;
    ASSERT_EQ(std::rename(beside.c_str(), path.c_str()), 0);
  }
  int64_t NowS() const {
    return std::chrono::duration_cast<seconds>(clock_.WallNow().time_since_epoch()).count();
  }
  void Serve(const FakeAuthority& authority, const std::string& name = kHost) {
    const uint16_t port = server_ == nullptr ? 0 : server_->port();
    server_.reset();
    loop_->RunOnce(Duration::zero());
    server_ = std::make_unique<FakeCaServer>(
        *loop_,
        *tls::NewServerContext({.identity = authority.ServerCertificate(name), .alpn = {"h2"}}),
        port);
    server_->answer = [this](const FakeCaServer::Request& request) { return answer_(request); };
  }
  void Start() {
    options_.port = server_->port();
    client_ = std::make_unique<CaClient>(*loop_, random_, *dns_, watcher_, secrets_, shard_.root(),
                                         options_);
    client_->Start();
  }
  template <typename Condition>
  void Until(Condition&& condition) {
    for (int i = 0; i < 10000 && !condition(); ++i) loop_->RunOnce(milliseconds(5));
    ASSERT_TRUE(condition());
  }
  std::string Chain() const {
    const tls::KeyPair* const pair = secrets_.Certificate(kWorkloadCertificate);
    return pair == nullptr ? "" : pair->certificate_chain_pem;
  }
  std::string Error() {
    Until([this] { return !client_->last_error().empty(); });
    return client_->last_error();
  }
  bool Said(absl::string_view word) {
    return client_->last_error().find(std::string(word)) != std::string::npos;
  }
  int64_t Failures() const { return registry_.Sum("istio_agent_num_failed_outgoing_requests"); }

  const std::string root_file_ = testing::TempDir() + "/ca_client_root.pem";
  const std::string token_file_ = testing::TempDir() + "/ca_client_token";
  JumpingClock clock_;
  std::unique_ptr<Loop> loop_ = NewEventLoop(clock_);
  std::unique_ptr<net::DnsResolver> dns_ = *net::NewDnsResolver(*loop_, {});
  FastRandom random_;
  metrics::Registry registry_;
  metrics::Shard& shard_ = registry_.NewShard();
  FileWatcher watcher_{*loop_};
  Secrets secrets_{clock_};
  FakeAuthority authority_{NowS()};
  std::function<FakeCaServer::Reply(const FakeCaServer::Request&)> answer_;
  std::unique_ptr<FakeCaServer> server_;
  CaOptions options_;
  std::unique_ptr<CaClient> client_;
};

TEST_F(CaClientTest, GetsACertificateAndTheRoots) {
  bool ready = false;
  int told = 0;
  const auto watch =
      secrets_.Watch(SecretKind::kCertificate, std::string(kWorkloadCertificate), [&] { ++told; });
  Start();
  // The file's roots are good at once.
  ASSERT_NE(secrets_.Roots(kMeshRoots), nullptr);
  client_->OnReady([&] { ready = true; });
  Until([&] { return ready; });
  ASSERT_EQ(server_->requests.size(), 1u);
  const FakeCaServer::Request& request = server_->requests[0];
  EXPECT_EQ(request.path, "/istio.v1.auth.IstioCertificateService/CreateCertificate");
  EXPECT_EQ(request.authorization, "Bearer token-1");
  EXPECT_EQ(request.cluster_id, "Kubernetes");
  EXPECT_EQ(request.validity_s, 86400);
  const tls::KeyPair& pair = *secrets_.Certificate(kWorkloadCertificate);
  EXPECT_TRUE(tls::IsCertificateOf(pair.certificate_chain_pem, pair.private_key_pem));
  EXPECT_EQ(tls::ReadCertificatePem(pair.certificate_chain_pem)->uris,
            std::vector<std::string>{kIdentity});
  EXPECT_EQ(*secrets_.Roots(kMeshRoots), authority_.root_pem());
  EXPECT_EQ(told, 1);
  EXPECT_TRUE(secrets_.SdsNames().empty());
  EXPECT_EQ(Failures(), 0);
  EXPECT_GT(registry_.Sum("istio_agent_cert_expiry_seconds"), 3500);
}

TEST_F(CaClientTest, AHundredRotations) {
  Start();
  std::set<std::string> chains;
  for (int i = 0; i < 100; ++i) {
    Until([&] { return !chains.contains(Chain()) && !Chain().empty(); });
    chains.insert(Chain());
    clock_.Jump(seconds(1850));
  }
  EXPECT_EQ(chains.size(), 100u);
  EXPECT_EQ(Failures(), 0);
}

TEST_F(CaClientTest, TheTokenIsReadForEachRequest) {
  answer_ = [this](const FakeCaServer::Request& request) {
    if (request.authorization != "Bearer token-2") {
      return FakeCaServer::Reply{.code = "16", .message = "Unauthenticated"};
    }
    return FakeCaServer::Reply{authority_.Sign(request.csr_pem, NowS() - 10, NowS() + 3600)};
  };
  Start();
  EXPECT_EQ(Error(), absl::StrCat("the token in ", token_file_, " was refused: Unauthenticated"));
  EXPECT_FALSE(client_->ready());
  Write(token_file_, "token-2");
  Until([this] { return client_->ready(); });
  EXPECT_EQ(client_->last_error(), "");
}

TEST_F(CaClientTest, WithoutATokenNothingIsSent) {
  std::remove(token_file_.c_str());
  Start();
  Until([this] { return Failures() >= 3; });
  EXPECT_TRUE(Said("the token can't be read")) << client_->last_error();
  EXPECT_TRUE(server_->requests.empty());
  Write(token_file_, "token-1");
  Until([this] { return client_->ready(); });
}

TEST_F(CaClientTest, AnAuthorityOfAnotherRootOrNameGetsNoToken) {
  const FakeAuthority stranger(NowS());
  Serve(stranger);
  Start();
  Until([this] { return Failures() >= 2; });
  EXPECT_TRUE(Said("is not trusted by")) << client_->last_error();
  Serve(authority_, "elsewhere");
  const int64_t before = Failures();
  Until([&] { return Failures() >= before + 2; });
  EXPECT_TRUE(Said("is not trusted by")) << client_->last_error();
  EXPECT_TRUE(server_->requests.empty());
  Serve(authority_);
  Until([this] { return client_->ready(); });
}

TEST_F(CaClientTest, ANewRootFileIsUsedAtOnce) {
  const FakeAuthority next(NowS(), "next");
  Serve(next);
  options_.times.retry_first = options_.times.retry_max = minutes(10);
  Start();
  Error();
  answer_ = [&](const FakeCaServer::Request& request) {
    return FakeCaServer::Reply{next.Sign(request.csr_pem, NowS() - 10, NowS() + 3600)};
  };
  Write(root_file_, authority_.root_pem() + next.root_pem());
  Until([this] { return client_->ready(); });
  EXPECT_EQ(*secrets_.Roots(kMeshRoots), authority_.root_pem() + next.root_pem());
  // A file that is gone for a moment takes no roots away.
  std::remove(root_file_.c_str());
  loop_->RunOnce(milliseconds(50));
  loop_->RunOnce(milliseconds(50));
  EXPECT_EQ(*secrets_.Roots(kMeshRoots), authority_.root_pem() + next.root_pem());
}

TEST_F(CaClientTest, AnAuthorityThatHangsIsGivenUpAndAskedAgain) {
  options_.call_timeout = milliseconds(50);
  int asked = 0;
  answer_ = [&](const FakeCaServer::Request& request) {
    if (++asked < 3) return FakeCaServer::Reply{.hang = true};
    return FakeCaServer::Reply{authority_.Sign(request.csr_pem, NowS() - 10, NowS() + 3600)};
  };
  Start();
  EXPECT_NE(Error().find("can't be reached"), std::string::npos) << client_->last_error();
  Until([this] { return client_->ready(); });
}

TEST_F(CaClientTest, AnAuthorityThatIsNotThereIsTriedAgain) {
  Start();
  client_.reset();
  const uint16_t port = server_->port();
  server_.reset();
  loop_->RunOnce(Duration::zero());
  options_.port = port;
  client_ = std::make_unique<CaClient>(*loop_, random_, *dns_, watcher_, secrets_, shard_.root(),
                                       options_);
  client_->Start();
  Until([this] { return Failures() >= 2; });
  EXPECT_TRUE(Said("can't be reached")) << client_->last_error();
}

TEST_F(CaClientTest, BadAnswersAreRefusedAndTheOldCertificateStays) {
  Start();
  Until([this] { return client_->ready(); });
  const std::string in_use = Chain();
  const std::vector<std::function<FakeCaServer::Reply(const FakeCaServer::Request&)>> bad = {
      [](const auto&) { return FakeCaServer::Reply{.raw = "\xff\xff\xff"}; },
      [](const auto&) { return FakeCaServer::Reply{}; },
      [](const auto&) {
        return FakeCaServer::Reply{{"garbage", "more"}};
      },
      [this](const auto&) {
        return FakeCaServer::Reply{
            {authority_.WorkloadCertificate(kIdentity, NowS() + 60).certificate_chain_pem}};
      },
      [this](const auto& request) {
        return FakeCaServer::Reply{authority_.Sign(request.csr_pem, NowS() - 20, NowS() - 10)};
      },
      [](const auto&) { return FakeCaServer::Reply{.code = "7", .message = "not you"}; },
      [](const auto&) { return FakeCaServer::Reply{{std::string(1 << 20, 'x')}}; }};
  clock_.Jump(seconds(2000));
  for (const auto& answer : bad) {
    answer_ = answer;
    const int64_t before = Failures();
    Until([&] { return Failures() >= before + 2; });
    EXPECT_EQ(Chain(), in_use);
    EXPECT_FALSE(client_->last_error().empty());
  }
  EXPECT_TRUE(client_->ready());
}

}  // namespace
}  // namespace meltemi::proxy
