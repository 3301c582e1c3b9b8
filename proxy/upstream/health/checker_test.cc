#include "proxy/upstream/health/checker.h"

#include "base/loop/loop_fake.h"
#include "base/random/random_fake.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/upstream/upstream_fake.h"

namespace meltemi::proxy {
namespace {

using ::testing::HasSubstr;

constexpr char kOk[] = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
constexpr char kBroken[] = "HTTP/1.1 500 Broken\r\ncontent-length: 0\r\n\r\n";

class HealthTest : public ::testing::Test {
 protected:
  void Make(const HealthCheck& check) {
    auto config = std::make_shared<ClusterConfig>();
    config->name = "shop";
    config->health_checks.push_back(check);
    host_ = std::make_shared<Host>(TestEndpoint("10.0.0.1:80"), "shop");
    host_->SetHealthBit(Host::kFailedActiveCheck, true);
    host_->SetHealthBit(Host::kPendingFirstCheck, true);
    host_->connections_total = 1;  // there is traffic
    checker_ = std::make_unique<HealthChecker>(loop_, random_, connector_, scope_, config,
                                               [this] { ++changes_; });
    checker_->SetHosts({host_});
    loop_.Advance(milliseconds(2));
  }
  ~HealthTest() override {
    checker_.reset();
    loop_.RunPending();
  }
  FakeConnector::Made& Last() { return connector_.made().back(); }
  void Connect() {
    Last().connection->CompleteConnect();
    loop_.RunPending();
  }
  void Receive(absl::string_view bytes) {
    Last().connection->Receive(bytes);
    loop_.RunPending();
  }
  // One whole HTTP check, on a new connection when there is none.
  void Check(absl::string_view answer) {
    if (!Last().peer->closed && !Last().connection->connected()) Connect();
    Last().peer->sent.Clear();
    Receive(answer);
    loop_.Advance(seconds(10));
  }

  FakeClock clock_;
  FakeLoop loop_{clock_};
  FakeRandom random_;
  FakeConnector connector_;
  metrics::Registry registry_;
  metrics::Scope scope_{registry_.NewShard(), {{"cluster_name", "shop"}}};
  std::shared_ptr<Host> host_;
  std::unique_ptr<HealthChecker> checker_;
  int changes_ = 0;
};

TEST_F(HealthTest, TheFirstSuccessMakesHealthyAndConnectionsAreReused) {
  Make({.path = "/ready"});
  EXPECT_FALSE(checker_->first_round_done());
  ASSERT_EQ(connector_.made().size(), 1u);
  Connect();
  EXPECT_THAT(Last().peer->sent.ToString(), HasSubstr("GET /ready HTTP/1.1\r\n"));
  EXPECT_THAT(Last().peer->sent.ToString(), HasSubstr("host: shop\r\n"));
  Receive(kOk);
  EXPECT_TRUE(host_->healthy());
  EXPECT_TRUE(checker_->first_round_done());
  EXPECT_GE(changes_, 1);
  Last().peer->sent.Clear();
  loop_.Advance(seconds(10));
  EXPECT_EQ(connector_.made().size(), 1u);
  EXPECT_THAT(Last().peer->sent.ToString(), HasSubstr("GET /ready"));
}

TEST_F(HealthTest, AWrongAnswerCountsAtOnceAndSilenceByTheThreshold) {
  Make({.interval = seconds(10), .unhealthy_threshold = 3, .healthy_threshold = 2, .path = "/"});
  Connect();
  Receive(kOk);
  loop_.Advance(seconds(10));
  Receive(kBroken);
  EXPECT_FALSE(host_->healthy());
  // Back only after two successes.
  loop_.Advance(seconds(10));
  Receive(kOk);
  EXPECT_FALSE(host_->healthy());
  loop_.Advance(seconds(10));
  Receive(kOk);
  EXPECT_TRUE(host_->healthy());
  // No answers: the third time-out is one too many.
  loop_.Advance(seconds(10) + milliseconds(1100));
  EXPECT_TRUE(host_->healthy());
  EXPECT_TRUE(Last().peer->closed);
  loop_.Advance(seconds(11));
  EXPECT_TRUE(host_->healthy());
  loop_.Advance(seconds(11));
  EXPECT_FALSE(host_->healthy());
  EXPECT_EQ(registry_.Sum("envoy_cluster_health_check_network_failure"), 3);
}

TEST_F(HealthTest, ARefusedConnectionFailsTheFirstCheck) {
  Make({.path = "/"});
  Last().connection->Fail(net::CloseCause::kConnectFailed, "Connection refused");
  loop_.RunPending();
  EXPECT_TRUE(checker_->first_round_done());
  EXPECT_FALSE(host_->healthy());
  EXPECT_FALSE(host_->HasHealthBit(Host::kPendingFirstCheck));
}

TEST_F(HealthTest, ExpectedStatusesAndUnhealthyInterval) {
  Make({.unhealthy_interval = seconds(1),
        .path = "/",
        .expected_statuses = {{200, 201}, {404, 405}}});
  Connect();
  Receive(kBroken);
  EXPECT_FALSE(host_->healthy());
  Last().peer->sent.Clear();
  loop_.Advance(milliseconds(1100));
  EXPECT_THAT(Last().peer->sent.ToString(), HasSubstr("GET /"));
  Receive("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
  EXPECT_TRUE(host_->healthy());
}

TEST_F(HealthTest, AClusterWithoutTrafficIsCheckedRarely) {
  Make({.path = "/"});
  host_->connections_total = 0;
  Connect();
  Receive(kOk);
  Last().peer->sent.Clear();
  loop_.Advance(seconds(59));
  EXPECT_TRUE(Last().peer->sent.empty());
  loop_.Advance(seconds(2));
  EXPECT_FALSE(Last().peer->sent.empty());
}

TEST_F(HealthTest, TcpChecksLookForTheirBytes) {
  Make({.kind = HealthCheck::Kind::kTcp, .tcp_send = "PING", .tcp_receive = {"PO", "NG"}});
  Connect();
  EXPECT_EQ(Last().peer->sent.ToString(), "PING");
  Receive("xPO");
  EXPECT_FALSE(host_->healthy());
  Receive("-NG");
  EXPECT_TRUE(host_->healthy());
}

TEST_F(HealthTest, ATcpCheckWithoutBytesOnlyConnects) {
  Make({.kind = HealthCheck::Kind::kTcp, .reuse_connection = false});
  EXPECT_FALSE(host_->healthy());
  Connect();
  EXPECT_TRUE(host_->healthy());
  EXPECT_TRUE(Last().peer->closed);
  loop_.Advance(seconds(10));
  EXPECT_EQ(connector_.made().size(), 2u);
}

TEST_F(HealthTest, HostsThatLeaveAreNotCheckedAnyMore) {
  Make({.path = "/"});
  checker_->SetHosts({});
  loop_.RunPending();
  EXPECT_TRUE(Last().peer->closed);
  EXPECT_TRUE(checker_->first_round_done());
  loop_.Advance(seconds(100));
  EXPECT_EQ(connector_.made().size(), 1u);
}

}  // namespace
}  // namespace meltemi::proxy
