#include "orchestrator/kubeproxy/conntrack/stale.h"

#include "gtest/gtest.h"
#include "orchestrator/kubeproxy/model/facts.h"

namespace meltemi::kubeproxy {
namespace {

constexpr char kLine[] =
    "udp      17 29 src=10.244.0.14 dst=10.96.0.10 sport=5353 dport=53 [UNREPLIED] "
    "src=10.244.0.11 dst=10.244.0.14 sport=8053 dport=5353 mark=0 use=1";

Ipv4 Ip(const char* text) { return ParseIp(text).value_or(0); }

ServiceRulesPtr Dns(const std::vector<const char*>& serving, uint16_t node_port = 0) {
  auto rules = std::make_shared<ServiceRules>();
  rules->key = {"kube-system", "dns"};
  rules->cluster_ip = Ip("10.96.0.10");
  PortRules udp;
  udp.protocol = Protocol::kUdp;
  udp.port = 53;
  udp.node_port = node_port;
  for (const char* ip : serving) udp.serving.push_back(Ip(ip));
  PortRules tcp = udp;
  tcp.protocol = Protocol::kTcp;
  tcp.port = 54;
  rules->ports = {udp, tcp};
  return rules;
}

TEST(StaleTest, ReadsAFlow) {
  const std::optional<Flow> flow = ParseFlow(kLine);
  ASSERT_TRUE(flow.has_value());
  EXPECT_EQ(flow->destination, Ip("10.96.0.10"));
  EXPECT_EQ(flow->port, 53);
  EXPECT_EQ(flow->answers, Ip("10.244.0.11"));
  for (const char* other : {"", "conntrack v1.4.7 (conntrack-tools): 1 flow entries", "udp 17 29",
                            "udp src=1.2.3.4 src=1.2.3.4", "udp src=1.2.3.4 dst=1.2.3.4 dport=x"}) {
    EXPECT_FALSE(ParseFlow(other).has_value()) << other;
  }
}

TEST(StaleTest, AFlowToAnEndpointThatServesGoesOn) {
  const Flow flow = *ParseFlow(kLine);
  EXPECT_FALSE(IsStale(flow, AnsweringOf({{Dns({"10.244.0.11"}), Dns({"10.244.0.11"})}})));
  EXPECT_TRUE(IsStale(flow, AnsweringOf({{Dns({"10.244.0.11"}), Dns({"10.244.0.12"})}})));
  EXPECT_TRUE(IsStale(flow, AnsweringOf({{Dns({"10.244.0.11"}), nullptr}})));
  // One that was never translated, because the service was not there yet.
  const Flow direct{Ip("10.96.0.10"), 53, Ip("10.96.0.10")};
  EXPECT_TRUE(IsStale(direct, AnsweringOf({{nullptr, Dns({"10.244.0.12"})}})));
  const Flow other{Ip("10.96.0.11"), 53, Ip("10.244.0.11")};
  EXPECT_FALSE(IsStale(other, AnsweringOf({{Dns({"10.244.0.11"}), nullptr}})));
}

TEST(StaleTest, NodePortsAreKnownByTheirPort) {
  const Flow flow{Ip("192.168.1.1"), 30'053, Ip("10.244.0.11")};
  EXPECT_TRUE(IsStale(flow, AnsweringOf({{Dns({"10.244.0.11"}, 30'053), Dns({}, 30'053)}})));
  EXPECT_FALSE(IsStale(flow, AnsweringOf({{Dns({}, 30'053), Dns({"10.244.0.11"}, 30'053)}})));
}

TEST(StaleTest, OnlyUdpIsLookedAt) {
  auto tcp = std::make_shared<ServiceRules>(*Dns({"10.244.0.11"}));
  tcp->ports.erase(tcp->ports.begin());
  EXPECT_TRUE(AnsweringOf({{tcp, nullptr}}).empty());
}

}  // namespace
}  // namespace meltemi::kubeproxy
