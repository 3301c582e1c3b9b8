#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "base/json/parse.h"
#include "orchestrator/apiserver/authn/object_cache_fake.h"
#include "orchestrator/apiserver/authz/chain.h"
#include "orchestrator/apiserver/authz/policy_rule.h"
#include "orchestrator/apiserver/authz/rbac.h"

namespace meltemi::apiserver {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

json::Value Tree(absl::string_view text) { return *json::Parse(text); }

std::vector<PolicyRule> Rules(absl::string_view text) {
  return RulesOf(Tree(absl::StrCat(R"({"rules":)", text, "}")));
}

class RbacTest : public ::testing::Test {
 protected:
  void Put(const std::string& resource, absl::string_view text) {
    cache_.Put({"rbac.authorization.k8s.io", resource}, Tree(text));
  }
  void Delete(const std::string& resource, const std::string& ns, const std::string& name) {
    cache_.Delete({"rbac.authorization.k8s.io", resource}, ns, name);
  }
  void PodReader() {
    Put("roles", R"({"metadata":{"namespace":"dev","name":"pods"},"rules":[
        {"apiGroups":[""],"resources":["pods","pods/log"],"verbs":["get","list"]}]})");
    Put("rolebindings", R"({"metadata":{"namespace":"dev","name":"read"},
        "roleRef":{"kind":"Role","name":"pods"},"subjects":[{"kind":"User","name":"jane"},
        {"kind":"ServiceAccount","name":"bot"},{"kind":"Group","name":"readers"}]})");
  }

  static Attributes Of(const std::string& user, const std::string& verb,
                       const std::string& resource, const std::string& ns) {
    Attributes out;
    out.user.name = user;
    out.verb = verb;
    out.resource = resource;
    out.ns = ns;
    return out;
  }
  bool May(const Attributes& attributes) {
    return rbac_->Authorize(attributes).decision == Decision::kAllow;
  }

  ObjectCacheFake cache_;
  std::unique_ptr<RbacAuthorizer> rbac_ = NewRbacAuthorizer(cache_);
};

TEST_F(RbacTest, ARoleHoldsInItsNamespaceForWhoIsBound) {
  PodReader();
  EXPECT_TRUE(May(Of("jane", "get", "pods", "dev")));
  EXPECT_FALSE(May(Of("jane", "get", "pods", "prod")));
  EXPECT_FALSE(May(Of("jane", "get", "pods", "")));
  EXPECT_FALSE(May(Of("jane", "delete", "pods", "dev")));
  EXPECT_FALSE(May(Of("joe", "get", "pods", "dev")));
  // Without a namespace an account is one of the binding's own.
  EXPECT_TRUE(May(Of("system:serviceaccount:dev:bot", "list", "pods", "dev")));
  EXPECT_FALSE(May(Of("system:serviceaccount:prod:bot", "list", "pods", "dev")));
  Attributes grouped = Of("joe", "get", "pods", "dev");
  grouped.user.groups = {"readers"};
  EXPECT_TRUE(May(grouped));
  EXPECT_EQ(rbac_->Authorize(grouped).reason,
            "RBAC: allowed by RoleBinding \"read/dev\" of Role \"pods\" to Group \"readers\"");
  Attributes log = Of("jane", "get", "pods", "dev");
  log.subresource = "log";
  EXPECT_TRUE(May(log));
  log.subresource = "exec";
  EXPECT_FALSE(May(log));
}

TEST_F(RbacTest, ChangesAreFollowedAtOnce) {
  PodReader();
  Put("roles", R"({"metadata":{"namespace":"dev","name":"pods"},"rules":[]})");
  EXPECT_FALSE(May(Of("jane", "get", "pods", "dev")));
  PodReader();
  EXPECT_TRUE(May(Of("jane", "get", "pods", "dev")));
  Put("rolebindings", R"({"metadata":{"namespace":"dev","name":"read"},
      "roleRef":{"kind":"Role","name":"pods"},"subjects":[{"kind":"User","name":"joe"}]})");
  EXPECT_FALSE(May(Of("jane", "get", "pods", "dev")));
  EXPECT_TRUE(May(Of("joe", "get", "pods", "dev")));
  Delete("rolebindings", "dev", "read");
  EXPECT_FALSE(May(Of("joe", "get", "pods", "dev")));
}

TEST_F(RbacTest, ABindingToARoleThatIsMissingIsTold) {
  Put("clusterrolebindings", R"({"metadata":{"name":"b"},
      "roleRef":{"kind":"ClusterRole","name":"gone"},"subjects":[{"kind":"User","name":"jane"}]})");
  const Verdict verdict = rbac_->Authorize(Of("jane", "get", "pods", ""));
  EXPECT_EQ(verdict.decision, Decision::kNoOpinion);
  EXPECT_EQ(verdict.reason, "RBAC: clusterrole.rbac.authorization.k8s.io \"gone\" not found");
  EXPECT_EQ(ForbiddenFor(Of("jane", "get", "pods", ""), verdict.reason).message,
            "pods is forbidden: User \"jane\" cannot get resource \"pods\" in API group \"\" at "
            "the cluster scope: RBAC: clusterrole.rbac.authorization.k8s.io \"gone\" not found");
}

TEST_F(RbacTest, AClusterRoleIsLentToANamespaceByARoleBinding) {
  Put("clusterroles", R"({"metadata":{"name":"edit"},"rules":[
      {"apiGroups":["*"],"resources":["*"],"verbs":["*"]}]})");
  Put("rolebindings", R"({"metadata":{"namespace":"dev","name":"b"},
      "roleRef":{"kind":"ClusterRole","name":"edit"},"subjects":[{"kind":"User","name":"jane"}]})");
  EXPECT_TRUE(May(Of("jane", "delete", "secrets", "dev")));
  EXPECT_FALSE(May(Of("jane", "delete", "secrets", "prod")));
  EXPECT_FALSE(May(Of("jane", "delete", "nodes", "")));
}

TEST(PolicyRuleTest, WhatARuleAllows) {
  const auto allows = [](absl::string_view rule, auto&& change) {
    Attributes a;
    a.verb = "get";
    a.group = "apps";
    a.resource = "deployments";
    change(a);
    return PolicyRule::Of(Tree(rule)).Allows(a);
  };
  const auto same = [](Attributes&) {};
  EXPECT_TRUE(
      allows(R"({"apiGroups":["apps"],"resources":["deployments"],"verbs":["get"]})", same));
  EXPECT_TRUE(allows(R"({"apiGroups":["*"],"resources":["*"],"verbs":["*"]})", same));
  EXPECT_FALSE(allows(R"({"apiGroups":[""],"resources":["*"],"verbs":["*"]})", same));
  constexpr char kNamed[] =
      R"({"apiGroups":["apps"],"resources":["deployments"],"verbs":["get"],"resourceNames":["a"]})";
  EXPECT_TRUE(allows(kNamed, [](Attributes& a) { a.name = "a"; }));
  EXPECT_FALSE(allows(kNamed, [](Attributes& a) { a.name = "b"; }));
  EXPECT_FALSE(allows(kNamed, same));  // lists have no name
  const auto scale = [](Attributes& a) { a.subresource = "scale"; };
  EXPECT_TRUE(allows(R"({"apiGroups":["apps"],"resources":["*/scale"],"verbs":["get"]})", scale));
  EXPECT_TRUE(allows(R"({"apiGroups":["apps"],"resources":["*"],"verbs":["get"]})", scale));
  EXPECT_FALSE(
      allows(R"({"apiGroups":["apps"],"resources":["deployments"],"verbs":["get"]})", scale));
  const auto path = [](const char* text) {
    return [text](Attributes& a) {
      a.is_resource = false;
      a.path = text;
    };
  };
  constexpr char kPaths[] = R"({"nonResourceURLs":["/healthz","/apis/*"],"verbs":["get"]})";
  EXPECT_TRUE(allows(kPaths, path("/healthz")));
  EXPECT_FALSE(allows(kPaths, path("/healthz/etcd")));
  EXPECT_TRUE(allows(kPaths, path("/apis/apps")));
  EXPECT_FALSE(allows(kPaths, path("/apis")));
  EXPECT_TRUE(allows(R"({"nonResourceURLs":["*"],"verbs":["get"]})", path("/x")));
}

TEST(PolicyRuleTest, WhatIsMissingOfWhatIsWanted) {
  const auto missing = [](absl::string_view held, absl::string_view wanted) {
    std::vector<std::string> out;
    for (const PolicyRule& rule : CompactRules(MissingRules(Rules(held), Rules(wanted)))) {
      out.push_back(rule.ToString());
    }
    return out;
  };
  constexpr char kAll[] = R"([{"apiGroups":["*"],"resources":["*"],"verbs":["*"]}])";
  constexpr char kPods[] =
      R"([{"apiGroups":[""],"resources":["pods","pods/log"],"verbs":["get","list"]}])";
  EXPECT_THAT(missing(kAll, kPods), IsEmpty());
  EXPECT_THAT(missing(kPods, kPods), IsEmpty());
  EXPECT_THAT(missing("[]", kPods),
              ElementsAre(R"({APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]})",
                          R"({APIGroups:[""], Resources:["pods/log"], Verbs:["get" "list"]})"));
  EXPECT_THAT(missing(kPods, kAll),
              ElementsAre(R"({APIGroups:["*"], Resources:["*"], Verbs:["*"]})"));
  // Together two rules may cover what neither covers alone.
  EXPECT_THAT(missing(R"([{"apiGroups":[""],"resources":["pods"],"verbs":["*"]},
                          {"apiGroups":[""],"resources":["*/log"],"verbs":["get","list"]}])",
                      kPods),
              IsEmpty());
  // One name does not cover all names.
  EXPECT_THAT(missing(R"([{"apiGroups":[""],"resources":["pods"],"verbs":["get"],
                           "resourceNames":["a"]}])",
                      R"([{"apiGroups":[""],"resources":["pods"],"verbs":["get"]}])"),
              ElementsAre(R"({APIGroups:[""], Resources:["pods"], Verbs:["get"]})"));
  EXPECT_THAT(missing(R"([{"nonResourceURLs":["/apis/*"],"verbs":["get"]}])",
                      R"([{"nonResourceURLs":["/apis/a","/x"],"verbs":["get"]}])"),
              ElementsAre(R"({NonResourceURLs:["/x"], Verbs:["get"]})"));
}

TEST_F(RbacTest, TheChainAsksInOrderAndMastersPass) {
  PodReader();
  auto chain = *NewAuthorizerChain({"Node", "RBAC"}, *rbac_, cache_);
  EXPECT_EQ(chain->Authorize(Of("jane", "get", "pods", "dev")).decision, Decision::kAllow);
  EXPECT_EQ(chain->Authorize(Of("joe", "get", "pods", "dev")).decision, Decision::kNoOpinion);
  Attributes master = Of("root", "delete", "nodes", "");
  master.user.groups = {"system:masters"};
  EXPECT_EQ(chain->Authorize(master).decision, Decision::kAllow);
  auto none = *NewAuthorizerChain({"AlwaysDeny"}, *rbac_, cache_);
  EXPECT_EQ(none->Authorize(Of("jane", "get", "pods", "dev")).reason, "Everything is forbidden.");
  EXPECT_EQ(NewAuthorizerChain({"Webhook"}, *rbac_, cache_).status().message(),
            "authorization mode \"Webhook\" is not known: there are Node, RBAC, AlwaysAllow and "
            "AlwaysDeny");
  EXPECT_FALSE(NewAuthorizerChain({"RBAC", "RBAC"}, *rbac_, cache_).ok());
}

TEST(ForbiddenTest, InKubernetesWords) {
  Attributes a;
  a.user.name = "x<y>";
  a.verb = "list";
  a.resource = "deployments";
  a.group = "apps";
  a.ns = "n";
  EXPECT_EQ(ForbiddenFor(a, "").message,
            "deployments.apps is forbidden: User \"x&lt;y&gt;\" cannot list resource "
            "\"deployments\" in API group \"apps\" in the namespace \"n\"");
  a.is_resource = false;
  a.group = a.resource = "";
  a.user.name = "system:anonymous";
  a.verb = "get";
  a.path = "/x";
  EXPECT_EQ(ForbiddenFor(a, "").message,
            "forbidden: User \"system:anonymous\" cannot get path \"/x\"");
}

}  // namespace
}  // namespace meltemi::apiserver
