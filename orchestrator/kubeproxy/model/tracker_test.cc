#include "orchestrator/kubeproxy/model/tracker.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kube/core/v1/service.pb.h"
#include "kube/discovery/v1/discovery.pb.h"

namespace meltemi::kubeproxy {
namespace {

using kube::core::v1::Service;
using kube::discovery::v1::EndpointSlice;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr char kNode[] = "node-1";

Service MakeService(const std::string& name, const std::string& cluster_ip) {
  Service service;
  service.mutable_metadata()->set_namespace_("default");
  service.mutable_metadata()->set_name(name);
  service.mutable_spec()->set_cluster_ip(cluster_ip);
  service.mutable_spec()->set_type("ClusterIP");
  auto& port = *service.mutable_spec()->add_ports();
  port.set_name("http");
  port.set_port(80);
  port.set_protocol("TCP");
  return service;
}

// "10.0.0.1" is ready and elsewhere; " here", " unready", " leaving", " gone" (terminating and not
// serving), " nowhere" (no node is known) after it.
EndpointSlice MakeSlice(const std::string& service, const std::string& name,
                        const std::vector<std::string>& endpoints) {
  EndpointSlice slice;
  slice.mutable_metadata()->set_namespace_("default");
  slice.mutable_metadata()->set_name(name);
  (*slice.mutable_metadata()->mutable_labels())["kubernetes.io/service-name"] = service;
  slice.set_address_type("IPv4");
  auto& port = *slice.add_ports();
  port.set_name("http");
  port.set_port(8080);
  port.set_protocol("TCP");
  for (const std::string& text : endpoints) {
    const auto is = [&](const char* word) { return text.find(word) != std::string::npos; };
    auto& endpoint = *slice.add_endpoints();
    endpoint.add_addresses(text.substr(0, text.find(' ')));
    if (!is("nowhere")) endpoint.set_node_name(is("here") ? kNode : "node-2");
    auto& conditions = *endpoint.mutable_conditions();
    conditions.set_ready(!is("unready") && !is("leaving") && !is("gone"));
    conditions.set_serving(!is("unready") && !is("gone"));
    conditions.set_terminating(is("leaving") || is("gone"));
  }
  return slice;
}

std::vector<std::string> Texts(const std::vector<Target>& targets) {
  std::vector<std::string> texts;
  for (const Target& target : targets) texts.push_back(target.ToString());
  return texts;
}

class TrackerTest : public ::testing::Test {
 protected:
  void Set(const Service& service) {
    tracker_.SetService({service.metadata().namespace_(), service.metadata().name()},
                        ReadService(service));
  }
  void Remove(const std::string& name) { tracker_.SetService({"default", name}, std::nullopt); }
  void SetSlice(const EndpointSlice& slice) {
    tracker_.SetSlice({"default", ServiceOf(slice)}, slice.metadata().name(),
                      ReadSlice(slice, kNode));
  }
  // Of the one change that there is.
  ServiceRules Rules() {
    const std::vector<ServiceChange> changes = tracker_.Take();
    EXPECT_EQ(changes.size(), 1u);
    return changes.size() == 1 && changes[0].after ? *changes[0].after : ServiceRules();
  }
  PortRules Port() {
    const ServiceRules rules = Rules();
    return rules.ports.empty() ? PortRules() : rules.ports[0];
  }
  std::vector<std::string> Changed() {
    std::vector<std::string> names;
    for (const ServiceChange& change : tracker_.Take()) {
      names.push_back((change.after ? change.after : change.before)->key.name);
    }
    return names;
  }
  ServiceRulesPtr Find(const std::string& name) {
    for (const ServiceRulesPtr& rules : tracker_.All()) {
      if (rules->key.name == name) return rules;
    }
    return nullptr;
  }

  Tracker tracker_;
};

TEST_F(TrackerTest, EndpointsOfAllSlicesAreMergedAndSorted) {
  Set(MakeService("web", "10.96.0.1"));
  SetSlice(MakeSlice("web", "web-b", {"10.0.0.9", "10.0.0.2"}));
  SetSlice(MakeSlice("web", "web-a", {"10.0.0.10", "10.0.0.2 unready", "10.0.0.3 unready"}));
  const PortRules port = Port();
  EXPECT_THAT(Texts(port.cluster), ElementsAre("10.0.0.2:8080", "10.0.0.9:8080", "10.0.0.10:8080"));
  EXPECT_THAT(port.local, IsEmpty());
  EXPECT_TRUE(port.has_endpoints);
}

struct PolicyCase {
  const char* name;
  bool internal_local, external_local;
  std::vector<std::string> endpoints, cluster, local;
  bool has_endpoints;
};

class PolicyTest : public TrackerTest, public ::testing::WithParamInterface<PolicyCase> {};

TEST_P(PolicyTest, Chooses) {
  Service service = MakeService("web", "10.96.0.1");
  if (GetParam().internal_local) service.mutable_spec()->set_internal_traffic_policy("Local");
  if (GetParam().external_local) {
    service.mutable_spec()->set_type("NodePort");
    service.mutable_spec()->mutable_ports(0)->set_node_port(30'080);
    service.mutable_spec()->set_external_traffic_policy("Local");
  }
  Set(service);
  SetSlice(MakeSlice("web", "web-1", GetParam().endpoints));
  const PortRules port = Port();
  EXPECT_EQ(Texts(port.cluster), GetParam().cluster);
  EXPECT_EQ(Texts(port.local), GetParam().local);
  EXPECT_EQ(port.has_endpoints, GetParam().has_endpoints);
}

using Strings = std::vector<std::string>;
INSTANTIATE_TEST_SUITE_P(
    Policies, PolicyTest,
    ::testing::Values(
        PolicyCase{"ClusterTakesReadyOnes", false, false,
                   Strings{"10.0.0.1", "10.0.0.2 here", "10.0.0.3 leaving", "10.0.0.4 unready"},
                   Strings{"10.0.0.1:8080", "10.0.0.2:8080"}, Strings{}, true},
        PolicyCase{"ClusterFallsBackToLeaving", false, false,
                   Strings{"10.0.0.3 leaving", "10.0.0.4 unready", "10.0.0.5 gone"},
                   Strings{"10.0.0.3:8080"}, Strings{}, true},
        PolicyCase{"NothingServes", false, false, Strings{"10.0.0.4 unready", "10.0.0.5 gone"},
                   Strings{}, Strings{}, false},
        PolicyCase{"InternalLocal", true, false, Strings{"10.0.0.1", "10.0.0.2 here"}, Strings{},
                   Strings{"10.0.0.2:8080"}, true},
        PolicyCase{"InternalLocalHasNoneHere", true, false, Strings{"10.0.0.1"}, Strings{},
                   Strings{}, true},
        PolicyCase{"ExternalLocal", false, true, Strings{"10.0.0.1", "10.0.0.2 here"},
                   Strings{"10.0.0.1:8080", "10.0.0.2:8080"}, Strings{"10.0.0.2:8080"}, true},
        PolicyCase{"ExternalLocalFallsBackToLeavingHere", false, true,
                   Strings{"10.0.0.1", "10.0.0.2 here leaving"}, Strings{"10.0.0.1:8080"},
                   Strings{"10.0.0.2:8080"}, true},
        PolicyCase{"NoNodeIsNotHere", false, true, Strings{"10.0.0.1 nowhere"},
                   Strings{"10.0.0.1:8080"}, Strings{}, true}),
    [](const auto& info) { return info.param.name; });

TEST_F(TrackerTest, OnlyWhatChangedIsTold) {
  Set(MakeService("a", "10.96.0.1"));
  Set(MakeService("b", "10.96.0.2"));
  EXPECT_THAT(Changed(), ElementsAre("a", "b"));
  SetSlice(MakeSlice("b", "b-1", {"10.0.0.1"}));
  EXPECT_THAT(Changed(), ElementsAre("b"));
  SetSlice(MakeSlice("b", "b-1", {"10.0.0.1"}));
  Set(MakeService("a", "10.96.0.1"));
  EXPECT_THAT(Changed(), IsEmpty());
  Remove("a");
  const std::vector<ServiceChange> changes = tracker_.Take();
  ASSERT_EQ(changes.size(), 1u);
  EXPECT_EQ(changes[0].after, nullptr);
  EXPECT_EQ(changes[0].before->cluster_ip, *ParseIp("10.96.0.1"));
}

TEST_F(TrackerTest, EndpointsMayComeBeforeTheirService) {
  SetSlice(MakeSlice("web", "web-1", {"10.0.0.1"}));
  EXPECT_THAT(Changed(), IsEmpty());
  Set(MakeService("web", "10.96.0.1"));
  EXPECT_TRUE(Port().has_endpoints);
}

TEST_F(TrackerTest, WhatIsNotOursIsLeftOut) {
  Set(MakeService("headless", "None"));
  Set(MakeService("six", "fd00::1"));
  Service external = MakeService("external", "10.96.0.3");
  external.mutable_spec()->set_type("ExternalName");
  Set(external);
  Service other = MakeService("other", "10.96.0.4");
  (*other.mutable_metadata()->mutable_labels())["service.kubernetes.io/service-proxy-name"] = "x";
  Set(other);
  EXPECT_THAT(Changed(), IsEmpty());
  Set(MakeService("web", "10.96.0.5"));
  EndpointSlice six = MakeSlice("web", "web-6", {"fd00::1"});
  six.set_address_type("IPv6");
  SetSlice(six);
  SetSlice(MakeSlice("web", "web-4", {"not an address", "10.0.0.256", "10.0.0"}));
  EXPECT_FALSE(Port().has_endpoints);
}

TEST_F(TrackerTest, AnAddressGoesToWhoseClusterIpItIs) {
  Service thief = MakeService("a-thief", "10.96.0.1");
  thief.mutable_spec()->add_external_ips("10.96.0.2");
  Set(thief);
  EXPECT_THAT(Changed(), ElementsAre("a-thief"));
  EXPECT_EQ(Find("a-thief")->ports[0].external_ips.size(), 1u);
  Set(MakeService("web", "10.96.0.2"));
  EXPECT_THAT(Changed(), ElementsAre("a-thief", "web"));
  EXPECT_THAT(Find("a-thief")->ports[0].external_ips, IsEmpty());
  EXPECT_TRUE(Find("web")->ports[0].cluster_ip);
  Remove("web");
  EXPECT_THAT(Changed(), ElementsAre("a-thief", "web"));
  EXPECT_EQ(Find("a-thief")->ports[0].external_ips.size(), 1u);
}

TEST_F(TrackerTest, TwoServicesWithOneExternalIpHaveItInTheOrderOfTheirNames) {
  for (const char* name : {"b", "a", "c"}) {
    Service service = MakeService(name, absl::StrCat("10.96.0.", static_cast<int>(name[0])));
    service.mutable_spec()->add_external_ips("203.0.113.7");
    Set(service);
    tracker_.Take();
  }
  EXPECT_EQ(Find("a")->ports[0].external_ips.size(), 1u);
  EXPECT_THAT(Find("b")->ports[0].external_ips, IsEmpty());
  Remove("a");
  EXPECT_THAT(Changed(), ElementsAre("a", "b"));
  EXPECT_EQ(Find("b")->ports[0].external_ips.size(), 1u);
  EXPECT_THAT(Find("c")->ports[0].external_ips, IsEmpty());
}

TEST_F(TrackerTest, LoadBalancersOfPolicyLocalHaveAHealthPort) {
  Service service = MakeService("web", "10.96.0.1");
  service.mutable_spec()->set_type("LoadBalancer");
  service.mutable_spec()->set_external_traffic_policy("Local");
  service.mutable_spec()->set_health_check_node_port(31'000);
  service.mutable_spec()->add_load_balancer_source_ranges(" 10.1.2.3/8");
  service.mutable_spec()->add_load_balancer_source_ranges("nonsense");
  service.mutable_status()->mutable_load_balancer()->add_ingress()->set_ip("203.0.113.9");
  auto& proxied = *service.mutable_status()->mutable_load_balancer()->add_ingress();
  proxied.set_ip("203.0.113.10");
  proxied.set_ip_mode("Proxy");
  Set(service);
  SetSlice(MakeSlice("web", "web-1", {"10.0.0.1 here", "10.0.0.2 here", "10.0.0.3"}));
  const ServiceRules rules = Rules();
  EXPECT_EQ(rules.health_check_port, 31'000);
  EXPECT_EQ(rules.local_ready, 2);
  ASSERT_EQ(rules.source_ranges.size(), 1u);
  EXPECT_EQ(rules.source_ranges[0].ToString(), "10.0.0.0/8");
  EXPECT_THAT(rules.ports[0].load_balancer_ips, ElementsAre(*ParseIp("203.0.113.9")));
}

TEST_F(TrackerTest, AffinityHasKubernetesTimeOut) {
  Service service = MakeService("web", "10.96.0.1");
  service.mutable_spec()->set_session_affinity("ClientIP");
  Set(service);
  EXPECT_EQ(Rules().affinity_s, 10'800);
  service.mutable_spec()
      ->mutable_session_affinity_config()
      ->mutable_client_ip()
      ->set_timeout_seconds(60);
  Set(service);
  EXPECT_EQ(Rules().affinity_s, 60);
}

TEST_F(TrackerTest, EndpointsOfThisNodeMayCallThemselves) {
  Set(MakeService("web", "10.96.0.1"));
  SetSlice(MakeSlice("web", "web-1", {"10.0.0.1 here", "10.0.0.2", "10.0.0.3 nowhere"}));
  EXPECT_THAT(Port().own, ElementsAre(*ParseIp("10.0.0.1"), *ParseIp("10.0.0.3")));
}

}  // namespace
}  // namespace meltemi::kubeproxy
