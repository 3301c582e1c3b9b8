// Two nodes in namespaces, pods by the CNI plugins that the configuration names, packets between
// them.
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/json/parse.h"
#include "base/json/value.h"
#include "base/json/write.h"
#include "base/process/run_process.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kube/core/v1/node.pb.h"
#include "orchestrator/component/files.h"
#include "orchestrator/controllers/runtime/testing/world.h"
#include "orchestrator/network/node_network.h"
#include "orchestrator/network/texts.h"
#include "test/kubeproxy/network.h"

namespace meltemi::network {
namespace {

using controllers::World;
using kube::core::v1::Node;
using kubeproxy::AskTcp;
using kubeproxy::Echo;
using kubeproxy::In;
using machine::Namespace;
using testing::HasSubstr;
using testing::Not;

constexpr uint16_t kPort = 8080;

// The machine's own, but for what the test says that its kernel does not have.
class KernelWithout final : public System {
 public:
  explicit KernelWithout(std::string missing) : missing_(std::move(missing)) {}
  absl::StatusOr<std::string> Run(const std::vector<std::string>& argv,
                                  const std::string& input) override {
    return system_->Run(argv, input);
  }
  absl::Status SetSysctl(const std::string& name, const std::string& value) override {
    return name == missing_ ? absl::NotFoundError(name) : system_->SetSysctl(name, value);
  }
  int DefaultMtu() override { return system_->DefaultMtu(); }

 private:
  const std::unique_ptr<System> system_ = NewSystem();
  const std::string missing_;
};

class Running final : public controllers::Running {
 public:
  explicit Running(std::unique_ptr<NodeNetwork> network) : network_(std::move(network)) {}
  void Start() override { network_->Start(); }

 private:
  std::unique_ptr<NodeNetwork> network_;
};

// A node: its namespace, its network, an API server that knows both nodes.
class TestNode {
 public:
  TestNode(const std::string& folder, int number, System& system)
      : name_(absl::StrCat("node-", number)),
        cidr_(absl::StrCat("10.244.", number, ".0/24")),
        network_(*Namespace::Make()),
        system_(system) {
    options_.node_name = name_;
    options_.cni_conf_dir = absl::StrCat(folder, "/", name_, "/net.d");
    options_.ipam_dir = absl::StrCat(folder, "/", name_, "/ipam");
  }
  const Namespace& network() const { return network_; }
  const NodeNetworkOptions& options() const { return options_; }

  void Ip(const std::string& line) const {
    std::vector<std::string> argv = absl::StrSplit("ip " + line, ' ');
    const absl::Status status = network_.Run(argv);
    ASSERT_TRUE(status.ok()) << line << ": " << status;
  }
  std::string Out(const std::vector<std::string>& argv) const {
    std::string out;
    In(network_, [&] {
      const auto result = RunProcess(argv);
      out = result.ok() ? result->out + result->err : std::string(result.status().message());
    });
    return out;
  }

  void Begin() {
    for (int number : {1, 2}) {
      world_.Create<Node>(absl::StrCat(
          "{metadata: {name: node-", number, "}, spec: {podCIDR: 10.244.", number,
          ".0/24, podCIDRs: [10.244.", number,
          ".0/24]}, status: {addresses: [{type: InternalIP, address: 10.250.0.", number, "}]}}"));
    }
    In(network_, [this] {
      auto network =
          NewNodeNetwork(options_, world_.context().informers, world_.executor(), system_);
      const absl::Status status = network->SetPodCidr(cidr_);
      ASSERT_TRUE(status.ok()) << status;
      world_.Run(std::make_unique<Running>(std::move(network)));
    });
  }
  // As containerd does it. The pod's address.
  std::string AddPod(const Namespace& pod, const std::string& id) {
    const json::Value list =
        *json::Parse(*orchestrator::ReadWholeFile(options_.cni_conf_dir + "/" + kCniFile));
    json::Value plugin = list.Find("plugins")->items()[0];
    plugin.Set("name", json::Value::String(std::string(list.FindString("name"))));
    plugin.Set("cniVersion", json::Value::String(std::string(list.FindString("cniVersion"))));
    const std::string program = absl::StrCat("/usr/lib/cni/", plugin.FindString("type"));
    std::string address;
    In(network_, [&] {
      const auto result =
          RunProcess({"env", "CNI_COMMAND=ADD", "CNI_CONTAINERID=" + id, "CNI_IFNAME=eth0",
                      absl::StrCat("CNI_NETNS=/proc/", pod.holder(), "/ns/net"),
                      "CNI_PATH=/usr/lib/cni", program},
                     json::ToString(plugin));
      ASSERT_TRUE(result.ok()) << result.status();
      ASSERT_EQ(result->exit_code, 0) << result->out << result->err;
      const json::Value answer = *json::Parse(result->out);
      address = std::string(answer.Find("ips")->items()[0].FindString("address"));
    });
    return address.substr(0, address.find('/'));
  }

 private:
  const std::string name_, cidr_;
  Namespace network_;
  System& system_;
  NodeNetworkOptions options_;
  World world_;
};

// "": everything is there. The other values: a kernel without filtered bridges.
class PodNetworkTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const std::string why_not = machine::WhyNoNamespaces();
    if (!why_not.empty()) GTEST_SKIP() << why_not;
    for (const char* program : {"/usr/lib/cni/bridge", "/usr/lib/cni/ptp", "nft"}) {
      if (FindProgram(program).empty()) GTEST_SKIP() << program << " is not installed";
    }
    char path[] = "/tmp/pod_network.XXXXXX";
    folder_ = mkdtemp(path);
    a_ = std::make_unique<TestNode>(folder_, 1, system_);
    b_ = std::make_unique<TestNode>(folder_, 2, system_);
    outside_ = std::make_unique<Namespace>(*Namespace::Make());
    Wire();
    a_->Begin();
    b_->Begin();
  }
  ~PodNetworkTest() override { std::filesystem::remove_all(folder_); }

  // node a 10.250.0.1 ── 10.250.0.2 node b; node a 192.168.70.1 ── 192.168.70.2 outside.
  void Wire() {
    a_->Ip(absl::StrCat("link add eth0 type veth peer name eth0 netns ", b_->network().holder()));
    a_->Ip("addr add 10.250.0.1/24 dev eth0");
    b_->Ip("addr add 10.250.0.2/24 dev eth0");
    a_->Ip("link set eth0 up");
    b_->Ip("link set eth0 up");
    a_->Ip(absl::StrCat("link add eth1 type veth peer name eth0 netns ", outside_->holder()));
    a_->Ip("addr add 192.168.70.1/24 dev eth1");
    a_->Ip("link set eth1 up");
    ASSERT_TRUE(outside_->Run({"ip", "addr", "add", "192.168.70.2/24", "dev", "eth0"}).ok());
    ASSERT_TRUE(outside_->Run({"ip", "link", "set", "eth0", "up"}).ok());
  }

  KernelWithout system_{GetParam()};
  std::string folder_;
  std::unique_ptr<TestNode> a_, b_;
  std::unique_ptr<Namespace> outside_;
};

TEST_P(PodNetworkTest, PodsReachEachOtherAsThemselves) {
  const Namespace here = *Namespace::Make(), there = *Namespace::Make(),
                  beside = *Namespace::Make();
  const std::string here_ip = a_->AddPod(here, "here"), there_ip = b_->AddPod(there, "there");
  const std::string beside_ip = a_->AddPod(beside, "beside");
  const Echo echo_there(there, "there", there_ip, kPort), echo_here(here, "here", here_ip, kPort);
  const Echo echo_beside(beside, "beside", beside_ip, kPort);
  EXPECT_EQ(AskTcp(here, there_ip, kPort).client_ip, here_ip);
  EXPECT_EQ(AskTcp(there, here_ip, kPort).client_ip, there_ip);
  EXPECT_EQ(AskTcp(here, beside_ip, kPort).client_ip, here_ip);
  // The node itself reaches its pods: probes do.
  EXPECT_EQ(AskTcp(a_->network(), here_ip, kPort).server, "here");
}

// What kube-proxy makes of a ClusterIP. The answer of a pod beside must come back through the
// node's connection tracking.
TEST_P(PodNetworkTest, AServiceOnTheSameNodeAnswers) {
  const Namespace client = *Namespace::Make(), server = *Namespace::Make();
  const std::string client_ip = a_->AddPod(client, "client");
  const std::string server_ip = a_->AddPod(server, "server");
  const Echo echo(server, "server", server_ip, kPort);
  const std::string rules = absl::StrCat(
      "table ip service {\n chain pre {\n  type nat hook prerouting priority dstnat;\n"
      "  ip daddr 10.96.0.50 tcp dport 80 dnat to ",
      server_ip, ":", kPort, "\n }\n}\n");
  In(a_->network(), [&] { ASSERT_TRUE(RunToSuccess({"nft", "-f", "-"}, rules).ok()); });
  const kubeproxy::Answer answer = AskTcp(client, "10.96.0.50", 80);
  EXPECT_EQ(answer.error, 0);
  EXPECT_EQ(answer.server, "server");
  EXPECT_EQ(answer.client_ip, client_ip);
}

TEST_P(PodNetworkTest, TheWorldSeesTheNode) {
  const Namespace pod = *Namespace::Make();
  a_->AddPod(pod, "pod");
  const Echo echo(*outside_, "outside", "192.168.70.2", kPort);
  EXPECT_EQ(AskTcp(pod, "192.168.70.2", kPort).client_ip, "192.168.70.1");
}

TEST_P(PodNetworkTest, RemovalLeavesNothing) {
  const Namespace pod = *Namespace::Make();
  a_->AddPod(pod, "pod");
  EXPECT_THAT(a_->Out({"ip", "-4", "route", "show", "proto", "77"}), HasSubstr("10.244.2.0/24"));
  In(a_->network(), [&] {
    const absl::Status status = RemoveNodeNetwork(a_->options(), system_);
    EXPECT_TRUE(status.ok()) << status;
  });
  EXPECT_EQ(a_->Out({"ip", "-4", "route", "show", "proto", "77"}), "");
  EXPECT_THAT(a_->Out({"nft", "list", "ruleset"}), Not(HasSubstr("meltemi")));
  EXPECT_THAT(a_->Out({"ip", "link"}), Not(HasSubstr("meltemi")));
  In(a_->network(),
     [&] { EXPECT_TRUE(RemoveNodeNetwork(a_->options(), system_).ok()) << "twice does no harm"; });
}

INSTANTIATE_TEST_SUITE_P(Kernels, PodNetworkTest,
                         testing::Values("", "net/bridge/bridge-nf-call-iptables"),
                         [](const auto& info) {
                           return info.param[0] == '\0' ? "FilteredBridge" : "LinkPerPod";
                         });

}  // namespace
}  // namespace meltemi::network
