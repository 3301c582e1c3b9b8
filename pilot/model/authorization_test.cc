#include "pilot/model/authorization.h"

#include "gtest/gtest.h"
#include "security/v1/authorization_policy.pb.h"

namespace meltemi::pilot {
namespace {

ObjectMeta Meta(std::string ns, std::string name, int64_t created_s = 0) {
  return {.kind = "AuthorizationPolicy", .name = name, .ns = ns, .created_s = created_s};
}

AuthorizationPolicyPtr Policy(std::string ns, std::string name, Labels selector = {},
                              int64_t created_s = 0) {
  security::AuthorizationPolicy spec;
  for (const auto& [key, value] : selector) {
    (*spec.mutable_selector()->mutable_match_labels())[key] = value;
  }
  return DecodeAuthorizationPolicy(Meta(ns, name, created_s), spec);
}

std::string NamesFor(const AuthorizationTable& table, std::string ns, const Labels& labels) {
  std::string names;
  for (const auto& policy : table.For(ns, "istio-system", labels)) names += policy->meta.name + " ";
  return names;
}

TEST(AuthorizationTableTest, APolicyProtectsItsNamespaceAndTheRootsProtectsTheMesh) {
  const AuthorizationTable table({Policy("shop", "young", {}, 9), Policy("shop", "old", {}, 3),
                                  Policy("istio-system", "mesh", {}, 20), Policy("bank", "own")});
  EXPECT_EQ(NamesFor(table, "shop", {}), "mesh old young ");
  EXPECT_EQ(NamesFor(table, "bank", {}), "mesh own ");
  EXPECT_EQ(NamesFor(table, "empty", {}), "mesh ");
  EXPECT_EQ(NamesFor(table, "istio-system", {}), "mesh ");
}

TEST(AuthorizationTableTest, ASelectorNarrowsAPolicyToTheWorkloadsThatCarryItsLabels) {
  const AuthorizationTable table({Policy("shop", "cart", {{"app", "cart"}, {"tier", "web"}}),
                                  Policy("istio-system", "all-carts", {{"app", "cart"}})});
  EXPECT_EQ(NamesFor(table, "shop", {{"app", "cart"}, {"tier", "web"}}), "all-carts cart ");
  EXPECT_EQ(NamesFor(table, "shop", {{"app", "cart"}}), "all-carts ");
  EXPECT_EQ(NamesFor(table, "shop", {{"app", "front"}}), "");
  EXPECT_EQ(table.label_keys(), (std::set<std::string>{"app", "tier"}));
}

TEST(AuthorizationTableTest, DryRunIsReadFromTheAnnotation) {
  ObjectMeta meta = Meta("shop", "try");
  for (const char* word : {"true", "1", "T"}) {
    meta.annotations[kDryRunAnnotation] = word;
    EXPECT_TRUE(DecodeAuthorizationPolicy(meta, {})->dry_run) << word;
  }
  for (const char* word : {"false", "yes", ""}) {
    meta.annotations[kDryRunAnnotation] = word;
    EXPECT_FALSE(DecodeAuthorizationPolicy(meta, {})->dry_run) << word;
  }
}

TEST(AuthorizationTableTest, WhatNamesItsTargetsIsNoneOfOurs) {
  security::AuthorizationPolicy spec;
  spec.add_targetrefs()->set_kind("Gateway");
  EXPECT_EQ(DecodeAuthorizationPolicy(Meta("shop", "gate"), spec), nullptr);
  EXPECT_TRUE(AuthorizationTable({nullptr}).all().empty());
}

}  // namespace
}  // namespace meltemi::pilot
