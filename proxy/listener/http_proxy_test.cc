// HTTP end to end: every pair of protocols over real sockets.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "proxy/listener/proxy_test_harness.h"

namespace meltemi::proxy {
namespace {

using http::Protocol;

UpstreamProtocol Up(Protocol protocol) {
  return protocol == Protocol::kHttp2 ? UpstreamProtocol::kHttp2 : UpstreamProtocol::kHttp1;
}

class PairTest : public ::testing::TestWithParam<std::pair<Protocol, Protocol>> {
 protected:
  PairTest() : origin_(*t_.loop, GetParam().second) {
    t_.AddCluster("c", {origin_.port()}, Up(GetParam().second));
    http_ = t_.HttpTo("c");
    listener_ = ProxyHarness::ListenerOf("l", {ProxyHarness::Chain(http_)});
    EXPECT_TRUE(t_.Apply({listener_}).empty());
  }
  std::unique_ptr<HttpClient> Client() {
    return std::make_unique<HttpClient>(*t_.loop, t_.At("l"), GetParam().first);
  }
  bool down_is_h2() const { return GetParam().first == Protocol::kHttp2; }

  ProxyHarness t_;
  Origin origin_;
  std::shared_ptr<HttpConfig> http_;
  std::shared_ptr<ListenerConfig> listener_;
};

TEST_P(PairTest, GetsOverOneConnection) {
  auto client = Client();
  for (int i = 0; i < 20; ++i) {
    Reply& reply = client->Get("/hello");
    ASSERT_EQ(reply.status, 200);
    ASSERT_EQ(reply.body, "shop");
    ASSERT_EQ(reply.headers->Get("x-origin"), "origin");
    ASSERT_EQ(reply.headers->Get("server"), "istio-envoy");
  }
  ASSERT_TRUE(t_.Until([&] { return t_.log->lines.size() == 20; }));
  for (const LogLine& line : t_.log->lines) EXPECT_EQ(line.flags, "-");
  EXPECT_EQ(origin_.server.open_connections(), 1u);
}

TEST_P(PairTest, BodyAndTrailersGoThereAndBack) {
  auto client = Client();
  Reply& reply = client->Start("POST", "/echo", nullptr, {{"te", "trailers"}});
  Buffer part(std::string(100000, 'a'));
  reply.stream->SendData(part, false);
  Settle(*t_.loop);
  Buffer more("end");
  reply.stream->SendData(more, false);
  const http::HeaderMapPtr trailers = http::HeaderMap::New();
  trailers->Add("x-t", "v");
  reply.stream->SendTrailers(*trailers);
  ASSERT_TRUE(t_.Until([&] { return reply.done(); }));
  EXPECT_TRUE(reply.ended);
  EXPECT_EQ(reply.size, 100003u);
  EXPECT_EQ(reply.body.substr(100000), "end");
  ASSERT_NE(reply.trailers, nullptr);
  EXPECT_EQ(reply.trailers->Get("x-t"), "v");
}

TEST_P(PairTest, HeadAndStatuses) {
  auto client = Client();
  const std::string none;
  Reply& head = client->Start("HEAD", "/x", &none);
  ASSERT_TRUE(t_.Until([&] { return head.done(); }));
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.body, "");
  EXPECT_EQ(client->Get("/status/418").status, 418);
  EXPECT_EQ(client->Get("/status/204").status, 204);
  EXPECT_EQ(client->Get("/status/500").status, 500);
}

TEST_P(PairTest, OriginThatResetsIs503AndTheClientGoesOn) {
  auto client = Client();
  Reply& reply = client->Get("/reset");
  EXPECT_EQ(reply.status, 503);
  EXPECT_TRUE(reply.ended);
  EXPECT_EQ(client->Get("/ok").status, 200);
  ASSERT_TRUE(t_.Until([&] { return t_.log->lines.size() == 2; }));
  EXPECT_THAT(t_.log->lines[0].flags, ::testing::AnyOf("UR", "UC"));
}

TEST_P(PairTest, AnswerThatBreaksOffIsNotTakenForWhole) {
  auto client = Client();
  const std::string none;
  Reply& reply = client->Start("GET", "/half", &none);
  ASSERT_TRUE(t_.Until([&] { return reply.body == "some"; }));
  origin_.open.begin()->first->Reset(http::ResetCause::kLocal);
  ASSERT_TRUE(t_.Until([&] { return reply.done(); }));
  EXPECT_TRUE(reply.reset);
  EXPECT_FALSE(reply.ended);
}

TEST_P(PairTest, ClientThatResetsReachesTheOrigin) {
  auto client = Client();
  const std::string none;
  Reply& reply = client->Start("GET", "/hang", &none);
  ASSERT_TRUE(t_.Until([&] { return origin_.requests == 1; }));
  reply.stream->Reset(http::ResetCause::kLocal);
  ASSERT_TRUE(t_.Until([&] { return origin_.resets == 1; }));
  ASSERT_TRUE(t_.Until([&] { return t_.log->lines.size() == 1; }));
  EXPECT_EQ(t_.log->lines[0].flags, "DC");
  EXPECT_TRUE(origin_.open.empty());
}

TEST_P(PairTest, SlowReaderIsNotBufferedFor) {
  constexpr uint64_t kSize = 48 * 1024 * 1024;
  auto client = Client();
  const std::string none;
  Reply& reply = client->Start("GET", absl::StrCat("/bytes/", kSize), &none);
  reply.keep = false;
  reply.stream->PauseReading(true);
  // The origin gives as much as it can until nothing moves any more.
  uint64_t before = ~uint64_t{0};
  while (before != origin_.produced) {
    before = origin_.produced;
    for (int i = 0; i < 20; ++i) {
      t_.loop->RunOnce(milliseconds(5));
      origin_.PumpAll();
    }
  }
  EXPECT_GT(origin_.produced, 0u);
  // Windows, buffers and the kernel's sockets; far below the whole.
  EXPECT_LT(origin_.produced, 24u * 1024 * 1024);
  reply.stream->PauseReading(false);
  ASSERT_TRUE(t_.Until([&] {
    origin_.PumpAll();
    return reply.done();
  }));
  EXPECT_EQ(reply.size, kSize);
  EXPECT_TRUE(reply.ended);
}

TEST_P(PairTest, UploadOfManyBytes) {
  constexpr uint64_t kSize = 32 * 1024 * 1024;
  auto client = Client();
  Reply& reply = client->Start("POST", "/count", nullptr);
  uint64_t sent = 0;
  uint64_t most_unsent = 0;
  ASSERT_TRUE(t_.Until([&] {
    while (sent < kSize && !reply.blocked && reply.stream->unsent_bytes() < 256 * 1024) {
      Buffer chunk(std::string(64 * 1024, 'u'));
      sent += chunk.size();
      reply.stream->SendData(chunk, sent == kSize);
    }
    most_unsent = std::max<uint64_t>(most_unsent, sent - origin_.received);
    return reply.done();
  }));
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(origin_.received, kSize);
  ASSERT_TRUE(t_.Until([&] { return t_.log->lines.size() == 1; }));
  EXPECT_EQ(t_.log->lines[0].received, kSize);
}

TEST_P(PairTest, NothingListensIs503Uf) {
  t_.AddCluster("c", {1}, Up(GetParam().second));
  auto client = Client();
  Reply& reply = client->Get("/x");
  EXPECT_EQ(reply.status, 503);
  ASSERT_TRUE(t_.Until([&] { return t_.log->lines.size() == 1; }));
  EXPECT_EQ(t_.log->lines[0].flags, "UF");
}

TEST_P(PairTest, AnswerBeforeTheRequestsEnd) {
  auto client = Client();
  t_.AddCluster("c", {}, Up(GetParam().second));  // no host: answered at once
  Reply& reply = client->Start("POST", "/x", nullptr);
  Buffer part("part");
  reply.stream->SendData(part, false);
  ASSERT_TRUE(t_.Until([&] { return reply.done(); }));
  EXPECT_EQ(reply.status, 503);
  EXPECT_TRUE(reply.ended);
  if (down_is_h2()) {
    // The connection serves others; HTTP/1's is closed.
    t_.AddCluster("c", {origin_.port()}, Up(GetParam().second));
    EXPECT_EQ(client->Get("/ok").status, 200);
  } else {
    ASSERT_TRUE(t_.Until([&] { return t_.listeners->connections() == 0; }));
  }
  ASSERT_FALSE(t_.log->lines.empty());
  EXPECT_EQ(t_.log->lines[0].flags, "UH");
}

TEST_P(PairTest, DrainLosesNothing) {
  auto client = Client();
  EXPECT_EQ(client->Get("/a").status, 200);
  const std::string none;
  Reply& reply = client->Start("GET", "/bytes/3000000", &none);
  reply.keep = false;
  t_.listeners->Drain();
  ASSERT_TRUE(t_.Until([&] {
    origin_.PumpAll();
    return reply.done();
  }));
  EXPECT_TRUE(reply.ended);
  EXPECT_EQ(reply.size, 3000000u);
  ASSERT_TRUE(t_.Until([&] { return client->disconnected; }));
  ASSERT_TRUE(t_.Until([&] { return t_.listeners->connections() == 0; }));
}

INSTANTIATE_TEST_SUITE_P(AllPairs, PairTest,
                         ::testing::Values(std::make_pair(Protocol::kHttp11, Protocol::kHttp11),
                                           std::make_pair(Protocol::kHttp11, Protocol::kHttp2),
                                           std::make_pair(Protocol::kHttp2, Protocol::kHttp11),
                                           std::make_pair(Protocol::kHttp2, Protocol::kHttp2)),
                         [](const auto& info) {
                           const auto name = [](Protocol p) {
                             return p == Protocol::kHttp2 ? "H2" : "H1";
                           };
                           return absl::StrCat(name(info.param.first), "to",
                                               name(info.param.second));
                         });

TEST(ManyStreamsTest, AThousandAtOnce) {
  for (const Protocol up : {Protocol::kHttp2, Protocol::kHttp11}) {
    ProxyHarness t;
    Origin origin(*t.loop, up);
    t.AddCluster("c", {origin.port()}, Up(up));
    t.Apply({ProxyHarness::ListenerOf("l", {ProxyHarness::Chain(t.HttpTo("c"))})});
    HttpClient client(*t.loop, t.At("l"), Protocol::kHttp2);
    EXPECT_EQ(client.Get("/first").status, 200);
    const std::string none;
    for (int i = 0; i < 1000; ++i) client.Start("GET", "/x", &none);
    ASSERT_TRUE(t.Until([&] {
      return std::all_of(client.replies.begin(), client.replies.end(),
                         [](const auto& reply) { return reply->done(); });
    }));
    for (const auto& reply : client.replies) ASSERT_EQ(reply->status, 200);
    ASSERT_TRUE(t.Until([&] { return t.log->lines.size() == 1001; }));
    EXPECT_EQ(t.mesh.ends, 1001);
  }
}

TEST(UpgradeTest, WebSocketBetweenHttp1Ends) {
  ProxyHarness t;
  RawServer origin(*t.loop);
  origin.on_accept = [](RawClient& c) {
    c.on_read = [&c] {
      if (c.received.find("\r\n\r\n") != std::string::npos && c.received.find("101") == 0) return;
      if (c.received.find("sec-websocket-key: k") == std::string::npos) return;
      c.received = "101";
      c.Send(
          "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
          "sec-websocket-accept: a\r\n\r\nhello");
    };
  };
  t.AddCluster("c", {origin.port()});
  auto http = t.HttpTo("c");
  http->upgrades = {"websocket"};
  t.Apply({ProxyHarness::ListenerOf("l", {ProxyHarness::Chain(http)})});
  RawClient client(*t.loop, t.At("l"));
  client.Send(
      "GET /ws HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
      "sec-websocket-key: k\r\n\r\n");
  ASSERT_TRUE(t.Until([&] { return absl::EndsWith(client.received, "\r\n\r\nhello"); }));
  EXPECT_THAT(client.received, ::testing::HasSubstr("sec-websocket-accept: a"));
  client.Send("frame");
  ASSERT_TRUE(t.Until([&] { return origin.accepted.at(0)->received == "101frame"; }));
  client.connection().CloseWrite();
  ASSERT_TRUE(t.Until([&] { return origin.accepted.at(0)->ended; }));
  origin.accepted.at(0)->Send("bye");
  origin.accepted.at(0)->connection().CloseWrite();
  ASSERT_TRUE(t.Until([&] { return client.ended; }));
  EXPECT_TRUE(absl::EndsWith(client.received, "bye"));
  ASSERT_TRUE(t.Until([&] { return t.log->lines.size() == 1; }));
  EXPECT_EQ(t.log->lines[0].status, 101);
}

}  // namespace
}  // namespace meltemi::proxy
