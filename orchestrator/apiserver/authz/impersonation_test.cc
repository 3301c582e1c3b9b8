#include "orchestrator/apiserver/authz/impersonation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "absl/strings/str_cat.h"

namespace meltemi::apiserver {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Allows everything but what is named; remembers what it was asked.
class AuthorizerFake final : public Authorizer {
 public:
  Verdict Authorize(const Attributes& a) override {
    asked.push_back(absl::StrCat(a.user.name, " ", a.verb, " ", a.group, "/", a.resource,
                                 a.subresource.empty() ? "" : "/", a.subresource, " ", a.ns, "/",
                                 a.name));
    return {a.name == denied ? Decision::kNoOpinion : Decision::kAllow, ""};
  }
  std::string denied;
  std::vector<std::string> asked;
};

class ImpersonationTest : public ::testing::Test {
 protected:
  ImpersonationTest() { request_.user.name = "admin"; }
  kube::Result<UserInfo> Run() { return Impersonate(request_, authorizer_); }

  Request request_;
  AuthorizerFake authorizer_;
};

TEST_F(ImpersonationTest, WithoutHeadersNobodyIsAsked) {
  EXPECT_EQ(Run()->name, "admin");
  EXPECT_THAT(authorizer_.asked, IsEmpty());
}

TEST_F(ImpersonationTest, AUserWithGroupsAndExtra) {
  request_.headers = {{"impersonate-user", "jane"},
                      {"impersonate-group", "dev, ops"},
                      {"impersonate-uid", "42"},
                      {"impersonate-extra-scopes%2fx", "a"}};
  const auto user = Run();
  ASSERT_TRUE(user.ok());
  EXPECT_EQ(user->name, "jane");
  EXPECT_EQ(user->uid, "42");
  EXPECT_THAT(user->groups, ElementsAre("dev", "ops", "system:authenticated"));
  EXPECT_THAT(user->extra.at("scopes/x"), ElementsAre("a"));
  EXPECT_THAT(authorizer_.asked,
              ElementsAre("admin impersonate /users /jane", "admin impersonate /groups /dev",
                          "admin impersonate /groups /ops",
                          "admin impersonate authentication.k8s.io/userextras/scopes/x /a",
                          "admin impersonate authentication.k8s.io/uids /42"));
}

TEST_F(ImpersonationTest, AServiceAccountHasItsGroups) {
  request_.headers = {{"impersonate-user", "system:serviceaccount:dev:bot"}};
  const auto user = Run();
  EXPECT_THAT(user->groups, ElementsAre("system:serviceaccounts", "system:serviceaccounts:dev",
                                        "system:authenticated"));
  EXPECT_THAT(authorizer_.asked, ElementsAre("admin impersonate /serviceaccounts dev/bot"));
}

TEST_F(ImpersonationTest, AnonymousStaysUnauthenticated) {
  request_.headers = {{"impersonate-user", "system:anonymous"}};
  EXPECT_THAT(Run()->groups, ElementsAre("system:unauthenticated"));
}

TEST_F(ImpersonationTest, WhoMayNotIsForbidden) {
  request_.headers = {{"impersonate-user", "jane"}, {"impersonate-group", "system:masters"}};
  authorizer_.denied = "system:masters";
  EXPECT_EQ(Run().status().message,
            "groups \"system:masters\" is forbidden: User \"admin\" cannot impersonate resource "
            "\"groups\" in API group \"\" at the cluster scope");
}

TEST_F(ImpersonationTest, GroupsWithoutAUserMakeNoSense) {
  request_.headers = {{"impersonate-group", "dev"}};
  EXPECT_EQ(Run().status().code, 500);
}

}  // namespace
}  // namespace meltemi::apiserver
