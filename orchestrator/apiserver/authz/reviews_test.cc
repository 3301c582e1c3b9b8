#include "orchestrator/apiserver/authz/reviews.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "base/json/parse.h"
#include "base/json/write.h"
#include "kube/object/object.h"
#include "orchestrator/apiserver/authn/object_cache_fake.h"

namespace meltemi::apiserver {
namespace {

using ::testing::HasSubstr;

class TokensFake final : public Authenticator {
 public:
  kube::Result<std::optional<Authenticated>> Authenticate(const Credentials& c) override {
    asked = c.audiences;
    if (c.bearer_token != "good") return kube::Unauthorized("service account token has expired");
    Authenticated out;
    out.user.name = "jane";
    out.user.groups = {"dev"};
    out.user.extra["k"] = {"v"};
    out.audiences = c.audiences;
    return std::optional<Authenticated>(std::move(out));
  }
  std::vector<std::string> asked;
};

class ReviewsTest : public ::testing::Test {
 protected:
  ReviewsTest() {
    cache_.Put({"rbac.authorization.k8s.io", "roles"},
               *json::Parse(R"({"metadata":{"namespace":"dev","name":"r"},"rules":[
                 {"apiGroups":[""],"resources":["pods"],"verbs":["get"]}]})"));
    cache_.Put({"rbac.authorization.k8s.io", "rolebindings"},
               *json::Parse(R"({"metadata":{"namespace":"dev","name":"b"},
                 "roleRef":{"kind":"Role","name":"r"},"subjects":[{"kind":"User",
  "name":"jane"}]})"));
    request_.user.name = "jane";
    functions_ = ReviewFunctions({*rbac_, rbac_.get(), tokens_, {"api"}});
  }

  kube::Result<json::Value> Ask(const std::string& group, const std::string& resource,
                                absl::string_view body) {
    return functions_.at({group, resource})(request_, *json::Parse(body));
  }
  std::string Answer(const std::string& resource, absl::string_view body) {
    const auto result = Ask("authorization.k8s.io", resource, body);
    return result.ok() ? json::ToString(*result->Find("status")) : result.status().message;
  }

  ObjectCacheFake cache_;
  std::unique_ptr<RbacAuthorizer> rbac_ = NewRbacAuthorizer(cache_);
  TokensFake tokens_;
  Request request_;
  std::map<kube::GroupResource, ReviewFunction> functions_;
};

TEST_F(ReviewsTest, MayI) {
  EXPECT_EQ(Answer("selfsubjectaccessreviews", R"({"spec":{"resourceAttributes":
                {"namespace":"dev","verb":"get","resource":"pods"}}})"),
            R"({"allowed":true,"reason":"RBAC: allowed by RoleBinding \"b/dev\" of Role \"r\" to )"
            R"(User \"jane\""})");
  EXPECT_EQ(Answer("selfsubjectaccessreviews", R"({"spec":{"resourceAttributes":
                {"namespace":"prod","verb":"get","resource":"pods"}}})"),
            R"({"allowed":false})");
  EXPECT_EQ(Answer("selfsubjectaccessreviews",
                   R"({"spec":{"nonResourceAttributes":{"path":"/x","verb":"get"}}})"),
            R"({"allowed":false})");
}

TEST_F(ReviewsTest, MayThey) {
  request_.user.name = "admin";
  EXPECT_THAT(Answer("subjectaccessreviews", R"({"spec":{"user":"jane","resourceAttributes":
                {"namespace":"dev","verb":"get","resource":"pods"}}})"),
              HasSubstr("\"allowed\":true"));
  EXPECT_EQ(Answer("subjectaccessreviews", R"({"spec":{"resourceAttributes":{"verb":"get"}}})"),
            "SubjectAccessReview.authorization.k8s.io \"\" is invalid: spec.user: Invalid value: "
            "\"\": at least one of user or group must be specified");
  EXPECT_THAT(Answer("subjectaccessreviews", R"({"spec":{"user":"x"}})"),
              HasSubstr("exactly one of nonResourceAttributes or resourceAttributes must be "
                        "specified"));
  EXPECT_THAT(Answer("subjectaccessreviews", R"({"metadata":{"name":"n"},"spec":{"user":"x",
                "resourceAttributes":{"verb":"get"}}})"),
              HasSubstr("must be empty"));
}

TEST_F(ReviewsTest, ALocalReviewIsAboutItsNamespace) {
  request_.info.ns = "dev";
  EXPECT_THAT(Answer("localsubjectaccessreviews", R"({"metadata":{"namespace":"dev"},
                "spec":{"user":"jane","resourceAttributes":
                {"namespace":"dev","verb":"get","resource":"pods"}}})"),
              HasSubstr("\"allowed\":true"));
  EXPECT_THAT(Answer("localsubjectaccessreviews", R"({"metadata":{"namespace":"dev"},
                "spec":{"user":"jane","resourceAttributes":{"namespace":"prod"}}})"),
              HasSubstr("must match metadata.namespace"));
}

TEST_F(ReviewsTest, WhatMayIDo) {
  EXPECT_EQ(Answer("selfsubjectrulesreviews", R"({"spec":{"namespace":"dev"}})"),
            R"({"resourceRules":[{"verbs":["get"],"apiGroups":[""],"resources":["pods"]}],)"
            R"("nonResourceRules":[],"incomplete":false})");
  EXPECT_EQ(Answer("selfsubjectrulesreviews", R"({"spec":{}})"), "no namespace on request");
}

TEST_F(ReviewsTest, WhoIsThis) {
  const auto good = Ask("authentication.k8s.io", "tokenreviews", R"({"spec":{"token":"good"}})");
  EXPECT_EQ(json::ToString(*good->Find("status")),
            R"({"authenticated":true,"user":{"username":"jane","groups":["dev"],"extra":)"
            R"({"k":["v"]}},"audiences":["api"]})");
  const auto bad = Ask("authentication.k8s.io", "tokenreviews",
                       R"({"spec":{"token":"bad","audiences":["vault"]}})");
  EXPECT_EQ(json::ToString(*bad->Find("status")),
            R"({"user":{},"error":"service account token has expired"})");
  EXPECT_EQ(tokens_.asked, std::vector<std::string>{"vault"});
  EXPECT_EQ(Ask("authentication.k8s.io", "tokenreviews", "{}").status().code, 400);
}

TEST_F(ReviewsTest, WhoAmI) {
  const auto me = Ask("authentication.k8s.io", "selfsubjectreviews", "{}");
  EXPECT_EQ(json::ToString(*me->Find("status")), R"({"userInfo":{"username":"jane"}})");
}

}  // namespace
}  // namespace meltemi::apiserver
