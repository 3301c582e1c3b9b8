#include "orchestrator/network/texts.h"

#include "base/json/parse.h"
#include "gtest/gtest.h"

namespace meltemi::network {
namespace {

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

TEST(PortmapLeftovers, GoWithTheLastPod) {
  const std::string base =
      "*nat\n:PREROUTING ACCEPT [0:0]\n:CNI-HOSTPORT-DNAT - [0:0]\n:CNI-HOSTPORT-MASQ - [0:0]\n"
      "-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT\n"
      "-A CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE\n";
  EXPECT_EQ(PortmapLeftovers(base + "COMMIT\n"),
            "*nat\n-D PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT\n"
            "-F CNI-HOSTPORT-DNAT\n-F CNI-HOSTPORT-MASQ\n"
            "-X CNI-HOSTPORT-DNAT\n-X CNI-HOSTPORT-MASQ\nCOMMIT\n");
  EXPECT_EQ(PortmapLeftovers(":CNI-DN-4c2 - [0:0]\n" + base), "");
  EXPECT_EQ(PortmapLeftovers("*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n"), "");
}

}  // namespace
}  // namespace meltemi::network
