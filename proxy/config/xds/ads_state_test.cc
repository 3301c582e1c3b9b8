#include "proxy/config/xds/ads_state.h"

#include <gtest/gtest.h>

#include "base/random/random_fake.h"

namespace meltemi::proxy {
namespace {

std::string Url(ResourceType type) { return std::string(TypeUrl(type)); }

TEST(AdsStateTest, ANewStreamAsksForClustersAndListenersAndNamesTheNodeOnce) {
  AdsState state;
  EXPECT_TRUE(state.TakeRequests().empty());
  state.OnConnected();
  const std::vector<AdsRequest> requests = state.TakeRequests();
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(requests[0].type_url, Url(ResourceType::kCluster));
  EXPECT_TRUE(requests[0].with_node);
  EXPECT_EQ(requests[0].version, "");
  EXPECT_EQ(requests[0].nonce, "");
  EXPECT_EQ(requests[1].type_url, Url(ResourceType::kListener));
  EXPECT_FALSE(requests[1].with_node);
  EXPECT_TRUE(state.TakeRequests().empty());
}

TEST(AdsStateTest, AGoodResponseIsAcknowledgedWithItsVersionAndNonce) {
  AdsState state;
  state.OnConnected();
  state.TakeRequests();
  state.OnResponse(ResourceType::kCluster, "v1", "n1", 3, {});
  const std::vector<AdsRequest> requests = state.TakeRequests();
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_EQ(requests[0].version, "v1");
  EXPECT_EQ(requests[0].nonce, "n1");
  EXPECT_EQ(requests[0].error, "");
  EXPECT_TRUE(state.received(ResourceType::kCluster));
  EXPECT_FALSE(state.received(ResourceType::kListener));
}

TEST(AdsStateTest, OneBadResourceOfThreeRefusesTheResponseByNameAndKeepsTheVersion) {
  AdsState state;
  state.OnConnected();
  state.OnResponse(ResourceType::kCluster, "v1", "n1", 3, {});
  state.TakeRequests();
  state.OnResponse(ResourceType::kCluster, "v2", "n2", 3, {{"b", "lb_policy: unknown"}});
  std::vector<AdsRequest> requests = state.TakeRequests();
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_EQ(requests[0].version, "v1");
  EXPECT_EQ(requests[0].nonce, "n2");
  EXPECT_EQ(requests[0].error, "1 of 3 resources rejected: cluster 'b': lb_policy: unknown");
  EXPECT_EQ(state.last_error(ResourceType::kCluster), requests[0].error);
  // The next good one clears it.
  state.OnResponse(ResourceType::kCluster, "v3", "n3", 3, {});
  requests = state.TakeRequests();
  EXPECT_EQ(requests[0].version, "v3");
  EXPECT_EQ(requests[0].error, "");
  EXPECT_EQ(state.last_error(ResourceType::kCluster), "");
}

TEST(AdsStateTest, EndpointNamesFollowWhatIsWanted) {
  AdsState state;
  state.OnConnected();
  state.TakeRequests();
  state.SetNames(ResourceType::kEndpoints, {});  // nothing to ask for: no accidental wildcard
  EXPECT_TRUE(state.TakeRequests().empty());
  state.SetNames(ResourceType::kEndpoints, {"b", "a"});
  std::vector<AdsRequest> requests = state.TakeRequests();
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_EQ(requests[0].names, (std::vector<std::string>{"a", "b"}));
  state.SetNames(ResourceType::kEndpoints, {"a", "b"});
  EXPECT_TRUE(state.TakeRequests().empty());
  state.OnResponse(ResourceType::kEndpoints, "e1", "x1", 2, {});
  state.TakeRequests();
  state.SetNames(ResourceType::kEndpoints, {"a", "b", "c"});
  requests = state.TakeRequests();
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_EQ(requests[0].version, "e1");
  EXPECT_EQ(requests[0].nonce, "x1");
  EXPECT_EQ(requests[0].names.size(), 3u);
  // All clusters are gone: the subscription is given up explicitly.
  state.SetNames(ResourceType::kEndpoints, {});
  requests = state.TakeRequests();
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_TRUE(requests[0].names.empty());
}

TEST(AdsStateTest, ReconnectingSubscribesAgainWithTheLastVersionsAndNoNonce) {
  AdsState state;
  state.OnConnected();
  state.OnResponse(ResourceType::kCluster, "c7", "n1", 1, {});
  state.SetNames(ResourceType::kEndpoints, {"a"});
  state.OnResponse(ResourceType::kEndpoints, "e7", "n2", 1, {});
  state.OnResponse(ResourceType::kListener, "l7", "n3", 1, {});
  state.SetNames(ResourceType::kRoutes, {"80"});
  state.TakeRequests();
  state.OnDisconnected();
  // What is learnt meanwhile is not sent into the void.
  state.SetNames(ResourceType::kRoutes, {"80", "9080"});
  EXPECT_TRUE(state.TakeRequests().empty());
  state.OnConnected();
  const std::vector<AdsRequest> requests = state.TakeRequests();
  ASSERT_EQ(requests.size(), 4u);
  EXPECT_EQ(requests[0].type_url, Url(ResourceType::kCluster));
  EXPECT_EQ(requests[0].version, "c7");
  EXPECT_TRUE(requests[0].with_node);
  EXPECT_EQ(requests[1].type_url, Url(ResourceType::kEndpoints));
  EXPECT_EQ(requests[1].version, "e7");
  EXPECT_EQ(requests[2].version, "l7");
  EXPECT_EQ(requests[3].names, (std::vector<std::string>{"80", "9080"}));
  EXPECT_EQ(requests[3].version, "");
  for (const AdsRequest& request : requests) EXPECT_EQ(request.nonce, "");
}

TEST(AdsStateTest, IncrementalNamesAreToldOncePerStream) {
  AdsState state;
  state.SetProtocol(XdsProtocol::kDelta);
  state.OnConnected();
  EXPECT_FALSE(state.asked(ResourceType::kEndpoints));
  state.SetNames(ResourceType::kEndpoints, {"a", "b"});
  EXPECT_TRUE(state.asked(ResourceType::kEndpoints));
  EXPECT_EQ(state.TakeRequests().back().names, (std::vector<std::string>{"a", "b"}));
  state.SetNames(ResourceType::kEndpoints, {"b", "c"});
  std::vector<AdsRequest> requests = state.TakeRequests();
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_EQ(requests[0].names, std::vector<std::string>{"c"});
  EXPECT_EQ(requests[0].unsubscribe, std::vector<std::string>{"a"});
  EXPECT_FALSE(requests[0].with_versions);
  // An acknowledgement says nothing about names.
  state.OnResponse(ResourceType::kEndpoints, "", "n1", 1, {});
  requests = state.TakeRequests();
  EXPECT_TRUE(requests[0].names.empty() && requests[0].unsubscribe.empty());
  EXPECT_EQ(requests[0].nonce, "n1");
  // None any more, and one again: not everything, and not for the first time.
  state.SetNames(ResourceType::kEndpoints, {});
  EXPECT_EQ(state.TakeRequests()[0].unsubscribe, (std::vector<std::string>{"b", "c"}));
  state.SetNames(ResourceType::kEndpoints, {"a"});
  requests = state.TakeRequests();
  EXPECT_EQ(requests[0].names, std::vector<std::string>{"a"});
  EXPECT_FALSE(requests[0].with_versions);
  // A new stream has been told nothing.
  state.OnDisconnected();
  EXPECT_FALSE(state.asked(ResourceType::kEndpoints));
  state.SetNames(ResourceType::kEndpoints, {"a", "z"});
  state.OnConnected();
  requests = state.TakeRequests();
  ASSERT_EQ(requests.size(), 3u);
  EXPECT_EQ(requests[1].names, (std::vector<std::string>{"a", "z"}));
  EXPECT_TRUE(requests[1].with_versions);
  EXPECT_TRUE(requests[1].unsubscribe.empty());
}

TEST(AdsRetryTest, DelaysDoubleUpToTheMaximumAndAResponseStartsThemAgain) {
  AdsRetry retry({.first = milliseconds(100), .max = milliseconds(1000)});
  FakeRandom least(0);
  FakeRandom most(~uint64_t{0});
  EXPECT_EQ(retry.NextDelay(least), milliseconds(50));
  EXPECT_EQ(retry.NextDelay(most), milliseconds(200));
  EXPECT_EQ(retry.NextDelay(least), milliseconds(200));
  EXPECT_EQ(retry.NextDelay(most), milliseconds(800));
  EXPECT_EQ(retry.NextDelay(most), milliseconds(1000));
  EXPECT_EQ(retry.NextDelay(most), milliseconds(1000));
  retry.Succeeded();
  EXPECT_EQ(retry.NextDelay(most), milliseconds(100));
}

TEST(AdsStateTest, AnUnknownTypeIsRefusedByItsName) {
  AdsState state;
  state.OnConnected();
  state.TakeRequests();
  state.OnUnknownType("type.googleapis.com/x.Y", "n9");
  const std::vector<AdsRequest> requests = state.TakeRequests();
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_EQ(requests[0].type_url, "type.googleapis.com/x.Y");
  EXPECT_EQ(requests[0].nonce, "n9");
  EXPECT_NE(requests[0].error, "");
}

TEST(AdsStateTest, AResponseWithNothingInItIsAccepted) {
  AdsState state;
  state.OnConnected();
  state.OnResponse(ResourceType::kListener, "v1", "n1", 0, {});
  EXPECT_TRUE(state.received(ResourceType::kListener));
}

TEST(AdsStateTest, ManyReasonsAreBounded) {
  std::vector<Rejection> rejections(1000, {"cluster-with-a-long-name", std::string(100, 'r')});
  const std::string text = RejectionText(ResourceType::kCluster, 1000, rejections);
  EXPECT_LT(text.size(), 5000u);
  EXPECT_NE(text.find(" more"), std::string::npos);
}

}  // namespace
}  // namespace meltemi::proxy
