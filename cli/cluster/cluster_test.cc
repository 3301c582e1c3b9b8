// The texts and decisions of `up`, `down` and `join`; what they do to a machine is
// test/nodes' matter.
#include <filesystem>
#include <fstream>

#include "base/tls/certificate.h"
#include "base/yaml/parse.h"
#include "cli/cluster/cleanup.h"
#include "cli/cluster/cluster_api.h"
#include "cli/cluster/containerd_config.h"
#include "cli/cluster/machine.h"
#include "cli/cluster/node_namespaces.h"
#include "cli/cluster/node_parts.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meltemi::cli {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

const ClusterFolders kFolders;

TEST(ContainerdConfig, KeepsANodeToItsOwnFolders) {
  const NodeFolders node = NodeFolders::Of(kFolders, "node-1");
  const std::string text =
      ContainerdConfig(node, {.snapshotter = "native", .sandbox_image = "meltemi.dev/pause:1"});
  for (const char* line :
       {"root = \"/var/lib/meltemi/nodes/node-1/containerd\"",
        "state = \"/run/meltemi/node-1/containerd\"",
        "address = \"/run/meltemi/node-1/containerd.sock\"", "snapshotter = \"native\"",
        "conf_dir = \"/var/lib/meltemi/nodes/node-1/cni/net.d\"", "SystemdCgroup = false",
        "sandbox_image = \"meltemi.dev/pause:1\"", "netns_mounts_under_state_dir = true"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
  EXPECT_THAT(text, Not(HasSubstr("/opt/containerd"))) << "the default lies outside";
}

TEST(RegistryMirror, IsForOneRegistryOrForAll) {
  EXPECT_EQ(ParseRegistryMirror("http://10.0.0.1:5000")->folder, "_default");
  const auto one = ParseRegistryMirror("docker.io=https://mirror.example/v2?a=b");
  ASSERT_TRUE(one.ok());
  EXPECT_EQ(one->folder, "docker.io");
  EXPECT_THAT(one->hosts_toml, HasSubstr("[host.\"https://mirror.example/v2?a=b\"]"));
  for (const char* bad : {"", "10.0.0.1:5000", "../x=http://a", "=http://a", "http://a\"b"}) {
    EXPECT_FALSE(ParseRegistryMirror(bad).ok()) << bad;
  }
}

TEST(NodeParts, AreToldOfTheirNode) {
  const NodeFolders folders = NodeFolders::Of(kFolders, "node-2");
  const NodeSpec node = {.name = "node-2", .ip = "10.245.0.12", .kubelet_args = {"--max-pods=5"}};
  const std::vector<std::string> kubelet = KubeletArgs(folders, node, {}, PortsBeside(6443), "/ca");
  EXPECT_THAT(kubelet, Contains("--hostname-override=node-2"));
  EXPECT_THAT(kubelet, Contains("--node-ip=10.245.0.12"));
  EXPECT_THAT(kubelet, Contains("--container-runtime-endpoint=unix:///run/meltemi/node-2/"
                                "containerd.sock"));
  EXPECT_THAT(kubelet, Contains("--cgroup-root=/meltemi/node-2"));
  EXPECT_EQ(kubelet.back(), "--max-pods=5") << "what is handed on comes last: it wins";
  EXPECT_THAT(DnsArgs(folders, node, {}, PortsBeside(6443), "/ca"),
              Contains("--listen=10.245.0.12:10053"));
  EXPECT_THAT(KubeProxyArgs(folders, node, {}, PortsBeside(6443), "/ca"),
              Contains("--kubeconfig=/var/lib/meltemi/nodes/node-2/kubelet/kubeconfig"));
  EXPECT_THAT(KubeletArgs(folders, node, {}, PortsBeside(0), "/ca"), Contains("--port=0"));
}

TEST(NodeNamespaces, HaveAddressesInTheRange) {
  const NodeNamespaces usual;
  EXPECT_EQ(*HostAddress(usual), "10.245.0.1");
  EXPECT_EQ(*NodeAddress(usual, 1), "10.245.0.11");
  EXPECT_EQ(*NodeAddress(usual, 3), "10.245.0.13");
  EXPECT_EQ(*NodeAddress({.cidr = "192.168.7.99/24"}, 1), "192.168.7.11");
  EXPECT_FALSE(NodeAddress({.cidr = "10.0.0.0/27"}, 21).ok()) << "no room";
  for (const char* bad : {"", "10.0.0.0", "10.0.0.0/31", "x/24", "fd00::/64"}) {
    EXPECT_FALSE(HostAddress({.cidr = bad}).ok()) << bad;
  }
  EXPECT_LE(LinkName(100).size(), 15u);
}

TEST(ResolvConf, StubsAreSeen) {
  EXPECT_TRUE(OnlyLoopbackServers("# x\nnameserver 127.0.0.53\noptions edns0\n"));
  EXPECT_FALSE(OnlyLoopbackServers("nameserver 127.0.0.1\nnameserver\t9.9.9.9\n"));
  EXPECT_FALSE(OnlyLoopbackServers("search example.com\n")) << "none is no stub";
}

TEST(Mounts, ThoseBelowAFolderComeInTheOrderToUnmount) {
  const char* const info =
      "20 1 8:1 / / rw - ext4 /dev/a rw\n"
      "30 20 0:5 / /run/meltemi/n1 rw - tmpfs tmpfs rw\n"
      "31 30 0:6 / /run/meltemi/n1/a\\040b rw shared:3 - tmpfs tmpfs rw\n"
      "32 20 0:7 / /run/meltemi/n10 rw - tmpfs tmpfs rw\n";
  EXPECT_THAT(MountsBelow(info, "/run/meltemi/n1"),
              ElementsAre("/run/meltemi/n1/a b", "/run/meltemi/n1"));
  EXPECT_THAT(MountsBelow("", "/x"), IsEmpty());
}

TEST(CniResults, OfOtherNodesStay) {
  char path[] = "/tmp/cluster_test.XXXXXX";
  const std::string folder = mkdtemp(path);
  const auto write = [&](const std::string& name, const std::string& sandbox) {
    std::ofstream(absl::StrCat(folder, "/", name))
        << R"({"networkName":"n","result":{"interfaces":[{"name":"veth1"},)"
        << R"({"name":"eth0","sandbox":")" << sandbox << "\"}]}}";
  };
  write("n-1-eth0", "/run/meltemi/a/containerd/netns/1");
  write("n-2-eth0", "/run/meltemi/ab/containerd/netns/2");
  write("n-3-eth0", "/run/netns/3");
  std::ofstream(folder + "/nonsense") << "{";
  RemoveCniResults("/run/meltemi/a", folder);
  std::vector<std::string> left;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    left.push_back(entry.path().filename().string());
  }
  EXPECT_THAT(left, testing::UnorderedElementsAre("n-2-eth0", "n-3-eth0", "nonsense"));
  EXPECT_TRUE(RemoveTree(folder).ok());
}

TEST(KnownNodes, AreThoseWithFolders) {
  char path[] = "/tmp/cluster_test.XXXXXX";
  ClusterFolders folders;
  folders.data_dir = mkdtemp(path);
  folders.run_dir = folders.data_dir + "/run";
  EXPECT_THAT(KnownNodes(folders), IsEmpty());
  std::filesystem::create_directories(folders.data_dir + "/nodes/b");
  std::filesystem::create_directories(folders.run_dir + "/a");
  std::ofstream(folders.run_dir + "/apiserver.pid") << 1;
  std::ofstream(folders.data_dir + "/nodes/count") << 1;
  EXPECT_THAT(KnownNodes(folders), ElementsAre("a", "b"));
  EXPECT_TRUE(RemoveTree(folders.data_dir).ok());
  EXPECT_FALSE(std::filesystem::exists(folders.data_dir));
}

TEST(Join, KnowsTokensAndAuthorities) {
  EXPECT_EQ(ParseBootstrapToken("abcdef.0123456789abcdef")->secret, "0123456789abcdef");
  for (const char* bad : {"", "abcdef", "ABCDEF.0123456789abcdef", "abcdef-0123456789abcdef",
                          "abcdef.0123456789abcdeF"}) {
    EXPECT_FALSE(ParseBootstrapToken(bad).ok()) << bad;
  }
  const auto ca = tls::NewCertificate(
      {.common_name = "ca", .is_ca = true, .not_before_s = 1, .not_after_s = 4'000'000'000}, {});
  const auto hash = CaHash(ca->certificate_chain_pem);
  ASSERT_TRUE(hash.ok());
  EXPECT_THAT(*hash, testing::MatchesRegex("sha256:[0-9a-f]{64}"));
  EXPECT_EQ(*CaHash(ca->private_key_pem), *hash) << "of the public key, whatever holds it";
  EXPECT_FALSE(CaHash("nonsense").ok());
}

TEST(Join, TheKubeconfigOfATokenIsOne) {
  const auto value = yaml::Parse(
      BootstrapKubeconfig("https://10.0.0.1:6443", "PEM", {"abcdef", "0123456789abcdef"}));
  ASSERT_TRUE(value.ok()) << value.status();
  EXPECT_EQ(value->Find("users")->items()[0].Find("user")->FindString("token"),
            "abcdef.0123456789abcdef");
}

TEST(Ports, ThatAreTakenAreSeen) {
  EXPECT_TRUE(CheckPortFree(0, "x", "y").ok()) << "the kernel's choice";
}

}  // namespace
}  // namespace meltemi::cli
