// The DNS service of a cluster whose nodes come and go.
#include "orchestrator/controllers/clusterdns/cluster_dns.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kube/core/v1/namespace.pb.h"
#include "kube/core/v1/node.pb.h"
#include "kube/core/v1/service.pb.h"
#include "kube/discovery/v1/discovery.pb.h"
#include "orchestrator/controllers/runtime/testing/world.h"

namespace meltemi::controllers {
namespace {

using kube::core::v1::Namespace;
using kube::core::v1::Node;
using kube::core::v1::Service;
using kube::discovery::v1::EndpointSlice;
using testing::ElementsAre;
using testing::IsEmpty;

class ClusterDnsTest : public testing::Test {
 protected:
  ClusterDnsTest() {
    if (!world_.Find<Namespace>("kube-system", "").has_value()) {
      world_.Create<Namespace>("{metadata: {name: kube-system}}");
    }
  }

  static std::unique_ptr<Running> Make(Context& context) {
    return NewClusterDnsController(context, {});
  }
  void Run() {
    world_.Run(Make(world_.context()));
    world_.Settle();
  }
  void AddNode(const std::string& name, const std::string& ip, const std::string& ready = "True") {
    world_.Create<Node>("{metadata: {name: " + name + "}}");
    SetReady(name, ip, ready);
  }
  void SetReady(const std::string& name, const std::string& ip, const std::string& ready) {
    const auto written = kube::Modify<Node>(
        world_.user(), "", name,
        [&](Node& node) {
          node.mutable_status()->clear_conditions();
          node.mutable_status()->clear_addresses();
          auto* condition = node.mutable_status()->add_conditions();
          condition->set_type("Ready");
          condition->set_status(ready);
          auto* address = node.mutable_status()->add_addresses();
          address->set_type("InternalIP");
          address->set_address(ip);
          return true;
        },
        /*status_only=*/true);
    EXPECT_TRUE(written.ok()) << written.status().message;
    world_.Settle();
  }
  std::optional<Service> Dns() { return world_.Find<Service>("kube-dns", "kube-system"); }
  // "n1=10.0.0.1" of each endpoint.
  std::vector<std::string> Endpoints() {
    std::vector<std::string> out;
    for (const EndpointSlice& slice : world_.List<EndpointSlice>("kube-system")) {
      for (const auto& endpoint : slice.endpoints()) {
        EXPECT_TRUE(endpoint.conditions().ready());
        out.push_back(absl::StrCat(endpoint.node_name(), "=", endpoint.addresses(0)));
      }
    }
    return out;
  }

  World world_;
};

TEST_F(ClusterDnsTest, TheServiceComesWithTheFirstNode) {
  Run();
  EXPECT_FALSE(Dns().has_value());
  AddNode("n2", "10.0.0.2");
  AddNode("n1", "10.0.0.1");
  ASSERT_TRUE(Dns().has_value());
  const Service dns = *Dns();
  EXPECT_EQ(dns.spec().cluster_ip(), "10.96.0.10");
  EXPECT_EQ(dns.spec().internal_traffic_policy(), "Local");
  EXPECT_EQ(dns.spec().ports(0).protocol(), "UDP");
  EXPECT_EQ(dns.spec().ports(1).port(), 53);
  EXPECT_THAT(Endpoints(), ElementsAre("n1=10.0.0.1", "n2=10.0.0.2"));
  const EndpointSlice slice = world_.List<EndpointSlice>("kube-system").at(0);
  EXPECT_EQ(slice.metadata().labels().at("kubernetes.io/service-name"), "kube-dns");
  EXPECT_EQ(slice.ports(0).port(), 10053);
  EXPECT_EQ(slice.metadata().owner_references(0).uid(), dns.metadata().uid());
}

TEST_F(ClusterDnsTest, AHollowNodeHasNoServer) {
  Run();
  AddNode("hollow-0", "127.1.0.1");
  EXPECT_FALSE(Dns().has_value());
  AddNode("n1", "10.0.0.1");
  EXPECT_THAT(Endpoints(), ElementsAre("n1=10.0.0.1"));
}

TEST_F(ClusterDnsTest, ANodeThatIsSilentKeepsItsServer) {
  Run();
  AddNode("n1", "10.0.0.1");
  AddNode("n2", "10.0.0.2", "False");
  EXPECT_THAT(Endpoints(), ElementsAre("n1=10.0.0.1"));
  SetReady("n1", "10.0.0.1", "Unknown");
  SetReady("n1", "10.0.0.1", "False");
  EXPECT_THAT(Endpoints(), ElementsAre("n1=10.0.0.1"));
  world_.Restart(Make);
  world_.Settle();
  EXPECT_THAT(Endpoints(), ElementsAre("n1=10.0.0.1"));
  world_.Delete<Node>("n1");
  world_.Settle();
  EXPECT_THAT(Endpoints(), IsEmpty());
}

TEST_F(ClusterDnsTest, WhatIsDeletedComesBack) {
  Run();
  AddNode("n1", "10.0.0.1");
  world_.Delete<EndpointSlice>("kube-dns-nodes-0", {}, "kube-system");
  world_.Settle();
  EXPECT_THAT(Endpoints(), ElementsAre("n1=10.0.0.1"));
  world_.Delete<Service>("kube-dns", {}, "kube-system");
  world_.Settle();
  ASSERT_TRUE(Dns().has_value());
  const EndpointSlice slice = world_.List<EndpointSlice>("kube-system").at(0);
  EXPECT_EQ(slice.metadata().owner_references(0).uid(), Dns()->metadata().uid());
}

TEST_F(ClusterDnsTest, SomebodyElsesDnsIsLeftAlone) {
  world_.Create<Service>(
      "{metadata: {name: kube-dns, namespace: kube-system}, spec: {clusterIP: 10.96.0.10, "
      "selector: {k8s-app: kube-dns}, ports: [{name: dns, port: 53, protocol: UDP}]}}");
  Run();
  AddNode("n1", "10.0.0.1");
  EXPECT_THAT(Endpoints(), IsEmpty());
  EXPECT_EQ(Dns()->spec().ports_size(), 1);
}

TEST_F(ClusterDnsTest, HeartbeatsWriteNothing) {
  Run();
  AddNode("n1", "10.0.0.1");
  const size_t before = world_.Writes();
  SetReady("n1", "10.0.0.1", "True");
  EXPECT_LE(world_.Writes(), before + 1);  // the heartbeat itself
}

TEST_F(ClusterDnsTest, ASliceThatIsNotNeededAnyMoreGoes) {
  Run();
  AddNode("n1", "10.0.0.1");
  world_.Create<EndpointSlice>(
      "{metadata: {name: kube-dns-nodes-1, namespace: kube-system, labels: "
      "{kubernetes.io/service-name: kube-dns, endpointslice.kubernetes.io/managed-by: "
      "cluster-dns-controller.meltemi.dev}}, addressType: IPv4, ports: [], endpoints: []}");
  world_.Settle();
  // One is enough again.
  EXPECT_EQ(world_.List<EndpointSlice>("kube-system").size(), 1u);
}

}  // namespace
}  // namespace meltemi::controllers
