// HTTP/2 pools against a real server codec.
#include "base/http/codec_fake.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/upstream/cluster/directory_fixture.h"

namespace meltemi::proxy {
namespace {

using ::testing::ElementsAre;

// The far end of one fake connection.
class Server {
 public:
  explicit Server(const http::Http2Limits& limits = {})
      : codec(http::NewHttp2ServerCodec(transport, events, limits)) {}
  http::FakeTransport transport;
  http::RecordingServerEvents events;
  std::unique_ptr<http::ServerCodec> codec;
  Buffer in;
};

class Http2PoolTest : public DirectoryTest {
 protected:
  std::shared_ptr<ClusterConfig> Http2Config() {
    auto config = Config("shop");
    config->protocol = UpstreamProtocol::kHttp2;
    return config;
  }
  // Connects the i-th connection and gives it a server.
  Server& Serve(size_t i, const http::Http2Limits& limits = {}) {
    if (servers_.size() <= i) servers_.resize(i + 1);
    servers_[i] = std::make_unique<Server>(limits);
    Connect(i);
    Exchange();
    return *servers_[i];
  }
  // Carries bytes both ways until nothing moves.
  void Exchange() {
    for (bool moved = true; moved;) {
      moved = false;
      loop_.RunPending();
      for (size_t i = 0; i < servers_.size(); ++i) {
        if (servers_[i] == nullptr) continue;
        Server& server = *servers_[i];
        net::FakePeer& peer = *Made(i).peer;
        const bool news = !peer.sent.empty() || server.transport.again;
        server.transport.again = false;
        server.in.MoveFrom(peer.sent);
        if (news) {
          ASSERT_TRUE(server.codec->Receive(server.in, false).ok());
        }
        const std::string out = server.transport.TakeOutput();
        if (!out.empty() && !peer.closed) Made(i).connection->Receive(out);
        moved = moved || news || !out.empty();
      }
    }
  }
  void Reply(http::RecordingServerEvents::Exchange& exchange, int status = 200) {
    http::HeaderMapPtr headers = http::HeaderMap::New();
    headers->set_status(status);
    exchange.stream->SendHeaders(*headers, /*end_stream=*/true);
    Exchange();
  }
  std::vector<std::unique_ptr<Server>> servers_;
};

TEST_F(Http2PoolTest, ManyRequestsShareAConnection) {
  AddCluster(Http2Config(), {TestEndpoint("10.0.0.1:80")});
  RecordedAttempt& a = Request();
  RecordedAttempt& b = Request();
  ASSERT_EQ(made(), 1u);
  Server& server = Serve(0);
  ASSERT_EQ(server.events.exchanges.size(), 2u);
  EXPECT_EQ(server.events.exchanges[0]->receiver.headers->path(), "/cart");
  Reply(*server.events.exchanges[1]);
  EXPECT_TRUE(b.complete);
  EXPECT_FALSE(a.complete);
  Reply(*server.events.exchanges[0], 404);
  EXPECT_EQ(a.status, 404);
  EXPECT_EQ(Stat("upstream_cx_http2_total"), 1);
  EXPECT_EQ(Stat("upstream_rq_active"), 0);
}

TEST_F(Http2PoolTest, TheServersLimitOnStreamsQueuesOrOpensMore) {
  AddCluster(Http2Config(), {TestEndpoint("10.0.0.1:80")});
  Request();
  http::Http2Limits limits;
  limits.concurrent_streams_max = 1;
  Server& server = Serve(0, limits);
  ASSERT_EQ(server.events.exchanges.size(), 1u);
  RecordedAttempt& second = Request();
  Exchange();
  ASSERT_EQ(made(), 2u);
  Server& other = Serve(1, limits);
  ASSERT_EQ(other.events.exchanges.size(), 1u);
  Reply(other.events.last());
  EXPECT_TRUE(second.complete);
}

TEST_F(Http2PoolTest, AfterGoawayNewRequestsUseANewConnection) {
  AddCluster(Http2Config(), {TestEndpoint("10.0.0.1:80")});
  RecordedAttempt& a = Request();
  Server& server = Serve(0);
  server.codec->StartDrain();
  server.codec->FinishDrain();
  Exchange();
  EXPECT_EQ(Stat("upstream_cx_close_notify"), 1);
  RecordedAttempt& b = Request();
  Exchange();
  ASSERT_EQ(made(), 2u);
  Reply(server.events.last());
  EXPECT_TRUE(a.complete);
  EXPECT_TRUE(Made(0).peer->closed);
  Reply(Serve(1).events.last());
  EXPECT_TRUE(b.complete);
}

TEST_F(Http2PoolTest, ARefusedStreamIsToldAsSuch) {
  AddCluster(Http2Config(), {TestEndpoint("10.0.0.1:80")});
  RecordedAttempt& a = Request();
  RecordedAttempt& b = Request();
  Server& server = Serve(0);
  server.events.exchanges[0]->stream->Reset(http::ResetCause::kRemoteRefused);
  server.events.exchanges[1]->stream->Reset(http::ResetCause::kLocal);
  Exchange();
  EXPECT_EQ(a.failed, StreamError::kUpstreamRefused);
  EXPECT_EQ(b.failed, StreamError::kUpstreamReset);
  EXPECT_FALSE(Made(0).peer->closed);
  EXPECT_EQ(Stat("upstream_rq_rx_reset"), 2);
}

TEST_F(Http2PoolTest, ACancelledRequestResetsItsStreamAlone) {
  AddCluster(Http2Config(), {TestEndpoint("10.0.0.1:80")});
  RecordedAttempt& a = Request();
  RecordedAttempt& b = Request();
  Server& server = Serve(0);
  a.attempt->Cancel(StreamError::kPerTryTimeout);
  Exchange();
  EXPECT_TRUE(server.events.exchanges[0]->receiver.reset.has_value());
  Reply(*server.events.exchanges[1]);
  EXPECT_TRUE(b.complete);
  EXPECT_EQ(Stat("upstream_rq_per_try_timeout"), 1);
  EXPECT_EQ(Stat("upstream_rq_active"), 0);
}

TEST_F(Http2PoolTest, PingsFindADeadConnection) {
  auto config = Http2Config();
  config->http2_ping_interval = seconds(30);
  config->http2_ping_timeout = seconds(5);
  AddCluster(config, {TestEndpoint("10.0.0.1:80")});
  RecordedAttempt& a = Request();
  Serve(0);
  loop_.Advance(seconds(31));
  Exchange();  // answered
  loop_.Advance(seconds(6));
  EXPECT_FALSE(Made(0).peer->closed);
  loop_.Advance(seconds(25));  // not answered any more
  loop_.Advance(seconds(6));
  EXPECT_EQ(a.failed, StreamError::kUpstreamTermination);
  EXPECT_TRUE(Made(0).peer->closed);
}

TEST_F(Http2PoolTest, TheProtocolCanFollowTheDownstream) {
  auto config = Config("shop");
  config->protocol = UpstreamProtocol::kSameAsDownstream;
  AddCluster(config, {TestEndpoint("10.0.0.1:80")});
  RecordedAttempt record;
  record.request->set_method("GET");
  record.request->set_scheme("http");
  record.request->set_authority("shop");
  record.request->set_path("/");
  AttemptOptions options;
  options.headers = record.request.get();
  options.end_stream = true;
  options.balance.downstream_protocol = http::Protocol::kHttp2;
  record.attempt = worker_->Find("shop")->Start(options, record);
  RecordedAttempt& plain = Request();
  ASSERT_EQ(made(), 2u);
  Server& server = Serve(0);
  Reply(server.events.last());
  EXPECT_TRUE(record.complete);
  Connect(1);
  Answer(1);
  EXPECT_TRUE(plain.complete);
  record.attempt.reset();
}

TEST_F(Http2PoolTest, AnHttp1OnlyServerIsAProtocolError) {
  AddCluster(Http2Config(), {TestEndpoint("10.0.0.1:80")});
  RecordedAttempt& a = Request();
  Connect(0);
  Answer(0, "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
  EXPECT_EQ(a.failed, StreamError::kUpstreamProtocol);
  EXPECT_EQ(Stat("upstream_cx_protocol_error"), 1);
}

}  // namespace
}  // namespace meltemi::proxy
