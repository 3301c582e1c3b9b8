// Attempts: retries, time-outs, and resets at every point.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "proxy/stream/stream_test_harness.h"

namespace meltemi::proxy {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr absl::string_view kGet = "GET / HTTP/1.1\r\nhost: shop\r\n\r\n";

class RetryTest : public ::testing::Test {
 protected:
  RetryTest() : route_(t_.AddRoute("/")) {
    policy_ = std::make_shared<RetryPolicy>();
    policy_->retry_on = kRetry5xx | kRetryConnectFailure | kRetryReset;
    policy_->retries_max = 2;
    route_.retry = policy_;
  }
  size_t attempts() { return t_.cluster().attempts.size(); }
  void PassBackOff() { t_.loop.Advance(milliseconds(300)); }

  StreamHarness t_;
  Route& route_;
  std::shared_ptr<RetryPolicy> policy_;
};

TEST_F(RetryTest, BadAnswersAreTriedAgainAndTheLastOneStands) {
  t_.host().include_attempt_count_request = true;
  TestClient client = t_.Connect();
  client.Send(kGet);
  for (size_t i = 0; i < 2; ++i) {
    t_.attempt(i).Sent();
    t_.attempt(i).Headers(503, true);
    t_.Run();
    EXPECT_EQ(client.Received(), "");
    PassBackOff();
    ASSERT_EQ(attempts(), i + 2);
    EXPECT_TRUE(t_.attempt(i + 1).is_retry);
  }
  EXPECT_EQ(t_.attempt(2).headers->Get("x-envoy-attempt-count"), "3");
  t_.attempt(2).Headers(503, true);
  t_.Run();
  EXPECT_THAT(client.Received(), StartsWith("HTTP/1.1 503"));
  EXPECT_EQ(t_.log->lines.at(0).flags, "URX");
  EXPECT_EQ(t_.log->lines.at(0).attempts, 3u);
  EXPECT_EQ(t_.cluster().retry_limit_exceeded, 1);
}

TEST_F(RetryTest, ConnectFailureThenSuccess) {
  TestClient client = t_.Connect();
  client.Send(kGet);
  t_.attempt().Fail(StreamError::kConnectFailure, "refused");
  PassBackOff();
  ASSERT_EQ(attempts(), 2u);
  t_.attempt(1).Headers(200, true);
  t_.Run();
  EXPECT_THAT(client.Received(), StartsWith("HTTP/1.1 200"));
  EXPECT_EQ(t_.log->lines.at(0).flags, "-");
}

TEST_F(RetryTest, BodyIsSentAgain) {
  TestClient client = t_.Connect();
  client.Send("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\nabc");
  t_.attempt().Fail(StreamError::kConnectFailure);
  t_.Run();
  EXPECT_EQ(client.Received(), "");
  PassBackOff();
  ASSERT_EQ(attempts(), 2u);
  EXPECT_EQ(t_.attempt(1).body, "abc");
  EXPECT_FALSE(t_.attempt(1).ended);
  client.Send("def");
  EXPECT_EQ(t_.attempt(1).body, "abcdef");
  EXPECT_TRUE(t_.attempt(1).ended);
  t_.attempt(1).Fail(StreamError::kConnectFailure);
  PassBackOff();
  ASSERT_EQ(attempts(), 3u);
  EXPECT_EQ(t_.attempt(2).body, "abcdef");
  EXPECT_TRUE(t_.attempt(2).ended);
}

TEST_F(RetryTest, TrailersAreSentAgain) {
  TestClient client = t_.Connect();
  client.Send(
      "PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
      "3\r\nabc\r\n0\r\nx-t: v\r\n\r\n");
  t_.attempt().Fail(StreamError::kConnectFailure);
  PassBackOff();
  ASSERT_EQ(attempts(), 2u);
  EXPECT_EQ(t_.attempt(1).body, "abc");
  ASSERT_NE(t_.attempt(1).trailers, nullptr);
}

TEST_F(RetryTest, BodyAboveTheLimitIsNotRetried) {
  route_.retry_shadow_buffer_bytes = 10;
  TestClient client = t_.Connect();
  client.Send("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 12\r\n\r\nabcdefghijkl");
  t_.attempt().Fail(StreamError::kConnectFailure);
  t_.Run();
  EXPECT_THAT(client.Received(), StartsWith("HTTP/1.1 503"));
  EXPECT_EQ(attempts(), 1u);
}

TEST_F(RetryTest, PostThatMayHaveArrivedIsNotRepeated) {
  TestClient client = t_.Connect();
  client.Send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx");
  t_.attempt().Sent();
  t_.attempt().Fail(StreamError::kUpstreamTermination);
  t_.Run();
  EXPECT_THAT(client.Received(), StartsWith("HTTP/1.1 503"));
  EXPECT_EQ(attempts(), 1u);
}

TEST_F(RetryTest, OpenRetryBreakerPassesTheAnswerOn) {
  t_.cluster().retries_allowed = false;
  TestClient client = t_.Connect();
  client.Send(kGet);
  t_.attempt().Headers(503, true);
  t_.Run();
  EXPECT_THAT(client.Received(), StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(t_.log->lines.at(0).flags, HasSubstr("UO"));
}

TEST_F(RetryTest, ClientThatLeavesDuringBackOffEndsIt) {
  TestClient client = t_.Connect();
  client.Send(kGet);
  t_.attempt().Headers(503, true);
  t_.Run();
  client.Reset();
  PassBackOff();
  EXPECT_EQ(attempts(), 1u);
  EXPECT_EQ(t_.log->lines.at(0).flags, "DC");
}

TEST_F(RetryTest, ClusterThatGoesDuringBackOff) {
  TestClient client = t_.Connect();
  client.Send(kGet);
  t_.attempt().Headers(503, true);
  t_.Run();
  t_.clusters.clusters.clear();
  PassBackOff();
  EXPECT_THAT(client.Received(), StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(t_.log->lines.at(0).flags, HasSubstr("NC"));
}

TEST_F(RetryTest, PerTryTimeoutCancelsAndTriesAgain) {
  policy_->per_try_timeout = seconds(2);
  TestClient client = t_.Connect();
  client.Send(kGet);
  t_.attempt(0).Sent();
  t_.loop.Advance(milliseconds(2010));
  EXPECT_TRUE(t_.attempt(0).cancelled);
  EXPECT_EQ(t_.attempt(0).cancel_cause, StreamError::kPerTryTimeout);
  PassBackOff();
  ASSERT_EQ(attempts(), 2u);
  t_.attempt(1).Headers(200, true);
  t_.Run();
  EXPECT_THAT(client.Received(), StartsWith("HTTP/1.1 200"));
}

TEST_F(RetryTest, RouteTimeoutCoversAllTries) {
  route_.timeouts.request = seconds(3);
  policy_->per_try_timeout = seconds(2);
  TestClient client = t_.Connect();
  client.Send(kGet);
  EXPECT_EQ(t_.attempt(0).headers->Get("x-envoy-expected-rq-timeout-ms"), "2000");
  t_.attempt(0).Sent();
  t_.loop.Advance(milliseconds(2400));
  ASSERT_EQ(attempts(), 2u);
  t_.loop.Advance(milliseconds(700));
  EXPECT_THAT(client.Received(), StartsWith("HTTP/1.1 504"));
  EXPECT_EQ(t_.attempt(1).cancel_cause, StreamError::kRequestTimeout);
  EXPECT_EQ(t_.log->lines.at(0).flags, "UT");
  EXPECT_EQ(t_.log->lines.at(0).details, "response_timeout");
}

TEST_F(RetryTest, TimeoutStartsAtTheRequestsEnd) {
  route_.timeouts.request = seconds(1);
  TestClient client = t_.Connect();
  client.Send("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\na");
  t_.loop.Advance(seconds(5));
  EXPECT_EQ(client.Received(), "");
  client.Send("b");
  t_.loop.Advance(milliseconds(1100));
  EXPECT_THAT(client.Received(), StartsWith("HTTP/1.1 504"));
}

TEST_F(RetryTest, TimeoutAfterTheAnswerBeganResets) {
  route_.timeouts.request = seconds(1);
  TestClient client = t_.Connect();
  client.Send(kGet);
  t_.attempt().Headers(200, false);
  t_.attempt().Data("part", false);
  t_.loop.Advance(milliseconds(1100));
  EXPECT_TRUE(client.closed());
  EXPECT_EQ(t_.log->lines.at(0).flags, "UT");
  EXPECT_EQ(t_.log->lines.at(0).status, 200);
}

TEST_F(RetryTest, InternalCallersMaySetTheTimeout) {
  t_.config->use_remote_address = true;
  TestClient client = t_.Connect();
  client.Send("GET / HTTP/1.1\r\nhost: a\r\nx-envoy-upstream-rq-timeout-ms: 50\r\n\r\n");
  EXPECT_EQ(t_.attempt().headers->Get("x-envoy-upstream-rq-timeout-ms"), "");
  t_.loop.Advance(milliseconds(60));
  EXPECT_THAT(client.Received(), StartsWith("HTTP/1.1 504"));
}

TEST_F(RetryTest, StreamIdleTimeout) {
  t_.config->stream_idle_timeout = seconds(5);
  TestClient client = t_.Connect();
  client.Send("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc");
  t_.loop.Advance(seconds(4));
  client.Send("d");
  t_.loop.Advance(seconds(4));
  EXPECT_EQ(client.Received(), "");
  t_.loop.Advance(seconds(2));
  EXPECT_THAT(client.Received(), StartsWith("HTTP/1.1 408"));
  EXPECT_EQ(t_.log->lines.at(0).flags, "SI");
}

TEST_F(RetryTest, MaxStreamDuration) {
  t_.config->max_stream_duration = seconds(3);
  TestClient client = t_.Connect();
  client.Send(kGet);
  t_.loop.Advance(seconds(4));
  EXPECT_THAT(client.Received(), StartsWith("HTTP/1.1 504"));
  EXPECT_THAT(t_.log->lines.at(0).flags, HasSubstr("DT"));
}

TEST_F(RetryTest, WholeRequestTimeout) {
  t_.config->request_timeout = seconds(3);
  TestClient client = t_.Connect();
  client.Send("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc");
  t_.loop.Advance(seconds(4));
  EXPECT_THAT(client.Received(), StartsWith("HTTP/1.1 408"));
  EXPECT_EQ(t_.log->lines.at(0).details, "request_overall_timeout");
}

TEST_F(RetryTest, HostsThatWereTriedAreTold) {
  policy_->other_hosts = true;
  auto host = std::make_shared<Host>(EndpointConfig{}, "c");
  TestClient client = t_.Connect();
  client.Send(kGet);
  t_.attempt(0).Chosen(*host);
  t_.attempt(0).Fail(StreamError::kConnectFailure);
  PassBackOff();
  ASSERT_EQ(attempts(), 2u);
  ASSERT_EQ(t_.attempt(1).tried.size(), 1u);
  EXPECT_EQ(t_.attempt(1).tried[0], host.get());
}

// At each step of an exchange either side breaks off: one log line, one count, nothing left behind.
TEST_F(RetryTest, ResetsAtEveryPointEndExactlyOnce) {
  using Step = std::function<void(TestClient&, size_t)>;
  const std::vector<Step> steps = {
      [](TestClient& c, size_t) { c.Send("PUT / HTTP/1.1\r\nhost: a\r\nconte"); },
      [](TestClient& c, size_t) { c.Send("nt-length: 6\r\n\r\n"); },
      [](TestClient& c, size_t) { c.Send("abc"); },
      [this](TestClient&, size_t n) { t_.attempt(n).Sent(); },
      [](TestClient& c, size_t) { c.Send("def"); },
      [this](TestClient&, size_t n) { t_.attempt(n).Headers(200, false); },
      [this](TestClient&, size_t n) { t_.attempt(n).Data("some", false); },
  };
  policy_->retry_on = 0;
  size_t logged = 0;
  for (const bool by_client : {true, false}) {
    for (size_t until = 1; until <= steps.size(); ++until) {
      const size_t n = attempts();
      TestClient client = t_.Connect();
      for (size_t i = 0; i < until; ++i) steps[i](client, n);
      const bool begun = attempts() > n;
      if (by_client) {
        client.Reset();
      } else {
        if (begun) t_.attempt(n).Fail(StreamError::kUpstreamTermination, "test");
        t_.Run();
        if (!begun) client.Reset();
      }
      if (begun) ++logged;
      ASSERT_EQ(t_.log->lines.size(), logged) << by_client << until;
      ASSERT_EQ(static_cast<size_t>(t_.mesh.ends), logged);
      if (!client.closed()) client.Reset();
      ASSERT_EQ(t_.log->lines.size(), logged);
      ASSERT_EQ(t_.connections->size(), 0u);
      for (const auto& attempt : t_.cluster().attempts) ASSERT_EQ(attempt->attempt, nullptr);
    }
  }
  EXPECT_EQ(t_.Count("envoy_http_downstream_rq_active"), 0);
  EXPECT_EQ(t_.Count("envoy_http_downstream_cx_active"), 0);
}

}  // namespace
}  // namespace meltemi::proxy
