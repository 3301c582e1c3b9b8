// The server over real TLS on the loopback, asked in both protocols.

#include "orchestrator/apiserver/http/server.h"

#include <atomic>
#include <string>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orchestrator/apiserver/http/in_flight.h"
#include "orchestrator/apiserver/http/server_fixture.h"

namespace meltemi::apiserver {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

INSTANTIATE_TEST_SUITE_P(Protocols, ServerTest, testing::Bool(),
                         [](const testing::TestParamInfo<bool>& info) {
                           return info.param ? "Http2" : "Http1";
                         });

// ---- Requests and answers -----------------------------------------------------------------------

TEST_P(ServerTest, AGetIsAnswered) {
  Start();
  auto call = client_->Do("GET", "/version?x=1");
  EXPECT_EQ(call->status, 200);
  EXPECT_EQ(call->body, "GET /version?x=1 ");
  EXPECT_EQ(call->Field("content-type"), "text/plain");
  EXPECT_EQ(call->Field("cache-control"), "no-cache, private");
  EXPECT_EQ(call->Field("audit-id").size(), 36u);
  EXPECT_THAT(std::string(call->Field("date")), HasSubstr(" GMT"));
  // The connection serves more of them.
  EXPECT_EQ(client_->Do("GET", "/again")->body, "GET /again ");
}

TEST_P(ServerTest, TheHandlerSeesTheRequest) {
  handler_.on_request = [](Request& request) {
    EXPECT_EQ(request.info.verb, "create");
    EXPECT_EQ(request.info.resource, "pods");
    EXPECT_EQ(request.info.ns, "a b");
    EXPECT_EQ(request.query.Get("dryRun"), "All");
    EXPECT_EQ(request.Header("x-many"), "1, 2");
    EXPECT_EQ(request.Header("host"), "server.test");
    EXPECT_TRUE(absl::StartsWith(request.remote_address, "127.0.0.1:"));
    EXPECT_TRUE(request.certificate.has_value());
    if (request.certificate.has_value()) {
      EXPECT_EQ(request.certificate->common_name, "client.test");
      EXPECT_THAT(request.certificate->organizations, ElementsAre("testers"));
    }
    request.warnings = {"be \"careful\"", "be \"careful\""};
    return Body{.code = 201, .bytes = request.body, .fields = {{"X-Own", "yes"}}};
  };
  Start();
  client_ = NewClient(NewPair("client.test", ca_, false));
  auto call = client_->Do("POST", "/api/v1/namespaces/a%20b/pods?dryRun=All",
                          {{"x-many", "1"}, {"x-many", "2"}}, "the body");
  EXPECT_EQ(call->status, 201);
  EXPECT_EQ(call->body, "the body");
  EXPECT_EQ(call->Field("x-own"), "yes");
  EXPECT_EQ(call->Field("warning"), "299 - \"be \\\"careful\\\"\"");
}

TEST_P(ServerTest, HeadHasTheLengthAlone) {
  Start();
  auto call = client_->Do("HEAD", "/healthz");
  EXPECT_EQ(call->status, 200);
  EXPECT_EQ(call->Field("content-length"), "14");
  EXPECT_EQ(call->body, "");
  EXPECT_EQ(client_->Do("GET", "/x")->status, 200);
}

TEST_P(ServerTest, LargeBodiesGoBothWays) {
  handler_.on_request = [](Request& request) {
    return Body{.bytes = request.body + request.body + request.body};
  };
  Start();
  std::string body(2 * 1000 * 1000, 'b');
  for (size_t i = 0; i < body.size(); i += 7) body[i] = static_cast<char>('a' + i % 26);
  auto call = client_->Do("PUT", "/x", {}, body);
  EXPECT_EQ(call->status, 200);
  EXPECT_TRUE(call->body == body + body + body);
}

TEST_P(ServerTest, TooLargeABodyIsRefused) {
  Start();
  auto announced =
      client_->Start("POST", "/x", {{"content-length", "3145729"}}, std::string(1000, 'x'), false);
  client_->Until([&] { return announced->over(); });
  EXPECT_EQ(announced->status, 413);
  EXPECT_THAT(announced->body, HasSubstr("Request entity too large: limit is 3145728"));
  client_ = NewClient();
  auto sent = client_->Start("POST", "/x", {}, std::string(3 * 1024 * 1024 + 1, 'x'), false);
  client_->Until([&] { return sent->over(); });
  EXPECT_EQ(sent->status, 413);
  EXPECT_THAT(sent->body, HasSubstr("\"reason\":\"RequestEntityTooLarge\""));
}

TEST_P(ServerTest, AllBodiesTogetherAreBounded) {
  options_.bodies_bytes_max = 1000;
  Start();
  EXPECT_EQ(client_->Do("POST", "/x", {}, std::string(900, 'x'))->status, 200);
  // What was answered does not count any more.
  EXPECT_EQ(client_->Do("POST", "/x", {}, std::string(900, 'x'))->status, 200);
  auto call = client_->Do("POST", "/x", {}, std::string(1100, 'x'));
  EXPECT_EQ(call->status, 429);
  EXPECT_EQ(call->Field("retry-after"), "1");
}

TEST_P(ServerTest, AllAnswersTogetherAreBounded) {
  options_.answers_bytes_max = 30 * 1000 * 1000;
  handler_.on_request = [](Request&) { return Body{.bytes = std::string(20 * 1000 * 1000, 'a')}; };
  Start();
  auto first = client_->Start("GET", "/x");
  first->keep_body = false;
  ASSERT_TRUE(client_->Until([&] { return first->body_bytes > 0; }));
  // Its client takes nothing more while another one asks.
  auto other = NewClient();
  auto refused = other->Do("GET", "/x");
  EXPECT_EQ(refused->status, 429);
  ASSERT_TRUE(client_->Until([&] { return first->over(); }));
  EXPECT_EQ(first->body_bytes, 20u * 1000 * 1000);
  ASSERT_TRUE(other->Until([&] { return other->Do("GET", "/x")->status == 200; }));
}

TEST_P(ServerTest, ExpectIsAnswered) {
  Start();
  auto call = client_->Start("POST", "/x", {{"expect", "100-continue"}, {"content-length", "2"}},
                             "", false);
  ASSERT_TRUE(client_->Until([&] { return call->informed; }));
  Buffer data("hi");
  call->stream->SendData(data, true);
  ASSERT_TRUE(client_->Until([&] { return call->over(); }));
  EXPECT_EQ(call->body, "POST /x hi");
}

TEST_P(ServerTest, LargeAnswersAreCompressedForThoseWhoWantIt) {
  handler_.on_request = [](Request&) { return Body{.bytes = std::string(500 * 1000, 'z')}; };
  Start();
  auto packed = client_->Do("GET", "/x", {{"accept-encoding", "gzip"}});
  EXPECT_EQ(packed->Field("content-encoding"), "gzip");
  EXPECT_EQ(packed->Field("vary"), "Accept-Encoding");
  EXPECT_LT(packed->body.size(), 10u * 1000);
  EXPECT_EQ(packed->body.substr(0, 2), "\x1f\x8b");
  auto plain = client_->Do("GET", "/x", {{"accept-encoding", "gzip;q=0, br"}});
  EXPECT_EQ(plain->Field("content-encoding"), "");
  EXPECT_EQ(plain->body.size(), 500u * 1000);
}

TEST_P(ServerTest, ManyRequestsAtOnce) {
  Start();
  std::vector<std::unique_ptr<TestClient>> clients;
  for (int i = 0; i < 10; ++i) clients.push_back(NewClient());
  for (int round = 0; round < 20; ++round) {
    std::vector<TestClient::Call*> calls;
    for (auto& client : clients) {
      calls.push_back(client->Start("POST", absl::StrCat("/", round), {}, "body"));
    }
    for (size_t i = 0; i < clients.size(); ++i) {
      ASSERT_TRUE(clients[i]->Until([&] { return calls[i]->over(); }));
      EXPECT_EQ(calls[i]->body, absl::StrCat("POST /", round, " body"));
    }
  }
}

TEST_P(ServerTest, ConnectIsNotAllowed) {
  Start();
  auto call = client_->Start("CONNECT", "", {}, "", false);
  ASSERT_TRUE(client_->Until([&] { return call->over() || call->status != 0; }));
  // In HTTP/1 it has no valid form here: the codec answers.
  EXPECT_EQ(call->status, http2() ? 405 : 400);
}

TEST_P(ServerTest, AnUnreadablePathIsABadRequest) {
  Start();
  auto call = client_->Do("GET", "/api/%zz");
  EXPECT_EQ(call->status, 400);
  EXPECT_THAT(call->body, HasSubstr("\"reason\":\"BadRequest\""));
}

// ---- Time ---------------------------------------------------------------------------------------

TEST_P(ServerTest, AHandlerThatTakesTooLongIsNotWaitedFor) {
  handler_.on_request = [this](Request&) {
    gate_.Wait();
    return Body();
  };
  Start();
  auto call = client_->Do("GET", "/api/v1/pods?timeout=50ms");
  EXPECT_EQ(call->status, 504);
  EXPECT_THAT(call->body, HasSubstr("request did not complete within the allotted timeout"));
  EXPECT_EQ(gate_.waiting(), 1);
  gate_.Open();
  EXPECT_EQ(client_->Do("GET", "/x")->status, 200);
}

TEST_P(ServerTest, ABadTimeoutIsABadRequest) {
  Start();
  auto call = client_->Do("GET", "/api/v1/pods?timeout=10");
  EXPECT_EQ(call->status, 400);
  EXPECT_THAT(call->body,
              HasSubstr("invalid timeout specified in the request URL - time: missing unit in "
                        "duration \\\"10\\\""));
}

TEST_P(ServerTest, ABodyThatDoesNotComeTimesOut) {
  options_.request_timeout = milliseconds(50);
  Start();
  auto call = client_->Start("POST", "/x", {{"content-length", "100"}}, "abc", false);
  ASSERT_TRUE(client_->Until([&] { return call->over(); }));
  EXPECT_EQ(call->status, 504);
}

TEST_P(ServerTest, AnAnswerThatNobodyTakesIsGivenUp) {
  options_.answer_stall_timeout = milliseconds(100);
  options_.answers_bytes_max = 1000;  // a second one has to wait for it
  handler_.on_request = [](Request&) { return Body{.bytes = std::string(20 * 1000 * 1000, 'a')}; };
  Start();
  auto call = client_->Start("GET", "/x");
  ASSERT_TRUE(client_->Until([&] { return call->status == 200; }));
  // The client's loop does not run from here on.
  auto other = NewClient();
  EXPECT_TRUE(other->Until([&] { return other->Do("GET", "/x")->status == 200; }));
  call->keep_body = false;
  ASSERT_TRUE(client_->Until([&] { return call->over(); }));
  EXPECT_TRUE(call->reset.has_value());
}

TEST_P(ServerTest, IdleConnectionsEnd) {
  options_.idle_timeout = milliseconds(50);
  Start();
  EXPECT_EQ(client_->Do("GET", "/x")->status, 200);
  EXPECT_TRUE(client_->Until([&] { return client_->closed || client_->draining; }));
}

TEST_P(ServerTest, HeadersThatDoNotComeEndTheConnection) {
  options_.headers_timeout = milliseconds(50);
  Start();
  ASSERT_TRUE(client_->Until([&] { return client_->connected; }));
  if (!http2()) {
    client_->connection().output().Append("GET / HTTP/1.1\r\nhost: a\r\nx-slow: ");
    client_->connection().FlushSoon();
  }
  EXPECT_TRUE(client_->Until([&] { return client_->closed || client_->draining; }));
}

TEST_P(ServerTest, AHandshakeThatDoesNotComeEndsTheConnection) {
  options_.handshake_timeout = milliseconds(50);
  Start();
  auto loop = NewEventLoop(clock_);
  auto plain = net::NewClientConnection(*loop, server_->address(), net::Address(), {});
  struct Handler final : net::ConnectionHandler {
    void OnRead(Buffer&, bool end) override { ended = end; }
    void OnClosed(net::CloseCause, absl::string_view) override { ended = true; }
    bool ended = false;
  } handler;
  plain->SetHandler(&handler);
  const MonotonicTime end = clock_.Now() + seconds(10);
  while (!handler.ended && clock_.Now() < end) loop->RunOnce(milliseconds(50));
  EXPECT_TRUE(handler.ended);
}

// ---- In flight ----------------------------------------------------------------------------------

TEST_P(ServerTest, TheLimiterRefusesWhatIsTooMuch) {
  InFlightLimiter limiter(1, 1);
  handler_.on_request = [&](Request& request) -> Reply {
    request.user.name = "somebody";
    const InFlightLimiter::Ticket ticket = limiter.Enter(request);
    if (!ticket.admitted()) return StatusReply(ticket.refusal());
    gate_.Wait();
    return Body();
  };
  Start();
  auto first = client_->Start("GET", "/api/v1/pods");
  ASSERT_TRUE(client_->Until([&] { return gate_.waiting() == 1; }));
  auto other = NewClient();
  auto refused = other->Do("GET", "/api/v1/pods");
  EXPECT_EQ(refused->status, 429);
  EXPECT_EQ(refused->Field("retry-after"), "1");
  EXPECT_THAT(refused->body, HasSubstr("Too many requests, please try again later."));
  gate_.Open();
  ASSERT_TRUE(client_->Until([&] { return first->over(); }));
  EXPECT_EQ(first->status, 200);
  EXPECT_EQ(other->Do("GET", "/api/v1/pods")->status, 200);
}

// ---- Watches ------------------------------------------------------------------------------------

TEST_P(ServerTest, AWatchBringsEventsAsTheyCome) {
  AnswerWithWatches();
  Start();
  auto call = client_->Start("GET", "/api/v1/pods?watch=1");
  // The head comes before the first event.
  ASSERT_TRUE(client_->Until([&] { return call->status == 200; }));
  EXPECT_EQ(call->Field("content-type"), "application/json");
  EXPECT_EQ(call->Field("content-length"), "");
  ASSERT_EQ(hub_.open(), 1u);
  for (int i = 1; i <= 3; ++i) {
    hub_.Send(0, absl::StrCat("{\"n\":", i, "}\n"));
    ASSERT_TRUE(client_->Until([&] { return absl::StrContains(call->body, absl::StrCat(i)); }));
  }
  EXPECT_EQ(call->body, "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n");
  EXPECT_FALSE(call->over());
  client_.reset();
  auto other = NewClient();
  EXPECT_TRUE(other->Until([&] { return hub_.open() == 0; }));
}

TEST_P(ServerTest, AWatchEndsWithItsTimeOut) {
  AnswerWithWatches(milliseconds(50));
  Start();
  auto call = client_->Do("GET", "/api/v1/pods?watch=1");
  EXPECT_EQ(call->status, 200);
  EXPECT_TRUE(call->ended);
  EXPECT_EQ(hub_.open(), 0u);
}

TEST_P(ServerTest, AWatchEndsWhenTheHubSaysSo) {
  AnswerWithWatches();
  Start();
  auto call = client_->Start("GET", "/api/v1/pods?watch=1");
  ASSERT_TRUE(client_->Until([&] { return call->status == 200; }));
  hub_.Send(0, "{\"type\":\"ERROR\"}\n");
  hub_.End(0);
  ASSERT_TRUE(client_->Until([&] { return call->over(); }));
  EXPECT_TRUE(call->ended);
  EXPECT_EQ(call->body, "{\"type\":\"ERROR\"}\n");
}

TEST_P(ServerTest, AWatchFromAPastThatIsGoneIsAStatus) {
  AnswerWithWatches();
  hub_.refuse_with =
      std::make_unique<kube::Status>(kube::ResourceExpired("too old resource version: 1 (100)"));
  Start();
  auto call = client_->Do("GET", "/api/v1/pods?watch=1&resourceVersion=1");
  EXPECT_EQ(call->status, 410);
  EXPECT_THAT(call->body, HasSubstr("too old resource version: 1 (100)"));
}

TEST_P(ServerTest, AWatcherThatDoesNotReadIsCutOff) {
  options_.watch_unsent_bytes_max = 1000 * 1000;
  AnswerWithWatches();
  Start();
  auto call = client_->Start("GET", "/api/v1/pods?watch=1");
  ASSERT_TRUE(client_->Until([&] { return call->status == 200; }));
  // The client's loop does not run from here on.
  const std::string line = std::string(100 * 1000, 'w') + "\n";
  const MonotonicTime end = clock_.Now() + seconds(10);
  while (!hub_.refused(0) && clock_.Now() < end) {
    hub_.Send(0, line);
    std::this_thread::yield();
  }
  EXPECT_TRUE(hub_.refused(0));
  auto other = NewClient();
  EXPECT_TRUE(other->Until([&] { return hub_.open() == 0; }));
}

// ---- The end ------------------------------------------------------------------------------------

TEST_P(ServerTest, StopLetsRequestsInFlightEnd) {
  AnswerWithWatches();
  Start();
  auto watch = client_->Start("GET", "/api/v1/pods?watch=1");
  ASSERT_TRUE(client_->Until([&] { return watch->status == 200; }));
  handler_.on_request = [this](Request&) {
    gate_.Wait();
    return Body{.bytes = "done"};
  };
  auto other = NewClient();
  auto slow = other->Start("GET", "/x");
  ASSERT_TRUE(other->Until([&] { return gate_.waiting() == 1; }));
  std::atomic<bool> stopped{false};
  std::thread stop([&] {
    server_->Stop(seconds(10));
    stopped = true;
  });
  ASSERT_TRUE(client_->Until([&] { return watch->over(); }));
  EXPECT_TRUE(watch->ended);
  EXPECT_FALSE(stopped);
  gate_.Open();
  ASSERT_TRUE(other->Until([&] { return slow->over(); }));
  EXPECT_EQ(slow->body, "done");
  client_->Until([&] { return client_->closed; });
  client_.reset();
  other.reset();
  stop.join();
}

TEST_P(ServerTest, StopDoesNotWaitForEver) {
  handler_.on_request = [this](Request& request) {
    gate_.Wait();
    return Body();
  };
  Start();
  auto call = client_->Start("GET", "/x");
  ASSERT_TRUE(client_->Until([&] { return gate_.waiting() == 1; }));
  std::thread stop([&] { server_->Stop(milliseconds(20)); });
  ASSERT_TRUE(client_->Until([&] { return call->reset.has_value(); }));
  gate_.Open();  // threads are waited for
  stop.join();
}

}  // namespace
}  // namespace meltemi::apiserver
