// Both modes write the same for random clusters, at once and change by change: read back from the
// kernel, every address and port leads to the same endpoints, which are those of the model.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/process/run_process.h"
#include "base/random/random.h"
#include "gtest/gtest.h"
#include "orchestrator/kubeproxy/iptables/writer.h"
#include "orchestrator/kubeproxy/model/tracker.h"
#include "orchestrator/kubeproxy/nftables/writer.h"
#include "test/kubeproxy/network.h"
#include "test/kubeproxy/reach.h"

namespace meltemi::kubeproxy {
namespace {

using From = Packet::From;

constexpr Ipv4 kFirstPod = 0x0af40001;        // 10.244.0.1
constexpr Ipv4 kFirstClusterIp = 0x0a600001;  // 10.96.0.1
constexpr Ipv4 kFirstExternal = 0xcb007101;   // 203.0.113.1
constexpr int kServices = 8;

class Cluster {
 public:
  explicit Cluster(uint64_t seed) : random_(seed) {}

  // One service, or its endpoints, becomes another, comes or goes.
  void Change(Tracker& tracker) {
    const auto i = static_cast<int>(Below(kServices));
    const kube::NamespacedName key{"default", absl::StrCat("service-", i)};
    if (Below(3) == 0) {
      tracker.SetService(key, Below(5) == 0 ? std::nullopt : Service(i));
    } else {
      tracker.SetSlice(key, absl::StrCat("slice-", Below(2)),
                       Below(6) == 0 ? std::nullopt : Slice());
    }
  }

  std::optional<ServiceFacts> Service(int i) {
    ServiceFacts facts;
    facts.cluster_ip = kFirstClusterIp + static_cast<Ipv4>(i);
    facts.affinity_s = Below(3) == 0 ? 60 : 0;
    facts.internal_local = Below(4) == 0;
    facts.external_local = Below(2) == 0;
    // Few of them, so that services want the same ones.
    for (Ipv4 ip = 0; ip < 3; ip++) {
      if (Below(4) == 0) facts.external_ips.push_back(kFirstExternal + ip);
      if (Below(6) == 0) facts.load_balancer_ips.push_back(kFirstExternal + ip);
    }
    facts.ports.push_back({"a", Protocol::kTcp, 80, 0});
    facts.ports.push_back({"b", Protocol::kUdp, 80, 0});
    if (Below(2) == 0) facts.ports[0].node_port = static_cast<uint16_t>(30'000 + i);
    if (Below(2) == 0) facts.ports[1].node_port = static_cast<uint16_t>(30'000 + i);
    return facts;
  }

 private:
  std::optional<SliceFacts> Slice() {
    SliceFacts facts;
    facts.ports = {{"a", Protocol::kTcp, 8080}, {"b", Protocol::kUdp, 8053}};
    // Sometimes more than the chains that services share are made for.
    const uint64_t size = Below(25) == 0 ? 140 : Below(5);
    for (uint64_t n = 0; n < size; n++) {
      EndpointFacts endpoint{};
      endpoint.ip = kFirstPod + static_cast<Ipv4>(size > 10 ? n : Below(40));
      endpoint.placed = true;
      endpoint.local = endpoint.ip % 2 == 0;
      endpoint.ready = Below(3) != 0;
      endpoint.serving = endpoint.ready || Below(2) == 0;
      endpoint.terminating = !endpoint.ready && Below(2) == 0;
      facts.endpoints.push_back(endpoint);
    }
    return facts;
  }
  uint64_t Below(uint64_t bound) { return random_.Below(bound); }

  FastRandom random_;
};

std::set<std::string> Texts(const std::vector<Target>& targets) {
  std::set<std::string> texts;
  for (const Target& target : targets) texts.insert(target.ToString());
  return texts;
}

// What the API's documentation says of a packet to one of the service's places.
Reach Expected(const ServiceRules& service, const PortRules& port, bool internal, From from) {
  const bool local =
      internal ? service.internal_local : service.external_local && from == From::kOutside;
  Reach reach;
  reach.endpoints = Texts(local ? port.local : port.cluster);
  if (reach.endpoints.empty()) {
    reach.refusal = port.has_endpoints ? "drop" : "refuse";
  } else if (internal) {
    reach.masquerade = from != From::kPod;
  } else {
    reach.masquerade = service.external_local ? from == From::kNode : true;
  }
  return reach;
}

class ModesTest : public ::testing::TestWithParam<int> {
 protected:
  void Dump() {
    ProcessOptions options;
    nft_ = RunProcess({"nft", "list", "table", "ip", "meltemi-proxy"}, "", options)->out;
    saved_ = RunProcess({"iptables-save"}, "", options)->out;
  }
  void Check(const ServiceRules& service, const PortRules& port, Ipv4 ip, bool internal) {
    for (From from : {From::kPod, From::kNode, From::kOutside}) {
      const Packet packet{from, port.protocol, ip, ip == 0 ? port.node_port : port.port};
      const std::string what =
          absl::StrCat(service.key.name, " ", IpText(ip), ":", packet.port, "/",
                       ProtocolWord(port.protocol), " from ", static_cast<int>(from));
      const Reach expected = Expected(service, port, internal, from);
      EXPECT_EQ(ReachByNft(nft_, packet).Text(), expected.Text()) << "nftables " << what;
      EXPECT_EQ(ReachByIptables(saved_, packet).Text(), expected.Text()) << "iptables " << what;
      places_++;
    }
  }
  void CheckAll(const Tracker& tracker) {
    Dump();
    for (const ServiceRulesPtr& service : tracker.All()) {
      for (const PortRules& port : service->ports) {
        if (port.cluster_ip) Check(*service, port, service->cluster_ip, /*internal=*/true);
        for (Ipv4 ip : port.external_ips) Check(*service, port, ip, /*internal=*/false);
        for (Ipv4 ip : port.load_balancer_ips) Check(*service, port, ip, /*internal=*/false);
        if (port.node_port != 0) Check(*service, port, 0, /*internal=*/false);
      }
    }
  }
  void Run() {
    Cluster cluster(static_cast<uint64_t>(GetParam()));
    RulesOptions options;
    options.pods = {*ParseRange("10.244.0.0/16")};
    nftables::Writer nft(1);
    iptables::Writer iptables(1);
    Tracker tracker;
    for (int i = 0; i < 30; i++) cluster.Change(tracker);
    tracker.Take();
    ASSERT_EQ(nft.Replace(options, tracker.All()), absl::OkStatus());
    ASSERT_EQ(iptables.Replace(options, tracker.All()), absl::OkStatus());
    for (int round = 0; round < 12 && !HasFailure(); round++) {
      CheckAll(tracker);
      for (int i = 0; i < 4; i++) cluster.Change(tracker);
      const std::vector<ServiceChange> changes = tracker.Take();
      ASSERT_EQ(nft.Apply(changes), absl::OkStatus());
      ASSERT_EQ(iptables.Apply(changes), absl::OkStatus());
      if (round % 4 == 3) {
        EXPECT_TRUE(*nft.Intact());
      }
    }
    // Nothing is left over: written at once it is as much.
    CheckAll(tracker);
    ASSERT_EQ(iptables.Replace(options, tracker.All()), absl::OkStatus());
    const std::string by_changes = saved_;
    Dump();
    EXPECT_EQ(std::count(by_changes.begin(), by_changes.end(), '\n'),
              std::count(saved_.begin(), saved_.end(), '\n'));
    EXPECT_GT(places_, 100);
  }

  std::string nft_, saved_;
  int places_ = 0;
};

TEST_P(ModesTest, LeadToTheSameEndpoints) {
  std::string why_not;
  const std::unique_ptr<Network> network = Network::Make(&why_not);
  if (network == nullptr) GTEST_SKIP() << why_not;
  In(network->node(), [this] { Run(); });
}

INSTANTIATE_TEST_SUITE_P(Seeds, ModesTest, ::testing::Range(0, 8));

}  // namespace
}  // namespace meltemi::kubeproxy
