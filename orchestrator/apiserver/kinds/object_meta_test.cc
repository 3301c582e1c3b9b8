#include "orchestrator/apiserver/kinds/object_meta.h"

#include <string>
#include <vector>

#include "base/json/write.h"
#include "base/random/random_fake.h"
#include "base/yaml/parse.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meltemi::apiserver {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::MatchesRegex;

json::Value Yaml(absl::string_view text) { return *yaml::Parse(text); }

std::vector<std::string> Texts(const kube::FieldErrors& errors) {
  std::vector<std::string> texts;
  for (const kube::FieldError& error : errors) texts.push_back(error.ToString());
  return texts;
}

class ObjectMeta : public testing::Test {
 protected:
  ObjectMeta() {
    resource_.plural = "configmaps";
    resource_.kind = "ConfigMap";
    resource_.strategy = &strategy_;
  }
  std::vector<std::string> Check(absl::string_view yaml) {
    return Texts(ValidateMetadata(resource_, Yaml(yaml)));
  }
  std::vector<std::string> CheckUpdate(absl::string_view old_yaml, absl::string_view yaml) {
    return Texts(ValidateMetadataUpdate(resource_, Yaml(old_yaml), Yaml(yaml)));
  }

  Strategy strategy_;
  Resource resource_;
  FastRandom random_{7};
};

TEST_F(ObjectMeta, ANewObjectGetsWhatOnlyTheServerMaySay) {
  json::Value object = Yaml(
      "metadata: {generateName: web-, uid: mine, selfLink: /x, deletionTimestamp: "
      "\"2026-01-01T00:00:00Z\"}");
  FillMetadata(1700000000, random_, object);
  const json::Value& metadata = *object.Find("metadata");
  EXPECT_THAT(std::string(metadata.FindString("name")),
              MatchesRegex("web-[bcdfghjklmnpqrstvwxz2456789]{5}"));
  EXPECT_THAT(std::string(metadata.FindString("uid")),
              MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"));
  EXPECT_EQ(metadata.FindString("creationTimestamp"), "2023-11-14T22:13:20Z");
  EXPECT_EQ(metadata.Find("selfLink"), nullptr);
  EXPECT_EQ(metadata.Find("deletionTimestamp"), nullptr);
}

TEST_F(ObjectMeta, GeneratedNamesFitIntoALabel) {
  EXPECT_EQ(GenerateName(std::string(80, 'a'), random_).size(), 63u);
}

TEST_F(ObjectMeta, UidsKeepTheirZeros) {
  FakeRandom zero;
  EXPECT_EQ(NewUid(zero), "00000000-0000-4000-8000-000000000000");
  FakeRandom ones(~uint64_t{0});
  EXPECT_EQ(NewUid(ones), "ffffffff-ffff-4fff-bfff-ffffffffffff");
}

TEST_F(ObjectMeta, TheNamespaceIsTheRequests) {
  json::Value object = Yaml("metadata: {name: a}");
  EXPECT_TRUE(MatchNamespace(resource_, "blue", object).ok());
  EXPECT_EQ(object.Find("metadata")->FindString("namespace"), "blue");
  const kube::Outcome outcome = MatchNamespace(resource_, "green", object);
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(outcome.status().code, 400);
  EXPECT_EQ(
      outcome.status().message,
      "the namespace of the provided object does not match the namespace sent on the request");
}

TEST_F(ObjectMeta, WhatIsWrongWithNewMetadata) {
  EXPECT_THAT(Check("metadata: {name: a.b, namespace: blue, labels: {a: b}}"), IsEmpty());
  EXPECT_THAT(Check("metadata: {}"),
              ElementsAre("metadata.name: Required value: name or generateName is required",
                          "metadata.namespace: Required value"));
  EXPECT_THAT(
      Check("metadata: {name: A, namespace: blue}"),
      ElementsAre("metadata.name: Invalid value: \"A\": a lowercase RFC 1123 subdomain must "
                  "consist of lower case alphanumeric characters, '-' or '.', and must start and "
                  "end with an alphanumeric character (e.g. 'example.com', regex used for "
                  "validation is "
                  R"('[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*'))"));
  EXPECT_THAT(Check("metadata: {name: a, namespace: b, finalizers: [orphan, foregroundDeletion]}"),
              ElementsAre("metadata.finalizers: Invalid value: []string{\"orphan\", "
                          "\"foregroundDeletion\"}: finalizer orphan and foregroundDeletion cannot "
                          "be both set"));
  EXPECT_THAT(Check("metadata: {name: a, namespace: b, ownerReferences: [{apiVersion: v1}]}"),
              ElementsAre("metadata.ownerReferences.kind: Invalid value: \"\": kind must not be "
                          "empty",
                          "metadata.ownerReferences.name: Invalid value: \"\": name must not be "
                          "empty",
                          "metadata.ownerReferences.uid: Invalid value: \"\": uid must not be "
                          "empty"));
  resource_.namespaced = false;
  EXPECT_THAT(Check("metadata: {name: a, namespace: b}"),
              ElementsAre("metadata.namespace: Forbidden: not allowed on this type"));
}

TEST_F(ObjectMeta, AnnotationsAreBounded) {
  json::Value object = Yaml("metadata: {name: a, namespace: b, annotations: {}}");
  object.Find("metadata")
      ->Find("annotations")
      ->Add("k", json::Value::String(std::string(256 * 1024, 'x')));
  EXPECT_THAT(Texts(ValidateMetadata(resource_, object)),
              ElementsAre("metadata.annotations: Too long: may not be more than 262144 bytes"));
}

TEST_F(ObjectMeta, WhatMayNotChange) {
  const char* old_object =
      "metadata: {name: a, namespace: b, uid: u, creationTimestamp: \"2026-01-01T00:00:00Z\"}";
  EXPECT_THAT(CheckUpdate(old_object, old_object), IsEmpty());
  EXPECT_THAT(CheckUpdate(old_object,
                          "metadata: {name: x, namespace: y, uid: z, creationTimestamp: "
                          "\"2026-01-01T00:00:00Z\"}"),
              ElementsAre("metadata.name: Invalid value: \"x\": field is immutable",
                          "metadata.namespace: Invalid value: \"y\": field is immutable",
                          "metadata.uid: Invalid value: \"z\": field is immutable"));
}

TEST_F(ObjectMeta, NoNewFinalizersOnceAnObjectIsBeingDeleted) {
  EXPECT_THAT(
      CheckUpdate("metadata: {name: a, namespace: b, deletionTimestamp: \"2026-01-01T00:00:00Z\"}",
                  "metadata: {name: a, namespace: b, deletionTimestamp: \"2026-01-01T00:00:00Z\", "
                  "finalizers: [x.io/y]}"),
      ElementsAre("metadata.finalizers: Forbidden: no new finalizers can be added if the object is "
                  "being deleted, found new finalizers []string{\"x.io/y\"}"));
}

TEST_F(ObjectMeta, AnUpdateKeepsWhatItLeavesOut) {
  json::Value object = Yaml("metadata: {name: a}");
  KeepMetadata(Yaml("metadata: {uid: u, creationTimestamp: t, deletionTimestamp: d, "
                    "deletionGracePeriodSeconds: 30}"),
               object);
  EXPECT_EQ(json::ToString(object),
            R"({"metadata":{"name":"a","uid":"u","creationTimestamp":"t","deletionTimestamp":"d",)"
            R"("deletionGracePeriodSeconds":30}})");
}

TEST_F(ObjectMeta, LabelSelectorsAreChecked) {
  kube::FieldErrors errors;
  const json::Value selector = Yaml(
      "matchExpressions: [{key: a, operator: In}, {key: b, operator: Exists, values: [x]}, {key: "
      "c, operator: Near}]");
  ValidateLabelSelector(&selector, kube::FieldPath("spec").Child("selector"), errors);
  EXPECT_THAT(
      Texts(errors),
      ElementsAre(
          "spec.selector.matchExpressions[0].values: Required value: must be specified "
          "when `operator` is 'In' or 'NotIn'",
          "spec.selector.matchExpressions[1].values: Forbidden: may not be specified when "
          "`operator` is 'Exists' or 'DoesNotExist'",
          "spec.selector.matchExpressions[2].operator: Invalid value: \"Near\": not a valid "
          "selector operator"));
}

}  // namespace
}  // namespace meltemi::apiserver
