#include "proxy/config/store/config_store.h"

#include <gtest/gtest.h>

#include <utility>

#include "proxy/config/store/config_store_fake.h"
#include "proxy/listener/listener_config.h"
#include "proxy/route/route.h"
#include "proxy/upstream/cluster/cluster_config.h"

namespace meltemi::proxy {
namespace {

class ConfigStoreTest : public testing::Test {
 protected:
  using Events = std::vector<std::string>;

  void Cluster(const std::string& name, Discovery discovery = Discovery::kEds) {
    auto config = std::make_shared<ClusterConfig>();
    config->name = name;
    config->discovery = discovery;
    store_.SetCluster(std::move(config), nullptr, /*is_static=*/false, now_);
  }
  void Endpoints(const std::string& name) {
    store_.SetEndpoints(name, std::make_shared<EndpointsConfig>());
  }
  std::shared_ptr<const RouteTable> Table(const std::string& name,
                                          const std::vector<std::string>& clusters) {
    auto table = std::make_shared<RouteTable>();
    table->name = name;
    table->virtual_hosts.push_back(std::make_unique<VirtualHost>());
    auto route = std::make_unique<Route>();
    for (const std::string& cluster : clusters) {
      route->clusters.emplace_back();
      route->clusters.back().cluster = cluster;
    }
    table->virtual_hosts[0]->routes.push_back(std::move(route));
    return table;
  }
  void Routes(const std::string& name, const std::vector<std::string>& clusters) {
    store_.SetRoutes(name, Table(name, clusters), now_);
  }
  void Listener(const std::string& name, const std::vector<std::string>& rds_names,
                const std::string& tcp_cluster = "") {
    auto listener = std::make_shared<ListenerConfig>();
    listener->name = name;
    for (const std::string& rds_name : rds_names) {
      auto http = std::make_shared<HttpConfig>();
      http->rds_name = rds_name;
      listener->filter_chains.emplace_back();
      listener->filter_chains.back().http = std::move(http);
    }
    if (!tcp_cluster.empty()) {
      auto tcp = std::make_shared<TcpProxyConfig>();
      tcp->targets.push_back({tcp_cluster, 1});
      listener->default_chain.emplace();
      listener->default_chain->tcp = std::move(tcp);
    }
    store_.SetListener(std::move(listener), /*is_static=*/false, now_);
  }
  // What one Advance does.
  Events Advance(Duration later = Duration{0}) {
    now_ += later;
    events_.clear();
    wake_at_ = store_.Advance(now_);
    return events_;
  }
  // A listener "l" with routes "80" to a warm cluster "a", published.
  void Start() {
    Cluster("a");
    Endpoints("a");
    Listener("l", {"80"});
    Routes("80", {"a"});
    Advance();
    ASSERT_NE(sink_.last, nullptr);
    ASSERT_EQ(sink_.last->listeners.size(), 1u);
  }
  const Route& ActiveRoute() { return *sink_.last->routes.at("80")->virtual_hosts[0]->routes[0]; }

  MonotonicTime now_{seconds(100)};
  Events events_;
  FakeClusterDirectory directory_{events_};
  FakeSnapshotSink sink_{events_};
  ConfigStore store_{directory_,
                     sink_,
                     {.initial_fetch_timeout = seconds(15),
                      .unknown_cluster_hold = seconds(1),
                      .removed_cluster_linger = seconds(5)}};
  std::optional<MonotonicTime> wake_at_;
};

TEST_F(ConfigStoreTest, NothingReachesTheWorkersBeforeEndpointsAndRoutesAreThere) {
  Cluster("a");
  EXPECT_EQ(Advance(), Events{});
  EXPECT_EQ(store_.EndpointNames(), std::set<std::string>{"a"});
  Listener("l", {"80"});
  EXPECT_EQ(Advance(), Events{});
  EXPECT_EQ(store_.RouteNames(), std::set<std::string>{"80"});
  Routes("80", {"a"});
  EXPECT_EQ(Advance(), Events{});
  Endpoints("a");
  EXPECT_EQ(Advance(), (Events{"set a", "endpoints a", "publish", "snapshot"}));
  EXPECT_TRUE(store_.waiting().empty());
  EXPECT_EQ(wake_at_, std::nullopt);
}

TEST_F(ConfigStoreTest, RoutesThatNameANewClusterWaitUntilItIsWarmAndTheOldOnesServe) {
  Start();
  Routes("80", {"a", "b"});
  Cluster("b");
  EXPECT_EQ(Advance(), Events{});
  EXPECT_EQ(ActiveRoute().clusters.size(), 1u);
  directory_.cold.insert("b");  // a first health check is under way
  Endpoints("b");
  EXPECT_EQ(Advance(), (Events{"set b", "endpoints b", "publish"}));
  EXPECT_EQ(store_.waiting().at("routes 80"), "cluster b is not warm yet");
  directory_.cold.clear();
  store_.OnClusterWarm();
  EXPECT_EQ(Advance(), (Events{"publish", "snapshot"}));
  EXPECT_EQ(ActiveRoute().clusters.size(), 2u);
}

TEST_F(ConfigStoreTest, RoutesMayArriveBeforeTheClusterThatTheyName) {
  Start();
  Routes("80", {"late"});
  EXPECT_EQ(Advance(), Events{});
  EXPECT_EQ(ActiveRoute().clusters[0].cluster, "a");
  Cluster("late");
  Endpoints("late");
  EXPECT_EQ(Advance(milliseconds(500)),
            (Events{"set late", "endpoints late", "publish", "snapshot"}));
  EXPECT_EQ(ActiveRoute().clusters[0].cluster, "late");
}

TEST_F(ConfigStoreTest, AClusterThatNeverComesHoldsRoutesBackForASecondOnly) {
  Start();
  Routes("80", {"a", "typo"});
  EXPECT_EQ(Advance(), Events{});
  EXPECT_EQ(wake_at_, now_ + seconds(1));
  // A newer version does not start the wait anew.
  now_ += milliseconds(900);
  Routes("80", {"a", "typo", "a"});
  EXPECT_EQ(Advance(), Events{});
  EXPECT_EQ(Advance(milliseconds(100)), Events{"snapshot"});
  // And what is active already holds nothing back.
  Routes("80", {"typo"});
  EXPECT_EQ(Advance(), Events{"snapshot"});
}

TEST_F(ConfigStoreTest, ARemovedClusterStaysUntilItsRoutesAreReplaced) {
  Start();
  Cluster("b");
  Endpoints("b");
  Advance();
  store_.RetainClusters({"b"});
  EXPECT_EQ(Advance(minutes(10)), Events{});
  EXPECT_TRUE(directory_.known.contains("a"));
  // Its endpoints are still asked for: it still serves.
  EXPECT_TRUE(store_.EndpointNames().contains("a"));
  Routes("80", {"b"});
  EXPECT_EQ(Advance(), Events{"snapshot"});
  EXPECT_TRUE(directory_.known.contains("a"));
  EXPECT_EQ(wake_at_, now_ + seconds(5));
  EXPECT_EQ(Advance(seconds(5)), (Events{"remove a", "publish"}));
  EXPECT_EQ(store_.EndpointNames(), std::set<std::string>{"b"});
}

TEST_F(ConfigStoreTest, ARemovedClusterThatComesBackIsAsIfItHadNeverGone) {
  Start();
  store_.RetainClusters({});
  Advance();
  Cluster("a");
  EXPECT_EQ(Advance(), (Events{"set a", "endpoints a", "publish"}));
  EXPECT_EQ(Advance(minutes(1)), Events{});
  EXPECT_TRUE(directory_.known.contains("a"));
}

TEST_F(ConfigStoreTest, AChangedClusterNeedsNoNewEndpoints) {
  Start();
  Cluster("a");
  EXPECT_EQ(Advance(), (Events{"set a", "endpoints a", "publish"}));
}

TEST_F(ConfigStoreTest, AClusterThatMovesToAnotherEdsNameServesTheOldEndpointsMeanwhile) {
  Start();
  auto config = std::make_shared<ClusterConfig>();
  config->name = "a";
  config->discovery = Discovery::kEds;
  config->eds_service_name = "a2";
  store_.SetCluster(config, nullptr, false, now_);
  EXPECT_EQ(Advance(), Events{});
  EXPECT_EQ(store_.EndpointNames(), std::set<std::string>{"a2"});
  Endpoints("a2");
  EXPECT_EQ(Advance(), (Events{"set a", "endpoints a", "publish"}));
  store_.RetainClusters({});
  Routes("80", {"b"});
  Advance();
  Advance(seconds(1));
  EXPECT_EQ(Advance(seconds(5)), (Events{"remove a", "publish"}));
  EXPECT_TRUE(store_.EndpointNames().empty());
}

TEST_F(ConfigStoreTest, EndpointUpdatesGoStraightThrough) {
  Start();
  Endpoints("a");
  EXPECT_EQ(events_.back(), "endpoints a");
  EXPECT_EQ(Advance(), Events{"publish"});
  Endpoints("unknown");
  EXPECT_EQ(Advance(), Events{});
}

TEST_F(ConfigStoreTest, ListenersWaitForAllTheirRoutesEachForItsOwn) {
  Cluster("a");
  Endpoints("a");
  Listener("one", {"80"});
  Listener("two", {"80", "9080"});
  Routes("80", {"a"});
  Advance();
  ASSERT_NE(sink_.last, nullptr);
  EXPECT_TRUE(sink_.last->listeners.contains("one"));
  EXPECT_FALSE(sink_.last->listeners.contains("two"));
  Routes("9080", {"a"});
  Advance();
  EXPECT_TRUE(sink_.last->listeners.contains("two"));
}

TEST_F(ConfigStoreTest, ListenersWaitForTheirTcpClusters) {
  Listener("l", {}, "db");
  Cluster("db", Discovery::kStatic);
  directory_.cold.insert("db");
  EXPECT_EQ(Advance(), (Events{"set db", "publish"}));
  directory_.cold.clear();
  store_.OnClusterWarm();
  EXPECT_EQ(Advance(), (Events{"publish", "snapshot"}));
}

TEST_F(ConfigStoreTest, WhatTheControlPlaneNeverSendsIsWaitedForNoLongerThanTheFetchTimeout) {
  Cluster("a");
  Listener("l", {"80"});
  Advance();
  EXPECT_EQ(wake_at_, now_ + seconds(15));
  EXPECT_EQ(store_.waiting().at("listener l"), "no routes 80 yet");
  EXPECT_EQ(Advance(seconds(15)), (Events{"set a", "endpoints a", "publish", "snapshot"}));
  EXPECT_TRUE(sink_.last->listeners.contains("l"));
  EXPECT_TRUE(sink_.last->routes.at("80")->virtual_hosts.empty());
  // Late is better than never.
  Routes("80", {"a"});
  EXPECT_EQ(Advance(), Events{"snapshot"});
  EXPECT_EQ(ActiveRoute().clusters[0].cluster, "a");
}

TEST_F(ConfigStoreTest, ARemovedListenerTakesItsRoutesAlong) {
  Start();
  store_.RetainListeners({});
  EXPECT_EQ(Advance(), Events{"snapshot"});
  EXPECT_TRUE(sink_.last->listeners.empty());
  EXPECT_TRUE(sink_.last->routes.empty());
  EXPECT_TRUE(store_.RouteNames().empty());
}

TEST_F(ConfigStoreTest, AListenerIsNotTakenAwayBeforeItsSuccessorIsReady) {
  Start();
  Listener("successor", {"8080"});
  store_.RetainListeners({"successor"});
  EXPECT_EQ(Advance(), Events{});
  EXPECT_TRUE(sink_.last->listeners.contains("l"));
  Routes("8080", {"a"});
  EXPECT_EQ(Advance(), Events{"snapshot"});
  EXPECT_FALSE(sink_.last->listeners.contains("l"));
  EXPECT_TRUE(sink_.last->listeners.contains("successor"));
}

TEST_F(ConfigStoreTest, StaticResourcesAreNeverTakenAway) {
  auto config = std::make_shared<ClusterConfig>();
  config->name = "fixed";
  store_.SetCluster(config, std::make_shared<EndpointsConfig>(), /*is_static=*/true, now_);
  auto listener = std::make_shared<ListenerConfig>();
  listener->name = "fixed";
  store_.SetListener(listener, /*is_static=*/true, now_);
  EXPECT_EQ(Advance(), (Events{"set fixed", "publish", "snapshot"}));
  store_.RetainClusters({});
  store_.RetainListeners({});
  EXPECT_EQ(Advance(minutes(1)), Events{});
  EXPECT_TRUE(store_.IsStaticCluster("fixed"));
  EXPECT_TRUE(store_.IsStaticListener("fixed"));
}

TEST_F(ConfigStoreTest, AClusterTakenBackBeforeItWasReadyLeavesNoTrace) {
  Cluster("a");
  Advance();
  store_.RetainClusters({});
  EXPECT_EQ(Advance(minutes(1)), Events{});
  EXPECT_TRUE(store_.EndpointNames().empty());
}

}  // namespace
}  // namespace meltemi::proxy
