// A request down and its answer up: routing, headers, answers of our own, bodies, ends.
#include "proxy/stream/stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "proxy/stream/stream_test_harness.h"

namespace meltemi::proxy {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr absl::string_view kGet = "GET /hello?x=1 HTTP/1.1\r\nhost: shop\r\n\r\n";

class StreamTest : public ::testing::Test {
 protected:
  StreamHarness t_;
  const LogLine& OnlyLog() {
    EXPECT_EQ(t_.log->lines.size(), 1u);
    static const LogLine none;
    return t_.log->lines.empty() ? none : t_.log->lines[0];
  }
};

TEST_F(StreamTest, RequestGoesDownAndAnswerComesBackUp) {
  TestClient client = t_.Connect();
  client.Send(kGet);
  ASSERT_EQ(t_.cluster().attempts.size(), 1u);
  AttemptRecord& attempt = t_.attempt();
  EXPECT_EQ(attempt.headers->method(), "GET");
  EXPECT_EQ(attempt.headers->path(), "/hello?x=1");
  EXPECT_EQ(attempt.headers->authority(), "shop");
  EXPECT_EQ(attempt.headers->Get("x-forwarded-proto"), "http");
  EXPECT_TRUE(attempt.headers_end_stream);
  attempt.Headers(200, false, {{"content-length", "5"}, {"x-a", "b"}, {"server", "app"}});
  attempt.Data("hello", true);
  t_.Run();
  const std::string got = client.Received();
  EXPECT_THAT(got, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(got, HasSubstr("x-a: b\r\n"));
  EXPECT_THAT(got, HasSubstr("server: meltemi\r\n"));
  EXPECT_THAT(got, Not(HasSubstr("server: app")));
  EXPECT_THAT(got, HasSubstr("date: Mon, 01 Jan 2024 00:00:00 GMT\r\n"));
  EXPECT_THAT(got, HasSubstr("x-envoy-upstream-service-time: 0\r\n"));
  EXPECT_THAT(got, ::testing::EndsWith("\r\n\r\nhello"));
  EXPECT_EQ(OnlyLog().status, 200);
  EXPECT_EQ(OnlyLog().details, "via_upstream");
  EXPECT_EQ(OnlyLog().flags, "-");
  EXPECT_EQ(OnlyLog().cluster, "c");
  EXPECT_EQ(OnlyLog().sent, 5u);
  EXPECT_EQ(t_.mesh.ends, 1);
  EXPECT_EQ(t_.Count("envoy_http_downstream_rq_total"), 1);
  EXPECT_EQ(t_.Count("envoy_http_downstream_rq_active"), 0);
  EXPECT_EQ(t_.Count("envoy_http_downstream_rq_xx"), 1);
  EXPECT_FALSE(client.closed());
}

TEST_F(StreamTest, ManyRequestsOnOneConnectionEachCountedOnce) {
  TestClient client = t_.Connect();
  for (int i = 0; i < 50; ++i) {
    client.Send(kGet);
    ASSERT_EQ(t_.cluster().attempts.size(), static_cast<size_t>(i + 1));
    t_.attempt(i).Headers(204, true);
    t_.Run();
    EXPECT_THAT(client.Received(), StartsWith("HTTP/1.1 204"));
  }
  EXPECT_EQ(t_.log->lines.size(), 50u);
  EXPECT_EQ(t_.mesh.ends, 50);
}

TEST_F(StreamTest, PipelinedRequestsAreAnsweredInOrder) {
  TestClient client = t_.Connect();
  client.Send(absl::StrCat(kGet, "GET /second HTTP/1.1\r\nhost: shop\r\n\r\n"));
  ASSERT_EQ(t_.cluster().attempts.size(), 1u);
  t_.attempt(0).Headers(200, true);
  t_.Run();
  ASSERT_EQ(t_.cluster().attempts.size(), 2u);
  EXPECT_EQ(t_.attempt(1).headers->path(), "/second");
  t_.attempt(1).Headers(201, true);
  t_.Run();
  const std::string got = client.Received();
  EXPECT_LT(got.find("200 OK"), got.find("201 Created"));
}

TEST_F(StreamTest, NoRouteIs404AndNoClusterIs503) {
  t_.AddRoute("/known", "missing");
  TestClient client = t_.Connect();
  client.Send("GET /other HTTP/1.1\r\nhost: a\r\n\r\n");
  EXPECT_THAT(client.Received(), StartsWith("HTTP/1.1 404 Not Found"));
  client.Send("GET /known HTTP/1.1\r\nhost: a\r\n\r\n");
  EXPECT_THAT(client.Received(), StartsWith("HTTP/1.1 503 Service Unavailable"));
  ASSERT_EQ(t_.log->lines.size(), 2u);
  EXPECT_EQ(t_.log->lines[0].flags, "NR");
  EXPECT_EQ(t_.log->lines[0].details, "route_not_found");
  EXPECT_EQ(t_.log->lines[1].flags, "NC");
  EXPECT_EQ(t_.log->lines[1].details, "cluster_not_found");
  EXPECT_EQ(t_.Count("envoy_http_no_route"), 1);
  EXPECT_EQ(t_.Count("envoy_http_no_cluster"), 1);
}

TEST_F(StreamTest, RouteTableThatHasNotComeIs404AndAppearsLater) {
  t_.AddRoute("/");
  t_.config->rds_name = "rds";
  TestClient client = t_.Connect();
  t_.config->inline_routes = nullptr;
  client.Send(kGet);
  EXPECT_THAT(client.Received(), StartsWith("HTTP/1.1 404"));
  EXPECT_EQ(OnlyLog().flags, "NR");
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->sequence = 2;
  snapshot->routes["rds"] = t_.table;
  t_.worker.snapshot = snapshot;
  client.Send(kGet);
  EXPECT_EQ(t_.cluster().attempts.size(), 1u);
}

TEST_F(StreamTest, FailuresOfTheHostAreAnsweredWithFlagAndBody) {
  struct Case {
    StreamError error;
    const char* start;
    const char* flag;
  };
  const Case cases[] = {{StreamError::kConnectFailure, "HTTP/1.1 503", "UF"},
                        {StreamError::kNoHealthyUpstream, "HTTP/1.1 503", "UH"},
                        {StreamError::kOverflow, "HTTP/1.1 503", "UO"},
                        {StreamError::kUpstreamTermination, "HTTP/1.1 503", "UC"},
                        {StreamError::kUpstreamReset, "HTTP/1.1 503", "UR"},
                        {StreamError::kUpstreamProtocol, "HTTP/1.1 502", "UPE"}};
  TestClient client = t_.Connect();
  size_t n = 0;
  for (const Case& c : cases) {
    client.Send(kGet);
    t_.attempt(n).Fail(c.error, "why");
    t_.Run();
    EXPECT_THAT(client.Received(), StartsWith(c.start));
    EXPECT_EQ(t_.log->lines.at(n).flags, c.flag);
    ++n;
  }
}

TEST_F(StreamTest, OurOwnAnswersCarryTheRoutesResponseHeadersToo) {
  Route& route = t_.AddRoute("/", "missing");
  route.own_response_ops.add.push_back({.name = "x-route", .literal = "yes"});
  route.response_ops = {&route.own_response_ops};
  TestClient client = t_.Connect();
  client.Send(kGet);
  const std::string answer = client.Received();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(answer, HasSubstr("x-route: yes\r\n"));
}

TEST_F(StreamTest, RequestBodyAndTrailersPass) {
  TestClient client = t_.Connect();
  client.Send("POST /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n");
  AttemptRecord& attempt = t_.attempt();
  EXPECT_FALSE(attempt.headers_end_stream);
  EXPECT_EQ(attempt.body, "abc");
  client.Send("2\r\nde\r\n0\r\nx-t: v\r\n\r\n");
  EXPECT_EQ(attempt.body, "abcde");
  ASSERT_NE(attempt.trailers, nullptr);
  EXPECT_EQ(attempt.trailers->Get("x-t"), "v");
  attempt.Headers(200, false);
  attempt.Data("out", false);
  attempt.Trailers({{"x-r", "w"}});
  t_.Run();
  EXPECT_THAT(client.Received(), HasSubstr("3\r\nout\r\n0\r\nx-r: w\r\n\r\n"));
  EXPECT_EQ(OnlyLog().received, 5u);
}

TEST_F(StreamTest, HeadIsAnsweredWithoutBodyByUsToo) {
  t_.AddRoute("/", "missing");
  TestClient client = t_.Connect();
  client.Send("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n");
  const std::string got = client.Received();
  EXPECT_THAT(got, StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(got, HasSubstr("content-length: "));
  EXPECT_THAT(got, ::testing::EndsWith("\r\n\r\n"));
}

TEST_F(StreamTest, GrpcRequestGetsGrpcStatus) {
  TestClient client = t_.Connect();
  client.Send(
      "POST /s/M HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc\r\n"
      "content-length: 0\r\n\r\n");
  t_.attempt().Fail(StreamError::kConnectFailure, "refused");
  t_.Run();
  const std::string got = client.Received();
  EXPECT_THAT(got, StartsWith("HTTP/1.1 200 OK"));
  EXPECT_THAT(got, HasSubstr("grpc-status: 14\r\n"));
  EXPECT_EQ(OnlyLog().grpc_status, 14);
}

TEST_F(StreamTest, GrpcStatusOfTrailersIsLogged) {
  TestClient client = t_.Connect();
  client.Send(
      "POST /s/M HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc\r\n"
      "content-length: 0\r\n\r\n");
  t_.attempt().Headers(200, false, {{"content-type", "application/grpc"}});
  t_.attempt().Trailers({{"grpc-status", "5"}});
  t_.Run();
  EXPECT_EQ(OnlyLog().grpc_status, 5);
}

TEST_F(StreamTest, RedirectAndDirectResponse) {
  Route& redirect = t_.AddRoute("/old");
  redirect.action = Route::Action::kRedirect;
  redirect.redirect.host = "new.example";
  redirect.redirect.path = "/fresh";
  Route& direct = t_.AddRoute("/health");
  direct.action = Route::Action::kDirectResponse;
  direct.direct.status = 418;
  direct.direct.body = "teapot";
  TestClient client = t_.Connect();
  client.Send("GET /old?a=b HTTP/1.1\r\nhost: x\r\n\r\n");
  std::string got = client.Received();
  EXPECT_THAT(got, StartsWith("HTTP/1.1 301"));
  EXPECT_THAT(got, HasSubstr("location: http://new.example/fresh?a=b\r\n"));
  client.Send("GET /health HTTP/1.1\r\nhost: x\r\n\r\n");
  got = client.Received();
  EXPECT_THAT(got, StartsWith("HTTP/1.1 418"));
  EXPECT_THAT(got, ::testing::EndsWith("\r\n\r\nteapot"));
  EXPECT_EQ(t_.log->lines.at(1).details, "direct_response");
  EXPECT_TRUE(t_.cluster().attempts.empty());
}

TEST_F(StreamTest, TlsOnlyHostRedirects) {
  t_.host().require_tls_all = true;
  TestClient client = t_.Connect();
  client.Send("GET /a?b HTTP/1.1\r\nhost: x\r\n\r\n");
  const std::string got = client.Received();
  EXPECT_THAT(got, StartsWith("HTTP/1.1 301"));
  EXPECT_THAT(got, HasSubstr("location: https://x/a?b\r\n"));
}

TEST_F(StreamTest, WeightsChooseByTheRandomNumber) {
  Route& route = t_.AddRoute("/", "c");
  WeightedCluster other;
  other.cluster = "d";
  other.weight = 30;
  route.clusters[0].weight = 70;
  route.clusters.push_back(std::move(other));
  route.weight_total = 100;
  t_.clusters.Add("d");
  TestClient client = t_.Connect();
  t_.random.Push(0);
  t_.random.Push(69);
  client.Send(kGet);
  EXPECT_EQ(t_.cluster("c").attempts.size() + t_.cluster("d").attempts.size(), 1u);
}

TEST_F(StreamTest, HeaderOperationsRewriteAndAttemptCounts) {
  Route& route = t_.AddRoute("/api/");
  route.rewrite.prefix = "/v2/";
  route.rewrite.authority = "inner";
  HeaderOps::Addition add;
  add.name = "x-added";
  add.literal = "1";
  route.own_request_ops.add.push_back(add);
  route.request_ops = {&route.own_request_ops};
  add.name = "x-answer";
  route.own_response_ops.add.push_back(add);
  route.own_response_ops.remove = {"x-secret"};
  route.response_ops = {&route.own_response_ops};
  t_.host().include_attempt_count_request = true;
  t_.host().include_attempt_count_response = true;
  TestClient client = t_.Connect();
  client.Send("GET /api/a?b=c HTTP/1.1\r\nhost: x\r\n\r\n");
  const http::HeaderMap& sent = *t_.attempt().headers;
  EXPECT_EQ(sent.path(), "/v2/a?b=c");
  EXPECT_EQ(sent.authority(), "inner");
  EXPECT_EQ(sent.Get("x-added"), "1");
  EXPECT_EQ(sent.Get("x-envoy-original-path"), "/api/a?b=c");
  EXPECT_EQ(sent.Get("x-envoy-attempt-count"), "1");
  t_.attempt().Headers(200, true, {{"x-secret", "s"}});
  t_.Run();
  const std::string got = client.Received();
  EXPECT_THAT(got, HasSubstr("x-answer: 1\r\n"));
  EXPECT_THAT(got, HasSubstr("x-envoy-attempt-count: 1\r\n"));
  EXPECT_THAT(got, Not(HasSubstr("x-secret")));
}

TEST_F(StreamTest, ExpectContinueIsAnsweredOnlyWhenSomebodyTakesTheBody) {
  t_.AddRoute("/up");
  TestClient client = t_.Connect();
  client.Send("POST /up HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n");
  EXPECT_EQ(client.Received(), "HTTP/1.1 100 Continue\r\n\r\n");
  EXPECT_EQ(t_.attempt().headers->Get("expect"), "");
  client.Send("abc");
  EXPECT_EQ(t_.attempt().body, "abc");
  t_.attempt().Headers(200, true);
  t_.Run();
  client.Received();
  client.Send("POST /no HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n");
  EXPECT_THAT(client.Received(), StartsWith("HTTP/1.1 404"));
}

TEST_F(StreamTest, InformationalAnswersPass) {
  TestClient client = t_.Connect();
  client.Send(kGet);
  t_.attempt().Informational(103);
  t_.attempt().Informational(100);
  t_.attempt().Headers(200, true);
  t_.Run();
  const std::string got = client.Received();
  EXPECT_THAT(got, StartsWith("HTTP/1.1 103"));
  EXPECT_THAT(got, Not(HasSubstr("HTTP/1.1 100")));
}

TEST_F(StreamTest, UpgradeBecomesATunnelBothWays) {
  t_.config->upgrades = {"websocket"};
  TestClient client = t_.Connect();
  client.Send("GET /ws HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
  AttemptRecord& attempt = t_.attempt();
  EXPECT_TRUE(attempt.tunnel);
  EXPECT_EQ(attempt.headers->Get("upgrade"), "websocket");
  attempt.Headers(101, false, {{"upgrade", "websocket"}});
  t_.Run();
  EXPECT_THAT(client.Received(), StartsWith("HTTP/1.1 101"));
  client.Send("ping");
  EXPECT_EQ(attempt.body, "ping");
  attempt.Data("pong", false);
  t_.Run();
  EXPECT_EQ(client.Received(), "pong");
  EXPECT_EQ(t_.Count("envoy_http_downstream_cx_upgrades_active"), 1);
  attempt.Data("bye", true);
  t_.Run();
  EXPECT_EQ(client.Received(), "bye");
  EXPECT_TRUE(client.write_closed());
  EXPECT_TRUE(t_.log->lines.empty());
  client.Send("last", true);
  EXPECT_EQ(attempt.body, "pinglast");
  EXPECT_TRUE(attempt.ended);
  EXPECT_EQ(OnlyLog().status, 101);
  EXPECT_EQ(t_.Count("envoy_http_downstream_cx_upgrades_active"), 0);
}

TEST_F(StreamTest, UpgradeThatNobodyAllowedIs403) {
  TestClient client = t_.Connect();
  client.Send("GET /ws HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
  EXPECT_THAT(client.Received(), StartsWith("HTTP/1.1 403"));
  EXPECT_TRUE(t_.cluster().attempts.empty());
}

TEST_F(StreamTest, UpgradeThatTheUpstreamRefusesIsAnOrdinaryAnswer) {
  t_.config->upgrades = {"websocket"};
  TestClient client = t_.Connect();
  client.Send("GET /ws HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
  t_.attempt().Headers(400, false, {{"content-length", "2"}});
  t_.attempt().Data("no", true);
  t_.Run();
  EXPECT_THAT(client.Received(), HasSubstr("\r\n\r\nno"));
  EXPECT_EQ(OnlyLog().status, 400);
}

TEST_F(StreamTest, ClientThatGoesCancelsTheAttempt) {
  TestClient client = t_.Connect();
  client.Send(kGet);
  client.Reset();
  EXPECT_TRUE(t_.attempt().cancelled || t_.attempt().attempt == nullptr);
  EXPECT_EQ(OnlyLog().flags, "DC");
  EXPECT_EQ(OnlyLog().status, 0);
  EXPECT_EQ(OnlyLog().details, "downstream_remote_disconnect");
}

TEST_F(StreamTest, ClientThatClosesInOrderWhileItWaitsIsNoticed) {
  TestClient client = t_.Connect();
  client.Send(kGet);
  client.Send("", /*end_of_stream=*/true);
  EXPECT_EQ(OnlyLog().flags, "DC");
  EXPECT_TRUE(t_.attempt().cancelled);
  EXPECT_TRUE(client.closed());
}

TEST_F(StreamTest, ResponseThatBreaksOffClosesTheClientsConnection) {
  TestClient client = t_.Connect();
  client.Send(kGet);
  t_.attempt().Headers(200, false, {{"content-length", "10"}});
  t_.attempt().Data("hal", false);
  t_.attempt().Fail(StreamError::kUpstreamTermination, "gone");
  t_.Run();
  EXPECT_TRUE(client.closed());
  EXPECT_EQ(OnlyLog().flags, "UC");
  EXPECT_EQ(OnlyLog().status, 200);
}

TEST_F(StreamTest, EarlyAnswerEndsTheRequestAndTheConnection) {
  TestClient client = t_.Connect();
  client.Send("POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nabc");
  t_.attempt().Headers(413, true);
  t_.Run();
  EXPECT_THAT(client.Received(), HasSubstr("connection: close"));
  EXPECT_TRUE(client.closed());
  EXPECT_TRUE(t_.attempt().cancelled);
  EXPECT_EQ(OnlyLog().status, 413);
  EXPECT_EQ(t_.Count("envoy_http_downstream_rq_response_before_rq_complete"), 1);
}

TEST_F(StreamTest, MalformedRequestIs400AndReachesNobody) {
  TestClient client = t_.Connect();
  client.Send("GET / HTTP/1.1\r\nhost : a\r\n\r\n");
  EXPECT_THAT(client.Received(), StartsWith("HTTP/1.1 400"));
  EXPECT_TRUE(client.closed());
  EXPECT_TRUE(t_.cluster().attempts.empty());
  EXPECT_EQ(t_.Count("envoy_http_downstream_cx_protocol_error"), 1);
}

TEST_F(StreamTest, MalformedBodyEndsTheAttempt) {
  TestClient client = t_.Connect();
  client.Send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n");
  EXPECT_TRUE(client.closed());
  EXPECT_EQ(OnlyLog().flags, "DPE");
  EXPECT_TRUE(t_.attempt().cancelled);
}

TEST_F(StreamTest, PathRulesRejectAndRewrite) {
  t_.config->normalize_path = true;
  t_.config->merge_slashes = true;
  TestClient client = t_.Connect();
  client.Send("GET /a//b/../%63 HTTP/1.1\r\nhost: a\r\n\r\n");
  EXPECT_EQ(t_.attempt().headers->path(), "/a/c");
  t_.attempt().Headers(200, true);
  t_.Run();
  client.Received();
  client.Send("GET /a%00 HTTP/1.1\r\nhost: a\r\n\r\n");
  EXPECT_THAT(client.Received(), StartsWith("HTTP/1.1 400"));
}

TEST_F(StreamTest, MirrorsGetCopiesOfHeadersAndBody) {
  Route& route = t_.AddRoute("/");
  MirrorPolicy mirror;
  mirror.cluster = "shadow";
  route.mirrors.push_back(mirror);
  mirror.cluster = "absent";
  route.mirrors.push_back(mirror);
  t_.clusters.Add("shadow");
  TestClient client = t_.Connect();
  client.Send("POST /m HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\nabc");
  client.Send("def");
  ASSERT_EQ(t_.clusters.mirrors.size(), 1u);
  EXPECT_EQ(t_.clusters.mirrors[0]->body, "abcdef");
  EXPECT_TRUE(t_.clusters.mirrors[0]->ended);
  EXPECT_TRUE(t_.clusters.mirrors[0]->append_shadow);
  EXPECT_EQ(t_.attempt().body, "abcdef");
  t_.attempt().Headers(200, true);
  t_.Run();
  EXPECT_THAT(client.Received(), StartsWith("HTTP/1.1 200"));
}

TEST_F(StreamTest, RequestIdIsMadeAndKept) {
  t_.config->generate_request_id = true;
  t_.config->always_set_request_id_in_response = true;
  TestClient client = t_.Connect();
  client.Send(kGet);
  const std::string id(t_.attempt().headers->Get("x-request-id"));
  EXPECT_EQ(id.size(), 36u);
  EXPECT_EQ(id[14], '4');
  t_.attempt().Headers(200, true);
  t_.Run();
  EXPECT_THAT(client.Received(), HasSubstr("x-request-id: " + id));
  client.Send("GET / HTTP/1.1\r\nhost: a\r\nx-request-id: mine\r\n\r\n");
  EXPECT_EQ(t_.attempt(1).headers->Get("x-request-id"), "mine");
}

// ---- Back-pressure ------------------------------------------------------------------------------

TEST_F(StreamTest, SlowReaderPausesTheUpstream) {
  net::ConnectionLimits limits;
  limits.write_buffer_bytes_high = 1000;
  TestClient client = t_.Connect(limits);
  client.Send(kGet);
  client.Accept(false);
  t_.attempt().Headers(200, false);
  t_.attempt().Data(std::string(2000, 'x'), false);
  t_.Run();
  EXPECT_TRUE(t_.attempt().paused);
  client.Accept(true);
  EXPECT_FALSE(t_.attempt().paused);
  t_.attempt().Data("", true);
  t_.Run();
  EXPECT_EQ(OnlyLog().sent, 2000u);
}

TEST_F(StreamTest, SlowUpstreamPausesTheClient) {
  TestClient client = t_.Connect();
  client.Send("POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n");
  t_.attempt().Block(true);
  client.Send(std::string(20000, 'x'));
  EXPECT_TRUE(client.connection().reading_paused());
  EXPECT_LE(t_.attempt().body.size(), 0u);
  t_.attempt().Block(false);
  t_.Run();
  EXPECT_FALSE(client.connection().reading_paused());
  EXPECT_EQ(t_.attempt().body.size(), 20000u);
}

// ---- Connection -----------------------------------------------------------------------------

TEST_F(StreamTest, DrainingConnectionAnswersAndCloses) {
  TestClient client = t_.Connect();
  client.Send(kGet);
  t_.worker.draining = true;
  t_.connections->ForEach([](DownstreamConnection& c) { c.Drain(); });
  t_.attempt().Headers(200, true);
  t_.Run();
  EXPECT_THAT(client.Received(), HasSubstr("connection: close"));
  EXPECT_TRUE(client.closed());
}

TEST_F(StreamTest, IdleConnectionThatDrainsStillAnswersOneRequest) {
  TestClient client = t_.Connect();
  client.Send(kGet);
  t_.attempt().Headers(200, true);
  t_.Run();
  client.Received();
  t_.connections->ForEach([](DownstreamConnection& c) { c.Drain(); });
  t_.Run();
  EXPECT_FALSE(client.closed());
  client.Send(kGet);
  t_.attempt(1).Headers(200, true);
  t_.Run();
  EXPECT_THAT(client.Received(), HasSubstr("connection: close"));
  EXPECT_TRUE(client.closed());
}

TEST_F(StreamTest, IdleConnectionThatDrainsClosesInTheEnd) {
  TestClient client = t_.Connect();
  client.Send(kGet);
  t_.attempt().Headers(200, true);
  t_.Run();
  t_.connections->ForEach([](DownstreamConnection& c) { c.Drain(); });
  t_.loop.Advance(t_.config->drain_timeout + milliseconds(10));
  EXPECT_TRUE(client.closed());
}

TEST_F(StreamTest, RequestsPerConnectionAreLimited) {
  t_.config->requests_per_connection_max = 2;
  TestClient client = t_.Connect();
  client.Send(kGet);
  t_.attempt(0).Headers(200, true);
  t_.Run();
  EXPECT_THAT(client.Received(), Not(HasSubstr("connection: close")));
  client.Send(kGet);
  t_.attempt(1).Headers(200, true);
  t_.Run();
  EXPECT_THAT(client.Received(), HasSubstr("connection: close"));
  EXPECT_TRUE(client.closed());
}

TEST_F(StreamTest, IdleTimeoutClosesTheConnection) {
  t_.config->idle_timeout = seconds(10);
  TestClient client = t_.Connect();
  client.Send(kGet);
  t_.loop.Advance(seconds(20));
  EXPECT_FALSE(client.closed());  // a stream is open
  t_.attempt().Headers(200, true);
  t_.Run();
  t_.loop.Advance(seconds(11));
  EXPECT_TRUE(client.closed());
  EXPECT_EQ(t_.Count("envoy_http_downstream_cx_idle_timeout"), 1);
}

TEST_F(StreamTest, HeadersThatDoNotComeAreNotWaitedFor) {
  t_.config->request_headers_timeout = seconds(3);
  TestClient client = t_.Connect();
  client.Send("GET / HT");
  t_.loop.Advance(seconds(4));
  EXPECT_THAT(client.Received(), StartsWith("HTTP/1.1 408"));
  EXPECT_TRUE(client.closed());
}

TEST_F(StreamTest, ClientThatLeavesWhileNothingGoesOnIsNoError) {
  TestClient client = t_.Connect();
  client.Send("", true);
  EXPECT_TRUE(client.closed());
  EXPECT_TRUE(t_.log->lines.empty());
  EXPECT_EQ(t_.Count("envoy_http_downstream_cx_active"), 0);
}

}  // namespace
}  // namespace meltemi::proxy
