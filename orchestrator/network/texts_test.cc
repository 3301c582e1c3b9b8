#include "orchestrator/network/texts.h"

#include "absl/strings/str_cat.h"
#include "base/json/parse.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meltemi::network {
namespace {

using testing::HasSubstr;

json::Value Parsed(const CniOptions& options) {
  const absl::StatusOr<json::Value> value = json::Parse(CniConfigList(options));
  EXPECT_TRUE(value.ok()) << value.status();
  return value.ok() ? *value : json::Value();
}

TEST(CniConfigList, IsABridgeThatAnswersForItsPods) {
  const json::Value list = Parsed(
      {.bridge = "meltemi0", .pod_cidr = "10.244.3.0/24", .ipam_dir = "/run/x/ipam", .mtu = 1400});
  EXPECT_EQ(list.FindString("cniVersion"), "1.0.0");
  ASSERT_EQ(list.Find("plugins")->items().size(), 2u);
  const json::Value& bridge = list.Find("plugins")->items()[0];
  EXPECT_EQ(bridge.FindString("type"), "bridge");
  EXPECT_EQ(bridge.FindString("bridge"), "meltemi0");
  EXPECT_EQ(bridge.Find("mtu")->text(), "1400");
  const json::Value& ipam = *bridge.Find("ipam");
  EXPECT_EQ(ipam.FindString("dataDir"), "/run/x/ipam");
  EXPECT_EQ(ipam.Find("ranges")->items()[0].items()[0].FindString("subnet"), "10.244.3.0/24");
  EXPECT_EQ(list.Find("plugins")->items()[1].FindString("type"), "portmap");
}

TEST(CniConfigList, HasNoBridgeWhereItsPacketsAreNotFiltered) {
  const json::Value list = Parsed({.bridge = "meltemi0",
                                   .pod_cidr = "10.244.3.0/24",
                                   .ipam_dir = "/run/x/ipam",
                                   .bridge_filtered = false});
  const json::Value& link = list.Find("plugins")->items()[0];
  EXPECT_EQ(link.FindString("type"), "ptp");
  EXPECT_EQ(link.Find("mtu"), nullptr);
}

TEST(CniConfigList, APluginBehindTheOthersIsToldAnnotations) {
  const json::Value list = Parsed({.bridge = "meltemi0",
                                   .pod_cidr = "10.244.3.0/24",
                                   .ipam_dir = "/run/x/ipam",
                                   .chained_plugin = "meltemi-cni"});
  ASSERT_EQ(list.Find("plugins")->items().size(), 3u);
  const json::Value& last = list.Find("plugins")->items()[2];
  EXPECT_EQ(last.FindString("type"), "meltemi-cni");
  EXPECT_TRUE(last.Find("capabilities", "io.kubernetes.cri.pod-annotations")->bool_value());
}

TEST(Routes, OnlyDifferencesAreWritten) {
  const Routes have = ParseRoutes(
      "10.244.1.0/24 via 10.245.0.11 dev eth0 \n10.244.2.0/24 via 10.245.0.12 dev eth0 \n"
      "10.244.9.0/24 dev eth0 scope link \n");
  ASSERT_EQ(have.size(), 3u);
  EXPECT_EQ(RouteChanges(have, have), "");
  EXPECT_EQ(RouteChanges(have, {{"10.244.1.0/24", "10.245.0.11"},
                                {"10.244.2.0/24", "10.245.0.99"},
                                {"10.244.3.0/24", "10.245.0.13"}}),
            "route del 10.244.9.0/24 proto 77\n"
            "route replace 10.244.2.0/24 via 10.245.0.99 proto 77\n"
            "route replace 10.244.3.0/24 via 10.245.0.13 proto 77\n");
  EXPECT_TRUE(ParseRoutes("").empty());
}

TEST(Masquerade, LeavesTrafficOfTheClusterAsItIs) {
  EXPECT_EQ(MasqueradeScript("10.244.3.0/24", "10.244.0.0/16"),
            "table ip meltemi_network\ndelete table ip meltemi_network\n"
            "table ip meltemi_network {\n  chain postrouting {\n"
            "    type nat hook postrouting priority srcnat; policy accept;\n"
            "    ip saddr 10.244.3.0/24 ip daddr != { 10.244.0.0/16, 224.0.0.0/4 } masquerade\n"
            "  }\n}\n");
}

class PortmapLeftoversTest : public testing::Test {
 protected:
  static std::string Entry(const std::string& network, const std::string& protocol,
                           const std::string& chain) {
    return absl::StrCat("-A CNI-HOSTPORT-DNAT -p ", protocol,
                        " -m comment --comment \"dnat name: \\\"", network,
                        "\\\" id: \\\"1\\\"\" -m multiport --dports 80 -j ", chain, "\n");
  }
  const std::string shared_ =
      ":PREROUTING ACCEPT [0:0]\n:CNI-HOSTPORT-DNAT - [0:0]\n:CNI-HOSTPORT-MASQ - [0:0]\n"
      "-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT\n"
      "-A CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE\n";
  // Of pods that were killed before anybody could take their ports back.
  const std::string own_ =
      absl::StrCat(":CNI-DN-a - [0:0]\n-A CNI-DN-a -s 127.0.0.1/32 -p tcp -j CNI-HOSTPORT-MASQ\n",
                   Entry("meltemi0", "tcp", "CNI-DN-a"), Entry("meltemi0", "udp", "CNI-DN-a"));
};

TEST_F(PortmapLeftoversTest, GoWithTheLastPod) {
  EXPECT_EQ(PortmapLeftovers("*nat\n" + shared_ + "COMMIT\n", "meltemi0"),
            "*nat\n-D PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT\n"
            "-F CNI-HOSTPORT-DNAT\n-F CNI-HOSTPORT-MASQ\n"
            "-X CNI-HOSTPORT-DNAT\n-X CNI-HOSTPORT-MASQ\nCOMMIT\n");
  EXPECT_EQ(PortmapLeftovers("*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n", "meltemi0"), "");
}

TEST_F(PortmapLeftoversTest, AreThoseOfTheNetworksPods) {
  const std::string removed = PortmapLeftovers("*nat\n" + shared_ + own_ + "COMMIT\n", "meltemi0");
  EXPECT_THAT(removed, HasSubstr(Entry("meltemi0", "udp", "CNI-DN-a").replace(0, 2, "-D")));
  EXPECT_THAT(removed, HasSubstr("-F CNI-DN-a\n-F CNI-HOSTPORT-DNAT\n"));
  EXPECT_THAT(removed, HasSubstr("-X CNI-DN-a\n-X CNI-HOSTPORT-DNAT\n"));
}

TEST_F(PortmapLeftoversTest, AreNotThoseOfOthers) {
  const std::string other = ":CNI-DN-b - [0:0]\n" + Entry("meltemi01", "tcp", "CNI-DN-b");
  EXPECT_EQ(PortmapLeftovers(shared_ + other, "meltemi0"), "");
  EXPECT_EQ(PortmapLeftovers(shared_ + own_ + other, "meltemi0"),
            absl::StrCat("*nat\n", Entry("meltemi0", "tcp", "CNI-DN-a").replace(0, 2, "-D"),
                         Entry("meltemi0", "udp", "CNI-DN-a").replace(0, 2, "-D"),
                         "-F CNI-DN-a\n-X CNI-DN-a\nCOMMIT\n"));
}

}  // namespace
}  // namespace meltemi::network
