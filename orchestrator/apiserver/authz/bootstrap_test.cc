#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <set>
#include <thread>

#include "base/clock/clock_fake.h"
#include "base/json/parse.h"
#include "base/json/write.h"
#include "orchestrator/apiserver/authn/object_cache_fake.h"
#include "orchestrator/apiserver/authz/aggregation.h"
#include "orchestrator/apiserver/authz/bootstrap_policy.h"
#include "orchestrator/apiserver/authz/objects_fake.h"
#include "orchestrator/apiserver/authz/policy_rule.h"
#include "orchestrator/apiserver/authz/rbac.h"

namespace meltemi::apiserver {
namespace {

using ::testing::SizeIs;

constexpr char kGroup[] = "rbac.authorization.k8s.io";

class BootstrapTest : public ::testing::Test {
 protected:
  void Reconcile() {
    const absl::Status status = ReconcileBootstrapPolicy(catalog_, cache_, objects_, clock_);
    ASSERT_TRUE(status.ok()) << status;
  }
  json::Value Get(const std::string& resource, const std::string& name) {
    const auto found = cache_.Get({kGroup, resource}, "", name, true);
    return *found == nullptr ? json::Value() : (*found)->Tree();
  }
  bool May(const std::string& user, const std::string& verb, const std::string& group,
           const std::string& resource) {
    Attributes a;
    a.user.name = user;
    a.verb = verb;
    a.group = group;
    a.resource = resource;
    return rbac_->Authorize(a).decision == Decision::kAllow;
  }

  FakeClock clock_;
  ObjectCacheFake cache_;
  CatalogFake catalog_{{{"", "v1", "namespaces", "Namespace", false},
                        {kGroup, "v1", "clusterroles", "ClusterRole", false},
                        {kGroup, "v1", "clusterrolebindings", "ClusterRoleBinding", false},
                        {kGroup, "v1", "roles", "Role", true},
                        {kGroup, "v1", "rolebindings", "RoleBinding", true}}};
  ObjectsFake objects_{cache_};
  std::unique_ptr<RbacAuthorizer> rbac_ = NewRbacAuthorizer(cache_);
};

TEST(BootstrapTablesTest, AsManyAsKubernetesHasAndOurs) {
  EXPECT_THAT(BootstrapClusterRoles(), SizeIs(31 + 34 + 2));
  EXPECT_THAT(BootstrapClusterRoleBindings(), SizeIs(12 + 34 + 5));
  EXPECT_THAT(BootstrapRoles(), SizeIs(7 + 1));
  EXPECT_THAT(BootstrapRoleBindings(), SizeIs(7 + 1));
}

TEST(BootstrapTablesTest, EveryBindingHasItsRole) {
  std::set<std::string> roles;
  for (const json::Value& role : BootstrapClusterRoles()) roles.emplace(kube::Name(role));
  for (const json::Value& binding : BootstrapClusterRoleBindings()) {
    EXPECT_EQ(roles.count(kube::TextAt(binding, "roleRef.name")), 1u) << kube::Name(binding);
  }
}

TEST(BootstrapTablesTest, OneObjectInFull) {
  for (const json::Value& role : BootstrapClusterRoles()) {
    if (kube::Name(role) != "system:aggregate-to-admin") continue;
    EXPECT_EQ(json::ToString(role),
              R"({"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":)"
              R"({"name":"system:aggregate-to-admin","annotations":)"
              R"({"rbac.authorization.kubernetes.io/autoupdate":"true"},"labels":)"
              R"({"kubernetes.io/bootstrapping":"rbac-defaults",)"
              R"("rbac.authorization.k8s.io/aggregate-to-admin":"true"}},"rules":[{"verbs":)"
              R"(["create"],"apiGroups":["authorization.k8s.io"],"resources":)"
              R"(["localsubjectaccessreviews"]},{"verbs":["create","delete","deletecollection",)"
              R"("get","list","patch","update","watch"],"apiGroups":["rbac.authorization.k8s.io"],)"
              R"("resources":["rolebindings","roles"]}]})");
  }
}

TEST_F(BootstrapTest, AnEmptyClusterGetsAllOfThemOnce) {
  Reconcile();
  EXPECT_EQ(cache_.Count({kGroup, "clusterroles"}), 67u);
  EXPECT_TRUE(May("system:kube-scheduler", "create", "", "pods/binding") ||
              May("system:kube-scheduler", "watch", "", "nodes"));
  EXPECT_TRUE(May("system:serviceaccount:kube-system:deployment-controller", "create", "apps",
                  "replicasets"));
  EXPECT_FALSE(May("jane", "get", "", "pods"));
  const int writes = objects_.writes;
  Reconcile();
  EXPECT_EQ(objects_.writes, writes);
}

TEST_F(BootstrapTest, WhatWasTakenAwayComesBackAndWhatWasAddedStays) {
  Reconcile();
  json::Value role = Get("clusterroles", "system:basic-user");
  role.Set("rules", *json::Parse(R"([{"apiGroups":[""],"resources":["own"],"verbs":["get"]}])"));
  role.Find("metadata")->Remove("labels");
  cache_.Put({kGroup, "clusterroles"}, role);
  json::Value binding = Get("clusterrolebindings", "cluster-admin");
  binding.Set("subjects", *json::Parse(R"([{"kind":"User","name":"boss"}])"));
  cache_.Put({kGroup, "clusterrolebindings"}, binding);
  json::Value kept = Get("clusterroles", "system:discovery");
  kube::SetAnnotation(kept, "rbac.authorization.kubernetes.io/autoupdate", "false");
  kept.Set("rules", json::Value::Array());
  cache_.Put({kGroup, "clusterroles"}, kept);
  json::Value moved = Get("clusterrolebindings", "system:kube-dns");
  moved.Find("roleRef")->Set("name", json::Value::String("cluster-admin"));
  cache_.Put({kGroup, "clusterrolebindings"}, moved);

  Reconcile();
  EXPECT_THAT(RulesOf(Get("clusterroles", "system:basic-user")), SizeIs(4));
  EXPECT_TRUE(kube::Label(Get("clusterroles", "system:basic-user"), "kubernetes.io/bootstrapping")
                  .has_value());
  EXPECT_THAT(Get("clusterrolebindings", "cluster-admin").Find("subjects")->items(), SizeIs(2));
  EXPECT_THAT(RulesOf(Get("clusterroles", "system:discovery")), SizeIs(0));
  EXPECT_EQ(kube::TextAt(Get("clusterrolebindings", "system:kube-dns"), "roleRef.name"),
            "system:kube-dns");
}

TEST_F(BootstrapTest, AggregatedRolesGetTheRulesOfWhatTheySelect) {
  Reconcile();
  auto aggregator = StartClusterRoleAggregator(catalog_, cache_, objects_, clock_);
  const auto settle = [&] {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!aggregator->Settled() && std::chrono::steady_clock::now() < until) {
      std::this_thread::yield();
    }
    ASSERT_TRUE(aggregator->Settled());
  };
  settle();
  const std::vector<PolicyRule> view = RulesOf(Get("clusterroles", "view"));
  EXPECT_EQ(view, RulesOf(Get("clusterroles", "system:aggregate-to-view")));
  // edit has view's rules, admin has both.
  EXPECT_TRUE(MissingRules(RulesOf(Get("clusterroles", "edit")), view).empty());
  EXPECT_TRUE(MissingRules(RulesOf(Get("clusterroles", "admin")), view).empty());
  EXPECT_FALSE(MissingRules(view, RulesOf(Get("clusterroles", "edit"))).empty());

  cache_.Put({kGroup, "clusterroles"}, *json::Parse(R"({"metadata":{"name":"crd-view","labels":{
      "rbac.authorization.k8s.io/aggregate-to-view":"true"}},"rules":[
      {"apiGroups":["example.com"],"resources":["widgets"],"verbs":["get"]}]})"));
  settle();
  const std::vector<PolicyRule> widgets = RulesOf(Get("clusterroles", "crd-view"));
  for (const char* name : {"view", "edit", "admin"}) {
    EXPECT_TRUE(MissingRules(RulesOf(Get("clusterroles", name)), widgets).empty()) << name;
  }
  cache_.Delete({kGroup, "clusterroles"}, "", "crd-view");
  settle();
  EXPECT_EQ(RulesOf(Get("clusterroles", "view")), view);
}

}  // namespace
}  // namespace meltemi::apiserver
