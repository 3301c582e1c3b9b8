#include "proxy/listener/chain_match.h"

#include <gtest/gtest.h>

namespace meltemi::proxy {
namespace {

net::Address At(const char* text) { return *net::Address::Parse(text); }
net::Cidr Range(const char* text) { return *net::Cidr::Parse(text); }

class ChainMatchTest : public ::testing::Test {
 protected:
  FilterChainMatch& Add(const char* name) {
    FilterChain chain;
    chain.name = name;
    config_.filter_chains.push_back(std::move(chain));
    return config_.filter_chains.back().match;
  }
  std::string Choose(const char* destination, const SniffResult& sniffed = {},
                     const char* source = "10.9.9.9:5555") {
    ChainQuery query;
    query.destination = At(destination);
    query.direct_source = query.source = At(source);
    query.sniffed = &sniffed;
    const FilterChain* chain = MatchChain(config_, query);
    return chain == nullptr ? "none" : chain->name;
  }
  void AddDefault() {
    config_.default_chain.emplace();
    config_.default_chain->name = "default";
  }

  ListenerConfig config_;
};

TEST_F(ChainMatchTest, PortIsAskedFirstAndThereIsNoWayBack) {
  FilterChainMatch& port = Add("port");
  port.destination_port = 80;
  port.prefix_ranges = {Range("10.0.0.0/8")};
  Add("other").prefix_ranges = {Range("0.0.0.0/0")};
  EXPECT_EQ(Choose("10.1.1.1:80"), "port");
  EXPECT_EQ(Choose("10.1.1.1:81"), "other");
  // Port 80 has an entry, so the chain without a port is no longer asked: Envoy's rule.
  EXPECT_EQ(Choose("192.168.0.1:80"), "none");
  AddDefault();
  EXPECT_EQ(Choose("192.168.0.1:80"), "default");
}

TEST_F(ChainMatchTest, LongestPrefixWins) {
  Add("eight").prefix_ranges = {Range("10.0.0.0/8")};
  Add("sixteen").prefix_ranges = {Range("10.1.0.0/16"), Range("172.16.0.0/12")};
  Add("exact").prefix_ranges = {Range("10.1.2.3/32")};
  EXPECT_EQ(Choose("10.1.2.3:1"), "exact");
  EXPECT_EQ(Choose("10.1.2.4:1"), "sixteen");
  EXPECT_EQ(Choose("10.2.2.4:1"), "eight");
  EXPECT_EQ(Choose("172.17.0.1:1"), "sixteen");
  EXPECT_EQ(Choose("1.1.1.1:1"), "none");
}

TEST_F(ChainMatchTest, ServerNamesExactThenLongestWildcardThenNone) {
  Add("exact").server_names = {"api.example.com"};
  Add("wild").server_names = {"*.example.com"};
  Add("wilder").server_names = {"*.com"};
  Add("any");
  EXPECT_EQ(Choose("1.1.1.1:1", {"tls", "api.example.com", {}}), "exact");
  EXPECT_EQ(Choose("1.1.1.1:1", {"tls", "x.y.example.com", {}}), "wild");
  EXPECT_EQ(Choose("1.1.1.1:1", {"tls", "example.com", {}}), "wilder");
  EXPECT_EQ(Choose("1.1.1.1:1", {"tls", "example.org", {}}), "any");
  EXPECT_EQ(Choose("1.1.1.1:1"), "any");
}

TEST_F(ChainMatchTest, IstioInboundShapes) {
  FilterChainMatch& http = Add("http");
  http.transport_protocol = "raw_buffer";
  http.application_protocols = {"http/1.1", "h2c"};
  Add("tcp").transport_protocol = "raw_buffer";
  FilterChainMatch& mtls = Add("mtls");
  mtls.transport_protocol = "tls";
  mtls.application_protocols = {"istio"};
  EXPECT_EQ(Choose("1.1.1.1:1", {"raw_buffer", "", {"http/1.1"}}), "http");
  EXPECT_EQ(Choose("1.1.1.1:1", {"raw_buffer", "", {"h2c"}}), "http");
  EXPECT_EQ(Choose("1.1.1.1:1", {"raw_buffer", "", {}}), "tcp");
  EXPECT_EQ(Choose("1.1.1.1:1", {"tls", "", {"istio", "h2"}}), "mtls");
  EXPECT_EQ(Choose("1.1.1.1:1", {"tls", "", {"h2"}}), "none");
}

TEST_F(ChainMatchTest, ClientsOrderOfProtocolsDecides) {
  Add("one").application_protocols = {"a"};
  Add("two").application_protocols = {"b"};
  EXPECT_EQ(Choose("1.1.1.1:1", {"tls", "", {"b", "a"}}), "two");
  EXPECT_EQ(Choose("1.1.1.1:1", {"tls", "", {"x", "a", "b"}}), "one");
}

TEST_F(ChainMatchTest, SourceCriteriaComeLast) {
  Add("local").source_local_only = true;
  Add("external").source_external_only = true;
  EXPECT_EQ(Choose("10.0.0.1:1", {}, "127.0.0.1:99"), "local");
  EXPECT_EQ(Choose("10.0.0.1:1", {}, "10.0.0.1:99"), "local");
  EXPECT_EQ(Choose("10.0.0.1:1", {}, "10.0.0.2:99"), "external");
  config_.filter_chains.clear();
  Add("port").source_ports = {99};
  Add("range").source_ranges = {Range("10.0.0.0/24")};
  EXPECT_EQ(Choose("1.1.1.1:1", {}, "10.0.0.2:99"), "range");
  EXPECT_EQ(Choose("1.1.1.1:1", {}, "10.1.0.2:99"), "port");
  EXPECT_EQ(Choose("1.1.1.1:1", {}, "10.1.0.2:98"), "none");
}

TEST_F(ChainMatchTest, SniffingIsNeededOnlyWhereItCanDecide) {
  Add("db").destination_port = 3306;
  Add("http").application_protocols = {"http/1.1"};
  EXPECT_FALSE(NeedsSniffing(config_, At("1.1.1.1:80")));  // nobody sniffs here
  config_.http_inspector = true;
  EXPECT_TRUE(NeedsSniffing(config_, At("1.1.1.1:80")));
  EXPECT_FALSE(NeedsSniffing(config_, At("1.1.1.1:3306")));
}

}  // namespace
}  // namespace meltemi::proxy
