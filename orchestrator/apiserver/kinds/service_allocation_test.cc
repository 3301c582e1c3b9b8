#include "orchestrator/apiserver/kinds/service_allocation.h"

#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/clock/clock_fake.h"
#include "base/random/random.h"
#include "base/yaml/parse.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using testing::HasSubstr;

class Allocation : public testing::Test {
 protected:
  Allocation() {
    resource_.version = "v1";
    resource_.plural = "services";
    resource_.kind = "Service";
    Make({});
  }
  void Make(const ServiceRanges& ranges) {
    auto made = ServiceAllocation::Create(ranges, clock_, std::make_unique<FastRandom>(3));
    ASSERT_TRUE(made.ok()) << made.status();
    allocation_ = *std::move(made);
  }
  static json::Value Service(absl::string_view name, absl::string_view spec) {
    return *yaml::Parse(
        absl::StrCat("metadata: {namespace: blue, name: ", name, "}\nspec: {", spec, "}"));
  }
  // The spec after allocation, or the message of what was wrong.
  json::Value Admit(absl::string_view name, absl::string_view spec, bool dry_run = false) {
    AdmissionRequest request;
    request.resource = &resource_;
    request.ns = "blue";
    request.object = Service(name, spec);
    request.dry_run = dry_run;
    request.deadline = clock_.Now() + seconds(60);
    const kube::Outcome outcome = allocation_->Mutate(request);
    if (!outcome.ok()) {
      EXPECT_EQ(outcome.status().code, 422);
      return json::Value::String(outcome.status().message);
    }
    return *request.object.Find("spec");
  }
  std::string IpOf(absl::string_view name, absl::string_view spec = "type: ClusterIP") {
    const json::Value admitted = Admit(name, spec);
    return admitted.is_string() ? admitted.text() : std::string(Text(admitted, "clusterIP"));
  }

  FakeClock clock_;
  Resource resource_;
  std::unique_ptr<ServiceAllocation> allocation_;
};

TEST_F(Allocation, AServiceGetsAnAddressAndItsFamily) {
  const json::Value spec = Admit("web", "type: ClusterIP, ports: [{port: 80}]");
  EXPECT_THAT(std::string(Text(spec, "clusterIP")), testing::StartsWith("10."));
  EXPECT_EQ(Items(spec, "clusterIPs")[0].text(), Text(spec, "clusterIP"));
  EXPECT_EQ(Items(spec, "ipFamilies")[0].text(), "IPv4");
  EXPECT_EQ(Text(spec, "ipFamilyPolicy"), "SingleStack");
}

TEST_F(Allocation, NoAddressIsGivenTwice) {
  Make({.cluster_ip_cidr = "10.1.0.0/26"});
  std::set<std::string> ips;
  for (int i = 0; i < 62; ++i) ips.insert(IpOf(absl::StrCat("s", i)));
  EXPECT_EQ(ips.size(), 62u);
  EXPECT_FALSE(ips.contains("10.1.0.0"));
  EXPECT_FALSE(ips.contains("10.1.0.63"));
  EXPECT_THAT(IpOf("full"), HasSubstr("range is full"));
}

TEST_F(Allocation, ARetryGetsTheSameAddress) {
  const std::string ip = IpOf("web");
  EXPECT_EQ(IpOf("web"), ip);
}

TEST_F(Allocation, ServicesWithoutANameYetAreNotTheSame) { EXPECT_NE(IpOf("\"\""), IpOf("\"\"")); }

TEST_F(Allocation, AnUpdateKeepsWhatItLeavesOut) {
  AdmissionRequest request;
  request.resource = &resource_;
  request.ns = "blue";
  request.operation = Operation::kUpdate;
  request.old_object =
      Service("a",
              "type: NodePort, clusterIP: 10.96.0.7, clusterIPs: [10.96.0.7], ports: [{port: 80, "
              "nodePort: 30080}]");
  allocation_->OnService(request.old_object);
  request.object = Service("a", "type: NodePort, ports: [{port: 80}]");
  ASSERT_TRUE(allocation_->Mutate(request).ok());
  const json::Value& spec = *request.object.Find("spec");
  EXPECT_EQ(Text(spec, "clusterIP"), "10.96.0.7");
  EXPECT_EQ(Int(Items(spec, "ports")[0], "nodePort"), 30080);
}

TEST_F(Allocation, ADeletedServicesAddressIsFreeAgain) {
  EXPECT_EQ(IpOf("a", "type: ClusterIP, clusterIP: 10.96.0.9, clusterIPs: [10.96.0.9]"),
            "10.96.0.9");
  allocation_->OnService(Service("a", "clusterIP: 10.96.0.9, clusterIPs: [10.96.0.9]"));
  EXPECT_EQ(IpOf("b", "type: ClusterIP, clusterIP: 10.96.0.9, clusterIPs: [10.96.0.9]"),
            "Service \"b\" is invalid: spec.clusterIPs: Invalid value: []string{\"10.96.0.9\"}: "
            "failed to allocate IP 10.96.0.9: provided IP is already allocated");
  allocation_->OnServiceGone({"blue", "a"});
  EXPECT_EQ(IpOf("b", "type: ClusterIP, clusterIP: 10.96.0.9, clusterIPs: [10.96.0.9]"),
            "10.96.0.9");
}

TEST_F(Allocation, AReservationOfAFailedWriteEnds) {
  IpOf("a", "type: ClusterIP, clusterIP: 10.96.0.9, clusterIPs: [10.96.0.9]");
  EXPECT_THAT(IpOf("b", "type: ClusterIP, clusterIP: 10.96.0.9, clusterIPs: [10.96.0.9]"),
              HasSubstr("already allocated"));
  clock_.Advance(seconds(120));
  EXPECT_EQ(IpOf("b", "type: ClusterIP, clusterIP: 10.96.0.9, clusterIPs: [10.96.0.9]"),
            "10.96.0.9");
}

TEST_F(Allocation, ADryRunReservesNothing) {
  Admit("a", "type: ClusterIP, clusterIP: 10.96.0.9, clusterIPs: [10.96.0.9]", true);
  EXPECT_EQ(IpOf("b", "type: ClusterIP, clusterIP: 10.96.0.9, clusterIPs: [10.96.0.9]"),
            "10.96.0.9");
}

TEST_F(Allocation, AddressesOutsideOfTheRangeAreRefused) {
  EXPECT_EQ(IpOf("a", "type: ClusterIP, clusterIP: 192.168.0.1, clusterIPs: [192.168.0.1]"),
            "Service \"a\" is invalid: spec.clusterIPs: Invalid value: "
            "[]string{\"192.168.0.1\"}: failed to allocate IP 192.168.0.1: the provided IP "
            "(192.168.0.1) is not in the valid range. The range of valid IPs is 10.96.0.0/12");
  EXPECT_EQ(allocation_->FirstIp(), "10.96.0.1");
}

TEST_F(Allocation, NodePortsAreDistinctAndInRange) {
  const json::Value spec =
      Admit("web",
            "type: NodePort, ports: [{name: a, port: 80}, {name: b, port: 81}, {name: c, "
            "port: 80, protocol: UDP}]");
  const std::vector<json::Value>& ports = Items(spec, "ports");
  const int64_t first = Int(ports[0], "nodePort");
  EXPECT_GE(first, 30000);
  EXPECT_LE(first, 32767);
  EXPECT_NE(first, Int(ports[1], "nodePort"));
  EXPECT_EQ(first, Int(ports[2], "nodePort"));
}

TEST_F(Allocation, NodePortsThatAreTakenOrOutOfRange) {
  allocation_->OnService(Service("a", "type: NodePort, ports: [{port: 80, nodePort: 30080}]"));
  EXPECT_EQ(Admit("b", "type: NodePort, ports: [{port: 80, nodePort: 30080}]").text(),
            "Service \"b\" is invalid: spec.ports[0].nodePort: Invalid value: 30080: provided port "
            "is already allocated");
  EXPECT_EQ(Admit("b", "type: NodePort, ports: [{port: 80, nodePort: 80}]").text(),
            "Service \"b\" is invalid: spec.ports[0].nodePort: Invalid value: 80: provided port is "
            "not in the valid range. The range of valid ports is 30000-32767");
  // Its own port is no obstacle.
  EXPECT_TRUE(Admit("a",
                    "type: NodePort, clusterIP: 10.96.0.7, clusterIPs: [10.96.0.7], ports: "
                    "[{port: 81, nodePort: 30080}]")
                  .is_object());
}

TEST_F(Allocation, HeadlessAndExternalOnesNeedNoAddress) {
  const json::Value headless =
      Admit("a", "type: ClusterIP, clusterIP: None, clusterIPs: [None], selector: {a: b}");
  EXPECT_EQ(Text(headless, "clusterIP"), "None");
  EXPECT_EQ(Text(headless, "ipFamilyPolicy"), "SingleStack");
  EXPECT_EQ(
      Text(Admit("b", "type: ClusterIP, clusterIP: None, clusterIPs: [None]"), "ipFamilyPolicy"),
      "RequireDualStack");
  EXPECT_FALSE(Has(Admit("c", "type: ExternalName, externalName: x"), "clusterIP"));
}

TEST_F(Allocation, ThereIsOneFamily) {
  EXPECT_THAT(Admit("a", "type: ClusterIP, ipFamilyPolicy: RequireDualStack").text(),
              HasSubstr("spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": this cluster is "
                        "not configured for dual-stack services"));
  EXPECT_THAT(Admit("a", "type: ClusterIP, ipFamilies: [IPv6]").text(),
              HasSubstr("spec.ipFamilies[0]: Invalid value: \"IPv6\": not configured on this "
                        "cluster"));
}

TEST_F(Allocation, LocalLoadBalancersHaveAHealthCheckPort) {
  const json::Value spec =
      Admit("a", "type: LoadBalancer, externalTrafficPolicy: Local, ports: [{port: 80}]");
  EXPECT_GE(Int(spec, "healthCheckNodePort"), 30000);
  EXPECT_NE(Int(spec, "healthCheckNodePort"), Int(Items(spec, "ports")[0], "nodePort"));
  const json::Value without =
      Admit("b", "type: LoadBalancer, allocateLoadBalancerNodePorts: false, ports: [{port: 80}]");
  EXPECT_FALSE(Has(Items(without, "ports")[0], "nodePort"));
}

TEST_F(Allocation, WhatTwoHaveIsToldAndStaysTakenUntilBothAreGone) {
  Make({.cluster_ip_cidr = "10.1.0.0/30"});  // two addresses
  const auto put = [this](absl::string_view name, absl::string_view ip, int port) {
    allocation_->OnService(Service(
        name, absl::StrCat("clusterIPs: [", ip, "], ports: [{port: 80, nodePort: ", port, "}]")));
  };
  put("a", "10.1.0.1", 30000);
  put("b", "10.1.0.1", 30000);
  put("c", "10.9.0.1", 99);
  std::vector<std::string> told;
  for (const ServiceAllocation::Trouble& trouble : allocation_->Troubles()) {
    told.push_back(absl::StrCat(trouble.service.name, " ", trouble.reason, " ", trouble.message));
  }
  EXPECT_THAT(
      told,
      testing::UnorderedElementsAre(
          "b ClusterIPAlreadyAllocated Cluster IP [IPv4]:10.1.0.1 was assigned to multiple "
          "services; please recreate service",
          "c ClusterIPOutOfRange Cluster IP [IPv4]:10.9.0.1 is not within the service CIDR "
          "10.1.0.0/30; please recreate service",
          "b PortAlreadyAllocated Port 30000 was assigned to multiple services; please recreate "
          "service",
          "c PortOutOfRange Port 99 is not within the port range 30000-32767; please recreate "
          "service"));
  allocation_->OnServiceGone({"blue", "a"});
  EXPECT_THAT(IpOf("d", "clusterIP: 10.1.0.1"), HasSubstr("provided IP is already allocated"));
  allocation_->OnServiceGone({"blue", "b"});
  EXPECT_EQ(IpOf("d", "clusterIP: 10.1.0.1"), "10.1.0.1");
}

TEST_F(Allocation, RangesAreChecked) {
  for (const char* cidr : {"", "10.96.0.0", "10.96.0.0/4", "fd00::/108", "10.96.0.0/31"}) {
    EXPECT_FALSE(
        ServiceAllocation::Create({.cluster_ip_cidr = cidr}, clock_, std::make_unique<FastRandom>())
            .ok())
        << cidr;
  }
}

}  // namespace
}  // namespace meltemi::apiserver
