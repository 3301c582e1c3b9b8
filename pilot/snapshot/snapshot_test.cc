#include "pilot/snapshot/snapshot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "networking/v1/destination_rule.pb.h"
#include "networking/v1/virtual_service.pb.h"
#include "pilot/snapshot/mesh_fake.h"
#include "pilot/snapshot/scope.h"

namespace meltemi::pilot {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kService[] = R"(
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: 8080}]
)";

std::string Rule(const std::string& subsets) {
  std::string text = R"(
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web}
spec:
  host: web
  subsets:
)";
  for (const char c : subsets)
    absl::StrAppend(&text, "  - {name: ", std::string(1, c), ", labels: {v: ", std::string(1, c),
                    "}}\n");
  return text;
}

std::string RouteTo(const std::string& subset) {
  return absl::StrCat(R"(
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web}
spec:
  hosts: [web]
  http:
  - route:
    - destination: {host: web, subset: )",
                      subset, "}\n");
}

std::string Entry(const std::string& name, const std::string& address, const std::string& version) {
  return absl::StrCat(R"(
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: )",
                      name, R"(}
spec:
  address: )",
                      address, R"(
  labels: {app: web, v: )",
                      version, "}\n");
}

// The subset that requests to "web" are routed to; empty: none; "-": there is no rule in force.
std::string RoutedTo(const Snapshot& snapshot) {
  if (snapshot.rules->virtual_services().empty()) return "-";
  return snapshot.rules->virtual_services()[0]->spec->http(0).route(0).destination().subset();
}

std::vector<std::string> Subsets(const Snapshot& snapshot) {
  std::vector<std::string> names;
  for (const auto& rule : snapshot.rules->destination_rules()) {
    for (const auto& subset : rule->spec->subsets()) names.push_back(subset.name());
  }
  return names;
}

TEST(Snapshot, IsTheSameObjectWhenNothingChanged) {
  FakeMesh mesh;
  mesh.Apply(kService);
  const SnapshotPtr first = mesh.Build();
  EXPECT_EQ(first->version, 1u);
  EXPECT_EQ(mesh.Build(), first);
}

TEST(Snapshot, EndpointsFlowWithoutRebuildingTheRest) {
  FakeMesh mesh;
  mesh.Apply(kService).Apply(Entry("web-1", "10.1.0.1", "a"));
  const SnapshotPtr before = mesh.Build();
  const SnapshotPtr after = mesh.Apply(Entry("web-2", "10.1.0.2", "b")).Build();
  EXPECT_EQ(after->version, before->version + 1);
  EXPECT_EQ(after->config_version, before->config_version);
  EXPECT_EQ(after->services, before->services);
  EXPECT_EQ(after->rules, before->rules);
  EXPECT_THAT(before->endpoints->Find(*before->services->all()[0])->endpoints, SizeIs(1));
  EXPECT_THAT(after->endpoints->Find(*after->services->all()[0])->endpoints, SizeIs(2));
}

TEST(Snapshot, AnUnchangedServiceSharesItsEndpoints) {
  FakeMesh mesh;
  mesh.Apply(kService).Apply(Entry("web-1", "10.1.0.1", "a"));
  mesh.Apply(
      "{apiVersion: v1, kind: Service, metadata: {name: other}, spec: {selector: {app: x}, "
      "ports: [{name: http, port: 80}]}}");
  const SnapshotPtr before = mesh.Build();
  mesh.Apply(
      "{apiVersion: networking.istio.io/v1, kind: WorkloadEntry, metadata: {name: x}, spec: "
      "{address: 10.1.0.9, labels: {app: x}}}");
  const SnapshotPtr after = mesh.Build();
  const ServicePtr web = after->services->Find("web.default.svc.cluster.local", "default");
  const ServicePtr other = after->services->Find("other.default.svc.cluster.local", "default");
  EXPECT_EQ(after->endpoints->Find(*web), before->endpoints->Find(*web));
  EXPECT_NE(after->endpoints->Find(*other), before->endpoints->Find(*other));
}

TEST(Acceptance, RouteBeforeItsSubsetLeavesTheServiceAsItWas) {
  FakeMesh mesh;
  mesh.Apply(kService).Apply(RouteTo("a"));
  SnapshotPtr snapshot = mesh.Build();
  EXPECT_EQ(RoutedTo(*snapshot), "-");
  ASSERT_THAT(snapshot->notes, SizeIs(1));
  EXPECT_EQ(snapshot->notes[0].object, "VirtualService/default/web");
  EXPECT_THAT(snapshot->notes[0].message, HasSubstr("subset a of web.default.svc.cluster.local"));

  snapshot = mesh.Apply(Rule("a")).Build();
  EXPECT_EQ(RoutedTo(*snapshot), "a");
  EXPECT_THAT(snapshot->notes, IsEmpty());
}

TEST(Acceptance, NewVersionWithUnknownSubsetLeavesTheOldOneInForce) {
  FakeMesh mesh;
  mesh.Apply(kService).Apply(Rule("a")).Apply(RouteTo("a")).Build();
  SnapshotPtr snapshot = mesh.Apply(RouteTo("b")).Build();
  EXPECT_EQ(RoutedTo(*snapshot), "a");
  EXPECT_THAT(snapshot->notes, SizeIs(1));
  snapshot = mesh.Apply(Rule("ab")).Build();
  EXPECT_EQ(RoutedTo(*snapshot), "b");
}

TEST(Acceptance, RouteBeforeItsServiceIsHeldBack) {
  FakeMesh mesh;
  SnapshotPtr snapshot = mesh.Apply(RouteTo("a")).Apply(Rule("a")).Build();
  EXPECT_EQ(RoutedTo(*snapshot), "-");
  EXPECT_EQ(RoutedTo(*mesh.Apply(kService).Build()), "a");
}

TEST(Acceptance, RouteBeforeItsPortIsHeldBack) {
  FakeMesh mesh;
  mesh.Apply(kService).Apply(R"(
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web}
spec: {hosts: [web], http: [{route: [{destination: {host: web, port: {number: 81}}}]}]}
)");
  const SnapshotPtr snapshot = mesh.Build();
  EXPECT_EQ(RoutedTo(*snapshot), "-");
  EXPECT_THAT(snapshot->notes[0].message, HasSubstr("port 81 of web.default.svc.cluster.local"));
}

TEST(Acceptance, SubsetIsRetainedWhileARouteNamesIt) {
  FakeMesh mesh;
  mesh.Apply(kService).Apply(Rule("ab")).Apply(RouteTo("a")).Build();
  SnapshotPtr snapshot = mesh.Apply(Rule("b")).Build();
  EXPECT_THAT(Subsets(*snapshot), ElementsAre("b", "a"));
  EXPECT_EQ(snapshot->notes[0].kind, RuleNote::Kind::kSubsetRetained);
  snapshot = mesh.Apply(RouteTo("b")).Build();
  EXPECT_THAT(Subsets(*snapshot), ElementsAre("b"));
  EXPECT_THAT(snapshot->notes, IsEmpty());
}

TEST(Acceptance, DeletedRuleKeepsTheSubsetsInUse) {
  FakeMesh mesh;
  mesh.Apply(kService).Apply(Rule("ab")).Apply(RouteTo("a")).Build();
  SnapshotPtr snapshot = mesh.Delete(Kind::kDestinationRule, "web").Build();
  EXPECT_EQ(RoutedTo(*snapshot), "a");
  EXPECT_THAT(Subsets(*snapshot), ElementsAre("a"));
  // Still so after something unrelated changes.
  snapshot = mesh.Apply(Entry("web-1", "10.1.0.1", "a"))
                 .Apply(
                     "{apiVersion: v1, kind: Service, metadata: {name: other}, spec: {ports: "
                     "[{port: 80}]}}")
                 .Build();
  EXPECT_THAT(Subsets(*snapshot), ElementsAre("a"));
  snapshot = mesh.Delete(Kind::kVirtualService, "web").Build();
  EXPECT_THAT(Subsets(*snapshot), IsEmpty());
}

// Whatever the order in which the three are applied, no step routes to a subset that has no rule.
TEST(Acceptance, EveryOrderOfApplyingIsSafe) {
  const std::vector<std::string> manifests = {kService, Rule("a"), RouteTo("a")};
  std::vector<size_t> order = {0, 1, 2};
  do {
    FakeMesh mesh;
    for (const size_t i : order) {
      const SnapshotPtr snapshot = mesh.Apply(manifests[i]).Build();
      if (RoutedTo(*snapshot) == "a") {
        EXPECT_THAT(Subsets(*snapshot), ElementsAre("a"));
      }
    }
    EXPECT_EQ(RoutedTo(*mesh.Build()), "a");
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST(Scope, RuleLookupPrefersClientThenServiceThenRootNamespace) {
  const auto rule = [](const std::string& ns, const std::string& host) {
    return absl::StrCat(
        "{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: "
        "{name: r, namespace: ",
        ns, "}, spec: {host: \"", host, "\"}}");
  };
  const std::string host = "web.default.svc.cluster.local";
  FakeMesh mesh;
  mesh.Apply(kService).Apply(rule("istio-system", "*.cluster.local"));
  const auto found_in = [&](const std::string& client) -> std::string {
    const ScopePtr scope = BuildScope(mesh.Build(), client, {}, true);
    const DestinationRulePtr found = scope->FindRule(host);
    return found ? found->meta.ns : "";
  };
  EXPECT_EQ(found_in("shop"), "istio-system");
  mesh.Apply(rule("default", host));
  EXPECT_EQ(found_in("shop"), "default");
  mesh.Apply(rule("shop", host));
  EXPECT_EQ(found_in("shop"), "shop");
  EXPECT_EQ(found_in("default"), "default");
}

TEST(Scope, PrivateRulesStayInTheirNamespace) {
  FakeMesh mesh;
  mesh.Apply(kService).Apply(
      "{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: r}, spec: "
      "{host: web, exportTo: [\".\"]}}");
  const SnapshotPtr snapshot = mesh.Build();
  const std::string host = "web.default.svc.cluster.local";
  EXPECT_NE(BuildScope(snapshot, "default", {}, true)->FindRule(host), nullptr);
  EXPECT_EQ(BuildScope(snapshot, "shop", {}, true)->FindRule(host), nullptr);
}

TEST(Scope, RulesOfOneHostAreMerged) {
  FakeMesh mesh;
  mesh.Apply(kService).Apply(Rule("a")).Apply(R"(
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web-more}
spec:
  host: web.default.svc.cluster.local
  subsets: [{name: a, labels: {v: z}}, {name: c, labels: {v: c}}]
)");
  const SnapshotPtr snapshot = mesh.Build();
  EXPECT_THAT(Subsets(*snapshot), ElementsAre("a", "c"));
  EXPECT_EQ(snapshot->rules->destination_rules()[0]->spec->subsets(0).labels().at("v"), "a");
}

TEST(Scope, SidecarNarrowsWhatIsSeen) {
  FakeMesh mesh;
  mesh.Apply(kService).Apply(R"(
apiVersion: v1
kind: Service
metadata: {name: pay, namespace: shop}
spec: {ports: [{name: http, port: 80}, {name: tcp, port: 9000}]}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default}
spec:
  egress:
  - port: {number: 9000, protocol: TCP, name: tcp}
    hosts: ["shop/*"]
  - hosts: ["./*"]
)");
  const SnapshotPtr snapshot = mesh.Build();
  const ScopePtr narrowed = BuildScope(snapshot, "default", {}, true);
  EXPECT_NE(narrowed->FindService("web.default.svc.cluster.local"), nullptr);
  const ServicePtr pay = narrowed->FindService("pay.shop.svc.cluster.local");
  ASSERT_NE(pay, nullptr);
  ASSERT_THAT(pay->ports, SizeIs(1));
  EXPECT_EQ(pay->ports[0].number, 9000u);
  EXPECT_THAT(BuildScope(snapshot, "shop", {}, true)->services, SizeIs(2));
}

TEST(Scope, MoreSpecificHostOfAVirtualServiceWins) {
  FakeMesh mesh;
  mesh.Apply(kService).Apply(R"(
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: wide, creationTimestamp: "2020-01-01T00:00:00Z"}
spec: {hosts: ["*.default.svc.cluster.local"], http: [{route: [{destination: {host: web}}]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: exact, creationTimestamp: "2021-01-01T00:00:00Z"}
spec: {hosts: [web], http: [{route: [{destination: {host: web}}]}]}
)");
  const ScopePtr scope = BuildScope(mesh.Build(), "default", {}, true);
  const auto rules = scope->RulesFor("web.default.svc.cluster.local", "mesh");
  ASSERT_THAT(rules, SizeIs(1));
  EXPECT_EQ(rules[0]->meta.name, "exact");
  EXPECT_EQ(scope->RulesFor("other.default.svc.cluster.local", "mesh")[0]->meta.name, "wide");
}

}  // namespace
}  // namespace meltemi::pilot
