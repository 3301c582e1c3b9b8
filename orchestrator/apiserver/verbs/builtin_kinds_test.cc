// The handlers over the real parts: built-in kinds, a SQLite store in memory, the watch cache.
#include <map>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/json/parse.h"
#include "base/json/write.h"
#include "gtest/gtest.h"
#include "kube/object/object.h"
#include "orchestrator/apiserver/crd/catalog.h"
#include "orchestrator/apiserver/kinds/strategy.h"
#include "orchestrator/apiserver/verbs/rest.h"
#include "orchestrator/apiserver/verbs/stored_objects.h"
#include "orchestrator/apiserver/watch/watch_cache.h"
#include "orchestrator/store/sqlite/sqlite_store.h"

namespace meltemi::apiserver {
namespace {

using json::Value;
using Headers = std::map<std::string, std::string>;

constexpr absl::string_view kMerge = "application/merge-patch+json";
constexpr absl::string_view kDefault = "/api/v1/namespaces/default";

class AdmitsAll final : public Admission {
 public:
  kube::Outcome Mutate(AdmissionRequest&) override { return kube::Done{}; }
  kube::Outcome Validate(AdmissionRequest&) override { return kube::Done{}; }
};

class BuiltinKindsTest : public testing::Test {
 protected:
  void SetUp() override {
    store = *store::OpenSqliteStore({}, clock);
    cache = NewWatchCache(*store, clock);
    catalogs = NewFixedCatalogSource(NewCatalog(BuiltinResources(arena)));
    const std::shared_ptr<const Catalog> catalog = catalogs->current();
    std::set<kube::GroupResource> known;
    for (const GroupVersion& version : catalog->group_versions()) {
      for (const auto& resource : version.resources) {
        if (!resource->stored || !known.insert(resource->storage).second) continue;
        const Strategy* strategy = resource->strategy;
        cache->AddResource(resource->storage, [strategy](const Value& object) {
          return strategy->SelectableFields(object);
        });
      }
    }
    cache->Start();
    ASSERT_TRUE(cache->WaitFresh().ok());
    objects = NewObjects({*store, *cache, *catalogs, admission, clock, random});
    handler = NewResourceHandler({.objects = *objects,
                                  .cache = *cache,
                                  .catalogs = *catalogs,
                                  .admission = admission,
                                  .clock = clock,
                                  .random = more_random});
  }
  // The cache's thread uses the strategies that the arena belongs to.
  void TearDown() override { cache.reset(); }

  Value Ask(absl::string_view method, absl::string_view target, absl::string_view body = "",
            Headers headers = {}) {
    Request request;
    request.method = std::string(method);
    request.target = std::string(target);
    const size_t question = target.find('?');
    const absl::string_view query =
        question == absl::string_view::npos ? absl::string_view() : target.substr(question + 1);
    request.query = Query::Parse(query);
    request.info = ParseRequestInfo(method, target.substr(0, question), query);
    request.headers = std::move(headers);
    request.headers["user-agent"] = "kubectl/v1.32.4";
    request.body = std::string(body);
    const Reply reply = handler->Handle(request);
    warnings = request.warnings;
    const Body& answer = std::get<Body>(reply);
    code = answer.code;
    text = answer.bytes;
    absl::StatusOr<Value> value = json::Parse(answer.bytes);
    return value.ok() ? *std::move(value) : Value();
  }
  Value Patch(absl::string_view target, absl::string_view type, absl::string_view body) {
    return Ask("PATCH", target, body, {{"content-type", std::string(type)}});
  }

  SystemClock clock;
  FastRandom random, more_random;
  SchemaArena arena;
  AdmitsAll admission;
  std::unique_ptr<store::Store> store;
  std::unique_ptr<WatchCache> cache;
  std::unique_ptr<CatalogSource> catalogs;
  std::unique_ptr<Objects> objects;
  std::unique_ptr<Handler> handler;
  int code = 0;
  std::string text;
  std::vector<std::string> warnings;
};

constexpr absl::string_view kDeployment = R"({"apiVersion":"apps/v1","kind":"Deployment",
  "metadata":{"name":"web"},"spec":{"replicas":2,"selector":{"matchLabels":{"app":"web"}},
  "template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[
  {"name":"main","image":"nginx","ports":[{"containerPort":80}]}]}}}})";

TEST_F(BuiltinKindsTest, ADeploymentIsDefaultedScaledAndPatched) {
  const std::string all = "/apis/apps/v1/namespaces/default/deployments";
  const Value made = Ask("POST", all, kDeployment);
  ASSERT_EQ(code, 201) << text;
  EXPECT_EQ(kube::Generation(made), 1);
  EXPECT_EQ(kube::TextAt(made, "spec.strategy.type"), "RollingUpdate");
  EXPECT_EQ(kube::TextAt(made, "spec.template.spec.restartPolicy"), "Always");
  const Value same = Patch(all + "/web", kMerge, R"({"spec":{"replicas":2}})");
  EXPECT_EQ(kube::ResourceVersion(same), kube::ResourceVersion(made)) << "nothing was changed";
  const Value again = Ask("PUT", all + "/web", json::ToString(Ask("GET", all + "/web")));
  ASSERT_EQ(code, 200) << text;
  EXPECT_EQ(kube::ResourceVersion(again), kube::ResourceVersion(made)) << "nothing was changed";
  const Value scale = Patch(all + "/web/scale", kMerge, R"({"spec":{"replicas":5}})");
  ASSERT_EQ(code, 200) << text;
  EXPECT_EQ(kube::TextAt(scale, "status.selector"), "app=web");
  Value patched = Patch(all + "/web", "application/strategic-merge-patch+json",
                        R"({"spec":{"template":{"spec":{"containers":[
                            {"name":"main","image":"nginx:2"},{"name":"side","image":"s"}]}}}})");
  ASSERT_EQ(code, 200) << text;
  EXPECT_EQ(kube::Generation(patched), 3);
  EXPECT_EQ(kube::IntAt(patched, "spec.replicas", 0), 5);
  EXPECT_EQ(kube::At(patched, "spec.template.spec.containers")->items().size(), 2u);
  const Value refused = Patch(all + "/web", kMerge, R"({"spec":{"replicas":-1}})");
  EXPECT_EQ(code, 422);
  EXPECT_EQ(refused.FindString("message"),
            "Deployment.apps \"web\" is invalid: spec.replicas: Invalid value: -1: must be greater "
            "than or equal to 0");
  const Value gone = Ask("DELETE", all + "/web");
  EXPECT_EQ(gone.FindString("status"), "Success") << text;
}

TEST_F(BuiltinKindsTest, ServerSideApplyOfADeployment) {
  const std::string one = "/apis/apps/v1/namespaces/default/deployments/web";
  constexpr absl::string_view kApply = "application/apply-patch+yaml";
  Value made = Patch(one + "?fieldManager=kubectl", kApply, kDeployment);
  ASSERT_EQ(code, 201) << text;
  made = Patch(one + "?fieldManager=kubectl", kApply, kDeployment);
  ASSERT_EQ(code, 200) << text;
  EXPECT_EQ(kube::Generation(made), 1);
  const Value conflict =
      Patch(one + "?fieldManager=other", kApply,
            R"({"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"},
                "spec":{"replicas":9}})");
  EXPECT_EQ(code, 409) << text;
  EXPECT_EQ(conflict.FindString("message"),
            "Apply failed with 1 conflict: conflict with \"kubectl\": .spec.replicas");
  Patch(one + "?fieldManager=other", kApply,
        R"({"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"},
            "spec":{"replicaz":9}})");
  EXPECT_EQ(code, 500) << text;
  EXPECT_TRUE(absl::StrContains(text, ".spec.replicaz: field not declared in schema")) << text;
}

TEST_F(BuiltinKindsTest, PodsAreDeletedInTwoSteps) {
  const std::string pods = absl::StrCat(kDefault, "/pods");
  Ask("POST", pods, R"({"metadata":{"name":"p"},"spec":{"containers":[
                        {"name":"c","image":"i"}]}})");
  ASSERT_EQ(code, 201) << text;
  Ask("POST", pods + "/p/binding", R"({"metadata":{"name":"p"},"target":{"name":"n1"}})");
  ASSERT_EQ(code, 201) << text;
  const Value table = Ask("GET", pods, "",
                          {{"accept",
                            "application/json;as=Table;v=v1;"
                            "g=meta.k8s.io"}});
  EXPECT_EQ(table.Find("columnDefinitions")->items()[1].FindString("name"), "Ready") << text;
  const Value on_node = Ask("GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1");
  EXPECT_EQ(on_node.Find("items")->items().size(), 1u) << text;
  const Value going = Ask("DELETE", pods + "/p");
  ASSERT_EQ(code, 200) << text;
  EXPECT_EQ(kube::IntAt(going, "metadata.deletionGracePeriodSeconds", 0), 30);
  Ask("PATCH", pods + "/p/ephemeralcontainers",
      R"({"spec":{"ephemeralContainers":[{"name":"debug","image":"b"}]}})",
      {{"content-type", "application/strategic-merge-patch+json"}});
  EXPECT_EQ(code, 200) << text;
  Ask("PATCH", pods + "/p/ephemeralcontainers", R"({"spec":{"ephemeralContainers":null}})",
      {{"content-type", std::string(kMerge)}});
  EXPECT_EQ(code, 422) << text;
  EXPECT_TRUE(
      absl::StrContains(text, "existing ephemeral containers \\\"debug\\\" may not be removed"))
      << text;
  Ask("DELETE", pods + "/p?gracePeriodSeconds=0");
  EXPECT_EQ(code, 200) << text;
  Ask("GET", pods + "/p");
  EXPECT_EQ(code, 404) << text;
}

TEST_F(BuiltinKindsTest, PagesAndExpiredPages) {
  const std::string all = absl::StrCat(kDefault, "/configmaps");
  for (const char* name : {"a", "b", "c"}) {
    Ask("POST", all, absl::StrCat(R"({"metadata":{"name":")", name, R"("}})"));
    ASSERT_EQ(code, 201) << text;
  }
  const Value first = Ask("GET", all + "?limit=1");
  EXPECT_EQ(kube::IntAt(first, "metadata.remainingItemCount", 0), 2) << text;
  const std::string token = kube::TextAt(first, "metadata.continue");
  const Value second = Ask("GET", absl::StrCat(all, "?limit=1&continue=", token));
  ASSERT_EQ(code, 200) << text;
  EXPECT_EQ(kube::Name(second.Find("items")->items()[0]), "b");
  Ask("DELETE", all + "/c");
  ASSERT_TRUE(store->Compact(*store->CurrentRevision()).ok());
  const Value expired = Ask("GET", absl::StrCat(all, "?limit=1&continue=", token));
  EXPECT_EQ(code, 410) << text;
  EXPECT_EQ(expired.FindString("reason"), "Expired");
  const std::string rest = kube::TextAt(expired, "metadata.continue");
  const Value now = Ask("GET", absl::StrCat(all, "?continue=", rest));
  ASSERT_EQ(code, 200) << text;
  EXPECT_EQ(now.Find("items")->items().size(), 1u) << text;
}

TEST_F(BuiltinKindsTest, AutoscalingIsOneObjectInTwoVersions) {
  const std::string v1 = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers";
  const std::string v2 = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers";
  Ask("POST", v1, R"({"metadata":{"name":"h"},"spec":{"maxReplicas":5,
      "targetCPUUtilizationPercentage":70,
      "scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"web"}}})");
  ASSERT_EQ(code, 201) << text;
  const Value newer = Ask("GET", v2 + "/h");
  ASSERT_EQ(code, 200) << text;
  EXPECT_EQ(newer.FindString("apiVersion"), "autoscaling/v2");
  ASSERT_NE(kube::At(newer, "spec.metrics"), nullptr) << text;
  EXPECT_EQ(kube::IntAt(kube::At(newer, "spec.metrics")->items()[0],
                        "resource.target.averageUtilization", 0),
            70);
  const Value older = Ask("GET", v1);
  EXPECT_EQ(kube::IntAt(older.Find("items")->items()[0], "spec.targetCPUUtilizationPercentage", 0),
            70)
      << text;
}

TEST_F(BuiltinKindsTest, EventsAreServedInBothGroups) {
  Ask("POST", absl::StrCat(kDefault, "/events"),
      R"({"metadata":{"name":"e"},"involvedObject":{"kind":"Pod","name":"p","namespace":"default"},
          "reason":"Started","message":"hello","type":"Normal"})");
  ASSERT_EQ(code, 201) << text;
  const Value other = Ask("GET", "/apis/events.k8s.io/v1/namespaces/default/events/e");
  ASSERT_EQ(code, 200) << text;
  EXPECT_EQ(other.FindString("note"), "hello") << text;
}

TEST_F(BuiltinKindsTest, WhatNobodyProvidesIsEmpty) {
  const Value list = Ask("GET", "/api/v1/componentstatuses");
  EXPECT_EQ(code, 200) << text;
  EXPECT_EQ(list.FindString("kind"), "ComponentStatusList");
  Ask("GET", "/api/v1/componentstatuses/etcd-0");
  EXPECT_EQ(code, 404);
}

TEST_F(BuiltinKindsTest, ManyKindsLiveTheirLives) {
  const std::pair<absl::string_view, absl::string_view> kKinds[] = {
      {"/api/v1/namespaces", "{}"},
      {"/api/v1/nodes", "{}"},
      {"/api/v1/namespaces/default/secrets", R"({"data":{"k":"dg=="}})"},
      {"/api/v1/namespaces/default/serviceaccounts", "{}"},
      {"/api/v1/namespaces/default/endpoints", "{}"},
      {"/api/v1/namespaces/default/services", R"({"spec":{"ports":[{"port":80}]}})"},
      {"/apis/batch/v1/namespaces/default/jobs",
       R"({"spec":{"template":{"spec":{"restartPolicy":"Never","containers":[
           {"name":"c","image":"i"}]}}}})"},
      {"/apis/coordination.k8s.io/v1/namespaces/default/leases", "{}"},
      {"/apis/rbac.authorization.k8s.io/v1/clusterroles", R"({"rules":[]})"},
      {"/apis/scheduling.k8s.io/v1/priorityclasses", R"({"value":5})"},
      {"/apis/node.k8s.io/v1/runtimeclasses", R"({"handler":"x"})"},
      {"/apis/storage.k8s.io/v1/storageclasses", R"({"provisioner":"x"})"},
      {"/apis/policy/v1/namespaces/default/poddisruptionbudgets", R"({"spec":{"minAvailable":1}})"},
  };
  for (const auto& [path, body] : kKinds) {
    Value object = *json::Parse(body);
    object.MutableObject("metadata").Set("name", Value::String("x"));
    Ask("POST", path, json::ToString(object));
    EXPECT_EQ(code, 201) << path << " " << text;
    const std::string one = absl::StrCat(path, "/x");
    const Value got = Ask("GET", one);
    EXPECT_EQ(code, 200) << path << " " << text;
    const Value put = Ask("PUT", one, json::ToString(got));
    EXPECT_EQ(code, 200) << path << " " << text;
    EXPECT_EQ(kube::ResourceVersion(put), kube::ResourceVersion(got)) << path << " " << text;
    Patch(one, kMerge, R"({"metadata":{"labels":{"a":"b"}}})");
    EXPECT_EQ(code, 200) << path << " " << text;
    const Value list = Ask("GET", absl::StrCat(path, "?labelSelector=a%3Db"));
    EXPECT_EQ(list.Find("items")->items().size(), 1u) << path << " " << text;
    Ask("DELETE", one);
    EXPECT_EQ(code, 200) << path << " " << text;
  }
}

}  // namespace
}  // namespace meltemi::apiserver
