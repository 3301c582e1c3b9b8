// Stories of a conversation with a control plane: real messages, a compiler that takes names for
// configuration, no sockets.
#include "proxy/config/xds/xds_client.h"

#include <gtest/gtest.h>

#include <deque>

#include "absl/strings/str_cat.h"
#include "base/loop/loop_fake.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/service/discovery/v3/discovery.pb.h"
#include "proxy/config/store/config_store.h"
#include "proxy/config/store/config_store_fake.h"
#include "proxy/config/xds/compiler_fake.h"
#include "proxy/config/xds/intake.h"
#include "proxy/route/route.h"

namespace meltemi::proxy {
namespace {

namespace cluster_v3 = envoy::config::cluster::v3;
namespace endpoint_v3 = envoy::config::endpoint::v3;
namespace listener_v3 = envoy::config::listener::v3;
namespace route_v3 = envoy::config::route::v3;
using envoy::service::discovery::v3::DiscoveryRequest;
using envoy::service::discovery::v3::DiscoveryResponse;

class XdsClientTest : public testing::Test {
 protected:
  XdsClientTest() {
    envoy::config::core::v3::Node node;
    node.set_id("node-1");
    metrics::Shard& shard = registry_.NewShard();
    client_ = std::make_unique<XdsClient>(loop_, intake_, store_, node, shard.root(),
                                          [this](std::string bytes) {
                                            DiscoveryRequest request;
                                            ASSERT_TRUE(request.ParseFromString(bytes));
                                            requests_.push_back(std::move(request));
                                          });
  }

  // --- resources
  static cluster_v3::Cluster Eds(const std::string& name) {
    cluster_v3::Cluster cluster;
    cluster.set_name(name);
    cluster.set_type(cluster_v3::Cluster::EDS);
    return cluster;
  }
  static endpoint_v3::ClusterLoadAssignment Endpoints(const std::string& name) {
    endpoint_v3::ClusterLoadAssignment endpoints;
    endpoints.set_cluster_name(name);
    return endpoints;
  }
  static listener_v3::Listener Listener(const std::string& name, const std::string& rds_name) {
    listener_v3::Listener listener;
    listener.set_name(name);
    listener.set_stat_prefix(rds_name);
    return listener;
  }
  static route_v3::RouteConfiguration Routes(const std::string& name,
                                             const std::vector<std::string>& clusters) {
    route_v3::RouteConfiguration routes;
    routes.set_name(name);
    for (const std::string& cluster : clusters) routes.add_virtual_hosts()->set_name(cluster);
    return routes;
  }

  // --- the control plane's part
  template <typename T>
  void Serve(ResourceType type, const std::string& version, const std::vector<T>& resources) {
    DiscoveryResponse response;
    response.set_type_url(std::string(TypeUrl(type)));
    response.set_version_info(version);
    response.set_nonce(absl::StrCat("nonce-", ++nonce_));
    for (const T& resource : resources) response.add_resources()->PackFrom(resource);
    ASSERT_TRUE(client_->OnMessage(response.SerializeAsString()).ok());
  }
  std::string LastNonce() const { return absl::StrCat("nonce-", nonce_); }
  // The next request, which must be of this type.
  DiscoveryRequest Next(ResourceType type) {
    if (requests_.empty()) {
      ADD_FAILURE() << "no request where one of " << ShortName(type) << " was expected";
      return {};
    }
    DiscoveryRequest request = requests_.front();
    requests_.pop_front();
    EXPECT_EQ(request.type_url(), TypeUrl(type));
    return request;
  }
  static std::vector<std::string> Names(const DiscoveryRequest& request) {
    return {request.resource_names().begin(), request.resource_names().end()};
  }
  // Cluster "a" with endpoints, listener "l" with routes "80" to it.
  void Start() {
    client_->Advance();
    client_->OnConnected();
    Serve<cluster_v3::Cluster>(ResourceType::kCluster, "c1", {Eds("a")});
    Serve<endpoint_v3::ClusterLoadAssignment>(ResourceType::kEndpoints, "e1", {Endpoints("a")});
    Serve<listener_v3::Listener>(ResourceType::kListener, "l1", {Listener("l", "80")});
    Serve<route_v3::RouteConfiguration>(ResourceType::kRoutes, "r1", {Routes("80", {"a"})});
    requests_.clear();
    ASSERT_TRUE(client_->configured());
  }
  int64_t Stat(const std::string& name) { return registry_.Sum(name); }
  std::string ActiveCluster() {
    return sink_.last->routes.at("80")->virtual_hosts[0]->routes[0]->clusters[0].cluster;
  }

  FakeClock clock_;
  FakeLoop loop_{clock_};
  metrics::Registry registry_;
  std::vector<std::string> events_;
  FakeClusterDirectory directory_{events_};
  FakeSnapshotSink sink_{events_};
  ConfigStore store_{directory_, sink_};
  NameCompiler compiler_;
  Intake intake_{compiler_, store_, clock_};
  std::unique_ptr<XdsClient> client_;
  std::deque<DiscoveryRequest> requests_;
  int nonce_ = 0;
};

TEST_F(XdsClientTest, FromNothingToServing) {
  client_->OnConnected();
  const DiscoveryRequest first = Next(ResourceType::kCluster);
  EXPECT_EQ(first.node().id(), "node-1");
  Next(ResourceType::kListener);
  Serve<cluster_v3::Cluster>(ResourceType::kCluster, "c1", {Eds("a"), Eds("b")});
  const DiscoveryRequest ack = Next(ResourceType::kCluster);
  EXPECT_EQ(ack.version_info(), "c1");
  EXPECT_EQ(ack.response_nonce(), LastNonce());
  EXPECT_FALSE(ack.has_node());
  EXPECT_EQ(Names(Next(ResourceType::kEndpoints)), (std::vector<std::string>{"a", "b"}));
  Serve<listener_v3::Listener>(ResourceType::kListener, "l1",
                               {Listener("one", "80"), Listener("two", "9080")});
  EXPECT_EQ(Next(ResourceType::kListener).version_info(), "l1");
  EXPECT_EQ(Names(Next(ResourceType::kRoutes)), (std::vector<std::string>{"80", "9080"}));
  EXPECT_EQ(sink_.last, nullptr);
  Serve<route_v3::RouteConfiguration>(ResourceType::kRoutes, "r1",
                                      {Routes("80", {"a"}), Routes("9080", {"b"})});
  Next(ResourceType::kRoutes);
  EXPECT_EQ(sink_.last, nullptr);
  EXPECT_FALSE(client_->configured());
  bool told = false;
  client_->OnConfigured([&] { told = true; });
  Serve<endpoint_v3::ClusterLoadAssignment>(ResourceType::kEndpoints, "e1",
                                            {Endpoints("a"), Endpoints("b")});
  Next(ResourceType::kEndpoints);
  ASSERT_NE(sink_.last, nullptr);
  EXPECT_EQ(sink_.last->listeners.size(), 2u);
  EXPECT_TRUE(client_->configured());
  EXPECT_TRUE(told);
  EXPECT_TRUE(requests_.empty());
  EXPECT_EQ(Stat("envoy_cluster_manager_cds_update_success"), 1);
  EXPECT_EQ(Stat("envoy_control_plane_connected_state"), 1);
}

TEST_F(XdsClientTest, OneBadClusterOfThreeIsRefusedAndTheOthersAreApplied) {
  client_->OnConnected();
  requests_.clear();
  Serve<cluster_v3::Cluster>(ResourceType::kCluster, "c1", {Eds("a"), Eds("bad-1"), Eds("b")});
  const DiscoveryRequest nack = Next(ResourceType::kCluster);
  EXPECT_EQ(nack.version_info(), "");
  EXPECT_EQ(nack.response_nonce(), LastNonce());
  EXPECT_EQ(nack.error_detail().message(),
            "1 of 3 resources rejected: cluster 'bad-1': field 'x' is not supported");
  EXPECT_EQ(Names(Next(ResourceType::kEndpoints)), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(Stat("envoy_cluster_manager_cds_update_rejected"), 1);
  EXPECT_EQ(intake_.records(ResourceType::kCluster).at("bad-1").refused->version, "c1");
}

TEST_F(XdsClientTest, ABadVersionLeavesTheGoodOneInPlace) {
  Start();
  // "a" is still named, in a form that can't be used: not a removal.
  cluster_v3::Cluster again = Eds("a");
  again.set_alt_stat_name("x");
  Serve<cluster_v3::Cluster>(ResourceType::kCluster, "c2", {Eds("bad")});
  EXPECT_EQ(Next(ResourceType::kCluster).version_info(), "c1");
  EXPECT_TRUE(directory_.known.contains("a"));
  Serve<listener_v3::Listener>(ResourceType::kListener, "l2",
                               {Listener("l", "80"), Listener("bad", "81")});
  EXPECT_NE(Next(ResourceType::kListener).error_detail().message(), "");
  EXPECT_TRUE(sink_.last->listeners.contains("l"));
}

TEST_F(XdsClientTest, ARouteToANewClusterWaitsForItsEndpoints) {
  Start();
  Serve<route_v3::RouteConfiguration>(ResourceType::kRoutes, "r2", {Routes("80", {"b"})});
  EXPECT_EQ(Next(ResourceType::kRoutes).version_info(), "r2");  // accepted, not yet active
  Serve<cluster_v3::Cluster>(ResourceType::kCluster, "c2", {Eds("a"), Eds("b")});
  EXPECT_EQ(ActiveCluster(), "a");
  Serve<endpoint_v3::ClusterLoadAssignment>(ResourceType::kEndpoints, "e2", {Endpoints("b")});
  EXPECT_EQ(ActiveCluster(), "b");
}

TEST_F(XdsClientTest, AClusterThatIsGoneServesUntilItsRoutesAreReplaced) {
  Start();
  Serve<cluster_v3::Cluster>(ResourceType::kCluster, "c2", {Eds("b")});
  Serve<endpoint_v3::ClusterLoadAssignment>(ResourceType::kEndpoints, "e2", {Endpoints("b")});
  EXPECT_TRUE(directory_.known.contains("a"));
  Serve<route_v3::RouteConfiguration>(ResourceType::kRoutes, "r2", {Routes("80", {"b"})});
  EXPECT_EQ(ActiveCluster(), "b");
  loop_.Advance(seconds(6));
  EXPECT_FALSE(directory_.known.contains("a"));
  EXPECT_EQ(Names(requests_.back()), std::vector<std::string>{"b"});
}

TEST_F(XdsClientTest, TheStreamEndsInTheMiddleOfAnUpdate) {
  Start();
  Serve<cluster_v3::Cluster>(ResourceType::kCluster, "c2", {Eds("a"), Eds("b")});
  Serve<route_v3::RouteConfiguration>(ResourceType::kRoutes, "r2", {Routes("80", {"b"})});
  client_->OnDisconnected("reset");
  requests_.clear();
  EXPECT_EQ(ActiveCluster(), "a");
  EXPECT_EQ(Stat("envoy_control_plane_connected_state"), 0);
  loop_.Advance(seconds(1));
  client_->OnConnected();
  const DiscoveryRequest clusters = Next(ResourceType::kCluster);
  EXPECT_EQ(clusters.version_info(), "c2");
  EXPECT_EQ(clusters.response_nonce(), "");
  EXPECT_TRUE(clusters.has_node());
  const DiscoveryRequest endpoints = Next(ResourceType::kEndpoints);
  EXPECT_EQ(endpoints.version_info(), "e1");
  EXPECT_EQ(Names(endpoints), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(Next(ResourceType::kListener).version_info(), "l1");
  EXPECT_EQ(Next(ResourceType::kRoutes).version_info(), "r2");
  Serve<endpoint_v3::ClusterLoadAssignment>(ResourceType::kEndpoints, "e2",
                                            {Endpoints("a"), Endpoints("b")});
  EXPECT_EQ(ActiveCluster(), "b");
}

TEST_F(XdsClientTest, EndpointsThatNeverComeAreWaitedForFifteenSeconds) {
  client_->OnConnected();
  Serve<cluster_v3::Cluster>(ResourceType::kCluster, "c1", {Eds("a")});
  Serve<listener_v3::Listener>(ResourceType::kListener, "l1", {Listener("l", "80")});
  loop_.Advance(seconds(14));
  EXPECT_EQ(sink_.last, nullptr);
  loop_.Advance(seconds(2));
  ASSERT_NE(sink_.last, nullptr);
  EXPECT_TRUE(sink_.last->listeners.contains("l"));
  EXPECT_TRUE(client_->configured());
}

TEST_F(XdsClientTest, WhatHasNotChangedIsNotCompiledAgain) {
  Start();
  const int compiled = compiler_.compiled;
  Serve<cluster_v3::Cluster>(ResourceType::kCluster, "c2", {Eds("a")});
  Serve<route_v3::RouteConfiguration>(ResourceType::kRoutes, "r2", {Routes("80", {"a"})});
  EXPECT_EQ(compiler_.compiled, compiled);
  EXPECT_EQ(Next(ResourceType::kCluster).version_info(), "c2");
  EXPECT_EQ(intake_.records(ResourceType::kCluster).at("a").version, "c2");
}

TEST_F(XdsClientTest, WhatWasTakenAwayAndComesBackUnchangedIsNew) {
  Start();
  Serve<listener_v3::Listener>(ResourceType::kListener, "l2", {});
  EXPECT_TRUE(sink_.last->listeners.empty());
  Serve<listener_v3::Listener>(ResourceType::kListener, "l3", {Listener("l", "80")});
  Serve<route_v3::RouteConfiguration>(ResourceType::kRoutes, "r1", {Routes("80", {"a"})});
  EXPECT_TRUE(sink_.last->listeners.contains("l"));
}

TEST_F(XdsClientTest, MoreThanWasAskedForIsLeftAside) {
  Start();
  const int compiled = compiler_.compiled;
  Serve<endpoint_v3::ClusterLoadAssignment>(ResourceType::kEndpoints, "e2",
                                            {Endpoints("a"), Endpoints("stranger")});
  EXPECT_EQ(compiler_.compiled, compiled);
  EXPECT_EQ(Next(ResourceType::kEndpoints).error_detail().message(), "");
  EXPECT_EQ(intake_.records(ResourceType::kEndpoints).size(), 1u);
}

TEST_F(XdsClientTest, GarbageIsRefusedAndNothingIsRemovedOnItsWord) {
  Start();
  EXPECT_FALSE(client_->OnMessage("\xff\xff\xff").ok());
  DiscoveryResponse response;
  response.set_type_url(std::string(TypeUrl(ResourceType::kCluster)));
  response.set_nonce("n");
  response.add_resources()->set_type_url(std::string(TypeUrl(ResourceType::kCluster)));
  response.mutable_resources(0)->set_value("\xff\xff");
  ASSERT_TRUE(client_->OnMessage(response.SerializeAsString()).ok());
  EXPECT_NE(Next(ResourceType::kCluster).error_detail().message().find("can't be decoded"),
            std::string::npos);
  loop_.Advance(minutes(1));
  EXPECT_TRUE(directory_.known.contains("a"));
}

TEST_F(XdsClientTest, TwiceTheSameNameInOneResponseIsRefused) {
  client_->OnConnected();
  Serve<cluster_v3::Cluster>(ResourceType::kCluster, "c1", {Eds("a"), Eds("a")});
  EXPECT_NE(requests_.back().type_url(), "");
  requests_.pop_front();
  requests_.pop_front();
  EXPECT_EQ(Next(ResourceType::kCluster).error_detail().message(),
            "1 of 2 resources rejected: cluster 'a': is there twice");
}

TEST_F(XdsClientTest, StaticResourcesCannotBeReplaced) {
  envoy::config::bootstrap::v3::Bootstrap bootstrap;
  *bootstrap.mutable_static_resources()->add_clusters() = Eds("fixed");
  bootstrap.mutable_static_resources()->mutable_clusters(0)->set_type(cluster_v3::Cluster::STATIC);
  ASSERT_TRUE(intake_.AddStatic(bootstrap, loop_.Now()).ok());
  client_->Advance();
  EXPECT_TRUE(directory_.known.contains("fixed"));
  client_->OnConnected();
  requests_.clear();
  Serve<cluster_v3::Cluster>(ResourceType::kCluster, "c1", {Eds("fixed")});
  EXPECT_NE(Next(ResourceType::kCluster).error_detail().message().find("bootstrap"),
            std::string::npos);
  Serve<cluster_v3::Cluster>(ResourceType::kCluster, "c2", {});
  loop_.Advance(minutes(1));
  EXPECT_TRUE(directory_.known.contains("fixed"));
}

TEST_F(XdsClientTest, WithoutAControlPlaneTheStaticResourcesAreAll) {
  client_->SetDynamic(false, false);
  client_->Advance();
  EXPECT_TRUE(client_->configured());
  EXPECT_TRUE(requests_.empty());
}

}  // namespace
}  // namespace meltemi::proxy
