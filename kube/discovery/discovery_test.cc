#include "kube/discovery/discovery.h"

#include <gtest/gtest.h>

#include <map>

#include "kube/client/client.h"

namespace meltemi::kube {
namespace {

// A server that has these documents and no others.
class Documents final : public Client {
 public:
  Result<ApiAnswer> Call(const ApiCall& call) override {
    asked.push_back(call.path);
    const auto found = by_path.find(call.path);
    if (found == by_path.end()) return ServiceUnavailable("not now");
    return ApiAnswer{200, found->second};
  }
  std::unique_ptr<ApiWatch> Watch(const ApiCall&, WatchSink&) override { return nullptr; }

  std::map<std::string, std::string> by_path;
  std::vector<std::string> asked;
};

std::string Names(const ServedResources& served, bool preferred_alone) {
  std::string out;
  for (const ServedResource& each : served.resources) {
    if (preferred_alone && !each.preferred) continue;
    out += each.resource.Path("") + (each.resource.namespaced ? " " : "! ");
  }
  return out;
}

TEST(Discovery, ReadsTheAggregatedForm) {
  Documents server;
  server.by_path["/api"] = R"({"kind":"APIGroupDiscoveryList","items":[{"metadata":{},"versions":[
      {"version":"v1","freshness":"Current","resources":[
        {"resource":"pods","responseKind":{"group":"","version":"v1","kind":"Pod"},
         "scope":"Namespaced","verbs":["list","delete"],
         "subresources":[{"subresource":"status","verbs":["get"]}]},
        {"resource":"nodes","responseKind":{"kind":"Node"},"scope":"Cluster","verbs":["get"]}
        ]}]}]})";
  server.by_path["/apis"] = R"({"kind":"APIGroupDiscoveryList","items":[
      {"metadata":{"name":"autoscaling"},"versions":[
        {"version":"v2","resources":[{"resource":"hpas","responseKind":{"kind":"Hpa"},
         "scope":"Namespaced","verbs":[]}]},
        {"version":"v1","resources":[{"resource":"hpas","responseKind":{"kind":"Hpa"},
         "scope":"Namespaced","verbs":[]}]}]},
      {"metadata":{"name":"metrics.k8s.io"},"versions":[{"version":"v1beta1","freshness":"Stale"}]}
      ]})";
  const Result<ServedResources> served = Discover(server);
  ASSERT_TRUE(served.ok());
  EXPECT_EQ(Names(*served, false),
            "/api/v1/pods /api/v1/nodes! /apis/autoscaling/v2/hpas /apis/autoscaling/v1/hpas ");
  EXPECT_EQ(Names(*served, true), "/api/v1/pods /api/v1/nodes! /apis/autoscaling/v2/hpas ");
  EXPECT_TRUE(served->resources[0].Can("delete"));
  EXPECT_FALSE(served->resources[1].Can("delete"));
  EXPECT_TRUE(served->resources[0].Has("status"));
  EXPECT_FALSE(served->resources[1].Has("status"));
  EXPECT_EQ(served->FailureText(),
            "Discovery failed for some groups, 1 failing: unable to retrieve the complete list of "
            "server APIs: metrics.k8s.io/v1beta1: stale GroupVersion discovery: "
            "metrics.k8s.io/v1beta1");
  ASSERT_NE(served->FindKind("autoscaling/v1", "Hpa"), nullptr);
  EXPECT_EQ(served->FindKind("autoscaling/v1", "Hpa")->resource.version, "v1");
  EXPECT_NE(served->FindKind("v1", "Pod"), nullptr);
  EXPECT_EQ(served->FindKind("v2", "Pod"), nullptr);
}

TEST(Discovery, AsksGroupByGroupWhereAServerIsOlder) {
  Documents server;
  server.by_path["/api"] = R"({"kind":"APIVersions","versions":["v1"]})";
  server.by_path["/api/v1"] = R"({"resources":[
      {"name":"pods","namespaced":true,"kind":"Pod","verbs":["list"]},
      {"name":"pods/status","namespaced":true,"kind":"Pod","verbs":["get"]}]})";
  server.by_path["/apis"] = R"({"kind":"APIGroupList","groups":[
      {"name":"x.io","versions":[{"groupVersion":"x.io/v1","version":"v1"},
        {"groupVersion":"x.io/v2","version":"v2"}],"preferredVersion":{"version":"v2"}},
      {"name":"gone.io","versions":[{"version":"v1"}],"preferredVersion":{"version":"v1"}}]})";
  server.by_path["/apis/x.io/v1"] = R"({"resources":[{"name":"as","kind":"A"},
      {"name":"bs","kind":"B"}]})";
  server.by_path["/apis/x.io/v2"] = R"({"resources":[{"name":"as","kind":"A"}]})";
  const Result<ServedResources> served = Discover(server);
  ASSERT_TRUE(served.ok());
  EXPECT_EQ(Names(*served, true), "/api/v1/pods /apis/x.io/v1/bs! /apis/x.io/v2/as! ");
  EXPECT_TRUE(served->resources[0].Has("status"));
  ASSERT_EQ(served->failures.size(), 1u);
  EXPECT_EQ(served->failures.at("gone.io/v1"), "not now");
}

TEST(Discovery, FailsWhenNothingIsKnown) {
  Documents server;
  EXPECT_FALSE(Discover(server).ok());
  server.by_path["/api"] = "[]";
  EXPECT_FALSE(Discover(server).ok());
  server.by_path["/api"] = "{";
  EXPECT_FALSE(Discover(server).ok());
}

}  // namespace
}  // namespace meltemi::kube
