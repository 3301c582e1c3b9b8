// What clients of a Service are told: both controllers against the API server in memory, and the
// packing of slices and subsets by itself.
#include "orchestrator/controllers/endpoints/endpoints.h"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kube/core/v1/node.pb.h"
#include "orchestrator/controllers/endpoints/mirror.h"
#include "orchestrator/controllers/endpoints/slices.h"
#include "orchestrator/controllers/endpoints/subsets.h"
#include "orchestrator/controllers/runtime/testing/world.h"

namespace meltemi::controllers {
namespace {

using kube::core::v1::Endpoints;
using kube::core::v1::Pod;
using kube::core::v1::Service;
using kube::discovery::v1::Endpoint;
using kube::discovery::v1::EndpointSlice;
using testing::ElementsAre;
using testing::IsEmpty;

class EndpointsTest : public testing::Test {
 protected:
  EndpointsTest() { world_.AddNode("node-1", "{topology.kubernetes.io/zone: z1}"); }

  void Run() {
    std::unique_ptr<Running> slices = NewEndpointSliceController(world_.context());
    world_.Run(NewEndpointsController(world_.context()));
    world_.Run(std::move(slices));
  }
  void AddPod(absl::string_view name, absl::string_view ports = "[{name: http, containerPort: 80}]",
              absl::string_view more = "") {
    world_.Create<Pod>(absl::StrCat("{metadata: {name: ", name, ", labels: {app: web}}, spec: {",
                                    more, "containers: [{name: c, image: i, ports: ", ports,
                                    "}]}}"));
  }
  void AddService(absl::string_view more = "",
                  absl::string_view ports = "[{name: http, port: 80, targetPort: http}]") {
    world_.Create<Service>(absl::StrCat("{metadata: {name: web, labels: {team: a}}, spec: {",
                                        "selector: {app: web}, ", more, "ports: ", ports, "}}"));
  }
  std::vector<EndpointSlice> Slices() {
    return world_.List<EndpointSlice>("", "kubernetes.io/service-name=web");
  }
  // "a ready serving z1@node-1", one per endpoint of all slices, sorted.
  std::vector<std::string> Told() {
    std::vector<std::string> out;
    for (const EndpointSlice& slice : Slices()) {
      for (const Endpoint& endpoint : slice.endpoints()) {
        out.push_back(absl::StrCat(endpoint.target_ref().name(),
                                   endpoint.conditions().ready() ? " ready" : "",
                                   endpoint.conditions().serving() ? " serving" : "",
                                   endpoint.conditions().terminating() ? " terminating" : "", " ",
                                   endpoint.zone(), "@", endpoint.node_name()));
      }
    }
    std::sort(out.begin(), out.end());
    return out;
  }
  // "a,b !c :80", one per subset.
  std::vector<std::string> Subsets() {
    std::vector<std::string> out;
    const Endpoints endpoints = world_.Get<Endpoints>("web");
    for (const auto& subset : endpoints.subsets()) {
      std::string text;
      for (const auto& address : subset.addresses()) {
        absl::StrAppend(&text, address.target_ref().name(), " ");
      }
      for (const auto& address : subset.not_ready_addresses()) {
        absl::StrAppend(&text, "!", address.target_ref().name(), " ");
      }
      for (const auto& port : subset.ports()) absl::StrAppend(&text, ":", port.port());
      out.push_back(text);
    }
    return out;
  }

  World world_;
};

TEST_F(EndpointsTest, FollowPodsFromReadyToGone) {
  Run();
  AddService();
  world_.Settle();
  // Nothing is behind it: an empty slice says that it is known.
  ASSERT_EQ(Slices().size(), 1u);
  EXPECT_THAT(Told(), IsEmpty());
  AddPod("a");
  AddPod("b");
  world_.RunPods();
  EXPECT_THAT(Told(), ElementsAre("a ready serving z1@node-1", "b ready serving z1@node-1"));
  ASSERT_EQ(Slices().size(), 1u);
  const EndpointSlice slice = Slices()[0];
  EXPECT_EQ(slice.metadata().labels().at(kManagedByLabel), "endpointslice-controller.k8s.io");
  EXPECT_EQ(slice.metadata().labels().at("team"), "a");
  EXPECT_EQ(slice.metadata().owner_references(0).kind(), "Service");
  EXPECT_EQ(slice.metadata().annotations().count(kTriggerTimeAnnotation), 1u);
  EXPECT_EQ(slice.address_type(), "IPv4");
  EXPECT_EQ(slice.ports(0).port(), 80);
  EXPECT_THAT(Subsets(), ElementsAre("a b :80"));

  world_.SetPodReady("a", false);
  world_.Settle();
  EXPECT_THAT(Told(), ElementsAre("a z1@node-1", "b ready serving z1@node-1"));
  EXPECT_THAT(Subsets(), ElementsAre("b !a :80"));

  // On its way out it is still told, as such; Endpoints leave it out.
  world_.Delete<Pod>("b");
  world_.Settle();
  EXPECT_THAT(Told(), ElementsAre("a z1@node-1", "b serving terminating z1@node-1"));
  EXPECT_THAT(Subsets(), ElementsAre("!a :80"));
  world_.ReapPods();
  EXPECT_THAT(Told(), ElementsAre("a z1@node-1"));
}

TEST_F(EndpointsTest, TellOnlyOfChanges) {
  Run();
  AddService();
  AddPod("a");
  world_.RunPods();
  const size_t writes = world_.Writes();
  world_.Patch<Pod>("a", "{metadata: {annotations: {x: y}}}");
  world_.Settle();
  EXPECT_EQ(world_.Writes(), writes + 1);
  world_.Advance(minutes(10));
  EXPECT_EQ(world_.Writes(), writes + 1);
}

TEST_F(EndpointsTest, PublishWhatIsNotReadyWhereAsked) {
  Run();
  AddService("publishNotReadyAddresses: true, clusterIP: None, ");
  AddPod("a");
  world_.RunPods();
  world_.SetPodReady("a", false);
  world_.Delete<Pod>("a");
  world_.Settle();
  EXPECT_THAT(Told(), ElementsAre("a ready terminating z1@node-1"));
  EXPECT_THAT(Subsets(), ElementsAre("a :80"));
  EXPECT_EQ(Slices()[0].metadata().labels().count(kHeadlessLabel), 1u);
  EXPECT_EQ(world_.Get<Endpoints>("web").metadata().labels().count(kHeadlessLabel), 1u);
}

TEST_F(EndpointsTest, LeadNamedPortsWhereEachPodHasThem) {
  Run();
  AddService("",
             "[{name: http, port: 80, targetPort: http}, {name: admin, port: 81, targetPort: "
             "9090}]");
  AddPod("old", "[{name: http, containerPort: 80}]");
  AddPod("new", "[{name: http, containerPort: 8080}]");
  AddPod("bare", "[]");
  world_.RunPods();
  EXPECT_THAT(Subsets(),
              testing::UnorderedElementsAre("old :9090:80", "new :9090:8080", "bare :9090"));
  std::set<std::string> told;
  for (const EndpointSlice& slice : Slices()) {
    ASSERT_EQ(slice.endpoints_size(), 1);
    std::vector<std::string> ports;
    for (const auto& port : slice.ports()) {
      ports.push_back(absl::StrCat(port.name(), "=", port.port()));
    }
    told.insert(
        absl::StrCat(slice.endpoints(0).target_ref().name(), " ", absl::StrJoin(ports, ",")));
  }
  EXPECT_EQ(told, (std::set<std::string>{"old http=80,admin=9090", "new http=8080,admin=9090",
                                         "bare admin=9090"}));
}

TEST_F(EndpointsTest, NameThePodsOfAHeadlessService) {
  Run();
  AddService("clusterIP: None, ", "[]");
  AddPod("db-0", "[]", "hostname: db-0, subdomain: web, ");
  world_.RunPods();
  ASSERT_EQ(Slices().size(), 1u);
  EXPECT_EQ(Slices()[0].endpoints(0).hostname(), "db-0");
  EXPECT_EQ(Slices()[0].ports_size(), 0);
  EXPECT_EQ(world_.Get<Endpoints>("web").subsets(0).addresses(0).hostname(), "db-0");
}

TEST_F(EndpointsTest, LeaveServicesWithoutASelectorAlone) {
  Run();
  world_.Create<Service>("{metadata: {name: own}, spec: {ports: [{port: 80}]}}");
  world_.Create<Endpoints>(
      "{metadata: {name: own}, subsets: [{addresses: [{ip: 192.0.2.1}], ports: [{port: 80}]}]}");
  world_.Create<EndpointSlice>(
      "{metadata: {name: mine, labels: {kubernetes.io/service-name: own}}, addressType: IPv4, "
      "endpoints: [], ports: []}");
  world_.Settle();
  EXPECT_EQ(world_.Get<Endpoints>("own").subsets_size(), 1);
  EXPECT_EQ(world_.List<EndpointSlice>("", "kubernetes.io/service-name=own").size(), 1u);
}

TEST_F(EndpointsTest, GoWithTheirService) {
  Run();
  AddService();
  AddPod("a");
  world_.RunPods();
  world_.Delete<Service>("web");
  world_.Settle();
  EXPECT_FALSE(world_.Find<Endpoints>("web").has_value());
}

TEST_F(EndpointsTest, WrittenByHandStayWithoutAService) {
  Run();
  world_.Create<Endpoints>("{metadata: {name: own}}");
  world_.Patch<Endpoints>("own",
                          "{subsets: [{addresses: [{ip: 192.0.2.1}], ports: [{port: 80}]}]}");
  world_.Advance(minutes(10));
  EXPECT_EQ(world_.Get<Endpoints>("own").subsets_size(), 1);
  // As a service's that went while no controller was there do not.
  world_.Restart([](Context& context) { return NewEndpointsController(context); });
  world_.Settle();
  EXPECT_FALSE(world_.Find<Endpoints>("own").has_value());
}

class MirroringTest : public testing::Test {
 protected:
  MirroringTest() { world_.Run(NewEndpointSliceMirroringController(world_.context())); }

  void AddService(absl::string_view spec = "ports: [{port: 80}]") {
    world_.Create<Service>(absl::StrCat("{metadata: {name: own}, spec: {", spec, "}}"));
  }
  void AddEndpoints(absl::string_view subsets, absl::string_view metadata = "") {
    world_.Create<Endpoints>(
        absl::StrCat("{metadata: {name: own", metadata, "}, subsets: [", subsets, "]}"));
    world_.Settle();
  }
  std::vector<EndpointSlice> Slices() {
    return world_.List<EndpointSlice>("", absl::StrCat(kManagedByLabel, "=", kMirroredBy));
  }
  // "IPv4 10.0.0.1 !10.0.0.2 :80/TCP", one per slice, sorted.
  std::vector<std::string> Mirrored() {
    std::vector<std::string> out;
    for (const EndpointSlice& slice : Slices()) {
      std::string text = slice.address_type();
      for (const Endpoint& endpoint : slice.endpoints()) {
        absl::StrAppend(&text, endpoint.conditions().ready() ? " " : " !", endpoint.addresses(0));
      }
      for (const auto& port : slice.ports()) {
        absl::StrAppend(&text, " :", port.port(), "/", port.protocol());
      }
      out.push_back(text);
    }
    std::sort(out.begin(), out.end());
    return out;
  }

  World world_;
};

TEST_F(MirroringTest, EndpointsByHandAppearAsSlices) {
  AddService();
  AddEndpoints(
      "{addresses: [{ip: 192.0.2.1, nodeName: n, hostname: h}, {ip: '2001:db8::1'}], "
      "notReadyAddresses: [{ip: 192.0.2.2}], ports: [{name: a, port: 80}]}",
      ", labels: {team: a}, annotations: {note: b, "
      "endpoints.kubernetes.io/last-change-trigger-time: 't'}");
  EXPECT_THAT(Mirrored(),
              ElementsAre("IPv4 192.0.2.1 !192.0.2.2 :80/TCP", "IPv6 2001:db8::1 :80/TCP"));
  const EndpointSlice slice = world_.List<EndpointSlice>("", "team=a")[0];
  EXPECT_EQ(slice.metadata().labels().at(kServiceNameLabel), "own");
  EXPECT_EQ(slice.metadata().annotations().size(), 1u);
  EXPECT_EQ(slice.metadata().owner_references(0).kind(), "Endpoints");
  EXPECT_EQ(slice.endpoints(0).node_name(), "n");
  EXPECT_EQ(slice.endpoints(0).hostname(), "h");
  const size_t writes = world_.Writes();
  world_.Advance(minutes(10));
  EXPECT_EQ(world_.Writes(), writes);
}

TEST_F(MirroringTest, SlicesFollowEndpointsInPlace) {
  AddService();
  AddEndpoints("{addresses: [{ip: 192.0.2.1}], ports: [{port: 80}]}");
  const std::string name = Slices()[0].metadata().name();
  world_.Patch<Endpoints>(
      "own", "{subsets: [{addresses: [{ip: 192.0.2.3}], ports: [{port: 81, protocol: UDP}]}]}");
  world_.Settle();
  EXPECT_THAT(Mirrored(), ElementsAre("IPv4 192.0.2.3 :81/UDP"));
  EXPECT_EQ(Slices()[0].metadata().name(), name);
  world_.Delete<EndpointSlice>(name);
  world_.Settle();
  EXPECT_THAT(Mirrored(), ElementsAre("IPv4 192.0.2.3 :81/UDP"));
  world_.Delete<Endpoints>("own");
  world_.Settle();
  EXPECT_THAT(Mirrored(), IsEmpty());
}

TEST_F(MirroringTest, OthersAreNotMirrored) {
  AddEndpoints("{addresses: [{ip: 192.0.2.1}], ports: [{port: 80}]}");
  EXPECT_THAT(Mirrored(), IsEmpty()) << "there is no service";
  AddService();
  world_.Settle();
  EXPECT_EQ(Mirrored().size(), 1u);
  world_.Patch<Endpoints>(
      "own", "{metadata: {labels: {endpointslice.kubernetes.io/skip-mirror: 'true'}}}");
  world_.Settle();
  EXPECT_THAT(Mirrored(), IsEmpty()) << "they say so";
  world_.Patch<Endpoints>("own", "{metadata: {labels: null}}");
  world_.Settle();
  EXPECT_EQ(Mirrored().size(), 1u);
  world_.Patch<Service>("own", "{spec: {selector: {a: b}}}");
  world_.Settle();
  EXPECT_THAT(Mirrored(), IsEmpty()) << "the service has pods of its own now";
}

TEST_F(MirroringTest, ASubsetHasAThousandAddressesAtMost) {
  AddService();
  std::vector<std::string> addresses;
  for (int i = 0; i < kMirroredPerSubset + 5; ++i) {
    addresses.push_back(absl::StrCat("{ip: 192.0.", i / 250, ".", i % 250, "}"));
  }
  AddEndpoints(
      absl::StrCat("{addresses: [", absl::StrJoin(addresses, ", "), "], ports: [{port: 80}]}"));
  ASSERT_EQ(Slices().size(), 1u);
  EXPECT_EQ(Slices()[0].endpoints_size(), kMirroredPerSubset);
  EXPECT_THAT(world_.Events(),
              testing::Contains("Warning TooManyAddressesToMirror A max of 1000 addresses can be "
                                "mirrored to EndpointSlices per Endpoints subset. 5 addresses were "
                                "skipped"));
}

TEST(Repack, WhatIsUnreadyAtAPortIsNotReadyThere) {
  ::meltemi::controllers::Subsets subsets;
  const auto add = [&](const char* ip, bool ready, int port) {
    auto* subset = subsets.Add();
    (ready ? subset->add_addresses() : subset->add_not_ready_addresses())->set_ip(ip);
    subset->add_ports()->set_port(port);
  };
  add("10.0.0.1", true, 80);
  add("10.0.0.1", false, 80);
  add("10.0.0.1", true, 81);
  add("10.0.0.2", true, 81);
  const auto packed = Repack(subsets);
  ASSERT_EQ(packed.size(), 2);
  EXPECT_EQ(packed[0].addresses_size(), 0);
  EXPECT_EQ(packed[0].not_ready_addresses_size(), 1);
  EXPECT_EQ(packed[1].addresses_size(), 2);
}

TEST_F(EndpointsTest, UndoWhatOthersDoToThem) {
  Run();
  AddService();
  AddPod("a");
  world_.RunPods();
  world_.Patch<Endpoints>("web", "{subsets: null}");
  world_.Delete<EndpointSlice>(Slices()[0].metadata().name());
  world_.Settle();
  EXPECT_THAT(Told(), ElementsAre("a ready serving z1@node-1"));
  EXPECT_THAT(Subsets(), ElementsAre("a :80"));
}

TEST_F(EndpointsTest, WaitForNodesThatAreNotKnown) {
  Run();
  AddService();
  AddPod("a", "[{name: http, containerPort: 80}]", "nodeName: node-2, ");
  world_.RunPods();
  EXPECT_THAT(Told(), IsEmpty());
  world_.AddNode("node-2", "{topology.kubernetes.io/zone: z2}");
  world_.Settle();
  EXPECT_THAT(Told(), ElementsAre("a ready serving z2@node-2"));
  world_.Patch<kube::core::v1::Node>(
      "node-2", "{metadata: {labels: {topology.kubernetes.io/zone: z3}}}", "", "");
  world_.Settle();
  EXPECT_THAT(Told(), ElementsAre("a ready serving z3@node-2"));
}

TEST_F(EndpointsTest, EndRightWhenCallsFail) {
  Run();
  int calls = 0;
  world_.process().SetFate([&calls](const kube::ApiCall& call) {
    if (call.method == "GET") return apiserver::Fate::kPass;
    const apiserver::Fate fates[] = {apiserver::Fate::kLoseAnswer, apiserver::Fate::kRefuse,
                                     apiserver::Fate::kLoseCall, apiserver::Fate::kPass};
    return fates[++calls % 4];
  });
  AddService();
  for (const char* name : {"a", "b", "c"}) AddPod(name);
  world_.RunPods();
  world_.Advance(minutes(2));
  EXPECT_EQ(Told().size(), 3u);
  EXPECT_EQ(Slices().size(), 1u);
  EXPECT_THAT(Subsets(), ElementsAre("a b c :80"));
}

// --- Packing.

Endpoint EndpointNamed(int i) {
  Endpoint out;
  out.add_addresses(absl::StrCat("10.0.", i / 200, ".", i % 200));
  out.mutable_target_ref()->set_uid(absl::StrCat("uid-", i));
  out.mutable_conditions()->set_ready(true);
  return out;
}

std::vector<PortGroup> Group(int from, int to) {
  PortGroup group;
  group.ports.emplace_back().set_port(80);
  for (int i = from; i < to; ++i) group.endpoints.push_back(EndpointNamed(i));
  return {group};
}

SlicePtr SliceOf(int from, int to, absl::string_view name) {
  Service service;
  service.mutable_metadata()->set_name("web");
  EndpointSlice slice = PlanSlices(service, "IPv4", Group(from, to), {}).create[0];
  slice.mutable_metadata()->set_name(std::string(name));
  return std::make_shared<const EndpointSlice>(std::move(slice));
}

// "+5" created with 5, "name=7" updated to 7, "-name" deleted; sorted.
std::vector<std::string> Planned(std::vector<PortGroup> groups,
                                 const std::vector<SlicePtr>& existing) {
  Service service;
  service.mutable_metadata()->set_name("web");
  const SlicePlan plan = PlanSlices(service, "IPv4", std::move(groups), existing);
  std::vector<std::string> out;
  for (const EndpointSlice& slice : plan.create) {
    out.push_back(absl::StrCat("+", slice.endpoints_size()));
  }
  for (const EndpointSlice& slice : plan.update) {
    out.push_back(absl::StrCat(slice.metadata().name(), "=", slice.endpoints_size()));
  }
  for (const SlicePtr& slice : plan.remove) {
    out.push_back(absl::StrCat("-", slice->metadata().name()));
  }
  std::sort(out.begin(), out.end());
  return out;
}

TEST(SlicePackingTest, MakesFewWritesOfManyEndpoints) {
  EXPECT_THAT(Planned(Group(0, 250), {}), ElementsAre("+100", "+100", "+50"));
  EXPECT_THAT(Planned({}, {}), ElementsAre("+0"));
  const SlicePtr a = SliceOf(0, 100, "a"), b = SliceOf(100, 180, "b"), c = SliceOf(180, 200, "c");
  EXPECT_THAT(Planned(Group(0, 200), {a, b, c}), IsEmpty());
  // Ten more go where they fill the most; thirty do not fit there.
  EXPECT_THAT(Planned(Group(0, 210), {a, b, c}), ElementsAre("b=90"));
  EXPECT_THAT(Planned(Group(0, 230), {a, b, c}), ElementsAre("c=50"));
  // What changes anyway is filled first.
  EXPECT_THAT(Planned(Group(5, 210), {a, b, c}), ElementsAre("a=100", "b=85"));
  // A slice that loses all goes.
  EXPECT_THAT(Planned(Group(0, 180), {a, b, c}), ElementsAre("-c"));
  EXPECT_THAT(Planned({}, {c}), ElementsAre("+0", "-c"));
}

TEST(SubsetPackingTest, CutsAtAThousandReadyOnesFirst) {
  kube::core::v1::Endpoints endpoints;
  for (int size : {600, 900}) {
    auto* subset = endpoints.add_subsets();
    for (int i = 0; i < size; ++i) subset->add_addresses()->set_ip("10.0.0.1");
    for (int i = 0; i < 10; ++i) subset->add_not_ready_addresses()->set_ip("10.0.0.2");
  }
  ASSERT_TRUE(Truncate(endpoints.mutable_subsets()));
  EXPECT_EQ(endpoints.subsets(0).addresses_size(), 400);
  EXPECT_EQ(endpoints.subsets(1).addresses_size(), 600);
  EXPECT_EQ(endpoints.subsets(0).not_ready_addresses_size(), 0);
  EXPECT_FALSE(Truncate(endpoints.mutable_subsets()));
}

}  // namespace
}  // namespace meltemi::controllers
