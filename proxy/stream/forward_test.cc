#include "proxy/stream/forward.h"

#include <gtest/gtest.h>

#include "base/random/random_fake.h"

namespace meltemi::proxy {
namespace {

TEST(GrpcTimeoutTest, Units) {
  EXPECT_EQ(ParseGrpcTimeout("1H"), std::chrono::hours(1));
  EXPECT_EQ(ParseGrpcTimeout("2M"), minutes(2));
  EXPECT_EQ(ParseGrpcTimeout("3S"), seconds(3));
  EXPECT_EQ(ParseGrpcTimeout("4m"), milliseconds(4));
  EXPECT_EQ(ParseGrpcTimeout("5u"), microseconds(5));
  EXPECT_EQ(ParseGrpcTimeout("6n"), Duration(6));
  for (const char* bad : {"", "S", "1", "1x", "-1S", "123456789S", "+1S"}) {
    EXPECT_EQ(ParseGrpcTimeout(bad), std::nullopt) << bad;
  }
}

class TimeoutsTest : public ::testing::Test {
 protected:
  ForwardTimeouts Decide() { return DecideTimeouts(route_, false, *request_); }
  Route route_;
  http::HeaderMapPtr request_ = http::HeaderMap::New();
};

TEST_F(TimeoutsTest, DefaultIsEnvoys15Seconds) {
  EXPECT_EQ(Decide().request, seconds(15));
  route_.timeouts.request = Duration(0);
  EXPECT_EQ(Decide().request, Duration(0));
}

TEST_F(TimeoutsTest, PerTryAsLongAsTheWholeIsNone) {
  auto retry = std::make_shared<RetryPolicy>();
  retry->per_try_timeout = seconds(20);
  route_.retry = retry;
  EXPECT_EQ(Decide().per_try, Duration(0));
  route_.timeouts.request = Duration(0);
  EXPECT_EQ(Decide().per_try, seconds(20));
  EXPECT_EQ(request_->Get("x-envoy-expected-rq-timeout-ms"), "20000");
}

TEST_F(TimeoutsTest, HeadersSpeakOverTheRouteAndAreTakenOut) {
  request_->Add("x-envoy-upstream-rq-timeout-ms", "700");
  request_->Add("x-envoy-upstream-rq-per-try-timeout-ms", "300");
  const ForwardTimeouts timeouts = Decide();
  EXPECT_EQ(timeouts.request, milliseconds(700));
  EXPECT_EQ(timeouts.per_try, milliseconds(300));
  EXPECT_EQ(request_->Find("x-envoy-upstream-rq-timeout-ms"), nullptr);
  EXPECT_EQ(request_->Find("x-envoy-upstream-rq-per-try-timeout-ms"), nullptr);
  request_->Add("x-envoy-upstream-rq-timeout-ms", "junk");
  EXPECT_EQ(Decide().request, seconds(15));
}

TEST_F(TimeoutsTest, GrpcTimeoutCountsWithinItsLimit) {
  request_->Add("content-type", "application/grpc");
  request_->Add("grpc-timeout", "2S");
  EXPECT_EQ(Decide().request, seconds(15));
  route_.timeouts.grpc_header_max = Duration(0);
  EXPECT_EQ(Decide().request, seconds(2));
  request_->Set("grpc-timeout", "90S");
  route_.timeouts.grpc_header_max = seconds(30);
  EXPECT_EQ(Decide().request, seconds(30));
  EXPECT_EQ(request_->Get("grpc-timeout"), "30000m");
}

TEST(UpgradeConversionTest, BothWays) {
  FakeRandom random(1);
  http::HeaderMapPtr request = http::HeaderMap::New();
  request->set_method("GET");
  request->Add("upgrade", "websocket");
  request->Add("sec-websocket-key", "abc");
  ConvertUpgradeRequest(http::Protocol::kHttp2, random, *request);
  EXPECT_EQ(request->method(), "CONNECT");
  EXPECT_EQ(request->protocol(), "websocket");
  EXPECT_EQ(request->Find("upgrade"), nullptr);
  ConvertUpgradeRequest(http::Protocol::kHttp11, random, *request);
  EXPECT_EQ(request->method(), "GET");
  EXPECT_EQ(request->Get("upgrade"), "websocket");
  EXPECT_EQ(request->Get("sec-websocket-key"), "abc");

  http::HeaderMapPtr response = http::HeaderMap::New();
  response->set_status(101);
  ConvertUpgradeResponse(http::Protocol::kHttp2, "websocket", *response);
  EXPECT_EQ(response->status(), 200);
  ConvertUpgradeResponse(http::Protocol::kHttp11, "websocket", *response);
  EXPECT_EQ(response->status(), 101);
  EXPECT_EQ(response->Get("upgrade"), "websocket");
}

TEST(UpgradeConversionTest, KeyIsMadeForHttp1) {
  FakeRandom random(1);
  http::HeaderMapPtr request = http::HeaderMap::New();
  request->set_method("CONNECT");
  request->set_protocol("websocket");
  ConvertUpgradeRequest(http::Protocol::kHttp11, random, *request);
  EXPECT_EQ(request->Get("sec-websocket-key").size(), 24u);
}

TEST(ClusterForTest, NameOrHeader) {
  WeightedCluster picked;
  http::HeaderMapPtr request = http::HeaderMap::New();
  picked.cluster = "a";
  EXPECT_EQ(ClusterFor(picked, *request), "a");
  picked.cluster = "";
  picked.cluster_header = "x-cluster";
  EXPECT_EQ(ClusterFor(picked, *request), "");
  request->Add("x-cluster", "b");
  EXPECT_EQ(ClusterFor(picked, *request), "b");
}

}  // namespace
}  // namespace meltemi::proxy
