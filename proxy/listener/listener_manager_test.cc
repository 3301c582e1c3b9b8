// Listeners of a worker: binding, changing in place, hand-over, sniffing, TCP.
#include "proxy/listener/listener_manager.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "proxy/listener/proxy_test_harness.h"

namespace meltemi::proxy {
namespace {

using http::Protocol;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr absl::string_view kGet = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

class ListenersTest : public ::testing::Test {
 protected:
  ListenersTest() : one_(*t_.loop, Protocol::kHttp11), two_(*t_.loop, Protocol::kHttp11) {
    one_.name = "one";
    two_.name = "two";
    t_.AddCluster("one", {one_.port()});
    t_.AddCluster("two", {two_.port()});
  }
  std::shared_ptr<ListenerConfig> To(const std::string& name, const std::string& cluster,
                                     uint64_t fingerprint = 0) {
    auto listener =
        ProxyHarness::ListenerOf(name, {ProxyHarness::Chain(t_.HttpTo(cluster), fingerprint)});
    listener->fingerprint = fingerprint;
    return listener;
  }
  // The origin that answers.
  std::string Ask(HttpClient& client) {
    Reply& reply = client.Get("/x");
    return reply.headers == nullptr ? "none" : std::string(reply.headers->Get("x-origin"));
  }
  int64_t Count(absl::string_view metric) { return t_.registry.Sum(metric); }

  ProxyHarness t_;
  Origin one_, two_;
};

TEST_F(ListenersTest, AddedChangedRemoved) {
  t_.Apply({To("l", "one")});
  const net::Address at = t_.At("l");
  HttpClient client(*t_.loop, at, Protocol::kHttp11);
  EXPECT_EQ(Ask(client), "one");

  t_.Apply({To("l", "two")});
  EXPECT_EQ(t_.At("l"), at);  // the socket stayed
  HttpClient fresh(*t_.loop, at, Protocol::kHttp11);
  EXPECT_EQ(Ask(fresh), "two");
  // The old connection is served once more, and told that this was the last.
  EXPECT_EQ(Ask(client), "one");
  ASSERT_TRUE(t_.Until([&] { return client.disconnected; }));

  t_.Apply({});
  EXPECT_FALSE(t_.listeners->BoundAddress("l").set());
  HttpClient late(*t_.loop, at, Protocol::kHttp11);
  Reply& reply = late.Get("/x");
  EXPECT_TRUE(reply.reset);
}

TEST_F(ListenersTest, UnchangedChainKeepsItsConnections) {
  auto first = To("l", "one", 11);
  t_.Apply({first});
  HttpClient client(*t_.loop, t_.At("l"), Protocol::kHttp11);
  EXPECT_EQ(Ask(client), "one");
  auto second = To("l", "one", 11);
  second->fingerprint = 12;
  second->default_chain = ProxyHarness::Chain(t_.TcpTo("two"), 99);
  t_.Apply({second});
  EXPECT_EQ(Ask(client), "one");
  EXPECT_EQ(Ask(client), "one");
  EXPECT_FALSE(client.disconnected);
}

TEST_F(ListenersTest, RoutesByNameFollowTheSnapshot) {
  auto http = t_.HttpTo("one");
  http->inline_routes = nullptr;
  http->rds_name = "rds";
  auto listener = ProxyHarness::ListenerOf("l", {ProxyHarness::Chain(http, 5)});
  listener->fingerprint = 5;
  t_.routes["rds"] = ProxyHarness::TableTo("one");
  t_.Apply({listener});
  HttpClient client(*t_.loop, t_.At("l"), Protocol::kHttp11);
  EXPECT_EQ(Ask(client), "one");
  t_.routes["rds"] = ProxyHarness::TableTo("two");
  t_.Apply({listener});
  EXPECT_EQ(Ask(client), "two");
  EXPECT_FALSE(client.disconnected);
}

TEST_F(ListenersTest, AddressThatIsTakenIsReportedAndTriedAgain) {
  auto other =
      net::Listen(*t_.loop, net::Address::Loopback4(0), {}, [](int fd, auto&) { close(fd); });
  ASSERT_TRUE(other.ok());
  auto listener = To("l", "one");
  listener->address = (*other)->address();
  auto failures = t_.Apply({listener, To("fine", "two")});
  ASSERT_EQ(failures.size(), 1u);
  EXPECT_EQ(failures[0].listener, "l");
  EXPECT_THAT(std::string(failures[0].status.message()),
              HasSubstr(absl::StrCat((*other)->address().port())));
  HttpClient fine(*t_.loop, t_.At("fine"), Protocol::kHttp11);
  EXPECT_EQ(Ask(fine), "two");
  other->reset();
  ASSERT_TRUE(t_.Until([&] { return t_.listeners->BoundAddress("l").set(); }));
  HttpClient client(*t_.loop, t_.At("l"), Protocol::kHttp11);
  EXPECT_EQ(Ask(client), "one");
}

TEST_F(ListenersTest, StopAcceptingLetsConnectionsEnd) {
  t_.Apply({To("l", "one")});
  HttpClient client(*t_.loop, t_.At("l"), Protocol::kHttp11);
  EXPECT_EQ(Ask(client), "one");
  const net::Address at = t_.At("l");
  t_.listeners->StopAccepting();
  Settle(*t_.loop);
  HttpClient late(*t_.loop, at, Protocol::kHttp11);
  EXPECT_TRUE(late.Get("/").reset);
  EXPECT_EQ(Ask(client), "one");
}

// The test's stand-in for SO_ORIGINAL_DST.
const char* redirected_from = "";
absl::StatusOr<net::Address> FakeOriginalDestination(int) {
  return net::Address::Parse(redirected_from);
}

TEST(OriginalDestinationTest, HandOverByAddressThenWildcardThenItself) {
  ListenersOptions options;
  options.original_destination = &FakeOriginalDestination;
  ProxyHarness t(options);
  std::map<std::string, std::unique_ptr<Origin>> origins;
  std::vector<std::shared_ptr<ListenerConfig>> all;
  for (const char* name : {"virtual", "exact", "wildcard"}) {
    origins[name] = std::make_unique<Origin>(*t.loop, Protocol::kHttp11);
    origins[name]->name = name;
    t.AddCluster(name, {origins[name]->port()});
    all.push_back(ProxyHarness::ListenerOf(name, {ProxyHarness::Chain(t.HttpTo(name))}));
  }
  all[0]->use_original_dst = true;
  all[1]->bind_to_port = all[2]->bind_to_port = false;
  all[1]->address = *net::Address::Parse("10.96.0.7:80");
  all[2]->address = *net::Address::Parse("0.0.0.0:9080");
  t.Apply(all);
  const auto ask = [&](const char* destination) {
    redirected_from = destination;
    HttpClient client(*t.loop, t.At("virtual"), Protocol::kHttp11);
    Reply& reply = client.Get("/");
    return reply.headers == nullptr ? "none" : std::string(reply.headers->Get("x-origin"));
  };
  EXPECT_EQ(ask("10.96.0.7:80"), "exact");
  EXPECT_EQ(ask("10.96.0.8:80"), "virtual");
  EXPECT_EQ(ask("10.96.0.8:9080"), "wildcard");
  EXPECT_EQ(ask("1.2.3.4:5"), "virtual");
}

// ---- Sniffing -----------------------------------------------------------------------------------

class SniffTest : public ::testing::Test {
 protected:
  SniffTest() : web_(*t_.loop, Protocol::kHttp11), db_(*t_.loop) {
    t_.AddCluster("web", {web_.port()});
    t_.AddCluster("db", {db_.port()});
    FilterChain http = ProxyHarness::Chain(t_.HttpTo("web"));
    http.match.application_protocols = {"http/1.0", "http/1.1", "h2c"};
    http.match.transport_protocol = "raw_buffer";
    config_ = ProxyHarness::ListenerOf("l", {http});
    config_->default_chain = ProxyHarness::Chain(t_.TcpTo("db"));
    config_->tls_inspector = config_->http_inspector = true;
    config_->sniff_timeout = Duration(0);
    config_->continue_on_sniff_timeout = true;
  }
  void Start() { t_.Apply({config_}); }

  ProxyHarness t_;
  Origin web_;
  RawServer db_;
  std::shared_ptr<ListenerConfig> config_;
};

TEST_F(SniffTest, HttpOfBothVersionsGoesToHttp) {
  Start();
  HttpClient h1(*t_.loop, t_.At("l"), Protocol::kHttp11);
  EXPECT_EQ(h1.Get("/").status, 200);
  HttpClient h2(*t_.loop, t_.At("l"), Protocol::kHttp2);
  EXPECT_EQ(h2.Get("/").status, 200);
  EXPECT_EQ(web_.requests, 2);
  EXPECT_TRUE(db_.accepted.empty());
}

TEST_F(SniffTest, OtherBytesGoToTcpUntouched) {
  Start();
  RawClient client(*t_.loop, t_.At("l"));
  client.Send("\x01\x02 binary");
  ASSERT_TRUE(t_.Until([&] { return !db_.accepted.empty(); }));
  ASSERT_TRUE(t_.Until([&] { return db_.accepted[0]->received == "\x01\x02 binary"; }));
}

TEST_F(SniffTest, SlowRequestLineIsWaitedFor) {
  Start();
  RawClient client(*t_.loop, t_.At("l"));
  client.Send("GET / HT");
  Settle(*t_.loop);
  EXPECT_EQ(t_.registry.Sum("envoy_listener_downstream_pre_cx_active"), 1);
  client.Send("TP/1.1\r\nhost: a\r\n\r\n");
  ASSERT_TRUE(t_.Until([&] { return absl::StartsWith(client.received, "HTTP/1.1 200"); }));
  EXPECT_EQ(t_.registry.Sum("envoy_listener_downstream_pre_cx_active"), 0);
}

TEST_F(SniffTest, ServerThatSpeaksFirstWaitsForTheTimeoutAtMost) {
  config_->sniff_timeout = milliseconds(50);
  db_.on_accept = [](RawClient& c) { c.Send("220 ready\r\n"); };
  Start();
  RawClient client(*t_.loop, t_.At("l"));
  ASSERT_TRUE(t_.Until([&] { return client.received == "220 ready\r\n"; }));
  EXPECT_EQ(t_.registry.Sum("envoy_listener_downstream_pre_cx_timeout"), 0);
}

TEST_F(SniffTest, TimeoutClosesUnlessToldToContinue) {
  config_->sniff_timeout = milliseconds(50);
  config_->continue_on_sniff_timeout = false;
  Start();
  RawClient client(*t_.loop, t_.At("l"));
  ASSERT_TRUE(t_.Until([&] { return client.closed || client.ended; }));
  EXPECT_EQ(t_.registry.Sum("envoy_listener_downstream_pre_cx_timeout"), 1);
}

TEST_F(SniffTest, ServerFirstIsNotDelayedWhereNothingDependsOnSniffing) {
  config_->filter_chains.clear();
  db_.on_accept = [](RawClient& c) { c.Send("hello"); };
  Start();
  RawClient client(*t_.loop, t_.At("l"));
  ASSERT_TRUE(t_.Until([&] { return client.received == "hello"; }));
}

TEST_F(SniffTest, PortsWithoutTheSnifferAreNotDelayed) {
  config_->http_inspector_off = {{0, 65535}};
  config_->tls_inspector_off = {{0, 65535}};
  db_.on_accept = [](RawClient& c) { c.Send("hello"); };
  Start();
  RawClient client(*t_.loop, t_.At("l"));
  ASSERT_TRUE(t_.Until([&] { return client.received == "hello"; }));
}

TEST_F(SniffTest, ClientThatEndsWhileItIsLookedAt) {
  Start();
  RawClient client(*t_.loop, t_.At("l"));
  client.Send("GET /unfinished");
  client.connection().CloseWrite();
  ASSERT_TRUE(t_.Until([&] { return !db_.accepted.empty() && db_.accepted[0]->ended; }));
  EXPECT_EQ(db_.accepted[0]->received, "GET /unfinished");
}

TEST_F(SniffTest, NoChainIsClosedAndLogged) {
  config_->default_chain.reset();
  config_->access_logs = {t_.log};
  Start();
  RawClient client(*t_.loop, t_.At("l"));
  client.Send("\x01\x02\x03");
  ASSERT_TRUE(t_.Until([&] { return client.closed || client.ended; }));
  EXPECT_EQ(t_.registry.Sum("envoy_listener_no_filter_chain_match"), 1);
  ASSERT_EQ(t_.log->lines.size(), 1u);
  EXPECT_EQ(t_.log->lines[0].flags, "NR");
}

// ---- TCP ----------------------------------------------------------------------------------------

class TcpTest : public ::testing::Test {
 protected:
  TcpTest() : server_(*t_.loop) {
    t_.AddCluster("c", {server_.port()});
    tcp_ = t_.TcpTo("c");
  }
  void Start() { t_.Apply({ProxyHarness::ListenerOf("l", {ProxyHarness::Chain(tcp_)})}); }
  LogLine Log() {
    EXPECT_TRUE(t_.Until([&] { return !t_.log->lines.empty(); }));
    return t_.log->lines.empty() ? LogLine{} : t_.log->lines[0];
  }

  ProxyHarness t_;
  RawServer server_;
  std::shared_ptr<TcpProxyConfig> tcp_;
};

TEST_F(TcpTest, BytesBothWaysAndHalfCloseEachForItself) {
  Start();
  RawClient client(*t_.loop, t_.At("l"));
  client.Send("question");
  client.connection().CloseWrite();
  ASSERT_TRUE(t_.Until([&] { return !server_.accepted.empty() && server_.accepted[0]->ended; }));
  EXPECT_EQ(server_.accepted[0]->received, "question");
  EXPECT_FALSE(client.ended);
  server_.accepted[0]->Send("answer");
  ASSERT_TRUE(t_.Until([&] { return client.received == "answer"; }));
  server_.accepted[0]->connection().CloseWrite();
  ASSERT_TRUE(t_.Until([&] { return client.ended; }));
  const LogLine line = Log();
  EXPECT_EQ(line.flags, "-");
  EXPECT_EQ(line.received, 8u);
  EXPECT_EQ(line.sent, 6u);
  EXPECT_EQ(line.cluster, "c");
  EXPECT_EQ(t_.mesh.tcp_opens, 1);
  EXPECT_EQ(t_.mesh.tcp_closes, 1);
  EXPECT_EQ(t_.mesh.tcp_received, 8u);
  EXPECT_EQ(t_.mesh.tcp_sent, 6u);
  EXPECT_EQ(t_.listeners->connections(), 0u);
  EXPECT_EQ(t_.registry.Sum("envoy_listener_downstream_cx_active"), 0);
}

TEST_F(TcpTest, ServersHalfCloseFirst) {
  server_.on_accept = [](RawClient& c) {
    c.Send("banner");
    c.connection().CloseWrite();
  };
  Start();
  RawClient client(*t_.loop, t_.At("l"));
  ASSERT_TRUE(t_.Until([&] { return client.ended; }));
  EXPECT_EQ(client.received, "banner");
  client.Send("still here");
  ASSERT_TRUE(t_.Until([&] { return server_.accepted[0]->received == "still here"; }));
  client.connection().CloseWrite();
  ASSERT_TRUE(t_.Until([&] { return server_.accepted[0]->ended; }));
  Log();
}

TEST_F(TcpTest, ResetPassesOn) {
  Start();
  RawClient client(*t_.loop, t_.At("l"));
  client.Send("x");
  ASSERT_TRUE(
      t_.Until([&] { return !server_.accepted.empty() && server_.accepted[0]->size == 1; }));
  server_.accepted[0]->connection().Abort();
  ASSERT_TRUE(t_.Until([&] { return client.closed || client.ended; }));
  Log();
}

TEST_F(TcpTest, SlowReaderStopsTheSender) {
  Start();
  RawClient client(*t_.loop, t_.At("l"));
  client.Send("go");
  ASSERT_TRUE(t_.Until([&] { return !server_.accepted.empty(); }));
  RawClient& server = *server_.accepted[0];
  client.keep = false;
  client.connection().PauseReading(true);
  uint64_t offered = 0, before = 1;
  // Offers more whenever there is room, until nothing moves any more.
  while (before != offered) {
    before = offered;
    for (int i = 0; i < 20; ++i) {
      while (server.connection().output().size() < 256 * 1024) {
        server.Send(std::string(64 * 1024, 's'));
        offered += 64 * 1024;
      }
      t_.loop->RunOnce(milliseconds(5));
    }
  }
  EXPECT_LT(offered, 24u * 1024 * 1024);
  client.connection().PauseReading(false);
  server.connection().CloseWrite();
  ASSERT_TRUE(t_.Until([&] { return client.ended; }));
  EXPECT_EQ(client.size, offered);
}

TEST_F(TcpTest, NobodyListensIsUf) {
  t_.AddCluster("c", {1});
  tcp_->connect_attempts_max = 2;
  Start();
  RawClient client(*t_.loop, t_.At("l"));
  ASSERT_TRUE(t_.Until([&] { return client.closed || client.ended; }));
  const LogLine line = Log();
  EXPECT_THAT(line.flags, HasSubstr("UF"));
  EXPECT_THAT(line.flags, HasSubstr("URX"));
  EXPECT_EQ(line.attempts, 2u);
}

TEST_F(TcpTest, NoClusterAndNoHost) {
  tcp_->targets = {{"missing", 1}};
  Start();
  RawClient client(*t_.loop, t_.At("l"));
  ASSERT_TRUE(t_.Until([&] { return client.closed || client.ended; }));
  EXPECT_EQ(Log().flags, "NC");
  t_.AddCluster("c", {});
  tcp_ = t_.TcpTo("c");
  Start();
  RawClient second(*t_.loop, t_.At("l"));
  ASSERT_TRUE(t_.Until([&] { return t_.log->lines.size() == 2; }));
  EXPECT_EQ(t_.log->lines[1].flags, "UH");
}

TEST_F(TcpTest, IdleTimeoutCloses) {
  tcp_->idle_timeout = milliseconds(100);
  Start();
  RawClient client(*t_.loop, t_.At("l"));
  client.Send("x");
  ASSERT_TRUE(t_.Until([&] { return client.closed || client.ended; }));
  EXPECT_EQ(t_.registry.Sum("envoy_tcp_idle_timeout"), 1);
  Log();
}

TEST_F(TcpTest, ConnectionBreakerRefuses) {
  t_.AddCluster("c", {server_.port()}, UpstreamProtocol::kHttp1,
                [](ClusterConfig& config) { config.breakers_default.connections_max = 1; });
  Start();
  RawClient first(*t_.loop, t_.At("l"));
  first.Send("x");
  ASSERT_TRUE(t_.Until([&] { return !server_.accepted.empty(); }));
  RawClient second(*t_.loop, t_.At("l"));
  ASSERT_TRUE(t_.Until([&] { return second.closed || second.ended; }));
  EXPECT_EQ(Log().flags, "UO");
}

TEST(ConnectionLimitTest, WhatComesOnTopIsClosed) {
  ListenersOptions options;
  options.connections_max = 1;
  ProxyHarness t(options);
  Origin origin(*t.loop, Protocol::kHttp11);
  t.AddCluster("c", {origin.port()});
  t.Apply({ProxyHarness::ListenerOf("l", {ProxyHarness::Chain(t.HttpTo("c"))})});
  HttpClient first(*t.loop, t.At("l"), Protocol::kHttp11);
  EXPECT_EQ(first.Get("/").status, 200);
  HttpClient second(*t.loop, t.At("l"), Protocol::kHttp11);
  EXPECT_TRUE(second.Get("/").reset);
  EXPECT_EQ(t.registry.Sum("envoy_listener_downstream_global_cx_overflow"), 1);
}

}  // namespace
}  // namespace meltemi::proxy
