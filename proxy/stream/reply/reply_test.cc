#include "proxy/stream/reply/reply.h"

#include <set>
#include <string>

#include "gtest/gtest.h"

namespace meltemi::proxy {
namespace {

using http::HeaderId;
using http::HeaderMap;

http::HeaderMapPtr GrpcRequest(absl::string_view content_type = "application/grpc") {
  http::HeaderMapPtr request = HeaderMap::New();
  request->set_method("POST");
  request->Add(HeaderId::kContentType, content_type);
  return request;
}

struct Expected {
  StreamError error;
  int status;
  int grpc_status;
  std::string flags;
  std::string details;
  std::string body;
};

// One line per failure a user can see; the facts are those of Envoy's access log documentation.
TEST(MapErrorTest, GivesEveryFailureEnvoysStatusFlagDetailsAndBody) {
  const std::string before =
      "upstream connect error or disconnect/reset before headers. reset reason: ";
  const Expected table[] = {
      {StreamError::kRouteNotFound, 404, 12, "NR", "route_not_found", ""},
      {StreamError::kClusterNotFound, 503, 14, "NC", "cluster_not_found", ""},
      {StreamError::kNoHealthyUpstream, 503, 14, "UH", "no_healthy_upstream",
       "no healthy upstream"},
      {StreamError::kOverflow, 503, 14, "UO", "upstream_reset_before_response_started{overflow}",
       before + "overflow"},
      {StreamError::kConnectFailure, 503, 14, "UF",
       "upstream_reset_before_response_started{remote_connection_failure}",
       before + "remote connection failure"},
      {StreamError::kConnectTimeout, 503, 14, "UF",
       "upstream_reset_before_response_started{connection_timeout}", before + "connection timeout"},
      {StreamError::kUpstreamReset, 503, 14, "UR",
       "upstream_reset_before_response_started{remote_reset}", before + "remote reset"},
      {StreamError::kUpstreamTermination, 503, 14, "UC",
       "upstream_reset_before_response_started{connection_termination}",
       before + "connection termination"},
      {StreamError::kUpstreamProtocol, 502, 14, "UPE",
       "upstream_reset_before_response_started{protocol_error}", before + "protocol error"},
      {StreamError::kRequestTimeout, 504, 4, "UT", "response_timeout", "upstream request timeout"},
      {StreamError::kPerTryTimeout, 504, 4, "UT", "upstream_per_try_timeout",
       "upstream request timeout"},
      {StreamError::kStreamIdleTimeout, 504, 14, "SI", "stream_idle_timeout", "stream timeout"},
      {StreamError::kMaxDuration, 504, 4, "DT", "max_duration_timeout",
       "downstream duration timeout"},
      {StreamError::kUpgradeRefused, 403, 7, "-", "upgrade_failed", ""},
      {StreamError::kFaultAbort, 503, 14, "FI", "fault_filter_abort", "fault filter abort"},
      {StreamError::kInternal, 500, 2, "-", "internal_error", ""},
  };
  for (const Expected& expected : table) {
    SCOPED_TRACE(expected.details);
    const ErrorReply reply = MapError(expected.error);
    EXPECT_EQ(reply.status, expected.status);
    EXPECT_EQ(reply.grpc_status, expected.grpc_status);
    EXPECT_EQ(ResponseFlagsText(reply.flags), expected.flags);
    EXPECT_EQ(reply.details, expected.details);
    EXPECT_EQ(reply.body, expected.body);
  }
}

TEST(MapErrorTest, KnowsEveryErrorByItself) {
  // A row out of place would give the facts of kNone.
  for (int i = 1; i <= static_cast<int>(StreamError::kInternal); ++i) {
    const ErrorReply reply = MapError(static_cast<StreamError>(i));
    EXPECT_FALSE(reply.details.empty()) << i;
    if (static_cast<StreamError>(i) != StreamError::kInternal &&
        static_cast<StreamError>(i) != StreamError::kFaultOverflow) {
      EXPECT_NE(reply.details, "internal_error") << i;
    }
  }
}

TEST(MapErrorTest, TellsTheTransportsReasonAndThatItWasTriedBefore) {
  ErrorContext context;
  context.transport_failure = "delayed connect error: Connection refused";
  context.retried = true;
  context.retries_exhausted = true;
  const ErrorReply reply = MapError(StreamError::kConnectFailure, context);
  EXPECT_EQ(reply.body,
            "upstream connect error or disconnect/reset before headers. retried and the latest "
            "reset reason: remote connection failure, transport failure reason: delayed connect "
            "error: Connection refused");
  EXPECT_EQ(reply.details,
            "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_"
            "error:_Connection_refused}");
  EXPECT_EQ(ResponseFlagsText(reply.flags), "UF,URX");
}

TEST(MapErrorTest, BlamesTheClientWhoseRequestNeverEnded) {
  ErrorContext context;
  context.request_complete = false;
  EXPECT_EQ(MapError(StreamError::kStreamIdleTimeout, context).status, 408);
  EXPECT_EQ(MapError(StreamError::kMaxDuration, context).status, 408);
  EXPECT_EQ(MapError(StreamError::kRequestTimeout, context).status, 504);
}

TEST(MapErrorTest, TakesTheRoutesStatusForAMissingCluster) {
  ErrorContext context;
  context.cluster_not_found_status = 404;
  const ErrorReply reply = MapError(StreamError::kClusterNotFound, context);
  EXPECT_EQ(reply.status, 404);
  EXPECT_EQ(reply.grpc_status, 12);
}

TEST(LocalAnswerTest, HttpGetsPlainTextWithItsLength) {
  http::HeaderMapPtr request = HeaderMap::New();
  request->set_method("GET");
  const LocalAnswer answer =
      MakeLocalAnswer(MapError(StreamError::kNoHealthyUpstream), request.get());
  EXPECT_EQ(answer.headers->status(), 503);
  EXPECT_EQ(answer.headers->Get(HeaderId::kContentType), "text/plain");
  EXPECT_EQ(answer.headers->Get(HeaderId::kContentLength), "19");
  EXPECT_EQ(answer.body, "no healthy upstream");
}

TEST(LocalAnswerTest, HeadGetsTheLengthButNoBody) {
  http::HeaderMapPtr request = HeaderMap::New();
  request->set_method("HEAD");
  const LocalAnswer answer =
      MakeLocalAnswer(MapError(StreamError::kNoHealthyUpstream), request.get());
  EXPECT_EQ(answer.headers->Get(HeaderId::kContentLength), "19");
  EXPECT_EQ(answer.body, "");
}

TEST(LocalAnswerTest, NoBodyMeansLengthZero) {
  const LocalAnswer answer = MakeLocalAnswer(MapError(StreamError::kRouteNotFound), nullptr);
  EXPECT_EQ(answer.headers->status(), 404);
  EXPECT_EQ(answer.headers->Get(HeaderId::kContentLength), "0");
  EXPECT_FALSE(answer.headers->Has(HeaderId::kContentType));
}

TEST(LocalAnswerTest, StatusWithoutContentHasNoLength) {
  EXPECT_FALSE(
      MakeLocalAnswer(204, -1, "", nullptr, nullptr).headers->Has(HeaderId::kContentLength));
}

TEST(LocalAnswerTest, GrpcGetsTrailersOnly) {
  const http::HeaderMapPtr request = GrpcRequest("application/grpc+proto");
  const LocalAnswer answer =
      MakeLocalAnswer(MapError(StreamError::kNoHealthyUpstream), request.get());
  EXPECT_EQ(answer.headers->status(), 200);
  EXPECT_EQ(answer.headers->Get(HeaderId::kContentType), "application/grpc");
  EXPECT_EQ(answer.headers->Get(HeaderId::kGrpcStatus), "14");
  EXPECT_EQ(answer.headers->Get(HeaderId::kGrpcMessage), "no healthy upstream");
  EXPECT_FALSE(answer.headers->Has(HeaderId::kContentLength));
  EXPECT_EQ(answer.body, "");
}

TEST(LocalAnswerTest, OverflowSaysSo) {
  const LocalAnswer answer = MakeLocalAnswer(MapError(StreamError::kOverflow), nullptr);
  EXPECT_EQ(answer.headers->Get(HeaderId::kXEnvoyOverloaded), "true");
}

TEST(LocalAnswerTest, ExtraHeadersComeAlongButNotTheirBodyFacts) {
  http::HeaderMapPtr extra = HeaderMap::New();
  extra->Add(HeaderId::kLocation, "http://a/");
  extra->Add(HeaderId::kContentLength, "77");
  extra->Add(HeaderId::kContentType, "application/json");
  const LocalAnswer answer = MakeLocalAnswer(301, -1, "{}", nullptr, extra.get());
  EXPECT_EQ(answer.headers->Get(HeaderId::kLocation), "http://a/");
  EXPECT_EQ(answer.headers->Get(HeaderId::kContentLength), "2");
  EXPECT_EQ(answer.headers->Get(HeaderId::kContentType), "application/json");
}

TEST(GrpcTest, MessageIsPercentEncoded) {
  EXPECT_EQ(EncodeGrpcMessage("50% of \"it\"\n\xC3\xA9"), "50%25 of \"it\"%0A%C3%A9");
}

TEST(GrpcTest, ContentTypeDecides) {
  EXPECT_TRUE(IsGrpcContentType("application/grpc"));
  EXPECT_TRUE(IsGrpcContentType("application/grpc;charset=utf-8"));
  EXPECT_TRUE(IsGrpcContentType("application/grpc+json"));
  EXPECT_FALSE(IsGrpcContentType("application/grpc-web"));
  EXPECT_FALSE(IsGrpcContentType("application/grpcx"));
  EXPECT_FALSE(IsGrpcContentType("text/plain"));
}

TEST(ResponseFlagsTest, PrintsEnvoysNamesInEnvoysOrder) {
  EXPECT_EQ(ResponseFlagsText(0), "-");
  EXPECT_EQ(ResponseFlagsText(kFlagRetryLimit | kFlagUpstreamConnFail), "UF,URX");
  EXPECT_EQ(ResponseFlagsText(kFlagNoCluster | kFlagUpstreamProtocol | kFlagDurationTimeout),
            "DT,UPE,NC");
}

TEST(ResponseFlagsTest, EveryFlagHasANameOfItsOwn) {
  std::set<std::string> names;
  for (uint32_t bit = 1; bit <= kFlagOverloadManager; bit <<= 1) {
    const std::string name = ResponseFlagsText(bit);
    EXPECT_TRUE(names.insert(name).second) << name;
    EXPECT_EQ(ResponseFlagFromName(name), bit);
  }
  EXPECT_EQ(ResponseFlagFromName("XX"), 0u);
}

}  // namespace
}  // namespace meltemi::proxy
