#include "proxy/upstream/attempt/retry_state.h"

#include <memory>
#include <set>
#include <string>

#include "base/random/random_fake.h"
#include "gtest/gtest.h"
#include "proxy/upstream/cluster/host.h"

namespace meltemi::proxy {
namespace {

class RetryStateTest : public ::testing::Test {
 protected:
  http::HeaderMapPtr Request(const std::string& method = "GET") {
    http::HeaderMapPtr headers = http::HeaderMap::New();
    headers->set_method(method);
    headers->set_path("/");
    return headers;
  }
  http::HeaderMapPtr Response(int status) {
    http::HeaderMapPtr headers = http::HeaderMap::New();
    headers->set_status(status);
    return headers;
  }
  RetryPermit Permit() {
    if (places_ == 0) return nullptr;
    --places_;
    return RetryPermit(this, [this](const void*) { ++places_; });
  }
  RetryVerdict OnStatus(RetryState& state, int status) {
    return state.OnResponseHeaders(*Response(status), [this] { return Permit(); });
  }
  RetryVerdict OnError(RetryState& state, StreamError error, bool sent) {
    return state.OnAttemptFailed(error, sent, [this] { return Permit(); });
  }
  // The verdict of a fresh state.
  RetryVerdict StatusVerdict(uint32_t retry_on, int status, const std::string& method = "GET") {
    RetryPolicy policy{.retry_on = retry_on};
    auto request = Request(method);
    RetryState state(&policy, *request);
    return OnStatus(state, status);
  }
  RetryVerdict ErrorVerdict(uint32_t retry_on, StreamError error, bool sent = true,
                            const std::string& method = "GET") {
    RetryPolicy policy{.retry_on = retry_on};
    auto request = Request(method);
    RetryState state(&policy, *request);
    return OnError(state, error, sent);
  }
  int places_ = 100;
};

TEST_F(RetryStateTest, StatusConditions) {
  const auto yes = RetryVerdict::kRetry, no = RetryVerdict::kNo;
  EXPECT_EQ(StatusVerdict(kRetry5xx, 500), yes);
  EXPECT_EQ(StatusVerdict(kRetry5xx, 599), yes);
  EXPECT_EQ(StatusVerdict(kRetry5xx, 404), no);
  EXPECT_EQ(StatusVerdict(kRetryGatewayError, 500), no);
  EXPECT_EQ(StatusVerdict(kRetryGatewayError, 502), yes);
  EXPECT_EQ(StatusVerdict(kRetryGatewayError, 503), yes);
  EXPECT_EQ(StatusVerdict(kRetryGatewayError, 504), yes);
  EXPECT_EQ(StatusVerdict(kRetryRetriable4xx, 409), yes);
  EXPECT_EQ(StatusVerdict(kRetryRetriable4xx, 404), no);
  EXPECT_EQ(StatusVerdict(kRetryReset | kRetryConnectFailure | kRetryRefusedStream, 503), no);
  EXPECT_EQ(StatusVerdict(0, 503), no);
}

TEST_F(RetryStateTest, ErrorConditions) {
  const auto yes = RetryVerdict::kRetry, no = RetryVerdict::kNo;
  for (const uint32_t condition : {kRetry5xx, kRetryGatewayError, kRetryReset}) {
    EXPECT_EQ(ErrorVerdict(condition, StreamError::kUpstreamReset), yes);
    EXPECT_EQ(ErrorVerdict(condition, StreamError::kUpstreamTermination), yes);
    EXPECT_EQ(ErrorVerdict(condition, StreamError::kPerTryTimeout), yes);
    EXPECT_EQ(ErrorVerdict(condition, StreamError::kConnectFailure, false), yes);
    EXPECT_EQ(ErrorVerdict(condition, StreamError::kOverflow, false), no);
    EXPECT_EQ(ErrorVerdict(condition, StreamError::kNoHealthyUpstream, false), no);
  }
  EXPECT_EQ(ErrorVerdict(kRetryConnectFailure, StreamError::kConnectFailure, false), yes);
  EXPECT_EQ(ErrorVerdict(kRetryConnectFailure, StreamError::kConnectTimeout, false), yes);
  EXPECT_EQ(ErrorVerdict(kRetryConnectFailure, StreamError::kUpstreamReset), no);
  EXPECT_EQ(ErrorVerdict(kRetryRefusedStream, StreamError::kUpstreamRefused), yes);
  EXPECT_EQ(ErrorVerdict(kRetryRefusedStream, StreamError::kUpstreamReset), no);
  EXPECT_EQ(ErrorVerdict(kRetryResetBeforeRequest, StreamError::kPerTryTimeout, false), yes);
  EXPECT_EQ(ErrorVerdict(kRetryResetBeforeRequest, StreamError::kUpstreamReset, true), no);
}

TEST_F(RetryStateTest, WhatIsNotIdempotentIsNotRepeatedOnceItMayHaveArrived) {
  const auto yes = RetryVerdict::kRetry, no = RetryVerdict::kNo;
  EXPECT_EQ(StatusVerdict(kRetry5xx, 503, "POST"), no);
  EXPECT_EQ(StatusVerdict(kRetry5xx, 503, "PATCH"), no);
  EXPECT_EQ(StatusVerdict(kRetry5xx, 503, "PUT"), yes);
  EXPECT_EQ(StatusVerdict(kRetry5xx, 503, "DELETE"), yes);
  EXPECT_EQ(ErrorVerdict(kRetryReset, StreamError::kUpstreamTermination, true, "POST"), no);
  EXPECT_EQ(ErrorVerdict(kRetryReset, StreamError::kPerTryTimeout, true, "POST"), no);
  // Nothing of it was seen:
  EXPECT_EQ(ErrorVerdict(kRetryReset, StreamError::kPerTryTimeout, false, "POST"), yes);
  EXPECT_EQ(ErrorVerdict(kRetryConnectFailure, StreamError::kConnectFailure, false, "POST"), yes);
  EXPECT_EQ(ErrorVerdict(kRetryRefusedStream, StreamError::kUpstreamRefused, true, "POST"), yes);
  RetryPolicy lifted{.retry_on = kRetry5xx, .retry_non_idempotent = true};
  auto request = Request("POST");
  RetryState state(&lifted, *request);
  EXPECT_EQ(OnStatus(state, 500), yes);
}

TEST_F(RetryStateTest, GrpcStatusesCountByName) {
  RetryPolicy policy{.retry_on = kRetryGrpcUnavailable | kRetryGrpcCancelled, .retries_max = 9};
  auto request = Request("POST");
  request->Add(http::HeaderId::kContentType, "application/grpc+proto");
  RetryState state(&policy, *request);
  const auto verdict = [&](const char* grpc_status) {
    auto response = Response(200);
    response->Add(http::HeaderId::kGrpcStatus, grpc_status);
    return state.OnResponseHeaders(*response, [this] { return Permit(); });
  };
  EXPECT_EQ(verdict("14"), RetryVerdict::kRetry);
  EXPECT_EQ(verdict("1"), RetryVerdict::kRetry);
  EXPECT_EQ(verdict("13"), RetryVerdict::kNo);
  EXPECT_EQ(verdict("0"), RetryVerdict::kNo);
  EXPECT_EQ(verdict("x"), RetryVerdict::kNo);
  // Not gRPC: the header means nothing.
  auto plain = Request();
  RetryState other(&policy, *plain);
  auto response = Response(200);
  response->Add(http::HeaderId::kGrpcStatus, "14");
  EXPECT_EQ(other.OnResponseHeaders(*response, [this] { return Permit(); }), RetryVerdict::kNo);
}

TEST_F(RetryStateTest, StatusCodesOfThePolicyAndOfTheRequest) {
  RetryPolicy policy{.retry_on = kRetryRetriableStatusCodes, .retries_max = 9};
  policy.retriable_status_codes = {418};
  auto request = Request();
  request->Add("x-envoy-retriable-status-codes", "404,bad,503");
  RetryState state(&policy, *request);
  EXPECT_EQ(OnStatus(state, 418), RetryVerdict::kRetry);
  EXPECT_EQ(OnStatus(state, 404), RetryVerdict::kRetry);
  EXPECT_EQ(OnStatus(state, 503), RetryVerdict::kRetry);
  EXPECT_EQ(OnStatus(state, 500), RetryVerdict::kNo);
  EXPECT_EQ(request->Find("x-envoy-retriable-status-codes"), nullptr);
}

TEST_F(RetryStateTest, HeadersOfTheResponse) {
  RetryPolicy policy{.retry_on = kRetryRetriableHeaders, .retries_max = 9};
  policy.retriable_headers.push_back({.name = "x-try-again"});
  auto request = Request();
  RetryState state(&policy, *request);
  auto response = Response(200);
  EXPECT_EQ(state.OnResponseHeaders(*response, [this] { return Permit(); }), RetryVerdict::kNo);
  response->Add("x-try-again", "1");
  EXPECT_EQ(state.OnResponseHeaders(*response, [this] { return Permit(); }), RetryVerdict::kRetry);
}

TEST_F(RetryStateTest, AnOverloadedProxyIsLeftAlone) {
  RetryPolicy policy{.retry_on = kRetry5xx};
  auto request = Request();
  RetryState state(&policy, *request);
  auto response = Response(503);
  response->Add(http::HeaderId::kXEnvoyOverloaded, "true");
  EXPECT_EQ(state.OnResponseHeaders(*response, [this] { return Permit(); }), RetryVerdict::kNo);
}

TEST_F(RetryStateTest, RequestsMayAskForRetriesThemselves) {
  auto request = Request();
  request->Add(http::HeaderId::kXEnvoyRetryOn, "gateway-error,no-such-word");
  request->Add(http::HeaderId::kXEnvoyMaxRetries, "2");
  RetryState state(nullptr, *request);
  EXPECT_FALSE(request->Has(http::HeaderId::kXEnvoyRetryOn));
  EXPECT_FALSE(request->Has(http::HeaderId::kXEnvoyMaxRetries));
  EXPECT_TRUE(state.enabled());
  EXPECT_EQ(OnStatus(state, 503), RetryVerdict::kRetry);
  EXPECT_EQ(OnStatus(state, 503), RetryVerdict::kRetry);
  EXPECT_EQ(OnStatus(state, 503), RetryVerdict::kLimitExceeded);
  auto plain = Request();
  EXPECT_FALSE(RetryState(nullptr, *plain).enabled());
}

TEST_F(RetryStateTest, ThreeRetriesMeanFourAttempts) {
  RetryPolicy policy{.retry_on = kRetry5xx, .retries_max = 3};
  auto request = Request();
  RetryState state(&policy, *request);
  int attempts = 1;
  RetryVerdict verdict;
  while ((verdict = OnStatus(state, 500)) == RetryVerdict::kRetry) ++attempts;
  EXPECT_EQ(attempts, 4);
  EXPECT_EQ(verdict, RetryVerdict::kLimitExceeded);
}

TEST_F(RetryStateTest, ThePermitIsHeldUntilTheNextOutcome) {
  places_ = 1;
  RetryPolicy policy{.retry_on = kRetry5xx, .retries_max = 5};
  auto request = Request(), other_request = Request();
  auto state = std::make_unique<RetryState>(&policy, *request);
  RetryState other(&policy, *other_request);
  EXPECT_EQ(OnStatus(*state, 500), RetryVerdict::kRetry);
  EXPECT_EQ(OnStatus(other, 500), RetryVerdict::kOverflow);
  EXPECT_EQ(OnStatus(*state, 500), RetryVerdict::kRetry);  // its own place is free again
  EXPECT_EQ(places_, 0);
  state.reset();
  EXPECT_EQ(places_, 1);
}

TEST_F(RetryStateTest, BackOffDoublesUpToItsLimit) {
  RetryPolicy policy{.retry_on = kRetry5xx, .retries_max = 10};
  auto request = Request();
  RetryState state(&policy, *request);
  FakeRandom highest(~uint64_t{0});
  std::vector<int64_t> longest;
  for (int i = 0; i < 6; ++i) {
    ASSERT_EQ(OnStatus(state, 500), RetryVerdict::kRetry);
    longest.push_back(ToMillis(state.NextBackoff(highest)));
  }
  EXPECT_EQ(longest, (std::vector<int64_t>{24, 49, 99, 199, 249, 249}));
  FakeRandom lowest(0);
  EXPECT_EQ(state.NextBackoff(lowest), Duration(0));
}

TEST_F(RetryStateTest, TriedHostsAreKeptOnlyWhenOthersArePreferred) {
  auto host = std::make_shared<Host>(EndpointConfig{}, "c");
  RetryPolicy any{.retry_on = kRetry5xx};
  auto request = Request();
  RetryState state(&any, *request);
  state.OnAttemptHost(*host);
  EXPECT_TRUE(state.tried().empty());
  RetryPolicy others{.retry_on = kRetry5xx, .other_hosts = true, .host_selection_tries = 5};
  RetryState avoiding(&others, *request);
  avoiding.OnAttemptHost(*host);
  ASSERT_EQ(avoiding.tried().size(), 1u);
  EXPECT_EQ(avoiding.tried()[0], host.get());
  EXPECT_EQ(avoiding.host_selection_tries(), 5u);
}

}  // namespace
}  // namespace meltemi::proxy
