#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "kube/core/v1/pod.pb.h"
#include "networking/v1/service_entry.pb.h"
#include "networking/v1/virtual_service.pb.h"
#include "networking/v1/workload_entry.pb.h"
#include "pilot/model/decode.h"
#include "pilot/model/endpoint_list.h"
#include "pilot/model/names.h"
#include "pilot/model/protocol.h"

namespace meltemi::pilot {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(Protocol, IsFoundAsIstioFindsIt) {
  struct {
    const char* transport;
    const char* app_protocol;
    const char* name;
    uint32_t port;
    Protocol want;
  } cases[] = {
      {"TCP", "", "http", 80, Protocol::kHttp},
      {"", "", "http-web", 80, Protocol::kHttp},
      {"TCP", "", "HTTP2-x", 80, Protocol::kHttp2},
      {"TCP", "", "grpc-web-front", 80, Protocol::kGrpcWeb},
      {"TCP", "", "grpc-webby", 80, Protocol::kGrpc},
      {"TCP", "", "httpish", 80, Protocol::kSniffed},
      {"TCP", "", "", 80, Protocol::kSniffed},
      {"TCP", "", "ssh", 80, Protocol::kSniffed},
      {"TCP", "", "tcp", 80, Protocol::kTcp},
      {"TCP", "", "db", 3306, Protocol::kTcp},
      {"TCP", "", "http-db", 3306, Protocol::kHttp},
      {"TCP", "grpc", "http-web", 80, Protocol::kGrpc},
      {"TCP", "kubernetes.io/h2c", "web", 80, Protocol::kHttp2},
      {"TCP", "unheard-of", "http-web", 80, Protocol::kHttp},
      {"UDP", "", "http", 80, Protocol::kUdp},
      {"TCP", "", "udp-x", 80, Protocol::kSniffed},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(DetectProtocol(c.transport, c.app_protocol, c.name, c.port), c.want)
        << c.transport << " " << c.app_protocol << " " << c.name << " " << c.port;
  }
}

TEST(Names, ShortNamesBelongToTheRulesNamespace) {
  EXPECT_EQ(ResolveHost("web", "shop", "cluster.local"), "web.shop.svc.cluster.local");
  EXPECT_EQ(ResolveHost("web.other", "shop", "cluster.local"), "web.other");
  EXPECT_EQ(ResolveHost("*", "shop", "cluster.local"), "*");
  EXPECT_EQ(ResolveHost("*.example.com", "shop", "cluster.local"), "*.example.com");
  EXPECT_EQ(ResolveHost("::1", "shop", "cluster.local"), "::1");
}

TEST(Names, WildcardsCover) {
  EXPECT_TRUE(HostCovers("*", "a.b"));
  EXPECT_TRUE(HostCovers("*.b", "a.b"));
  EXPECT_TRUE(HostCovers("*.b", "*.a.b"));
  EXPECT_FALSE(HostCovers("*.a.b", "*.b"));
  EXPECT_FALSE(HostCovers("*.b", "b"));
  EXPECT_FALSE(HostCovers("a.b", "*.b"));
  EXPECT_TRUE(HostsOverlap("a.b", "*.b"));
}

TEST(Names, SpecificHostsFirst) {
  std::vector<std::string> hosts = {"*", "*.b", "b.c", "*.a.b", "a.b.c"};
  std::sort(hosts.begin(), hosts.end(),
            [](const auto& a, const auto& b) { return MoreSpecificHost(a, b); });
  EXPECT_THAT(hosts, ElementsAre("a.b.c", "b.c", "*.a.b", "*.b", "*"));
}

TEST(Names, ExportTo) {
  EXPECT_TRUE(ExportTo::Parse({}, "a").VisibleIn("b"));
  EXPECT_FALSE(ExportTo::Parse({"."}, "a").VisibleIn("b"));
  EXPECT_TRUE(ExportTo::Parse({"."}, "a").VisibleIn("a"));
  EXPECT_TRUE(ExportTo::Parse({".", "c"}, "a").VisibleIn("c"));
  EXPECT_FALSE(ExportTo::Parse({"~"}, "a").VisibleIn("a"));
  EXPECT_TRUE(ExportTo::Parse({"*"}, "a").VisibleIn("z"));
}

TEST(Decode, VirtualServiceResolvesEveryHostAndGateway) {
  networking::VirtualService spec;
  spec.add_hosts("web");
  spec.add_gateways("edge");
  spec.add_gateways("mesh");
  auto& route = *spec.add_http();
  route.add_route()->mutable_destination()->set_host("web");
  route.mutable_route(0)->mutable_destination()->set_subset("a");
  route.mutable_mirror()->set_host("copy");
  route.add_match()->add_gateways("edge");
  ObjectMeta meta{.kind = "VirtualService", .name = "r", .ns = "shop"};
  const VirtualServicePtr rule = DecodeVirtualService(meta, spec, "cluster.local");
  EXPECT_THAT(rule->hosts, ElementsAre("web.shop.svc.cluster.local"));
  EXPECT_THAT(rule->gateways, ElementsAre("shop/edge", "mesh"));
  EXPECT_THAT(rule->destinations,
              ElementsAre(DestinationRef{"copy.shop.svc.cluster.local", "", 0},
                          DestinationRef{"web.shop.svc.cluster.local", "a", 0}));
  EXPECT_EQ(rule->spec->http(0).match(0).gateways(0), "shop/edge");
}

TEST(Decode, PodThatHasEndedOrHasNoAddressIsNoWorkload) {
  ObjectMeta meta{.kind = "Pod", .name = "p", .ns = "default"};
  kube::core::v1::Pod pod;
  EXPECT_EQ(DecodePod(meta, pod), nullptr);
  pod.mutable_status()->set_pod_ip("10.0.0.1");
  EXPECT_NE(DecodePod(meta, pod), nullptr);
  pod.mutable_status()->set_phase("Succeeded");
  EXPECT_EQ(DecodePod(meta, pod), nullptr);
}

TEST(Decode, PodOfAReplicaSetIsNamedAfterItsDeployment) {
  ObjectMeta meta{.kind = "Pod", .name = "web-6d4b75cb6d-hswdb", .ns = "default"};
  kube::core::v1::Pod pod;
  pod.mutable_metadata()->set_name(meta.name);
  pod.mutable_status()->set_pod_ip("10.0.0.1");
  auto& owner = *pod.mutable_metadata()->add_owner_references();
  owner.set_kind("ReplicaSet");
  owner.set_name("web-6d4b75cb6d");
  owner.set_controller(true);
  EXPECT_EQ(DecodePod(meta, pod)->workload_name, "web");
}

class EndpointsTest : public ::testing::Test {
 protected:
  EndpointsTest() {
    service_.meta = ObjectMeta{.kind = "Service", .name = "web", .ns = "default"};
    service_.host = "web.default.svc.cluster.local";
    service_.selector = {{"app", "web"}};
    service_.ports = {ServicePort{.number = 80, .name = "http", .target_number = 8080},
                      ServicePort{.number = 81, .name = "named", .target_name = "admin"}};
  }
  void AddWorkload(const std::string& kind, const std::string& address, bool ready = true) {
    auto workload = std::make_shared<Workload>();
    workload->meta = ObjectMeta{
        .kind = kind, .name = address, .ns = "default", .labels = {{"app", "web"}, {"v", address}}};
    workload->address = address;
    workload->workload_name = "w";
    workload->ports = {{"admin", 9901}};
    workload->ready = ready;
    workloads_.push_back(workload);
  }
  // "ADDRESS:PORT<-SERVICE PORT"
  std::vector<std::string> Join() {
    std::vector<std::string> result;
    const WorkloadIndex index(workloads_);
    const ServiceEndpointsPtr joined =
        JoinEndpoints(service_, lists_, index.Select("default", service_.selector), index);
    for (const Endpoint& e : joined->endpoints) {
      result.push_back(e.address + ":" + std::to_string(e.port) + "<-" +
                       std::to_string(e.service_port));
    }
    return result;
  }

  Service service_;
  std::vector<EndpointListPtr> lists_;
  std::vector<WorkloadPtr> workloads_;
};

TEST_F(EndpointsTest, SelectedWorkloadsServeEveryPort) {
  AddWorkload("Pod", "10.0.0.2");
  AddWorkload("WorkloadEntry", "10.0.0.1");
  EXPECT_THAT(Join(), ElementsAre("10.0.0.1:8080<-80", "10.0.0.2:8080<-80", "10.0.0.1:9901<-81",
                                  "10.0.0.2:9901<-81"));
}

TEST_F(EndpointsTest, PodsThatAreNotReadyAreLeftOut) {
  AddWorkload("Pod", "10.0.0.2", /*ready=*/false);
  EXPECT_THAT(Join(), IsEmpty());
}

TEST_F(EndpointsTest, ListsReplacePodsButNotWorkloadEntries) {
  AddWorkload("Pod", "10.0.0.2");
  AddWorkload("Pod", "10.0.0.3");
  AddWorkload("WorkloadEntry", "10.0.0.9");
  auto list = std::make_shared<EndpointList>();
  list->is_slice = true;
  list->groups = {{{{"10.0.0.3", true}, {"10.0.0.4", false}}, {{"http", 8081}}}};
  lists_.push_back(list);
  EXPECT_THAT(Join(), ElementsAre("10.0.0.3:8081<-80", "10.0.0.9:8080<-80", "10.0.0.9:9901<-81"));
}

TEST_F(EndpointsTest, SlicesReplaceEndpointsObjects) {
  auto old = std::make_shared<EndpointList>();
  old->groups = {{{{"10.0.0.1", true}}, {{"http", 1}}}};
  auto slice = std::make_shared<EndpointList>(*old);
  slice->is_slice = true;
  slice->groups[0].addresses[0].ip = "10.0.0.2";
  lists_ = {old, slice};
  EXPECT_THAT(Join(), ElementsAre("10.0.0.2:1<-80"));
}

TEST(Decode, ServiceEntryByDnsIsItsOwnEndpoint) {
  networking::ServiceEntry spec;
  spec.add_hosts("api.example.com");
  spec.set_resolution(networking::ServiceEntry::DNS);
  auto& port = *spec.add_ports();
  port.set_number(443);
  port.set_protocol("TLS");
  const auto services =
      DecodeServiceEntry(ObjectMeta{.kind = "ServiceEntry", .name = "e", .ns = "n"}, spec);
  ASSERT_THAT(services, SizeIs(1));
  EXPECT_TRUE(services[0]->external);
  ASSERT_THAT(services[0]->declared, SizeIs(1));
  EXPECT_EQ(services[0]->declared[0].address, "api.example.com");
  EXPECT_EQ(services[0]->declared[0].port, 443u);
}

}  // namespace
}  // namespace meltemi::pilot
