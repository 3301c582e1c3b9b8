// Stories of an incremental conversation with a control plane, as xds_client_test.cc has them for
// the state of the world.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/loop/loop_fake.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/service/discovery/v3/discovery.pb.h"
#include "google/rpc/status.pb.h"
#include "proxy/config/store/config_store.h"
#include "proxy/config/store/config_store_fake.h"
#include "proxy/config/xds/compiler_fake.h"
#include "proxy/config/xds/intake.h"
#include "proxy/config/xds/xds_client.h"
#include "proxy/route/route.h"

namespace meltemi::proxy {
namespace {

namespace cluster_v3 = envoy::config::cluster::v3;
namespace endpoint_v3 = envoy::config::endpoint::v3;
namespace listener_v3 = envoy::config::listener::v3;
namespace route_v3 = envoy::config::route::v3;
using envoy::service::discovery::v3::DeltaDiscoveryRequest;
using envoy::service::discovery::v3::DeltaDiscoveryResponse;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;

constexpr ResourceType kC = ResourceType::kCluster;
constexpr ResourceType kE = ResourceType::kEndpoints;
constexpr ResourceType kL = ResourceType::kListener;
constexpr ResourceType kR = ResourceType::kRoutes;

cluster_v3::Cluster Eds(const std::string& name) {
  cluster_v3::Cluster cluster;
  cluster.set_name(name);
  cluster.set_type(cluster_v3::Cluster::EDS);
  return cluster;
}
endpoint_v3::ClusterLoadAssignment Endpoints(const std::string& name) {
  endpoint_v3::ClusterLoadAssignment endpoints;
  endpoints.set_cluster_name(name);
  return endpoints;
}
listener_v3::Listener Listener(const std::string& name, const std::string& rds_name) {
  listener_v3::Listener listener;
  listener.set_name(name);
  listener.set_stat_prefix(rds_name);
  return listener;
}
route_v3::RouteConfiguration Routes(const std::string& name, const std::string& cluster) {
  route_v3::RouteConfiguration routes;
  routes.set_name(name);
  routes.add_virtual_hosts()->set_name(cluster);
  return routes;
}

// A response under construction: resources of the version "v1" unless told otherwise.
class Changes {
 public:
  explicit Changes(ResourceType type) { message_.set_type_url(std::string(TypeUrl(type))); }
  template <typename T>
  Changes& Set(const std::string& name, const T& resource, const std::string& version = "v1") {
    auto& entry = *message_.add_resources();
    entry.set_name(name);
    entry.set_version(version);
    entry.mutable_resource()->PackFrom(resource);
    return *this;
  }
  Changes& Gone(const std::string& name) {
    message_.add_removed_resources(name);
    return *this;
  }
  DeltaDiscoveryResponse& message() { return message_; }

 private:
  DeltaDiscoveryResponse message_;
};

class DeltaClientTest : public testing::Test {
 protected:
  DeltaClientTest() {
    envoy::config::core::v3::Node node;
    node.set_id("node-1");
    client_ = std::make_unique<XdsClient>(loop_, intake_, store_, node, registry_.NewShard().root(),
                                          [this](std::string bytes) {
                                            DeltaDiscoveryRequest request;
                                            ASSERT_TRUE(request.ParseFromString(bytes));
                                            requests_.push_back(std::move(request));
                                          });
    client_->SetProtocol(XdsProtocol::kDelta);
  }

  void Serve(Changes& changes) {
    changes.message().set_nonce(absl::StrCat("nonce-", ++nonce_));
    ASSERT_TRUE(client_->OnMessage(changes.message().SerializeAsString()).ok());
  }
  void Serve(Changes&& changes) { Serve(changes); }
  std::string LastNonce() const { return absl::StrCat("nonce-", nonce_); }
  DeltaDiscoveryRequest Next(ResourceType type) {
    if (requests_.empty()) {
      ADD_FAILURE() << "no request where one of " << ShortName(type) << " was expected";
      return {};
    }
    DeltaDiscoveryRequest request = requests_.front();
    requests_.pop_front();
    EXPECT_EQ(request.type_url(), TypeUrl(type));
    return request;
  }
  // The reason of the NACK that answers the last response; "": it is an ACK.
  std::string Answer(ResourceType type) {
    const DeltaDiscoveryRequest request = Next(type);
    EXPECT_EQ(request.response_nonce(), LastNonce());
    EXPECT_THAT(request.initial_resource_versions(), IsEmpty());
    return request.error_detail().message();
  }
  // Cluster "a" with endpoints, listener "l" with routes "80" to it.
  void Start() {
    client_->Advance();
    client_->OnConnected();
    Serve(Changes(kC).Set("a", Eds("a"), "c1"));
    Serve(Changes(kE).Set("a", Endpoints("a"), "e1"));
    Serve(Changes(kL).Set("l", Listener("l", "80"), "l1"));
    Serve(Changes(kR).Set("80", Routes("80", "a"), "r1"));
    requests_.clear();
    ASSERT_TRUE(client_->configured());
  }
  void Reconnect() {
    client_->OnDisconnected("reset");
    requests_.clear();
    client_->OnConnected();
  }
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
  std::deque<DeltaDiscoveryRequest> requests_;
  int nonce_ = 0;
};

TEST_F(DeltaClientTest, FromNothingToServing) {
  client_->OnConnected();
  const DeltaDiscoveryRequest first = Next(kC);
  EXPECT_EQ(first.node().id(), "node-1");
  EXPECT_THAT(first.resource_names_subscribe(), IsEmpty()) << "everything";
  EXPECT_FALSE(Next(kL).has_node());
  Serve(Changes(kC).Set("a", Eds("a")).Set("b", Eds("b")));
  EXPECT_EQ(Answer(kC), "");
  EXPECT_THAT(Next(kE).resource_names_subscribe(), ElementsAre("a", "b"));
  Serve(Changes(kL).Set("l", Listener("l", "80")));
  EXPECT_EQ(Answer(kL), "");
  EXPECT_THAT(Next(kR).resource_names_subscribe(), ElementsAre("80"));
  Serve(Changes(kR).Set("80", Routes("80", "b")));
  EXPECT_EQ(sink_.last, nullptr);
  Serve(Changes(kE).Set("a", Endpoints("a")).Set("b", Endpoints("b")));
  EXPECT_TRUE(client_->configured());
  EXPECT_EQ(ActiveCluster(), "b");
}

TEST_F(DeltaClientTest, NamesAreSubscribedToAndGivenUpOneByOne) {
  Start();
  Serve(Changes(kC).Set("b", Eds("b")));
  EXPECT_EQ(Answer(kC), "");
  DeltaDiscoveryRequest more = Next(kE);
  EXPECT_THAT(more.resource_names_subscribe(), ElementsAre("b"));
  EXPECT_THAT(more.resource_names_unsubscribe(), IsEmpty());
  EXPECT_EQ(more.response_nonce(), "") << "it answers nothing";
  Serve(Changes(kC).Gone("b"));
  loop_.Advance(seconds(6));
  EXPECT_EQ(Answer(kC), "");
  EXPECT_THAT(Next(kE).resource_names_unsubscribe(), ElementsAre("b"));
  // What was on its way to us is left aside, and not an error.
  const int compiled = compiler_.compiled;
  Serve(Changes(kE).Set("b", Endpoints("b")));
  EXPECT_EQ(Answer(kE), "");
  EXPECT_EQ(compiler_.compiled, compiled);
  EXPECT_EQ(intake_.records(kE).count("b"), 0u);
}

TEST_F(DeltaClientTest, AListenerThatIsTakenAwayIsGoneAndComesBack) {
  Start();
  Serve(Changes(kL).Gone("l"));
  EXPECT_EQ(Answer(kL), "");
  EXPECT_TRUE(sink_.last->listeners.empty());
  EXPECT_THAT(Next(kR).resource_names_unsubscribe(), ElementsAre("80"));
  Serve(Changes(kL).Set("l", Listener("l", "80"), "l1"));
  EXPECT_EQ(Answer(kL), "");
  EXPECT_THAT(Next(kR).resource_names_subscribe(), ElementsAre("80"));
  Serve(Changes(kR).Set("80", Routes("80", "a"), "r1"));
  EXPECT_TRUE(sink_.last->listeners.contains("l"));
}

TEST_F(DeltaClientTest, AClusterThatIsTakenAwayServesUntilNoRouteNamesIt) {
  Start();
  Serve(Changes(kC).Set("b", Eds("b")).Gone("a"));
  Serve(Changes(kE).Set("b", Endpoints("b")));
  loop_.Advance(seconds(60));
  EXPECT_TRUE(directory_.known.contains("a"));
  EXPECT_EQ(ActiveCluster(), "a");
  requests_.clear();
  Serve(Changes(kR).Set("80", Routes("80", "b"), "r2"));
  EXPECT_EQ(ActiveCluster(), "b");
  EXPECT_TRUE(directory_.known.contains("a")) << "for requests on their way";
  loop_.Advance(seconds(6));
  EXPECT_FALSE(directory_.known.contains("a"));
  EXPECT_EQ(Answer(kR), "");
  EXPECT_THAT(Next(kE).resource_names_unsubscribe(), ElementsAre("a"));
}

TEST_F(DeltaClientTest, AClusterThatComesBackWhileItIsGoingStays) {
  Start();
  Serve(Changes(kC).Gone("a"));
  loop_.Advance(seconds(3));
  Serve(Changes(kC).Set("a", Eds("a"), "c1"));
  loop_.Advance(seconds(60));
  EXPECT_TRUE(directory_.known.contains("a"));
  Serve(Changes(kR).Set("80", Routes("80", "a"), "r2"));
  EXPECT_EQ(ActiveCluster(), "a");
  EXPECT_EQ(intake_.records(kC).at("a").version, "c1");
}

TEST_F(DeltaClientTest, EndpointsThatAreGoneLeaveTheClusterWithWhatItHas) {
  Start();
  events_.clear();
  Serve(Changes(kE).Gone("a").Gone("nobody's"));
  EXPECT_EQ(Answer(kE), "");
  EXPECT_THAT(events_, testing::Not(testing::Contains("endpoints a")));
  // One that waits for its first goes on without any.
  Serve(Changes(kC).Set("b", Eds("b")));
  Serve(Changes(kE).Gone("b"));
  EXPECT_TRUE(directory_.known.contains("b"));
}

TEST_F(DeltaClientTest, ARefusalNamesTheBadOneAndKeepsWhatWasThere) {
  Start();
  listener_v3::Listener bad = Listener("bad-one", "80");
  Serve(Changes(kL).Set("bad-one", bad, "l2").Set("m", Listener("m", "80"), "l2"));
  EXPECT_EQ(Answer(kL),
            "1 of 2 resources rejected: listener 'bad-one': field 'x' is not supported");
  EXPECT_TRUE(sink_.last->listeners.contains("l"));
  EXPECT_TRUE(sink_.last->listeners.contains("m")) << "the good one is applied";
  EXPECT_EQ(intake_.records(kL).at("bad-one").refused->version, "l2");
  // What is taken away in the same response is gone all the same.
  Serve(Changes(kL).Set("bad-one", bad, "l3").Gone("m"));
  EXPECT_NE(Answer(kL), "");
  EXPECT_FALSE(sink_.last->listeners.contains("m"));
  // And once it is good, nothing is left of the refusal.
  Serve(Changes(kL).Gone("bad-one"));
  EXPECT_EQ(Answer(kL), "");
  EXPECT_EQ(intake_.records(kL).count("bad-one"), 0u);
  EXPECT_EQ(client_->state().last_error(kL), "");
}

TEST_F(DeltaClientTest, AReconnectTellsWhatIsThereAndTakesWhatDiffers) {
  Start();
  Serve(Changes(kC).Set("b", Eds("b"), "c2").Set("bad", Eds("bad"), "c3"));
  Serve(Changes(kE).Set("b", Endpoints("b"), "e2"));
  Reconnect();
  const DeltaDiscoveryRequest clusters = Next(kC);
  EXPECT_THAT(clusters.initial_resource_versions(),
              UnorderedElementsAre(Pair("a", "c1"), Pair("b", "c2")));
  EXPECT_EQ(clusters.response_nonce(), "");
  EXPECT_TRUE(clusters.has_node());
  const DeltaDiscoveryRequest endpoints = Next(kE);
  EXPECT_THAT(endpoints.resource_names_subscribe(), ElementsAre("a", "b"));
  EXPECT_THAT(endpoints.initial_resource_versions(),
              UnorderedElementsAre(Pair("a", "e1"), Pair("b", "e2")));
  EXPECT_THAT(Next(kL).initial_resource_versions(), ElementsAre(Pair("l", "l1")));
  EXPECT_THAT(Next(kR).initial_resource_versions(), ElementsAre(Pair("80", "r1")));
  // Only what differs comes; the rest stays.
  const int compiled = compiler_.compiled;
  Serve(Changes(kC).Gone("b"));
  EXPECT_EQ(Answer(kC), "");
  loop_.Advance(seconds(6));
  EXPECT_TRUE(directory_.known.contains("a"));
  EXPECT_FALSE(directory_.known.contains("b"));
  EXPECT_EQ(compiler_.compiled, compiled);
  EXPECT_EQ(ActiveCluster(), "a");
  EXPECT_THAT(Next(kE).resource_names_unsubscribe(), ElementsAre("b"));
}

TEST_F(DeltaClientTest, WhatIsLearntWithoutAStreamIsAskedForOnTheNext) {
  Start();
  Serve(Changes(kC).Gone("a"));
  Serve(Changes(kL).Gone("l"));
  client_->OnDisconnected("reset");
  requests_.clear();
  loop_.Advance(seconds(6));
  EXPECT_FALSE(directory_.known.contains("a"));
  EXPECT_THAT(requests_, IsEmpty());
  client_->OnConnected();
  EXPECT_THAT(Next(kC).initial_resource_versions(), IsEmpty());
  EXPECT_THAT(Next(kL).initial_resource_versions(), IsEmpty());
  EXPECT_THAT(requests_, IsEmpty()) << "no names of endpoints and routes are left";
}

TEST_F(DeltaClientTest, StaticResourcesAreNeitherToldNorTakenAway) {
  envoy::config::bootstrap::v3::Bootstrap bootstrap;
  *bootstrap.mutable_static_resources()->add_clusters() = Eds("fixed");
  bootstrap.mutable_static_resources()->mutable_clusters(0)->set_type(cluster_v3::Cluster::STATIC);
  ASSERT_TRUE(intake_.AddStatic(bootstrap, loop_.Now()).ok());
  Start();
  Serve(Changes(kC).Gone("fixed"));
  loop_.Advance(minutes(1));
  EXPECT_TRUE(directory_.known.contains("fixed"));
  Reconnect();
  EXPECT_THAT(Next(kC).initial_resource_versions(), ElementsAre(Pair("a", "c1")));
}

// ---- What no control plane should say

TEST_F(DeltaClientTest, ATypeThatWasNotAskedForIsRefusedAndNotSubscribedTo) {
  client_->SetDynamic(/*clusters=*/false, /*listeners=*/true);
  client_->OnConnected();
  Next(kL);
  for (const ResourceType type : {kC, kE}) {
    Serve(Changes(type).Set("a", Eds("a")));
    const DeltaDiscoveryRequest answer = Next(type);
    EXPECT_EQ(answer.response_nonce(), LastNonce());
    EXPECT_THAT(answer.error_detail().message(), HasSubstr("was not asked for"));
    EXPECT_THAT(intake_.records(type), IsEmpty());
  }
  EXPECT_TRUE(directory_.known.empty());
  DeltaDiscoveryResponse strange;
  strange.set_type_url("type.googleapis.com/x.Y");
  strange.set_nonce("n");
  ASSERT_TRUE(client_->OnMessage(strange.SerializeAsString()).ok());
  EXPECT_EQ(requests_.front().type_url(), "type.googleapis.com/x.Y");
  EXPECT_NE(requests_.front().error_detail().message(), "");
}

TEST_F(DeltaClientTest, GarbageIsRefusedAndTheRestIsTakenIn) {
  Start();
  EXPECT_FALSE(client_->OnMessage("\xff\xff\xff").ok());
  Changes changes(kC);
  auto& broken = *changes.message().add_resources();
  broken.set_name("broken");
  broken.mutable_resource()->set_type_url(std::string(TypeUrl(kC)));
  broken.mutable_resource()->set_value("\xff\xff");
  changes.Set("wrong", Listener("wrong", "80"))
      .Set("", cluster_v3::Cluster())
      .Set("alias", Eds("real"))
      .Set("good", Eds("good"));
  changes.message().add_resources()->set_name("empty");
  Serve(changes);
  const std::string why = Answer(kC);
  EXPECT_THAT(why, HasSubstr("5 of 6 resources rejected"));
  EXPECT_THAT(why, HasSubstr("can't be decoded"));
  EXPECT_THAT(why, HasSubstr("expected type"));
  EXPECT_THAT(why, HasSubstr("has no name"));
  EXPECT_THAT(why, HasSubstr("'real' comes under the name 'alias'"));
  loop_.Advance(minutes(1));
  EXPECT_THAT(directory_.known, UnorderedElementsAre("a", "good"));
}

TEST_F(DeltaClientTest, TheSameBytesUnderAnotherNameAreNotTheOldOnes) {
  Start();
  Serve(Changes(kC).Set("alias", Eds("a"), "c9"));
  EXPECT_THAT(Answer(kC), HasSubstr("'a' comes under the name 'alias'"));
  EXPECT_EQ(intake_.records(kC).at("a").version, "c1");
}

TEST_F(DeltaClientTest, TwiceInOneResponseIsRefusedAndTheFirstStays) {
  Start();
  Serve(Changes(kL).Set("m", Listener("m", "80"), "l2").Set("m", Listener("m", "81"), "l3"));
  EXPECT_EQ(Answer(kL), "1 of 2 resources rejected: listener 'm': is there twice");
  EXPECT_EQ(intake_.records(kL).at("m").version, "l2");
  Serve(Changes(kL).Set("l", Listener("l", "80"), "l9").Gone("l"));
  EXPECT_THAT(Answer(kL), HasSubstr("listener 'l': is there and taken away in one response"));
  EXPECT_TRUE(sink_.last->listeners.contains("l"));
}

TEST_F(DeltaClientTest, ARepeatedResponseIsAnsweredAgainAndChangesNothing) {
  Start();
  Changes changes = Changes(kC).Set("a", Eds("a"), "c2");
  Serve(changes);
  EXPECT_EQ(Answer(kC), "");
  const int compiled = compiler_.compiled;
  const auto events = events_;
  ASSERT_TRUE(client_->OnMessage(changes.message().SerializeAsString()).ok());
  EXPECT_EQ(Answer(kC), "") << "under the same nonce";
  EXPECT_EQ(compiler_.compiled, compiled);
  EXPECT_EQ(events_, events);
}

TEST_F(DeltaClientTest, ASignOfLifeWithoutContentLeavesTheResource) {
  Start();
  Changes changes(kC);
  changes.message().add_resources()->set_name("a");
  Serve(changes);
  EXPECT_EQ(Answer(kC), "");
  EXPECT_EQ(intake_.records(kC).at("a").version, "c1");
  EXPECT_TRUE(directory_.known.contains("a"));
}

}  // namespace
}  // namespace meltemi::proxy
