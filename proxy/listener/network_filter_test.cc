// Network filters: who is refused reaches nobody, whatever the chain would do with it.
#include "proxy/filters/network_filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "proxy/listener/proxy_test_harness.h"

namespace meltemi::proxy {
namespace {

// Refuses, or lets pass; remembers whom it was asked about.
struct Doorman {
  std::string refusal;
  std::vector<std::string> asked;
};

class DoormanFilter final : public NetworkFilter {
 public:
  explicit DoormanFilter(Doorman& doorman) : doorman_(doorman) {}
  absl::string_view Judge(const ConnectionFacts& facts) override {
    doorman_.asked.push_back(facts.remote.ip());
    EXPECT_EQ(facts.tls, nullptr);
    EXPECT_NE(facts.local.port(), 0);
    return doorman_.refusal;
  }

 private:
  Doorman& doorman_;
};

class DoormanConfig final : public NetworkFilterConfig {
 public:
  explicit DoormanConfig(Doorman& doorman) : doorman_(doorman) {}
  std::unique_ptr<NetworkFilter> NewFilter(metrics::Scope&) const override {
    return std::make_unique<DoormanFilter>(doorman_);
  }

 private:
  Doorman& doorman_;
};

// Keeps what it is told of connections.
class TerminationLog final : public AccessLog {
 public:
  void Write(const http::HeaderMap*, const http::HeaderMap*, const http::HeaderMap*,
             const StreamInfo& info) const override {
    lines.push_back(ResponseFlagsText(info.response_flags) + " " +
                    info.connection_termination_details);
  }
  mutable std::vector<std::string> lines;
};

class NetworkFilterTest : public ::testing::Test {
 protected:
  NetworkFilterTest() : server_(*t_.loop) { t_.AddCluster("c", {server_.port()}); }

  void Start(FilterChain chain) {
    for (Doorman* doorman : {&first_, &second_}) {
      chain.network_filters.push_back(std::make_shared<DoormanConfig>(*doorman));
    }
    t_.Apply({ProxyHarness::ListenerOf("l", {std::move(chain)})});
  }
  void StartTcp() {
    auto tcp = t_.TcpTo("c");
    tcp->access_logs = {log_};
    Start(ProxyHarness::Chain(tcp));
  }

  ProxyHarness t_;
  RawServer server_;
  Doorman first_, second_;
  std::shared_ptr<TerminationLog> log_ = std::make_shared<TerminationLog>();
};

TEST_F(NetworkFilterTest, WhomAllLetPassIsServed) {
  StartTcp();
  RawClient client(*t_.loop, t_.At("l"));
  client.Send("question");
  ASSERT_TRUE(t_.Until([&] { return !server_.accepted.empty(); }));
  ASSERT_TRUE(t_.Until([&] { return server_.accepted[0]->received == "question"; }));
  EXPECT_EQ(first_.asked, (std::vector<std::string>{"127.0.0.1"}));
  EXPECT_EQ(second_.asked.size(), 1u);
}

TEST_F(NetworkFilterTest, ARefusedConnectionReachesNoHostAndTheLogSaysWhy) {
  first_.refusal = "because";
  StartTcp();
  RawClient client(*t_.loop, t_.At("l"));
  client.Send("question");
  ASSERT_TRUE(t_.Until([&] { return client.closed || client.ended; }));
  ASSERT_TRUE(t_.Until([&] { return !log_->lines.empty(); }));
  EXPECT_EQ(log_->lines[0], "- because");
  EXPECT_TRUE(server_.accepted.empty());
  EXPECT_TRUE(second_.asked.empty()) << "the first refusal is enough";
  EXPECT_EQ(t_.listeners->connections(), 0u);
  EXPECT_EQ(t_.registry.Sum("envoy_listener_downstream_cx_active"), 0);
}

TEST_F(NetworkFilterTest, ARefusedConnectionHasNoRequests) {
  second_.refusal = "because";
  Origin origin(*t_.loop, http::Protocol::kHttp11);
  t_.AddCluster("c", {origin.port()});
  Start(ProxyHarness::Chain(t_.HttpTo("c")));
  RawClient client(*t_.loop, t_.At("l"));
  client.Send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
  ASSERT_TRUE(t_.Until([&] { return client.closed || client.ended; }));
  EXPECT_EQ(client.received, "");
  EXPECT_EQ(origin.requests, 0);
  EXPECT_EQ(t_.listeners->connections(), 0u);
  EXPECT_EQ(t_.registry.Sum("envoy_listener_downstream_cx_active"), 0);
  second_.refusal = "";
  RawClient again(*t_.loop, t_.At("l"));
  again.Send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
  ASSERT_TRUE(t_.Until([&] { return origin.requests == 1; }));
}

}  // namespace
}  // namespace meltemi::proxy
