#include "proxy/filters/fault/fault.h"

#include "base/metrics/metrics.h"
#include "gtest/gtest.h"
#include "proxy/filters/filter_fake.h"

namespace meltemi::proxy {
namespace {

using http::HeaderMap;

class FaultTest : public ::testing::Test {
 protected:
  std::unique_ptr<Filter> NewFilter(const FaultPolicy& policy) {
    if (factory_ == nullptr) {
      config_ = NewFaultFilter(std::make_shared<FaultPolicy>(policy));
      factory_ = config_->NewFactory(shard_.root());
    }
    return factory_->NewFilter(stream_);
  }
  static http::HeaderMapPtr Request(
      const std::vector<std::pair<std::string, std::string>>& headers = {}) {
    http::HeaderMapPtr request = HeaderMap::New();
    request->set_method("GET");
    request->set_path("/");
    for (const auto& [name, value] : headers) request->Add(name, value);
    return request;
  }
  int64_t Counted(absl::string_view name) { return registry_.Sum(name); }

  metrics::Registry registry_;
  metrics::Shard& shard_ = registry_.NewShard();
  FakeFilterStream stream_;
  std::shared_ptr<const FilterConfig> config_;
  std::unique_ptr<FilterFactory> factory_;
};

FaultPolicy Delay(Duration delay) {
  FaultPolicy policy;
  policy.delay = delay;
  policy.delay_share = {100, 100};
  return policy;
}
FaultPolicy Abort(int status) {
  FaultPolicy policy;
  policy.abort_status = status;
  policy.abort_share = {100, 100};
  return policy;
}

TEST_F(FaultTest, ADelayHoldsTheRequestForItsTime) {
  const auto filter = NewFilter(Delay(seconds(7)));
  ASSERT_EQ(filter->OnRequestHeaders(*Request(), true), FilterResult::kPause);
  EXPECT_EQ(stream_.stream_info.response_flags, kFlagDelayInjected);
  stream_.fake_loop.Advance(seconds(6));
  EXPECT_EQ(stream_.continued, 0);
  stream_.fake_loop.Advance(milliseconds(1002));
  EXPECT_EQ(stream_.continued, 1);
  EXPECT_EQ(Counted("envoy_http_fault_delays_injected"), 1);
}

TEST_F(FaultTest, AnAbortAnswersAtOnce) {
  const auto filter = NewFilter(Abort(418));
  ASSERT_EQ(filter->OnRequestHeaders(*Request(), true), FilterResult::kAnswered);
  ASSERT_TRUE(stream_.answer.has_value());
  EXPECT_EQ(stream_.answer->status, 418);
  EXPECT_EQ(stream_.answer->body, "fault filter abort");
  EXPECT_EQ(stream_.answer->details, "fault_filter_abort");
  EXPECT_EQ(stream_.answer->flags, kFlagFaultInjected);
  EXPECT_EQ(Counted("envoy_http_fault_aborts_injected"), 1);
}

TEST_F(FaultTest, AGrpcAbortCarriesBothStatuses) {
  FaultPolicy policy = Abort(0);
  policy.abort_grpc_status = 14;
  const auto filter = NewFilter(policy);
  ASSERT_EQ(filter->OnRequestHeaders(*Request(), true), FilterResult::kAnswered);
  EXPECT_EQ(stream_.answer->status, 503);
  EXPECT_EQ(stream_.answer->grpc_status, 14);
}

TEST_F(FaultTest, DelayThenAbort) {
  FaultPolicy policy = Delay(milliseconds(50));
  policy.abort_status = 500;
  policy.abort_share = {100, 100};
  const auto filter = NewFilter(policy);
  ASSERT_EQ(filter->OnRequestHeaders(*Request(), true), FilterResult::kPause);
  EXPECT_FALSE(stream_.answer.has_value());
  stream_.fake_loop.Advance(milliseconds(60));
  ASSERT_TRUE(stream_.answer.has_value());
  EXPECT_EQ(stream_.continued, 0);
}

TEST_F(FaultTest, TheShareDecides) {
  FaultPolicy policy = Abort(500);
  policy.abort_share = {40, 100};
  stream_.fake_random.Push(39);
  EXPECT_EQ(NewFilter(policy)->OnRequestHeaders(*Request(), true), FilterResult::kAnswered);
  stream_.fake_random.Push(40);
  EXPECT_EQ(NewFilter(policy)->OnRequestHeaders(*Request(), true), FilterResult::kContinue);
}

TEST_F(FaultTest, OnlyRequestsWithTheHeadersAndTheCluster) {
  FaultPolicy policy = Abort(500);
  HeaderMatcher matcher;
  matcher.name = "x-test";
  policy.headers.push_back(matcher);
  policy.upstream_cluster = "c1";
  stream_.cluster = "c1";
  EXPECT_EQ(NewFilter(policy)->OnRequestHeaders(*Request(), true), FilterResult::kContinue);
  EXPECT_EQ(NewFilter(policy)->OnRequestHeaders(*Request({{"x-test", "1"}}), true),
            FilterResult::kAnswered);
  stream_.cluster = "c2";
  EXPECT_EQ(NewFilter(policy)->OnRequestHeaders(*Request({{"x-test", "1"}}), true),
            FilterResult::kContinue);
}

TEST_F(FaultTest, TheRouteReplacesOrDisables) {
  stream_.filter_overrides.fault = std::make_shared<FaultPolicy>(Abort(503));
  EXPECT_EQ(NewFilter(FaultPolicy())->OnRequestHeaders(*Request(), true), FilterResult::kAnswered);
  EXPECT_EQ(stream_.answer->status, 503);
  stream_.filter_overrides.fault_disabled = true;
  EXPECT_EQ(NewFilter(Abort(500)), nullptr);
}

TEST_F(FaultTest, APolicyWithoutFaultsCostsNothing) {
  EXPECT_EQ(NewFilter(FaultPolicy()), nullptr);
}

TEST_F(FaultTest, TheLimitOfActiveFaultsHoldsUntilAStreamEnds) {
  FaultPolicy policy = Delay(seconds(1));
  policy.active_faults_max = 1;
  auto first = NewFilter(policy);
  ASSERT_EQ(first->OnRequestHeaders(*Request(), true), FilterResult::kPause);
  EXPECT_EQ(NewFilter(policy)->OnRequestHeaders(*Request(), true), FilterResult::kContinue);
  EXPECT_EQ(Counted("envoy_http_fault_faults_overflow"), 1);
  EXPECT_EQ(Counted("envoy_http_fault_active_faults"), 1);
  first->OnEnd();
  EXPECT_EQ(Counted("envoy_http_fault_active_faults"), 0);
  EXPECT_EQ(NewFilter(policy)->OnRequestHeaders(*Request(), true), FilterResult::kPause);
}

TEST_F(FaultTest, AStreamThatEndsDuringTheDelayIsLeftAlone) {
  auto filter = NewFilter(Delay(seconds(1)));
  ASSERT_EQ(filter->OnRequestHeaders(*Request(), true), FilterResult::kPause);
  filter->OnEnd();
  stream_.fake_loop.Advance(seconds(2));
  EXPECT_EQ(stream_.continued, 0);
}

TEST_F(FaultTest, CallersSteerFaultsWhereThePolicySaysSo) {
  FaultPolicy policy;
  policy.delay_from_header = true;
  policy.delay_share = {100, 100};
  policy.abort_from_header = true;
  policy.abort_share = {100, 100};
  EXPECT_EQ(NewFilter(policy)->OnRequestHeaders(*Request(), true), FilterResult::kContinue);
  EXPECT_EQ(
      NewFilter(policy)->OnRequestHeaders(*Request({{"x-envoy-fault-delay-request", "20"}}), true),
      FilterResult::kPause);
  EXPECT_EQ(
      NewFilter(policy)->OnRequestHeaders(*Request({{"x-envoy-fault-abort-request", "429"}}), true),
      FilterResult::kAnswered);
  EXPECT_EQ(stream_.answer->status, 429);
  // A share of 0 asked for wins over 100 configured.
  EXPECT_EQ(NewFilter(policy)->OnRequestHeaders(
                *Request({{"x-envoy-fault-abort-request", "429"},
                          {"x-envoy-fault-abort-request-percentage", "0"}}),
                true),
            FilterResult::kContinue);
}

}  // namespace
}  // namespace meltemi::proxy
