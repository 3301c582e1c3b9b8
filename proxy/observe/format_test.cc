#include "proxy/observe/format.h"

#include "gtest/gtest.h"
#include "proxy/observe/stream_info.h"
#include "proxy/observe/tls_info.h"
#include "proxy/route/route.h"
#include "proxy/stream/reply/stream_error.h"
#include "proxy/upstream/cluster/host.h"

namespace meltemi::proxy {
namespace {

using http::HeaderId;
using http::HeaderMap;

class FormatTest : public ::testing::Test {
 protected:
  FormatTest() : host_(Endpoint(), "outbound|80|v1|httpbin") {
    request_->set_method("GET");
    request_->set_authority("httpbin:8000");
    request_->set_path("/get?a=1");
    request_->Add(HeaderId::kUserAgent, "curl/7.88.1");
    request_->Add(HeaderId::kXRequestId, "rid");
    response_->set_status(503);
    response_->Add(HeaderId::kXEnvoyUpstreamServiceTime, "7");
    trailers_->Add("t", "tail");
    cluster_.name = "outbound|80|v1|httpbin";
    cluster_.alt_stat_name = "httpbin.80";
    info_.protocol = http::Protocol::kHttp11;
    info_.start_wall = WallTime(seconds(1700000000) + milliseconds(42));
    info_.start = MonotonicTime(seconds(100));
    info_.request_complete = info_.start + milliseconds(1);
    info_.upstream_first_tx = info_.start + milliseconds(2);
    info_.upstream_last_tx = info_.start + milliseconds(3);
    info_.upstream_first_rx = info_.start + milliseconds(9);
    info_.end = info_.start + milliseconds(12);
    info_.response_code = 503;
    info_.response_flags = kFlagUpstreamConnFail | kFlagRetryLimit;
    info_.response_code_details = "via_upstream";
    info_.bytes_received = 5;
    info_.bytes_sent = 91;
    info_.attempts = 3;
    info_.route_name = "default";
    info_.cluster = &cluster_;
    info_.upstream_host = &host_;
    info_.upstream_local = *net::Address::Parse("10.0.0.9:41000");
    info_.downstream_remote = *net::Address::Parse("10.0.0.8:5555");
    info_.downstream_direct_remote = *net::Address::Parse("[::1]:6666");
    info_.downstream_local = *net::Address::Parse("10.0.0.1:80");
    info_.connection_id = 17;
  }
  static EndpointConfig Endpoint() {
    EndpointConfig endpoint;
    endpoint.address = *net::Address::Parse("10.0.0.2:8080");
    endpoint.hostname = "httpbin.example:8080";
    return endpoint;
  }
  std::string Print(absl::string_view text, bool omit_empty = false) {
    const auto format = Format::Compile(text, omit_empty, {"node-1", {{"REGION", "north"}}});
    EXPECT_TRUE(format.ok()) << format.status();
    std::string out;
    (*format)->Append({request_.get(), response_.get(), trailers_.get(), &info_}, &out);
    return out;
  }
  static std::string ErrorOf(absl::string_view text) {
    const auto format = Format::Compile(text, false, {});
    EXPECT_FALSE(format.ok()) << text;
    return format.ok() ? "" : std::string(format.status().message());
  }

  http::HeaderMapPtr request_ = HeaderMap::New(), response_ = HeaderMap::New(),
                     trailers_ = HeaderMap::New();
  ClusterConfig cluster_;
  Host host_;
  StreamInfo info_;
};

TEST_F(FormatTest, EnvoysDefaultLine) {
  EXPECT_EQ(Print(kEnvoyDefaultLogFormat),
            "[2023-11-14T22:13:20.042Z] \"GET /get?a=1 HTTP/1.1\" 503 UF,URX 5 91 12 7 \"-\" "
            "\"curl/7.88.1\" \"rid\" \"httpbin:8000\" \"10.0.0.2:8080\"\n");
}

TEST_F(FormatTest, IstiosDefaultLine) {
  EXPECT_EQ(
      Print(kIstioDefaultLogFormat),
      "[2023-11-14T22:13:20.042Z] \"GET /get?a=1 HTTP/1.1\" 503 UF,URX via_upstream - \"-\" 5 "
      "91 12 7 \"-\" \"curl/7.88.1\" \"rid\" \"httpbin:8000\" \"10.0.0.2:8080\" "
      "outbound|80|v1|httpbin 10.0.0.9:41000 10.0.0.1:80 10.0.0.8:5555 - default\n");
}

TEST_F(FormatTest, EachCommand) {
  const std::pair<const char*, const char*> table[] = {
      {"100%%", "100%"},
      {"%REQ(X-NONE?USER-AGENT):4%", "curl"},
      {"%REQ(Host)%", "httpbin:8000"},
      {"%REQ_WITHOUT_QUERY(:PATH)%", "/get"},
      {"%RESP(:STATUS)%", "503"},
      {"%TRAILER(T)%", "tail"},
      {"%REQUEST_DURATION% %REQUEST_TX_DURATION% %RESPONSE_DURATION% %RESPONSE_TX_DURATION%",
       "1 3 9 3"},
      {"%COMMON_DURATION(DS_RX_BEG:US_TX_BEG:us)%", "2000"},
      {"%COMMON_DURATION(US_RX_BEG:DS_TX_END:ms)%", "3"},
      {"%COMMON_DURATION(DS_RX_BEG:DS_TX_BEG)%", "-"},
      {"%START_TIME(%Y/%m/%dT%H:%M:%S%z %s)%", "2023/11/14T22:13:20+0000 1700000000"},
      {"%START_TIME(%s.%3f)%", "1700000000.042"},
      {"%START_TIME(%f)%", "042000000"},
      {"%EMIT_TIME%", "2023-11-14T22:13:20.054Z"},
      {"%UPSTREAM_CLUSTER%", "httpbin.80"},
      {"%UPSTREAM_HOST_NAME%", "httpbin.example:8080"},
      {"%UPSTREAM_HOST_NAME_WITHOUT_PORT%", "httpbin.example"},
      {"%UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%:%UPSTREAM_REMOTE_PORT%", "10.0.0.2:8080"},
      {"%UPSTREAM_LOCAL_PORT%", "41000"},
      {"%UPSTREAM_REQUEST_ATTEMPT_COUNT%", "3"},
      {"%UPSTREAM_PROTOCOL%", "-"},
      {"%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%", "[::1]:6666"},
      {"%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%", "::1"},
      {"%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "10.0.0.8"},
      {"%CONNECTION_ID%", "17"},
      {"%GRPC_STATUS%", "-"},
      {"%HOSTNAME% %ENVIRONMENT(REGION)% %ENVIRONMENT(NONE)%", "node-1 north -"},
  };
  for (const auto& [format, expected] : table) EXPECT_EQ(Print(format), expected) << format;
}

TEST_F(FormatTest, GrpcStatus) {
  info_.grpc_status = 4;
  EXPECT_EQ(Print("%GRPC_STATUS% %GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS_NUMBER%"),
            "DeadlineExceeded DEADLINE_EXCEEDED 4");
  info_.grpc_status = 99;
  EXPECT_EQ(Print("%GRPC_STATUS%"), "99");
}

TEST_F(FormatTest, NothingReceivedIsNothingPrinted) {
  const auto format = *Format::Compile("%REQ(A)%%RESP(B)%%TRAILER(C)%", false, {});
  std::string out;
  format->Append({nullptr, nullptr, nullptr, &info_}, &out);
  EXPECT_EQ(out, "---");
  EXPECT_EQ(Print("[%REQ(A)%]", /*omit_empty=*/true), "[]");
}

TEST_F(FormatTest, WhatHandshakesSaid) {
  TlsInfo down;
  down.version = "TLSv1.3";
  down.cipher = "TLS_AES_128_GCM_SHA256";
  down.peer_presented = true;
  down.peer_uri_sans = {"spiffe://a", "spiffe://b"};
  down.peer_subject = "O=shop";
  down.peer_serial = "0a1b";
  down.peer_not_before_s = 1700000000;
  down.local_uri_sans = {"spiffe://us"};
  info_.downstream_tls = &down;
  EXPECT_EQ(Print("%DOWNSTREAM_TLS_VERSION% %DOWNSTREAM_TLS_CIPHER% %DOWNSTREAM_PEER_URI_SAN% "
                  "%DOWNSTREAM_LOCAL_URI_SAN% %DOWNSTREAM_PEER_SUBJECT% %DOWNSTREAM_PEER_SERIAL% "
                  "%DOWNSTREAM_PEER_ISSUER%"),
            "TLSv1.3 TLS_AES_128_GCM_SHA256 spiffe://a,spiffe://b spiffe://us O=shop 0a1b -");
  EXPECT_EQ(Print("%DOWNSTREAM_PEER_CERT_V_START%"), "2023-11-14T22:13:20.000Z");
  EXPECT_EQ(Print("%DOWNSTREAM_PEER_CERT_V_START(%Y)%"), "2023");
  EXPECT_EQ(Print("%UPSTREAM_TLS_VERSION% %UPSTREAM_PEER_URI_SAN%"), "- -");
  auto up = std::make_shared<TlsInfo>();
  up->peer_uri_sans = {"spiffe://up"};
  info_.upstream_tls = up;
  EXPECT_EQ(Print("%UPSTREAM_PEER_URI_SAN%"), "spiffe://up");
  ErrorOf("%DOWNSTREAM_TLS_VERSION(X)%");
  ErrorOf("%DOWNSTREAM_PEER_SHOE_SIZE%");
}

TEST_F(FormatTest, ReasonsOfTransportFailuresAreOneWord) {
  info_.upstream_transport_failure = "TLS_error:|1:SSL routines:x:TLS_error_end";
  info_.downstream_transport_failure = "closed during the handshake";
  EXPECT_EQ(Print("%UPSTREAM_TRANSPORT_FAILURE_REASON% %DOWNSTREAM_TRANSPORT_FAILURE_REASON%"),
            "TLS_error:|1:SSL_routines:x:TLS_error_end closed_during_the_handshake");
}

TEST_F(FormatTest, TheCodeOfAResponseThatHasNotGoneOutYet) {
  info_.response_code = 0;
  response_->set_status(418);
  EXPECT_EQ(Print("%RESPONSE_CODE%"), "418");
}

TEST_F(FormatTest, MistakesAreNamed) {
  EXPECT_EQ(ErrorOf("%NO_SUCH_THING%"), "command %NO_SUCH_THING%: unknown or not supported");
  EXPECT_EQ(ErrorOf("%DYNAMIC_METADATA(a:b)%"),
            "command %DYNAMIC_METADATA(a:b)%: unknown or not supported");
  EXPECT_EQ(ErrorOf("50% off"),
            "format \"50% off\", column 3: \"%\" begins a command; a plain percent sign is \"%%\"");
  EXPECT_EQ(ErrorOf("a %REQ(X"), "format \"a %REQ(X\", column 3: command REQ is not closed");
  for (const char* bad : {"%", "%REQ%", "%REQ()%", "%REQ(A?B?C)%", "%REQ(A):x%", "%PROTOCOL(X)%",
                          "%DURATION", "%GRPC_STATUS(LOUD)%", "%COMMON_DURATION(A:B:ms)%",
                          "%COMMON_DURATION(DS_RX_BEG:DS_TX_END:h)%", "%REQ(a\nb)%"}) {
    ErrorOf(bad);
  }
}

TEST_F(FormatTest, LiteralsAreKnownAsSuch) {
  const auto format = *Format::Compile("plain 100%%", true, {});
  EXPECT_TRUE(format->is_literal());
  EXPECT_EQ(format->literal(), "plain 100%");
}

TEST_F(FormatTest, DefaultTimeOverTheYears) {
  const std::pair<int64_t, const char*> table[] = {
      {0, "1970-01-01T00:00:00.000Z"},          {951782399, "2000-02-28T23:59:59.000Z"},
      {951782400, "2000-02-29T00:00:00.000Z"},  {1709251199, "2024-02-29T23:59:59.000Z"},
      {4102444800, "2100-01-01T00:00:00.000Z"},
  };
  for (const auto& [s, expected] : table) {
    info_.start_wall = WallTime(seconds(s));
    EXPECT_EQ(Print("%START_TIME%"), expected);
  }
}

}  // namespace
}  // namespace meltemi::proxy
