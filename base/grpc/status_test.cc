#include "base/grpc/status.h"

#include "gtest/gtest.h"

namespace meltemi::http::grpc {
namespace {

TEST(GrpcStatusTest, ContentTypes) {
  EXPECT_TRUE(IsGrpcContentType("application/grpc"));
  EXPECT_TRUE(IsGrpcContentType("application/grpc+proto"));
  EXPECT_TRUE(IsGrpcContentType("Application/GRPC; charset=x"));
  EXPECT_FALSE(IsGrpcContentType("application/grpc-web"));
  EXPECT_FALSE(IsGrpcContentType("application/json"));
}

TEST(GrpcStatusTest, MapsHttpStatusesAsGrpcDoes) {
  EXPECT_EQ(CodeFromHttpStatus(400), absl::StatusCode::kInternal);
  EXPECT_EQ(CodeFromHttpStatus(401), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(CodeFromHttpStatus(403), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(CodeFromHttpStatus(404), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(CodeFromHttpStatus(429), absl::StatusCode::kUnavailable);
  EXPECT_EQ(CodeFromHttpStatus(503), absl::StatusCode::kUnavailable);
  EXPECT_EQ(CodeFromHttpStatus(418), absl::StatusCode::kUnknown);
  EXPECT_EQ(HttpStatusFromCode(absl::StatusCode::kUnavailable), 503);
  EXPECT_EQ(HttpStatusFromCode(absl::StatusCode::kOk), 200);
}

TEST(GrpcStatusTest, CodesByNumberAndName) {
  EXPECT_EQ(ParseCode("14"), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ParseCode("unavailable"), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ParseCode("DEADLINE_EXCEEDED"), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(ParseCode("17"), std::nullopt);
  EXPECT_EQ(ParseCode("nothing"), std::nullopt);
  for (int i = 0; i <= 16; ++i) {
    const auto code = static_cast<absl::StatusCode>(i);
    EXPECT_EQ(ParseCode(CodeName(code)), code);
  }
}

TEST(GrpcStatusTest, MessagesAreReadBackAsWritten) {
  const std::string message = "50% of \xc3\xbc\n\t is lost";
  EXPECT_EQ(EncodeMessage(message), "50%25 of %C3%BC%0A%09 is lost");
  EXPECT_EQ(DecodeMessage(EncodeMessage(message)), message);
  EXPECT_EQ(DecodeMessage("100% %zz %4"), "100% %zz %4");
}

TEST(GrpcStatusTest, ReadsTrailers) {
  HeaderMapPtr trailers = HeaderMap::New();
  EXPECT_EQ(StatusFromTrailers(*trailers), std::nullopt);
  trailers->Add(HeaderId::kGrpcStatus, "5");
  trailers->Add(HeaderId::kGrpcMessage, "no%20such thing");
  EXPECT_EQ(*StatusFromTrailers(*trailers), absl::NotFoundError("no such thing"));
  trailers->Set(HeaderId::kGrpcStatus, "0");
  EXPECT_TRUE(StatusFromTrailers(*trailers)->ok());
  trailers->Set(HeaderId::kGrpcStatus, "99");
  EXPECT_EQ(StatusFromTrailers(*trailers)->code(), absl::StatusCode::kUnknown);
  trailers->Set(HeaderId::kGrpcStatus, "x");
  EXPECT_EQ(StatusFromTrailers(*trailers)->code(), absl::StatusCode::kUnknown);
}

TEST(GrpcStatusTest, Timeouts) {
  EXPECT_EQ(ParseTimeout("15S"), seconds(15));
  EXPECT_EQ(ParseTimeout("100m"), milliseconds(100));
  EXPECT_EQ(ParseTimeout("2M"), minutes(2));
  EXPECT_EQ(ParseTimeout("1H"), minutes(60));
  EXPECT_EQ(ParseTimeout("99999999H"), Duration::max());
  EXPECT_EQ(ParseTimeout("7u"), microseconds(7));
  EXPECT_EQ(ParseTimeout("7n"), Duration(7));
  for (const char* bad : {"", "S", "15", "15s", "-1S", "123456789S", "1 S", "1.5S"}) {
    EXPECT_EQ(ParseTimeout(bad), std::nullopt) << bad;
  }
  EXPECT_EQ(FormatTimeout(milliseconds(250)), "250000u");
  EXPECT_EQ(FormatTimeout(Duration(10)), "10n");
  EXPECT_EQ(FormatTimeout(Duration(-1)), "1n");
  for (const Duration d :
       {Duration(1), Duration(123456789), Duration(seconds(86400)), Duration(minutes(600000))}) {
    const std::string text = FormatTimeout(d);
    EXPECT_GE(*ParseTimeout(text), d) << text;
    EXPECT_LE(text.size(), 9u);
  }
}

}  // namespace
}  // namespace meltemi::http::grpc
