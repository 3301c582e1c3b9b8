// What happens to packets: services of an API server in memory, rules in a real kernel.
#include <algorithm>
#include <cerrno>
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/process/run_process.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kube/core/v1/service.pb.h"
#include "kube/discovery/v1/discovery.pb.h"
#include "kube/events/recorder_fake.h"
#include "orchestrator/controllers/runtime/testing/world.h"
#include "orchestrator/kubeproxy/kube_proxy.h"
#include "test/kubeproxy/network.h"

namespace meltemi::kubeproxy {
namespace {

using controllers::World;
using kube::core::v1::Service;
using kube::discovery::v1::EndpointSlice;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kVip[] = "10.96.0.50";

class RunningProxy final : public controllers::Running {
 public:
  explicit RunningProxy(std::unique_ptr<KubeProxy> proxy) : proxy_(std::move(proxy)) {}
  void Start() override { proxy_->Start(); }
  const KubeProxy& proxy() const { return *proxy_; }

 private:
  std::unique_ptr<KubeProxy> proxy_;
};

// An endpoint: "10.244.0.11" on this node, or on the far one; " leaving", " unready" after it.
std::string EndpointYaml(const std::string& what) {
  const std::string ip = what.substr(0, what.find(' '));
  const bool leaving = absl::StrContains(what, "leaving");
  const bool ready = !leaving && !absl::StrContains(what, "unready");
  return absl::StrCat("{addresses: [", ip,
                      "], nodeName: ", absl::StartsWith(ip, "10.244.1.") ? "node-2" : "node-1",
                      ", conditions: {ready: ", ready ? "true" : "false",
                      ", serving: ", ready || leaving ? "true" : "false",
                      ", terminating: ", leaving ? "true" : "false", "}}");
}

std::string EndpointsYaml(const std::vector<std::string>& endpoints) {
  std::vector<std::string> all;
  for (const std::string& endpoint : endpoints) all.push_back(EndpointYaml(endpoint));
  return absl::StrCat("[", absl::StrJoin(all, ", "), "]");
}

class PacketsTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    std::string why_not;
    network_ = Network::Make(&why_not);
    if (network_ == nullptr) GTEST_SKIP() << why_not;
    for (int i = 0; i < 4; i++) {
      const std::string name = absl::StrCat("pod-", i);
      pods_.push_back(
          std::make_unique<Echo>(network_->pod(i), name, Network::PodIp(i), uint16_t{8080}));
    }
    for (int i = 0; i < 2; i++) {
      const std::string name = absl::StrCat("far-", i);
      pods_.push_back(
          std::make_unique<Echo>(network_->far(), name, Network::FarIp(i), uint16_t{8080}));
    }
    options_.node_name = "node-1";
    options_.mode = GetParam();
    options_.cluster_cidr = "10.244.0.0/16";
  }

  // The proxy lives on the node: everything that it runs is run there.
  void OnNode(const std::function<void()>& work) { In(network_->node(), work); }
  void StartProxy() {
    OnNode([this] {
      auto proxy = NewKubeProxy(options_, world_.informers(), world_.executor(), recorder_,
                                /*metrics=*/nullptr);
      ASSERT_TRUE(proxy.ok()) << proxy.status();
      auto running = std::make_unique<RunningProxy>(*std::move(proxy));
      proxy_ = &running->proxy();
      world_.Run(std::move(running));
    });
    EXPECT_TRUE(proxy_->healthy());
  }
  void Settle() {
    OnNode([this] { world_.Settle(); });
    EXPECT_TRUE(proxy_->healthy());
  }

  // `spec`: without its ports, which are 80 -> 8080 on TCP and UDP.
  void MakeService(const std::string& name, const std::string& spec, int node_port = 0) {
    const std::string ports =
        node_port == 0
            ? "[{name: tcp, port: 80, targetPort: 8080}, "
              "{name: udp, port: 80, targetPort: 8080, protocol: UDP}]"
            : absl::StrCat("[{name: tcp, port: 80, targetPort: 8080, nodePort: ", node_port,
                           "}, {name: udp, port: 80, targetPort: 8080, nodePort: ", node_port,
                           ", protocol: UDP}]");
    world_.Create<Service>(
        absl::StrCat("{metadata: {name: ", name, "}, spec: {", spec, ", ports: ", ports, "}}"));
  }
  void MakeEndpoints(const std::string& name, const std::vector<std::string>& endpoints) {
    world_.Create<EndpointSlice>(
        absl::StrCat("{metadata: {name: ", name, "-1, labels: {kubernetes.io/service-name: ", name,
                     "}}, addressType: IPv4, ports: [{name: tcp, port: 8080, protocol: TCP}, "
                     "{name: udp, port: 8080, protocol: UDP}], endpoints: ",
                     EndpointsYaml(endpoints), "}"));
  }
  void SetEndpoints(const std::string& name, const std::vector<std::string>& endpoints) {
    world_.Patch<EndpointSlice>(absl::StrCat(name, "-1"),
                                absl::StrCat("{endpoints: ", EndpointsYaml(endpoints), "}"));
    Settle();
  }

  // Who answers, over many connections.
  std::set<std::string> Servers(const machine::Namespace& from, const std::string& ip,
                                uint16_t port, int times = 40) {
    std::set<std::string> servers;
    for (int i = 0; i < times; i++) {
      const Answer answer = AskTcp(from, ip, port);
      servers.insert(answer.error == 0 ? answer.server : absl::StrCat("error ", answer.error));
    }
    return servers;
  }

  kube::EventRecorderFake recorder_;
  std::unique_ptr<Network> network_;
  std::vector<std::unique_ptr<Echo>> pods_;
  KubeProxyOptions options_;
  World world_;
  const KubeProxy* proxy_ = nullptr;
};

using Names = std::set<std::string>;

TEST_P(PacketsTest, ClusterIpReachesAllReadyEndpointsFromPodsAndTheNode) {
  MakeService("web", absl::StrCat("clusterIP: ", kVip));
  MakeEndpoints("web", {"10.244.0.11", "10.244.0.12", "10.244.0.13 unready", "10.244.1.11"});
  StartProxy();
  const Names all = {"pod-0", "pod-1", "far-0"};
  EXPECT_EQ(Servers(network_->pod(3), kVip, 80), all);
  EXPECT_EQ(Servers(network_->node(), kVip, 80), all);
  // A pod is seen under its own address; from outside the cluster the node stands for the client.
  EXPECT_EQ(AskTcp(network_->pod(3), kVip, 80).client_ip, "10.244.0.14");
  EXPECT_THAT(AskTcp(network_->client(), kVip, 80).client_ip, AnyOf("10.244.0.1", "192.168.60.1"));
  EXPECT_EQ(AskUdp(network_->pod(3), kVip, 80).error, 0);
}

TEST_P(PacketsTest, NodePortReachesAllEndpointsFromOutside) {
  MakeService("web", absl::StrCat("type: NodePort, clusterIP: ", kVip), 30080);
  MakeEndpoints("web", {"10.244.0.11", "10.244.1.11"});
  StartProxy();
  EXPECT_EQ(Servers(network_->client(), "192.168.50.1", 30080), (Names{"pod-0", "far-0"}));
  EXPECT_EQ(Servers(network_->node(), "192.168.50.1", 30080), (Names{"pod-0", "far-0"}));
  EXPECT_EQ(Servers(network_->pod(2), "10.244.0.1", 30080), (Names{"pod-0", "far-0"}));
  EXPECT_EQ(AskUdp(network_->client(), "192.168.50.1", 30080).error, 0);
  EXPECT_EQ(AskTcp(network_->node(), "127.0.0.1", 30080).error, ECONNREFUSED);
}

TEST_P(PacketsTest, WithoutEndpointsAConnectionIsRefusedAtOnce) {
  MakeService("web", absl::StrCat("type: NodePort, clusterIP: ", kVip), 30080);
  MakeEndpoints("web", {"10.244.0.11 unready"});
  StartProxy();
  for (const machine::Namespace* from : {&network_->pod(3), &network_->node()}) {
    const Answer answer = AskTcp(*from, kVip, 80);
    EXPECT_EQ(answer.error, ECONNREFUSED);
    EXPECT_LT(answer.took, std::chrono::milliseconds(500));
  }
  EXPECT_EQ(AskTcp(network_->client(), "192.168.50.1", 30080).error, ECONNREFUSED);
  EXPECT_EQ(AskUdp(network_->pod(3), kVip, 80).error, ECONNREFUSED);
  SetEndpoints("web", {"10.244.0.11"});
  EXPECT_EQ(AskTcp(network_->pod(3), kVip, 80).server, "pod-0");
  EXPECT_EQ(AskTcp(network_->client(), "192.168.50.1", 30080).server, "pod-0");
  SetEndpoints("web", {});
  EXPECT_EQ(AskTcp(network_->pod(3), kVip, 80).error, ECONNREFUSED);
}

TEST_P(PacketsTest, PolicyLocalKeepsTheClientsAddressAndTheTrafficOnTheNode) {
  MakeService("web",
              absl::StrCat("type: NodePort, externalTrafficPolicy: Local, clusterIP: ", kVip),
              30080);
  MakeEndpoints("web", {"10.244.0.11", "10.244.1.11"});
  StartProxy();
  EXPECT_EQ(Servers(network_->client(), "192.168.50.1", 30080), Names{"pod-0"});
  EXPECT_EQ(AskTcp(network_->client(), "192.168.50.1", 30080).client_ip, "192.168.50.2");
  // Pods and the node itself are not outside.
  EXPECT_EQ(Servers(network_->pod(3), "192.168.50.1", 30080), (Names{"pod-0", "far-0"}));
  EXPECT_EQ(Servers(network_->node(), "192.168.50.1", 30080), (Names{"pod-0", "far-0"}));
  EXPECT_EQ(Servers(network_->pod(3), kVip, 80), (Names{"pod-0", "far-0"}));
  // Without an endpoint here: dropped, so that a load balancer sees it as dead.
  SetEndpoints("web", {"10.244.1.11"});
  Asking soon;
  soon.timeout = std::chrono::milliseconds(300);
  EXPECT_EQ(AskTcp(network_->client(), "192.168.50.1", 30080, soon).error, ETIMEDOUT);
  EXPECT_EQ(Servers(network_->pod(3), "192.168.50.1", 30080), Names{"far-0"});
}

TEST_P(PacketsTest, InternalPolicyLocalStaysOnTheNode) {
  MakeService("web", absl::StrCat("internalTrafficPolicy: Local, clusterIP: ", kVip));
  MakeEndpoints("web", {"10.244.0.11", "10.244.1.11"});
  StartProxy();
  EXPECT_EQ(Servers(network_->pod(3), kVip, 80), Names{"pod-0"});
  SetEndpoints("web", {"10.244.1.11"});
  Asking soon;
  soon.timeout = std::chrono::milliseconds(300);
  EXPECT_EQ(AskTcp(network_->pod(3), kVip, 80, soon).error, ETIMEDOUT);
}

TEST_P(PacketsTest, TerminatingEndpointsServeWhereThereAreNoOthers) {
  MakeService("web",
              absl::StrCat("type: NodePort, externalTrafficPolicy: Local, clusterIP: ", kVip),
              30080);
  MakeEndpoints("web", {"10.244.0.11 leaving", "10.244.0.12", "10.244.1.11"});
  StartProxy();
  EXPECT_EQ(Servers(network_->client(), "192.168.50.1", 30080), Names{"pod-1"});
  EXPECT_EQ(Servers(network_->pod(3), kVip, 80), (Names{"pod-1", "far-0"}));
  SetEndpoints("web", {"10.244.0.11 leaving", "10.244.1.11"});
  EXPECT_EQ(Servers(network_->client(), "192.168.50.1", 30080), Names{"pod-0"});
  EXPECT_EQ(Servers(network_->pod(3), kVip, 80), Names{"far-0"});
  SetEndpoints("web", {"10.244.0.11 leaving", "10.244.1.11 leaving"});
  EXPECT_EQ(Servers(network_->pod(3), kVip, 80), (Names{"pod-0", "far-0"}));
}

TEST_P(PacketsTest, APodReachesItselfThroughItsService) {
  MakeService("web", absl::StrCat("clusterIP: ", kVip));
  MakeEndpoints("web", {"10.244.0.11"});
  StartProxy();
  const Answer answer = AskTcp(network_->pod(0), kVip, 80);
  EXPECT_EQ(answer.error, 0);
  EXPECT_EQ(answer.server, "pod-0");
  EXPECT_EQ(answer.client_ip, "10.244.0.1");
  EXPECT_EQ(AskUdp(network_->pod(0), kVip, 80).server, "pod-0");
}

TEST_P(PacketsTest, AnEndpointInTheNodesOwnNetworkIsReached) {
  // As cluster DNS is: one on each node, asked by the pods of the node and the node itself.
  const Echo dns(network_->node(), "node", "192.168.50.1", 8080);
  MakeService("dns", absl::StrCat("internalTrafficPolicy: Local, clusterIP: ", kVip));
  MakeEndpoints("dns", {"192.168.50.1", "10.244.1.11"});
  StartProxy();
  for (const machine::Namespace* from : {&network_->pod(3), &network_->node()}) {
    EXPECT_EQ(AskUdp(*from, kVip, 80).server, "node");
    EXPECT_EQ(AskTcp(*from, kVip, 80).server, "node");
  }
  EXPECT_EQ(AskUdp(network_->pod(3), kVip, 80).client_ip, "10.244.0.14");
}

TEST_P(PacketsTest, WithAffinityAClientStaysWithItsEndpoint) {
  MakeService("web", absl::StrCat("type: NodePort, sessionAffinity: ClientIP, clusterIP: ", kVip),
              30080);
  MakeEndpoints("web", {"10.244.0.11", "10.244.0.12", "10.244.0.13", "10.244.1.11"});
  StartProxy();
  const Names first = Servers(network_->client(), "192.168.50.1", 30080);
  ASSERT_EQ(first.size(), 1u);
  // An endpoint that is added does not move it, through whichever address it comes.
  SetEndpoints("web", {"10.244.0.11", "10.244.0.12", "10.244.0.13", "10.244.1.11", "10.244.1.12"});
  EXPECT_EQ(Servers(network_->client(), "192.168.50.1", 30080), first);
  EXPECT_EQ(Servers(network_->client(), kVip, 80), first);
  // When its own goes it gets another one, and stays there.
  std::vector<std::string> rest;
  const std::map<std::string, std::string> names = {{"pod-0", "10.244.0.11"},
                                                    {"pod-1", "10.244.0.12"},
                                                    {"pod-2", "10.244.0.13"},
                                                    {"far-0", "10.244.1.11"},
                                                    {"far-1", "10.244.1.12"}};
  for (const auto& [name, ip] : names) {
    if (name != *first.begin()) rest.push_back(ip);
  }
  SetEndpoints("web", rest);
  const Names second = Servers(network_->client(), "192.168.50.1", 30080);
  EXPECT_EQ(second.size(), 1u);
  EXPECT_NE(second, first);
  world_.Delete<Service>("web");
  Settle();
  EXPECT_NE(AskTcp(network_->pod(3), kVip, 80, {.timeout = std::chrono::milliseconds(300)}).error,
            0);
}

TEST_P(PacketsTest, AUdpClientFollowsTheEndpoints) {
  MakeService("dns", absl::StrCat("clusterIP: ", kVip));
  MakeEndpoints("dns", {"10.244.0.11"});
  StartProxy();
  Asking same;
  same.from_port = 5353;
  same.timeout = std::chrono::milliseconds(500);
  EXPECT_EQ(AskUdp(network_->pod(3), kVip, 80, same).server, "pod-0");
  SetEndpoints("dns", {"10.244.0.12"});
  EXPECT_EQ(AskUdp(network_->pod(3), kVip, 80, same).server, "pod-1");
  SetEndpoints("dns", {});
  EXPECT_EQ(AskUdp(network_->pod(3), kVip, 80, same).error, ECONNREFUSED);
  SetEndpoints("dns", {"10.244.0.13"});
  EXPECT_EQ(AskUdp(network_->pod(3), kVip, 80, same).server, "pod-2");
}

TEST_P(PacketsTest, LoadBalancerAddressesLetTheirSourceRangesIn) {
  MakeService("web",
              absl::StrCat("type: LoadBalancer, externalIPs: [203.0.113.7], "
                           "loadBalancerSourceRanges: [192.168.50.2/32, 192.168.50.2/31], "
                           "clusterIP: ",
                           kVip),
              30080);
  MakeEndpoints("web", {"10.244.0.11", "10.244.1.11"});
  world_.Patch<Service>("web", "{status: {loadBalancer: {ingress: [{ip: 203.0.113.9}]}}}",
                        "status");
  StartProxy();
  const Asking listed{.from = "192.168.50.3", .timeout = std::chrono::milliseconds(500)};
  EXPECT_EQ(AskTcp(network_->client(), "203.0.113.9", 80, listed).error, 0);
  EXPECT_EQ(AskTcp(network_->client(), "203.0.113.7", 80, listed).error, 0);
  const Asking soon{.timeout = std::chrono::milliseconds(300)};
  EXPECT_EQ(AskTcp(network_->pod(3), "203.0.113.9", 80, soon).error, ETIMEDOUT);
  EXPECT_EQ(AskTcp(network_->pod(3), "203.0.113.7", 80, soon).error, 0);
}

TEST_P(PacketsTest, ChangesUnderLoadFailNoConnection) {
  MakeService("web", absl::StrCat("type: NodePort, clusterIP: ", kVip), 30080);
  MakeEndpoints("web", {"10.244.0.11"});
  StartProxy();
  ConstantLoad from_outside(network_->client(), "192.168.50.1", 30080);
  ConstantLoad from_pod(network_->pod(3), kVip, 80);
  for (int round = 0; round < 10; round++) {
    SetEndpoints("web", {"10.244.0.11", "10.244.0.12", "10.244.1.11"});
    SetEndpoints("web", {"10.244.0.12", "10.244.1.12", "10.244.0.13", "10.244.1.11"});
    SetEndpoints("web", {"10.244.0.13"});
  }
  // A new proxy takes over.
  OnNode([this] {
    world_.Restart([this](controllers::Context& context) {
      auto proxy = NewKubeProxy(options_, context.informers, context.executor, recorder_, nullptr);
      EXPECT_TRUE(proxy.ok());
      auto running = std::make_unique<RunningProxy>(*std::move(proxy));
      proxy_ = &running->proxy();
      return running;
    });
  });
  EXPECT_TRUE(proxy_->healthy());
  from_outside.Stop();
  from_pod.Stop();
  EXPECT_GT(from_outside.asked(), 100);
  EXPECT_GT(from_pod.asked(), 100);
  EXPECT_EQ(from_outside.failed() + from_pod.failed(), 0);
  EXPECT_EQ(from_outside.slow() + from_pod.slow(), 0);
}

TEST_P(PacketsTest, WhatOthersHaveStaysAndWhatWasFlushedComesBack) {
  OnNode([] {
    EXPECT_TRUE(
        RunToSuccess({"nft", "-f", "-"},
                     "table ip theirs {\nchain input {\ntype filter hook input priority 0;\n"
                     "tcp dport 7777 drop\n}\n}\n")
            .ok());
    EXPECT_TRUE(RunToSuccess({"iptables-nft", "-t", "nat", "-N", "THEIRS"}).ok());
    EXPECT_TRUE(RunToSuccess({"iptables-nft", "-t", "nat", "-A", "PREROUTING", "-p", "tcp",
                              "--dport", "7777", "-j", "THEIRS"})
                    .ok());
  });
  const std::string before = network_->OnNode({"nft", "list", "table", "ip", "theirs"});
  MakeService("web", absl::StrCat("type: NodePort, clusterIP: ", kVip), 30080);
  MakeEndpoints("web", {"10.244.0.11"});
  StartProxy();
  EXPECT_EQ(network_->OnNode({"nft", "list", "table", "ip", "theirs"}), before);
  EXPECT_THAT(network_->OnNode({"iptables-nft-save", "-t", "nat"}), HasSubstr("-j THEIRS"));

  network_->OnNode({"nft", "flush", "ruleset"});
  EXPECT_NE(AskTcp(network_->client(), "192.168.50.1", 30080).error, 0);
  OnNode([this] { world_.Advance(seconds(61)); });
  EXPECT_EQ(AskTcp(network_->client(), "192.168.50.1", 30080).server, "pod-0");
}

TEST_P(PacketsTest, RemovingTakesAllOfOursAndNothingElse) {
  network_->OnNode({"iptables-nft", "-t", "nat", "-N", "KUBE-KUBELET-CANARY"});
  network_->OnNode(
      {"iptables-nft", "-t", "nat", "-A", "POSTROUTING", "-s", "10.9.0.0/16", "-j", "MASQUERADE"});
  const std::string before = network_->OnNode({"iptables-nft-save", "-t", "nat"});
  MakeService("web", absl::StrCat("type: NodePort, sessionAffinity: ClientIP, clusterIP: ", kVip),
              30080);
  MakeEndpoints("web", {"10.244.0.11"});
  StartProxy();
  EXPECT_THAT(network_->OnNode({"nft", "list", "ruleset"}), HasSubstr("30080"));
  OnNode([] { EXPECT_EQ(RemoveAllRules(), absl::OkStatus()); });
  const std::string after = network_->OnNode({"nft", "list", "ruleset"});
  EXPECT_THAT(after, Not(HasSubstr("meltemi")));
  EXPECT_THAT(after, Not(HasSubstr("30080")));
  EXPECT_THAT(after, Not(HasSubstr("KUBE-S")));
  EXPECT_THAT(after, Not(HasSubstr("KUBE-MARK")));
  EXPECT_THAT(after, HasSubstr("KUBE-KUBELET-CANARY"));
  EXPECT_THAT(after, HasSubstr("10.9.0.0/16"));
  OnNode([] { EXPECT_EQ(RemoveAllRules(), absl::OkStatus()); });  // nothing is there any more
}

INSTANTIATE_TEST_SUITE_P(Modes, PacketsTest, ::testing::Values("nftables", "iptables"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace meltemi::kubeproxy
