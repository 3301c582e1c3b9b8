#include "proxy/upstream/cluster/directory.h"

#include <malloc.h>

#include <cstdio>
#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/json/parse.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/route/rewrite.h"
#include "proxy/upstream/attempt/mirror.h"
#include "proxy/upstream/cluster/directory_fixture.h"

namespace meltemi::proxy {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST_F(DirectoryTest, ARequestGoesToAHostAndItsAnswerComesBack) {
  AddCluster("shop", {TestEndpoint("10.0.0.1:80")});
  RecordedAttempt& first = Request();
  ASSERT_EQ(made(), 1u);
  EXPECT_EQ(Made(0).to.ToString(), "10.0.0.1:80");
  EXPECT_THAT(first.events, ElementsAre("host 10.0.0.1:80"));
  Connect(0);
  EXPECT_THAT(first.events, ElementsAre("host 10.0.0.1:80", "sent"));
  EXPECT_THAT(Made(0).peer->sent.ToString(), HasSubstr("GET /cart HTTP/1.1\r\n"));
  Answer(0);
  EXPECT_EQ(first.status, 200);
  EXPECT_EQ(first.body, "hi");
  EXPECT_TRUE(first.complete);
  EXPECT_EQ(Stat("upstream_rq_total"), 1);
  EXPECT_EQ(Stat("upstream_rq_active"), 0);
  EXPECT_EQ(Stat("upstream_cx_active"), 1);
  EXPECT_EQ(registry_.Sum("envoy_cluster_upstream_rq", {{"response_code", "200"}}), 1);
  EXPECT_EQ(registry_.Sum("envoy_cluster_upstream_rq_xx", {{"response_code_class", "2"}}), 1);
}

TEST_F(DirectoryTest, AnIdleConnectionIsReusedWithinTheSameTurn) {
  AddCluster("shop", {TestEndpoint("10.0.0.1:80")});
  Request();
  Connect(0);
  Answer(0);
  Made(0).peer->sent.Clear();
  RecordedAttempt& second = Start();
  // Nothing of the second request is told before the turn ends, but its bytes are in the buffer.
  EXPECT_TRUE(second.events.empty());
  EXPECT_GT(Made(0).connection->output().size(), 0u);
  loop_.RunPending();
  EXPECT_THAT(second.events, ElementsAre("host 10.0.0.1:80", "sent"));
  Answer(0);
  EXPECT_EQ(second.status, 200);
  EXPECT_EQ(made(), 1u);
}

TEST_F(DirectoryTest, ConcurrentRequestsGetConnectionsOfTheirOwn) {
  AddCluster("shop", {TestEndpoint("10.0.0.1:80")});
  RecordedAttempt& a = Request();
  RecordedAttempt& b = Request();
  ASSERT_EQ(made(), 2u);
  Connect(0);
  Connect(1);
  Answer(1);
  EXPECT_FALSE(a.complete);
  EXPECT_TRUE(b.complete);
  Answer(0);
  EXPECT_TRUE(a.complete);
}

TEST_F(DirectoryTest, HostsTakeTurns) {
  AddCluster("shop", {TestEndpoint("10.0.0.1:80"), TestEndpoint("10.0.0.2:80")});
  std::map<std::string, int> hits;
  for (int i = 0; i < 10; ++i) ++hits[Request().host];
  EXPECT_EQ(hits["10.0.0.1:80"], 5);
  EXPECT_EQ(hits["10.0.0.2:80"], 5);
}

TEST_F(DirectoryTest, WithoutHostsThereIsNoHealthyUpstream) {
  AddCluster("shop", {});
  RecordedAttempt& attempt = Start();
  EXPECT_TRUE(attempt.events.empty());
  loop_.RunPending();
  EXPECT_EQ(attempt.failed, StreamError::kNoHealthyUpstream);
  EXPECT_EQ(Stat("upstream_cx_none_healthy"), 1);
}

TEST_F(DirectoryTest, ARefusedConnectionFailsAllThatWaitForIt) {
  AddCluster("shop", {TestEndpoint("10.0.0.1:80")});
  RecordedAttempt& a = Request();
  Made(0).connection->Fail(net::CloseCause::kConnectFailed, "Connection refused");
  loop_.RunPending();
  EXPECT_EQ(a.failed, StreamError::kConnectFailure);
  EXPECT_EQ(a.detail, "Connection refused");
  EXPECT_TRUE(Made(0).peer->closed);
  EXPECT_EQ(Stat("upstream_cx_connect_fail"), 1);
  EXPECT_EQ(Stat("upstream_cx_active"), 0);
  EXPECT_EQ(Stat("upstream_rq_pending_active"), 0);
}

TEST_F(DirectoryTest, AConnectionThatIsNotMadeInTimeIsGivenUp) {
  AddCluster("shop", {TestEndpoint("10.0.0.1:80")});
  RecordedAttempt& a = Request();
  loop_.Advance(milliseconds(900));
  EXPECT_EQ(a.failed, StreamError::kNone);
  loop_.Advance(milliseconds(200));
  EXPECT_EQ(a.failed, StreamError::kConnectTimeout);
  EXPECT_EQ(Stat("upstream_cx_connect_timeout"), 1);
  EXPECT_TRUE(Made(0).peer->closed);
}

// Step 15 of the tutorial: one connection, one pending request, one request per connection.
TEST_F(DirectoryTest, TheThirdConcurrentRequestOverflowsABreakerOfOneAndOne) {
  auto config = Config("shop");
  config->breakers_default.connections_max = 1;
  config->breakers_default.pending_requests_max = 1;
  config->requests_per_connection_max = 1;
  AddCluster(config, {TestEndpoint("10.0.0.1:80")});
  RecordedAttempt& a = Request();
  Connect(0);
  RecordedAttempt& b = Request();
  RecordedAttempt& c = Request();
  EXPECT_EQ(c.failed, StreamError::kOverflow);
  EXPECT_EQ(Stat("upstream_rq_pending_overflow"), 1);
  EXPECT_EQ(Stat("upstream_cx_overflow"), 1);
  EXPECT_EQ(made(), 1u);
  Answer(0);
  EXPECT_TRUE(a.complete);
  // The connection has had its one request; the one that waited gets a new one.
  EXPECT_TRUE(Made(0).peer->closed);
  ASSERT_EQ(made(), 2u);
  Connect(1);
  Answer(1);
  EXPECT_TRUE(b.complete);
  EXPECT_EQ(Stat("upstream_cx_max_requests"), 2);
}

TEST_F(DirectoryTest, TheRequestsBreakerCountsWhatIsActive) {
  auto config = Config("shop");
  config->breakers_default.requests_max = 1;
  AddCluster(config, {TestEndpoint("10.0.0.1:80")});
  RecordedAttempt& a = Request();
  RecordedAttempt& b = Request();
  Connect(0);
  Connect(1);
  EXPECT_EQ(b.failed, StreamError::kOverflow);
  Answer(0);
  EXPECT_TRUE(a.complete);
  RecordedAttempt& c = Request();
  Answer(0);
  EXPECT_TRUE(c.complete);
}

TEST_F(DirectoryTest, RetriesHaveABreakerWhosePermitsComeBack) {
  auto config = Config("shop");
  config->breakers_default.retries_max = 1;
  AddCluster(config, {TestEndpoint("10.0.0.1:80")});
  WorkerCluster* cluster = worker_->Find("shop");
  RetryPermit first = cluster->TryRetry(false);
  EXPECT_NE(first, nullptr);
  EXPECT_EQ(cluster->TryRetry(false), nullptr);
  EXPECT_EQ(Stat("upstream_rq_retry_overflow"), 1);
  first.reset();
  EXPECT_NE(cluster->TryRetry(false), nullptr);
  EXPECT_EQ(Stat("upstream_rq_retry"), 2);
}

TEST_F(DirectoryTest, ACancelledRequestLeavesNothingBehind) {
  AddCluster("shop", {TestEndpoint("10.0.0.1:80")});
  RecordedAttempt& waiting = Request();
  waiting.attempt.reset();
  EXPECT_EQ(Stat("upstream_rq_pending_active"), 0);
  Connect(0);
  RecordedAttempt& active = Request();
  EXPECT_EQ(Stat("upstream_rq_active"), 1);
  active.attempt.reset();
  loop_.RunPending();
  // An HTTP/1 connection with half an exchange on it can't be used again.
  EXPECT_TRUE(Made(0).peer->closed);
  EXPECT_EQ(Stat("upstream_rq_active"), 0);
  EXPECT_EQ(Stat("upstream_cx_active"), 0);
  EXPECT_EQ(Stat("upstream_rq_tx_reset"), 1);
}

TEST_F(DirectoryTest, AConnectionLostUnderARequestEndsIt) {
  AddCluster("shop", {TestEndpoint("10.0.0.1:80")});
  RecordedAttempt& a = Request();
  Connect(0);
  Made(0).connection->Fail(net::CloseCause::kRemoteReset, "Connection reset by peer");
  loop_.RunPending();
  EXPECT_EQ(a.failed, StreamError::kUpstreamTermination);
  EXPECT_EQ(Stat("upstream_cx_destroy_remote_with_active_rq"), 1);
}

TEST_F(DirectoryTest, AStaleIdleConnectionCostsAGetNothing) {
  AddCluster("shop", {TestEndpoint("10.0.0.1:80")});
  Request();
  Connect(0);
  Answer(0);
  RecordedAttempt& second = Request();
  Made(0).connection->Fail(net::CloseCause::kRemoteReset, "Connection reset by peer");
  loop_.RunPending();
  EXPECT_EQ(second.failed, StreamError::kNone);
  ASSERT_EQ(made(), 2u);
  Connect(1);
  Answer(1);
  EXPECT_EQ(second.status, 200);
  EXPECT_THAT(second.events, ElementsAre("host 10.0.0.1:80", "sent", "headers 200"));
  EXPECT_EQ(Stat("upstream_rq_stale_repeat"), 1);
  EXPECT_EQ(Stat("upstream_rq_total"), 2);
}

TEST_F(DirectoryTest, APostOnAStaleConnectionIsNotSentTwice) {
  AddCluster("shop", {TestEndpoint("10.0.0.1:80")});
  Request();
  Connect(0);
  Answer(0);
  RecordedAttempt& post = Request("shop", "POST");
  Made(0).connection->Fail(net::CloseCause::kRemoteReset, "Connection reset by peer");
  loop_.RunPending();
  EXPECT_EQ(post.failed, StreamError::kUpstreamTermination);
  EXPECT_EQ(made(), 1u);
}

TEST_F(DirectoryTest, ABodyWaitsForTheConnectionWithinItsLimit) {
  auto config = Config("shop");
  config->buffer_bytes_max = 10;
  AddCluster(config, {TestEndpoint("10.0.0.1:80")});
  RecordedAttempt& post = Start("shop", "POST", /*end_stream=*/false);
  Buffer data("0123456789ab");
  post.attempt->SendData(data, false);
  loop_.RunPending();
  EXPECT_THAT(post.events, ElementsAre("host 10.0.0.1:80", "blocked"));
  Buffer rest("cd");
  post.attempt->SendData(rest, true);
  Connect(0);
  // One or more notices that it may go on; the last word is what counts.
  EXPECT_EQ(post.events[2], "sent");
  EXPECT_EQ(post.events.back(), "unblocked");
  EXPECT_THAT(Made(0).peer->sent.ToString(), HasSubstr("transfer-encoding: chunked"));
  EXPECT_THAT(Made(0).peer->sent.ToString(), HasSubstr("0123456789abcd"));
  Answer(0);
  EXPECT_TRUE(post.complete);
}

TEST_F(DirectoryTest, IdleConnectionsCloseAfterTheirTime) {
  auto config = Config("shop");
  config->idle_timeout = seconds(30);
  AddCluster(config, {TestEndpoint("10.0.0.1:80")});
  Request();
  Connect(0);
  Answer(0);
  loop_.Advance(seconds(29));
  EXPECT_FALSE(Made(0).peer->closed);
  loop_.Advance(seconds(2));
  EXPECT_TRUE(Made(0).peer->closed);
  EXPECT_EQ(Stat("upstream_cx_idle_timeout"), 1);
}

TEST_F(DirectoryTest, AConnectionThatTheServerClosesIsNotUsedAgain) {
  AddCluster("shop", {TestEndpoint("10.0.0.1:80")});
  Request();
  Connect(0);
  Answer(0, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
  EXPECT_TRUE(Made(0).peer->closed);
  Request();
  EXPECT_EQ(made(), 2u);
}

TEST_F(DirectoryTest, AnIdleConnectionThatThePeerEndsIsForgotten) {
  AddCluster("shop", {TestEndpoint("10.0.0.1:80")});
  Request();
  Connect(0);
  Answer(0);
  Made(0).connection->Receive("", /*end_of_stream=*/true);
  loop_.RunPending();
  EXPECT_TRUE(Made(0).peer->closed);
  EXPECT_EQ(Stat("upstream_cx_destroy_remote"), 1);
  Request();
  EXPECT_EQ(made(), 2u);
}

// ---- Updates

TEST_F(DirectoryTest, NothingReachesAWorkerBeforePublish) {
  directory_->SetCluster(Config("shop"), TestEndpoints({TestEndpoint("10.0.0.1:80")}));
  loop_.RunPending();
  EXPECT_EQ(worker_->Find("shop"), nullptr);
  directory_->Publish();
  loop_.RunPending();
  EXPECT_NE(worker_->Find("shop"), nullptr);
}

TEST_F(DirectoryTest, AnEdsClusterIsColdUntilItsEndpointsCome) {
  auto config = Config("shop");
  config->discovery = Discovery::kEds;
  bool told = false;
  directory_->OnWarm([&] { told = true; });
  directory_->SetCluster(config, nullptr);
  EXPECT_FALSE(directory_->Warm("shop"));
  directory_->Publish();
  loop_.RunPending();
  EXPECT_EQ(worker_->Find("shop"), nullptr);
  directory_->SetEndpoints("shop", TestEndpoints({TestEndpoint("10.0.0.1:80")}));
  EXPECT_TRUE(directory_->Warm("shop"));
  loop_.RunPending();
  EXPECT_TRUE(told);
  directory_->Publish();
  loop_.RunPending();
  EXPECT_NE(worker_->Find("shop"), nullptr);
}

TEST_F(DirectoryTest, ARemovedEndpointFinishesItsRequestsAndGetsNoMore) {
  auto config = Config("shop");
  config->discovery = Discovery::kEds;
  directory_->SetCluster(config, nullptr);
  directory_->SetEndpoints("shop", TestEndpoints({TestEndpoint("10.0.0.1:80")}));
  directory_->Publish();
  loop_.RunPending();
  RecordedAttempt& idle_one = Request();
  Connect(0);
  RecordedAttempt& running = Request();
  Connect(1);
  Answer(0);
  EXPECT_TRUE(idle_one.complete);
  directory_->SetEndpoints("shop", TestEndpoints({TestEndpoint("10.0.0.2:80")}));
  directory_->Publish();
  loop_.RunPending();
  EXPECT_TRUE(Made(0).peer->closed);   // idle
  EXPECT_FALSE(Made(1).peer->closed);  // busy
  EXPECT_EQ(Request().host, "10.0.0.2:80");
  Answer(1);
  EXPECT_EQ(running.status, 200);
  EXPECT_TRUE(Made(1).peer->closed);
}

TEST_F(DirectoryTest, AHostThatStaysKeepsItsConnections) {
  AddCluster("shop", {TestEndpoint("10.0.0.1:80")});
  Request();
  Connect(0);
  Answer(0);
  auto more = TestEndpoints({TestEndpoint("10.0.0.1:80", 5), TestEndpoint("10.0.0.2:80")});
  directory_->SetEndpoints("shop", more);
  directory_->Publish();
  loop_.RunPending();
  EXPECT_FALSE(Made(0).peer->closed);
  for (int i = 0; i < 4; ++i) Request();
  EXPECT_THAT(directory_->DebugText(), HasSubstr("shop::10.0.0.1:80::weight::5\n"));
  EXPECT_THAT(directory_->DebugText(), HasSubstr("shop::10.0.0.1:80::cx_connect_fail::0\n"));
}

TEST_F(DirectoryTest, ARemovedClusterGoesOnceItsRequestsHaveEnded) {
  AddCluster("shop", {TestEndpoint("10.0.0.1:80")});
  RecordedAttempt& running = Request();
  Connect(0);
  directory_->RemoveCluster("shop");
  EXPECT_NE(worker_->Find("shop"), nullptr);
  directory_->Publish();
  loop_.RunPending();
  EXPECT_EQ(worker_->Find("shop"), nullptr);
  Answer(0);
  EXPECT_EQ(running.status, 200);
  EXPECT_TRUE(Made(0).peer->closed);
  running.attempt.reset();
  loop_.RunPending();
}

TEST_F(DirectoryTest, ANewConfigurationDrainsTheOldConnections) {
  AddCluster("shop", {TestEndpoint("10.0.0.1:80")});
  Request();
  Connect(0);
  Answer(0);
  auto config = Config("shop");
  config->idle_timeout = seconds(5);
  AddCluster(config, {TestEndpoint("10.0.0.1:80")});
  EXPECT_TRUE(Made(0).peer->closed);
  Request();
  EXPECT_EQ(made(), 2u);
}

TEST_F(DirectoryTest, AnEqualFingerprintChangesNothing) {
  auto config = Config("shop");
  config->fingerprint = 11;
  AddCluster(config, {TestEndpoint("10.0.0.1:80")});
  Request();
  Connect(0);
  Answer(0);
  auto same = Config("shop");
  same->fingerprint = 11;
  AddCluster(same, {TestEndpoint("10.0.0.1:80")});
  EXPECT_FALSE(Made(0).peer->closed);
}

TEST_F(DirectoryTest, DrainClosesWhatIsIdle) {
  AddCluster("shop", {TestEndpoint("10.0.0.1:80")});
  Request();
  Connect(0);
  Answer(0);
  worker_->Drain();
  loop_.RunPending();
  EXPECT_TRUE(Made(0).peer->closed);
}

TEST_F(DirectoryTest, AWorkerThatEndsEndsItsAttempts) {
  AddCluster("shop", {TestEndpoint("10.0.0.1:80")});
  RecordedAttempt& running = Request();
  Connect(0);
  RecordedAttempt& waiting = Request();
  worker_.reset();
  running.attempt->Cancel(StreamError::kDownstreamReset);
  running.attempt.reset();
  waiting.attempt.reset();
  EXPECT_TRUE(Made(0).peer->closed);
}

// The target is a mesh of a thousand services in a few megabytes: see what one costs that is not
// used.
TEST_F(DirectoryTest, AClusterWithoutTrafficCostsLittle) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizers have an allocator of their own";
#endif
  constexpr int kClusters = 1000;
  auto second = directory_->NewWorker(loop_, random_, registry_.NewShard());
  const size_t before = mallinfo2().uordblks;
  for (int i = 0; i < kClusters; ++i) {
    const std::string name =
        absl::StrCat("outbound|8080||service-", i, ".default.svc.cluster.local");
    auto config = Config(name);
    config->discovery = Discovery::kEds;
    directory_->SetCluster(std::move(config), nullptr);
    directory_->SetEndpoints(
        name, TestEndpoints({TestEndpoint("10.0.0.1:80"), TestEndpoint("10.0.0.2:80")}));
  }
  directory_->Publish();
  loop_.RunPending();
  const size_t each = (mallinfo2().uordblks - before) / kClusters;
  RecordProperty("bytes_per_cluster", static_cast<int>(each));
  std::printf("bytes per cluster with two endpoints, two workers: %zu\n", each);
  EXPECT_LT(each, 8 * 1024);
  second.reset();
}

// ---- DNS

TEST_F(DirectoryTest, StrictDnsFollowsTheAnswersAndKeepsTheLastGoodOne) {
  auto config = Config("shop");
  config->discovery = Discovery::kStrictDns;
  config->dns_refresh = seconds(5);
  EndpointConfig named;
  named.dns_name = "shop.example";
  named.port = 8080;
  directory_->SetCluster(config, TestEndpoints({named}));
  EXPECT_FALSE(directory_->Warm("shop"));
  net::DnsAnswer two{{*net::Address::FromIp("10.1.0.1", 0), *net::Address::FromIp("10.1.0.2", 0)}};
  ASSERT_TRUE(dns_.Answer("shop.example", two));
  EXPECT_TRUE(directory_->Warm("shop"));
  directory_->Publish();
  loop_.RunPending();
  EXPECT_THAT(Request().host, HasSubstr("10.1.0."));
  // The servers fail: nothing changes.
  loop_.Advance(seconds(6));
  ASSERT_TRUE(dns_.Answer("shop.example", absl::UnavailableError("shop.example: timeout")));
  loop_.RunPending();
  EXPECT_EQ(Stat("membership_total"), 2);
  // An address goes: no Publish is needed.
  loop_.Advance(seconds(6));
  net::DnsAnswer one{{*net::Address::FromIp("10.1.0.2", 0)}};
  ASSERT_TRUE(dns_.Answer("shop.example", one));
  loop_.RunPending();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Request().host, "10.1.0.2:8080");
  EXPECT_EQ(Stat("update_failure"), 1);
}

TEST_F(DirectoryTest, LogicalDnsStaysWithItsAddressWhileItIsAnswered) {
  auto config = Config("shop");
  config->discovery = Discovery::kLogicalDns;
  config->respect_dns_ttl = true;
  EndpointConfig named;
  named.dns_name = "shop.example";
  named.port = 80;
  directory_->SetCluster(config, TestEndpoints({named}));
  const auto a = *net::Address::FromIp("10.1.0.1", 0), b = *net::Address::FromIp("10.1.0.2", 0);
  ASSERT_TRUE(dns_.Answer("shop.example", net::DnsAnswer{{a, b}, seconds(60)}));
  directory_->Publish();
  loop_.RunPending();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Request().host, "10.1.0.1:80");
  loop_.Advance(seconds(59));
  EXPECT_FALSE(dns_.Answer("shop.example", net::DnsAnswer{{b, a}, seconds(60)}));
  loop_.Advance(seconds(8));
  ASSERT_TRUE(dns_.Answer("shop.example", net::DnsAnswer{{b, a}, seconds(60)}));
  loop_.RunPending();
  EXPECT_EQ(Request().host, "10.1.0.1:80");
}

// ---- Original destination

TEST_F(DirectoryTest, OriginalDestinationTakesTheAddressOrTheHeader) {
  auto config = Config("shop");
  config->discovery = Discovery::kOriginalDst;
  config->balance = Balance::kClusterProvided;
  config->original_dst_use_header = true;
  config->original_dst_header = "x-envoy-original-dst-host";
  AddCluster(config, {});
  RecordedAttempt plain, with_header, without;
  const auto start = [&](RecordedAttempt& record, const net::Address& original) {
    AttemptOptions options;
    record.request->set_method("GET");
    record.request->set_path("/");
    options.headers = record.request.get();
    options.end_stream = true;
    options.balance.original_dst = original;
    record.attempt = worker_->Find("shop")->Start(options, record);
    loop_.RunPending();
  };
  start(plain, *net::Address::Parse("10.9.9.9:1234"));
  EXPECT_EQ(plain.host, "10.9.9.9:1234");
  with_header.request->Add(http::HeaderId::kXEnvoyOriginalDstHost, "10.8.8.8:80");
  start(with_header, *net::Address::Parse("10.9.9.9:1234"));
  EXPECT_EQ(with_header.host, "10.8.8.8:80");
  start(without, net::Address());
  EXPECT_EQ(without.failed, StreamError::kNoHealthyUpstream);
  for (RecordedAttempt* record : {&plain, &with_header, &without}) record->attempt.reset();
}

TEST_F(DirectoryTest, OriginalDestinationsThatNobodyUsesAreForgotten) {
  auto config = Config("shop");
  config->discovery = Discovery::kOriginalDst;
  config->balance = Balance::kClusterProvided;
  config->cleanup_interval = seconds(1);
  AddCluster(config, {});
  RecordedAttempt record;
  record.request->set_method("GET");
  record.request->set_path("/");
  AttemptOptions options;
  options.headers = record.request.get();
  options.end_stream = true;
  options.balance.original_dst = *net::Address::Parse("10.9.9.9:80");
  record.attempt = worker_->Find("shop")->Start(options, record);
  loop_.RunPending();
  Connect(0);
  Answer(0);
  EXPECT_TRUE(record.complete);
  loop_.Advance(milliseconds(1100));  // used since the last look
  EXPECT_FALSE(Made(0).peer->closed);
  loop_.Advance(milliseconds(1100));
  EXPECT_TRUE(Made(0).peer->closed);
  record.attempt.reset();
}

TEST_F(DirectoryTest, AShareOfTheRequestsIsDroppedWhereEndpointsSaySo) {
  auto config = Config("shop");
  config->discovery = Discovery::kEds;
  directory_->SetCluster(config, nullptr);
  auto endpoints = TestEndpoints({TestEndpoint("10.0.0.1:80")});
  endpoints->drop_per_million = {250000};
  directory_->SetEndpoints("shop", endpoints);
  directory_->Publish();
  loop_.RunPending();
  int dropped = 0;
  for (int i = 0; i < 1000; ++i) {
    dropped += Request().failed == StreamError::kOverflow;
    attempts_.clear();
  }
  EXPECT_NEAR(dropped, 250, 50);
  EXPECT_EQ(Stat("upstream_rq_drop_overload"), dropped);
}

TEST_F(DirectoryTest, DebugJsonIsJsonAndSaysWhatTheTextSays) {
  auto config = Config("shop");
  EndpointConfig endpoint = TestEndpoint("10.0.0.1:80", 3);
  endpoint.hostname = "a\"b";
  endpoint.health = EndpointHealth::kUnhealthy;
  AddCluster(config, {endpoint});
  const auto parsed = json::Parse(directory_->DebugJson());
  ASSERT_TRUE(parsed.ok()) << parsed.status() << directory_->DebugJson();
  EXPECT_THAT(directory_->DebugJson(), HasSubstr("\"eds_health_status\":\"UNHEALTHY\""));
  EXPECT_THAT(directory_->DebugText(),
              HasSubstr("shop::10.0.0.1:80::health_flags::/failed_eds_health\n"));
  EXPECT_THAT(directory_->DebugText(),
              HasSubstr("shop::default_priority::max_connections::1024\n"));
}

// ---- TCP

class RecordedTcp final : public TcpAttemptEvents {
 public:
  void OnTcpConnected(std::unique_ptr<net::Connection> made, const Host& host) override {
    connection = std::move(made);
    connection->SetHandler(nullptr);
    to = host.config.address.ToString();
  }
  void OnTcpFailed(StreamError error, absl::string_view) override { failed = error; }
  std::unique_ptr<net::Connection> connection;
  std::string to;
  StreamError failed = StreamError::kNone;
};

TEST_F(DirectoryTest, ATcpConnectionHoldsItsPlaceAsLongAsItsAttempt) {
  auto config = Config("shop");
  config->breakers_default.connections_max = 1;
  AddCluster(config, {TestEndpoint("10.0.0.1:3306")});
  RecordedTcp first, second, third;
  auto attempt = worker_->Find("shop")->StartTcp({}, first);
  loop_.RunPending();
  Connect(0);
  EXPECT_EQ(first.to, "10.0.0.1:3306");
  ASSERT_NE(first.connection, nullptr);
  auto refused = worker_->Find("shop")->StartTcp({}, second);
  EXPECT_EQ(second.failed, StreamError::kNone);  // never from within the call
  loop_.RunPending();
  EXPECT_EQ(second.failed, StreamError::kOverflow);
  EXPECT_EQ(Stat("upstream_cx_active"), 1);
  attempt.reset();
  EXPECT_EQ(Stat("upstream_cx_active"), 0);
  auto again = worker_->Find("shop")->StartTcp({}, third);
  loop_.RunPending();
  Made(1).connection->Fail(net::CloseCause::kConnectFailed, "Connection refused");
  loop_.RunPending();
  EXPECT_EQ(third.failed, StreamError::kConnectFailure);
  EXPECT_EQ(Stat("upstream_cx_connect_fail"), 1);
}

TEST_F(DirectoryTest, ATcpConnectionThatTakesTooLongIsGivenUp) {
  AddCluster("shop", {TestEndpoint("10.0.0.1:3306")});
  RecordedTcp slow;
  auto attempt = worker_->Find("shop")->StartTcp({}, slow);
  loop_.Advance(milliseconds(1100));
  EXPECT_EQ(slow.failed, StreamError::kConnectTimeout);
  EXPECT_TRUE(Made(0).peer->closed);
}

// ---- Outlier detection

TEST_F(DirectoryTest, AHostThatFailsIsEjectedAndComesBack) {
  auto config = Config("shop");
  config->outlier.emplace();
  config->outlier->consecutive_5xx = 3;
  config->outlier->base_ejection_time = seconds(30);
  config->outlier->ejection_percent_max = 50;
  config->panic_threshold_percent = 0;
  AddCluster(config, {TestEndpoint("10.0.0.1:80"), TestEndpoint("10.0.0.2:80")});
  // 10.0.0.1 answers 500 to everything.
  const auto serve = [&] {
    RecordedAttempt& request = Request();
    for (FakeConnector::Made& made : connector_->made()) {
      if (made.peer->closed) continue;
      if (!made.connection->connected()) {
        made.connection->CompleteConnect();
        loop_.RunPending();
      }
      if (made.peer->sent.empty()) continue;
      made.peer->sent.Clear();
      const bool bad = made.to.ToString() == "10.0.0.1:80";
      made.connection->Receive(bad ? "HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n" : kOk);
      loop_.RunPending();
    }
    return request.status;
  };
  int failures = 0;
  for (int i = 0; i < 20; ++i) failures += serve() == 500;
  EXPECT_EQ(failures, 3);
  EXPECT_EQ(Stat("outlier_detection_ejections_active"), 1);
  EXPECT_EQ(Stat("outlier_detection_ejections_enforced_consecutive_5xx"), 1);
  EXPECT_EQ(Stat("membership_healthy"), 1);
  EXPECT_THAT(directory_->DebugText(),
              HasSubstr("10.0.0.1:80::health_flags::/failed_outlier_check"));
  loop_.Advance(seconds(31));
  loop_.Advance(seconds(10));
  EXPECT_EQ(Stat("outlier_detection_ejections_active"), 0);
  failures = 0;
  for (int i = 0; i < 4; ++i) failures += serve() == 500;
  EXPECT_EQ(failures, 2);
}

// ---- Mirrors

TEST_F(DirectoryTest, AMirrorCopiesTheRequestAndThrowsTheAnswerAway) {
  AddCluster("shadow", {TestEndpoint("10.0.0.7:80")});
  http::HeaderMapPtr headers = http::HeaderMap::New();
  headers->set_method("POST");
  headers->set_path("/x");
  headers->set_authority("shop:8080");
  MirrorOptions options;
  options.headers = headers.get();
  std::unique_ptr<Mirror> mirror = worker_->StartMirror("shadow", options);
  ASSERT_NE(mirror, nullptr);
  EXPECT_EQ(worker_->StartMirror("nobody", options), nullptr);
  Buffer data("payload");
  mirror->SendData(data, true);
  EXPECT_EQ(data.size(), 7u);
  mirror.reset();  // the request is over; its copy goes on
  headers.reset();
  loop_.RunPending();
  Connect(0);
  EXPECT_THAT(Made(0).peer->sent.ToString(), HasSubstr("host: shop-shadow:8080\r\n"));
  EXPECT_THAT(Made(0).peer->sent.ToString(), HasSubstr("payload"));
  Answer(0);
  EXPECT_FALSE(Made(0).peer->closed);
  EXPECT_EQ(registry_.Sum("meltemi_mirrors_total"), 1);
}

TEST_F(DirectoryTest, AMirrorWhoseRequestBreaksOffBreaksOffToo) {
  AddCluster("shadow", {TestEndpoint("10.0.0.7:80")});
  http::HeaderMapPtr headers = http::HeaderMap::New();
  headers->set_method("POST");
  headers->set_path("/x");
  headers->set_authority("shop");
  MirrorOptions options;
  options.headers = headers.get();
  std::unique_ptr<Mirror> mirror = worker_->StartMirror("shadow", options);
  loop_.RunPending();
  Connect(0);
  mirror.reset();
  loop_.RunPending();
  EXPECT_TRUE(Made(0).peer->closed);
}

TEST(ShadowAuthorityTest, GoesBeforeThePort) {
  EXPECT_EQ(ShadowAuthority("shop"), "shop-shadow");
  EXPECT_EQ(ShadowAuthority("shop:80"), "shop-shadow:80");
  EXPECT_EQ(ShadowAuthority("[::1]:80"), "[::1]-shadow:80");
  EXPECT_EQ(ShadowAuthority("[::1]"), "[::1]-shadow");
}

}  // namespace
}  // namespace meltemi::proxy
