#include "orchestrator/network/node_network.h"

#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kube/core/v1/node.pb.h"
#include "orchestrator/component/files.h"
#include "orchestrator/controllers/runtime/testing/world.h"
#include "orchestrator/network/system_fake.h"
#include "orchestrator/network/texts.h"

namespace meltemi::network {
namespace {

using kube::core::v1::Node;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// Runs the network as if it were a controller.
class Running final : public controllers::Running {
 public:
  explicit Running(std::unique_ptr<NodeNetwork> network) : network_(std::move(network)) {}
  void Start() override { network_->Start(); }

 private:
  std::unique_ptr<NodeNetwork> network_;
};

class NodeNetworkTest : public testing::Test {
 protected:
  NodeNetworkTest() {
    char path[] = "/tmp/network_test.XXXXXX";
    folder_ = mkdtemp(path);
    options_.node_name = "node-1";
    options_.cni_conf_dir = folder_ + "/net.d";
    options_.ipam_dir = folder_ + "/ipam";
  }
  ~NodeNetworkTest() override { std::filesystem::remove_all(folder_); }

  NodeNetwork& Begin() {
    auto network = NewNodeNetwork(options_, world_.context().informers, world_.executor(), system_);
    NodeNetwork& out = *network;
    world_.Run(std::make_unique<Running>(std::move(network)));
    return out;
  }
  void AddNode(absl::string_view name, absl::string_view cidr, absl::string_view ip) {
    world_.Create<Node>(
        absl::StrCat("{metadata: {name: ", name, "}, spec: {podCIDR: ", cidr, ", podCIDRs: [", cidr,
                     "]}, status: {addresses: [{type: InternalIP, address: ", ip, "}]}}"));
    world_.Settle();
  }
  void Write(const std::string& name, const std::string& text) {
    std::filesystem::create_directories(options_.cni_conf_dir);
    std::ofstream(options_.cni_conf_dir + "/" + name) << text;
  }
  std::string Configuration() {
    const auto text = orchestrator::ReadWholeFile(options_.cni_conf_dir + "/" + kCniFile);
    return text.ok() ? *text : "";
  }

  std::string folder_;
  NodeNetworkOptions options_;
  SystemFake system_;
  controllers::World world_;
};

TEST_F(NodeNetworkTest, SetsUpWhatPodsNeed) {
  system_.mtu = 1450;
  NodeNetwork& network = Begin();
  EXPECT_EQ(Configuration(), "") << "before the CIDR is known there is nothing to say";
  ASSERT_TRUE(network.SetPodCidr("10.244.1.0/24").ok());
  EXPECT_THAT(Configuration(), HasSubstr("\"subnet\": \"10.244.1.0/24\""));
  EXPECT_THAT(Configuration(), HasSubstr("\"mtu\": 1450"));
  EXPECT_EQ(system_.sysctls["net/ipv4/ip_forward"], "1");
  EXPECT_EQ(system_.sysctls["net/bridge/bridge-nf-call-iptables"], "1");
  EXPECT_THAT(system_.Take(), Contains(HasSubstr("ip saddr 10.244.1.0/24")));
  EXPECT_FALSE(network.SetPodCidr("fd00::/64").ok());
  EXPECT_FALSE(network.SetPodCidr("nonsense").ok());
}

TEST_F(NodeNetworkTest, RoutesFollowTheOtherNodes) {
  AddNode("node-1", "10.244.1.0/24", "10.245.0.11");
  AddNode("node-2", "10.244.2.0/24", "10.245.0.12");
  system_.routes["10.244.7.0/24"] = "10.245.0.17";  // of an earlier life
  Begin();
  EXPECT_EQ(system_.routes, (Routes{{"10.244.2.0/24", "10.245.0.12"}}));
  AddNode("node-3", "10.244.3.0/24", "10.245.0.13");
  EXPECT_EQ(system_.routes,
            (Routes{{"10.244.2.0/24", "10.245.0.12"}, {"10.244.3.0/24", "10.245.0.13"}}));
  world_.Delete<Node>("node-2");
  world_.Settle();
  EXPECT_EQ(system_.routes, (Routes{{"10.244.3.0/24", "10.245.0.13"}}));
}

TEST_F(NodeNetworkTest, MendsWhatWasLost) {
  AddNode("node-2", "10.244.2.0/24", "10.245.0.12");
  NodeNetwork& network = Begin();
  ASSERT_TRUE(network.SetPodCidr("10.244.1.0/24").ok());
  system_.routes.clear();  // the link was down for a moment
  system_.Take();
  world_.Advance(seconds(31));
  EXPECT_EQ(system_.routes.size(), 1u);
  EXPECT_THAT(system_.Take(), Contains(HasSubstr("masquerade")));
}

TEST_F(NodeNetworkTest, HeartbeatsCauseNoWork) {
  AddNode("node-2", "10.244.2.0/24", "10.245.0.12");
  Begin();
  system_.Take();
  world_.Patch<Node>("node-2", "{status: {conditions: [{type: Ready, status: 'True'}]}}", "status");
  world_.Settle();
  EXPECT_THAT(system_.Take(), IsEmpty());
}

TEST_F(NodeNetworkTest, SomebodyElsesConfigurationWins) {
  AddNode("node-2", "10.244.2.0/24", "10.245.0.12");
  NodeNetwork& network = Begin();
  ASSERT_TRUE(network.SetPodCidr("10.244.1.0/24").ok());
  ASSERT_NE(Configuration(), "");
  ASSERT_EQ(system_.routes.size(), 1u);
  Write("05-flannel.conflist.tmp", "{}");
  world_.Advance(seconds(31));
  EXPECT_NE(Configuration(), "") << "not one that the runtime would read";
  Write("20-cilium.conflist", "{}");
  world_.Advance(seconds(31));
  EXPECT_EQ(Configuration(), "") << "even though its name comes after ours";
  EXPECT_TRUE(system_.routes.empty());
  EXPECT_THAT(system_.Take(), Contains(HasSubstr("delete table ip meltemi_network")));
  std::filesystem::remove(options_.cni_conf_dir + "/20-cilium.conflist");
  world_.Advance(seconds(31));
  EXPECT_NE(Configuration(), "");
  EXPECT_EQ(system_.routes.size(), 1u);
}

TEST_F(NodeNetworkTest, WithoutFilteredBridgesPodsGetLinksOfTheirOwn) {
  system_.missing_sysctl = "net/bridge/bridge-nf-call-iptables";
  ASSERT_TRUE(Begin().SetPodCidr("10.244.1.0/24").ok());
  EXPECT_THAT(system_.Take(), Contains("modprobe br_netfilter"));
  EXPECT_THAT(Configuration(), HasSubstr("\"ptp\""));
}

TEST_F(NodeNetworkTest, TheErrorIsToldAndTheRestIsTriedAgain) {
  system_.failures["nft -f -"] = "nft: netlink: Operation not permitted";
  NodeNetwork& network = Begin();
  EXPECT_THAT(std::string(network.SetPodCidr("10.244.1.0/24").message()),
              HasSubstr("Operation not permitted"));
  EXPECT_EQ(Configuration(), "");
  system_.failures.clear();
  world_.Advance(seconds(31));
  EXPECT_NE(Configuration(), "");
}

TEST_F(NodeNetworkTest, AMachineThatIsNoNodeHasRoutesAlone) {
  options_.node_name.clear();
  options_.cni_conf_dir.clear();
  AddNode("node-1", "10.244.1.0/24", "10.245.0.11");
  Begin();
  EXPECT_EQ(system_.routes, (Routes{{"10.244.1.0/24", "10.245.0.11"}}));
  EXPECT_THAT(system_.Take(), Not(Contains(HasSubstr("nft"))));
}

TEST_F(NodeNetworkTest, AFirewallThatForwardsNothingLetsPodsPass) {
  const std::string show = "iptables -w -S FORWARD";
  system_.answers[show] = "-P FORWARD ACCEPT\n";
  NodeNetwork& network = Begin();
  ASSERT_TRUE(network.SetPodCidr("10.244.1.0/24").ok());
  EXPECT_THAT(system_.Take(), Not(Contains(HasSubstr("-j ACCEPT"))));
  system_.answers[show] =
      "-P FORWARD DROP\n-A FORWARD -s 10.244.0.0/16 -m comment --comment meltemi -j ACCEPT\n"
      "-A FORWARD -j DOCKER-USER\n";
  ASSERT_TRUE(network.SetPodCidr("10.244.1.0/24").ok());
  const std::vector<std::string> commands = system_.Take();
  EXPECT_THAT(commands, Contains("iptables -w -I FORWARD -d 10.244.0.0/16 -m comment --comment "
                                 "meltemi -j ACCEPT"));
  EXPECT_THAT(commands, Not(Contains(HasSubstr("-I FORWARD -s")))) << "it is there";
  ASSERT_TRUE(RemoveNodeNetwork(options_, system_).ok());
  EXPECT_THAT(system_.Take(), Contains("iptables -w -D FORWARD -s 10.244.0.0/16 -m comment "
                                       "--comment meltemi -j ACCEPT"));
}

TEST_F(NodeNetworkTest, IsRemovedWithoutATrace) {
  AddNode("node-2", "10.244.2.0/24", "10.245.0.12");
  ASSERT_TRUE(Begin().SetPodCidr("10.244.1.0/24").ok());
  std::filesystem::create_directories(options_.ipam_dir);
  system_.answers["iptables-save -t nat"] = ":CNI-HOSTPORT-DNAT - [0:0]\n";
  ASSERT_TRUE(RemoveNodeNetwork(options_, system_).ok());
  EXPECT_EQ(Configuration(), "");
  EXPECT_TRUE(system_.routes.empty());
  EXPECT_FALSE(std::filesystem::exists(options_.ipam_dir));
  const std::vector<std::string> commands = system_.Take();
  EXPECT_THAT(commands, Contains("ip link del meltemi0"));
  EXPECT_THAT(commands, Contains(HasSubstr("-X CNI-HOSTPORT-DNAT")));
}

}  // namespace
}  // namespace meltemi::network
