// The ADS client over real sockets and real gRPC framing, against a scripted control plane.
#include "proxy/config/xds/ads_transport.h"

#include <gtest/gtest.h>

#include "base/metrics/metrics.h"
#include "base/net/dns.h"
#include "base/random/random_fake.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "proxy/config/store/config_store.h"
#include "proxy/config/store/config_store_fake.h"
#include "proxy/config/xds/ads_server_fake.h"
#include "proxy/config/xds/compiler_fake.h"
#include "proxy/config/xds/intake.h"
#include "proxy/config/xds/xds_client.h"

namespace meltemi::proxy {
namespace {

using envoy::config::cluster::v3::Cluster;
using envoy::config::listener::v3::Listener;

class AdsTransportTest : public testing::Test {
 protected:
  AdsTransportTest()
      : loop_(NewEventLoop(clock_)), server_(std::make_unique<FakeAdsServer>(*loop_)) {
    dns_ = net::NewDnsResolver(*loop_, {}).value();
    envoy::config::core::v3::Node node;
    node.set_id("node-1");
    client_ = std::make_unique<XdsClient>(
        *loop_, intake_, store_, node, registry_.NewShard().root(),
        [this](std::string request) { transport_->Send(std::move(request)); });
  }
  ~AdsTransportTest() override {
    transport_.reset();
    server_.reset();
    loop_->RunOnce(Duration::zero());
  }
  void Start(std::vector<AdsTarget::Endpoint> endpoints) {
    AdsTarget target;
    target.endpoints = std::move(endpoints);
    target.authority = "xds-grpc";
    target.connect_timeout = seconds(5);
    transport_ = std::make_unique<AdsTransport>(
        *loop_, random_, *dns_, target, *client_,
        AdsBackoff{.first = milliseconds(2), .max = milliseconds(20)});
    transport_->Start();
  }
  AdsTarget::Endpoint Here() { return {"127.0.0.1", server_->address().port()}; }
  template <typename Condition>
  void Until(Condition&& condition) {
    const MonotonicTime deadline = clock_.Now() + seconds(30);
    while (!condition() && clock_.Now() < deadline) loop_->RunOnce(milliseconds(10));
    ASSERT_TRUE(condition());
  }
  static Cluster StaticCluster(const std::string& name) {
    Cluster cluster;
    cluster.set_name(name);
    return cluster;
  }

  SystemClock clock_;
  std::unique_ptr<Loop> loop_;
  FakeRandom random_;
  metrics::Registry registry_;
  std::vector<std::string> events_;
  FakeClusterDirectory directory_{events_};
  FakeSnapshotSink sink_{events_};
  ConfigStore store_{directory_, sink_};
  NameCompiler compiler_;
  Intake intake_{compiler_, store_, clock_};
  std::unique_ptr<net::DnsResolver> dns_;
  std::unique_ptr<FakeAdsServer> server_;
  std::unique_ptr<XdsClient> client_;
  std::unique_ptr<AdsTransport> transport_;
};

TEST_F(AdsTransportTest, SubscribesTakesAndAcknowledges) {
  Start({Here()});
  Until([this] { return server_->requests.size() == 2; });
  EXPECT_EQ(server_->Take(ResourceType::kCluster)->node().id(), "node-1");
  EXPECT_TRUE(server_->Take(ResourceType::kListener).has_value());
  server_->Serve<Cluster>(ResourceType::kCluster, "c1", {StaticCluster("a")});
  Until([this] { return directory_.known.contains("a"); });
  Until([this] { return !server_->requests.empty(); });
  EXPECT_EQ(server_->Take(ResourceType::kCluster)->version_info(), "c1");
}

TEST_F(AdsTransportTest, AStreamThatEndsIsOpenedAgainWithTheLastVersions) {
  Start({Here()});
  Until([this] { return server_->requests.size() == 2; });
  server_->Serve<Cluster>(ResourceType::kCluster, "c1", {StaticCluster("a")});
  Until([this] { return server_->requests.size() == 3; });
  server_->requests.clear();
  server_->EndStream("14");
  Until([this] { return server_->requests.size() == 2; });
  EXPECT_EQ(server_->streams, 2);
  const auto clusters = server_->Take(ResourceType::kCluster);
  EXPECT_EQ(clusters->version_info(), "c1");
  EXPECT_EQ(clusters->node().id(), "node-1");
  EXPECT_TRUE(directory_.known.contains("a"));
}

TEST_F(AdsTransportTest, AControlPlaneThatGoesAwayAndComesBackIsFoundAgain) {
  const uint16_t port = server_->address().port();
  Start({Here()});
  Until([this] { return server_->requests.size() == 2; });
  server_->Serve<Cluster>(ResourceType::kCluster, "c1", {StaticCluster("a")});
  Until([this] { return server_->requests.size() == 3; });
  server_.reset();
  Until([this] { return !client_->state().connected(); });
  for (int i = 0; i < 20; ++i) loop_->RunOnce(milliseconds(5));  // some attempts that fail
  EXPECT_TRUE(directory_.known.contains("a"));
  server_ = std::make_unique<FakeAdsServer>(*loop_, port);
  Until([this] { return server_->requests.size() == 2; });
  EXPECT_EQ(server_->Take(ResourceType::kCluster)->version_info(), "c1");
}

TEST_F(AdsTransportTest, WhatIsNoResponseEndsTheStreamAndNothingElse) {
  Start({Here()});
  Until([this] { return server_->requests.size() == 2; });
  server_->requests.clear();
  server_->SendRaw("\xff\xff\xff");
  Until([this] { return server_->streams == 2 && server_->requests.size() == 2; });
}

TEST_F(AdsTransportTest, TheSecondEndpointIsTriedWhenTheFirstRefuses) {
  uint16_t closed_port;
  {
    FakeAdsServer gone(*loop_);
    closed_port = gone.address().port();
  }
  loop_->RunOnce(Duration::zero());
  Start({{"127.0.0.1", closed_port}, Here()});
  Until([this] { return server_->requests.size() == 2; });
}

TEST_F(AdsTransportTest, ANameIsResolved) {
  Start({{"localhost", server_->address().port()}});
  Until([this] { return server_->requests.size() == 2; });
}

}  // namespace
}  // namespace meltemi::proxy
