#include "orchestrator/apiserver/crd/definition.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_replace.h"
#include "base/json/parse.h"
#include "base/json/write.h"
#include "orchestrator/apiserver/crd/definition_check.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using json::Value;
using testing::ElementsAre;
using testing::IsEmpty;
using Texts = std::vector<std::string>;

const char* const kWidgets = R"({"apiVersion":"apiextensions.k8s.io/v1",
  "kind":"CustomResourceDefinition","metadata":{"name":"widgets.example.com"},
  "spec":{"group":"example.com","scope":"Namespaced",
  "names":{"plural":"widgets","kind":"Widget","shortNames":["wd"]},
  "versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":
  {"type":"object","properties":{"spec":{"type":"object","properties":{
  "size":{"type":"integer"},"color":{"type":"string"},"tags":{"type":"array",
  "items":{"type":"string"}}}}}}}}]}})";

Value Json(absl::string_view text) {
  auto value = json::Parse(text);
  EXPECT_TRUE(value.ok()) << value.status() << text;
  return value.ok() ? *std::move(value) : Value();
}

// The definition with texts replaced, as it is after defaults and preparation.
class DefinitionTest : public testing::Test {
 protected:
  DefinitionTest() : resource_(NewDefinitionResource(schema_)) {}

  Value Made(const std::vector<std::pair<std::string, std::string>>& changes = {}) {
    const std::string text = absl::StrReplaceAll(kWidgets, changes);
    EXPECT_EQ(changes.empty(), text == kWidgets);
    Value object = Json(text);
    strategy().Default(*resource_, object);
    strategy().PrepareForCreate(*resource_, object);
    return object;
  }
  Texts Errors(const std::vector<std::pair<std::string, std::string>>& changes) {
    return Lines(strategy().Validate(*resource_, Made(changes)));
  }
  static Texts Lines(const kube::FieldErrors& errors) {
    Texts lines;
    for (const kube::FieldError& error : errors) lines.push_back(error.ToString());
    return lines;
  }
  const Strategy& strategy() { return *resource_->strategy; }

  Schema schema_;
  std::shared_ptr<const Resource> resource_;
};

TEST_F(DefinitionTest, DefaultsFollowFromTheKind) {
  const Value made = Made();
  EXPECT_EQ(json::ToString(*made.Find("spec", "names")),
            R"({"plural":"widgets","kind":"Widget","shortNames":["wd"],"singular":"widget",)"
            R"("listKind":"WidgetList"})");
  EXPECT_EQ(json::ToString(*made.Find("spec", "conversion")), R"({"strategy":"None"})");
  EXPECT_EQ(json::ToString(*made.Find("status")), R"({"storedVersions":["v1"]})");
  EXPECT_EQ(json::ToString(*made.Find("metadata", "finalizers")),
            R"(["customresourcecleanup.apiextensions.k8s.io"])");
  EXPECT_EQ(Int(Get(made, "metadata"), "generation"), 1);
  EXPECT_THAT(Lines(strategy().Validate(*resource_, made)), IsEmpty());
}

TEST_F(DefinitionTest, NamesMustFit) {
  EXPECT_THAT(Errors({{"widgets.example.com", "gadgets.example.com"}}),
              ElementsAre(R"(metadata.name: Invalid value: "gadgets.example.com": must be )"
                          R"(spec.names.plural+"."+spec.group)"));
  EXPECT_THAT(Errors({{R"("kind":"Widget")", R"("kind":"Wid_get")"}}),
              testing::Contains(testing::HasSubstr(
                  R"(spec.names.kind: Invalid value: "Wid_get": may have mixed case,)"
                  R"( but should otherwise match: a DNS-1035 label must consist of)")));
  EXPECT_THAT(Errors({{R"("kind":"Widget",)", ""}}),
              testing::IsSupersetOf(
                  {"spec.names.kind: Required value", "spec.names.listKind: Required value"}));
  EXPECT_THAT(Errors({{R"("scope":"Namespaced",)", ""}}),
              ElementsAre("spec.scope: Required value"));
  EXPECT_THAT(
      Errors({{R"("Namespaced")", R"("Galaxy")"}}),
      ElementsAre(
          R"(spec.scope: Unsupported value: "Galaxy": supported values: "Cluster", "Namespaced")"));
  EXPECT_THAT(
      Errors({{"example.com", "example"}}),
      ElementsAre(
          R"(spec.group: Invalid value: "example": should be a domain with at least one dot)"));
}

TEST_F(DefinitionTest, VersionsMustFit) {
  const Texts unstored = Errors({{R"("storage":true)", R"("storage":false)"}});
  EXPECT_THAT(unstored, testing::Contains(testing::EndsWith(
                            "must have exactly one version marked as storage version")));
  EXPECT_THAT(unstored,
              testing::Contains(testing::HasSubstr("must have at least one stored version")));
  EXPECT_THAT(Errors({{R"("name":"v1")", R"("name":"V1")"}}),
              testing::Contains(
                  testing::HasSubstr(R"(spec.versions[0].name: Invalid value: "V1": a DNS-1035)")));
  EXPECT_THAT(
      Errors({{R"("schema":{"openAPIV3Schema":)", R"("x":{"y":)"}}),
      ElementsAre("spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required"));
}

TEST_F(DefinitionTest, WhatVersionsShareIsNamedInOnePlace) {
  EXPECT_THAT(
      Errors({{R"("color":{"type":"string"})", R"("color":{})"}}),
      ElementsAre("spec.validation.openAPIV3Schema.properties[spec].properties[color].type: "
                  "Required value: must not be empty for specified object fields"));
  EXPECT_THAT(
      Errors({{R"("versions":[)",
               R"("versions":[{"name":"v2","served":true,"storage":false,)"
               R"("schema":{"openAPIV3Schema":{"type":"object","properties":{"a":{}}}}},)"}}),
      ElementsAre("spec.versions[0].schema.openAPIV3Schema.properties[a].type: Required "
                  "value: must not be empty for specified object fields"));
}

TEST_F(DefinitionTest, SubresourcesColumnsAndFieldsMustFit) {
  EXPECT_THAT(
      Errors({{R"("storage":true,)",
               R"("storage":true,"subresources":{"scale":{"specReplicasPath":".size",)"
               R"("statusReplicasPath":"status.x"}},)"}}),
      ElementsAre(
          R"(spec.subresources.scale.specReplicasPath: Invalid value: ".size": should be a )"
          R"(json path under .spec)",
          R"(spec.subresources.scale.statusReplicasPath: Invalid value: "status.x": must )"
          R"(be a simple json path starting with .)"));
  EXPECT_THAT(
      Errors({{R"("storage":true,)",
               R"("storage":true,"additionalPrinterColumns":[{"name":"A","type":"text",)"
               R"("jsonPath":".a"},{"name":"","type":"string"}],)"}}),
      ElementsAre(R"(spec.additionalPrinterColumns[0].type: Invalid value: "text": must be one of )"
                  R"(boolean,date,integer,number,string)",
                  "spec.additionalPrinterColumns[1].name: Required value",
                  "spec.additionalPrinterColumns[1].JSONPath: Required value"));
  EXPECT_THAT(
      Errors({{R"("storage":true,)",
               R"("storage":true,"selectableFields":[{"jsonPath":".spec.color"},)"
               R"({"jsonPath":".spec.none"},{"jsonPath":".spec.tags"},)"
               R"({"jsonPath":".spec.color"}],)"}}),
      ElementsAre(
          R"(spec.selectableFields[1].jsonPath: Invalid value: ".spec.none": is an invalid )"
          R"(path: does not refer to a valid field)",
          R"(spec.selectableFields[2].jsonPath: Invalid value: ".spec.tags": must point to a )"
          R"(field of type string,)"
          R"( boolean or integer. Enum string fields and strings with formats are allowed.)",
          R"(spec.selectableFields[3].jsonPath: Duplicate value: ".spec.color")"));
}

TEST_F(DefinitionTest, ConversionByWebhookIsRefusedClearly) {
  EXPECT_THAT(
      Errors({{R"("scope":)", R"("conversion":{"strategy":"Webhook"},"scope":)"}}),
      ElementsAre(R"(spec.conversion.strategy: Unsupported value: "Webhook": supported values: )"
                  R"("None": this server does not convert by webhook)"));
}

TEST_F(DefinitionTest, ProtectedGroupsNeedApproval) {
  EXPECT_THAT(
      Errors({{"example.com", "example.k8s.io"}}),
      ElementsAre(
          R"(metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups )"
          R"(must have approval annotation "api-approved.kubernetes.io", )"
          R"(see https://github.com/kubernetes/enhancements/pull/1111)"));
  EXPECT_THAT(
      Errors({{"example.com", "example.k8s.io"},
              {R"("metadata":{)", R"("metadata":{"annotations":{"api-approved.kubernetes.io":)"
                                  R"("https://example.com/1"},)"}}),
      IsEmpty());
}

TEST_F(DefinitionTest, SomeFieldsCannotChange) {
  Value old_object = Made();
  Value established = Value::Object();
  established.Set("type", Value::String("Established"));
  established.Set("status", Value::String("True"));
  old_object.MutableObject("status").Set("conditions", Value::Array()).Append(established);
  Value changed = old_object;
  changed.MutableObject("spec").Set("scope", Value::String("Cluster"));
  EXPECT_THAT(Lines(strategy().ValidateUpdate(*resource_, Scope::kMain, old_object, changed)),
              ElementsAre(R"(spec.scope: Invalid value: "Cluster": field is immutable)"));
  changed = old_object;
  changed.MutableObject("spec").Find("versions")->items()[0].Set("name", Value::String("v2"));
  strategy().PrepareForUpdate(*resource_, Scope::kMain, old_object, changed);
  EXPECT_EQ(json::ToString(*changed.Find("status", "storedVersions")), R"(["v1","v2"])");
  EXPECT_EQ(Int(Get(changed, "metadata"), "generation"), 2);
  EXPECT_THAT(
      Lines(strategy().ValidateUpdate(*resource_, Scope::kMain, old_object, changed)),
      ElementsAre(
          R"(status.storedVersions[0]: Invalid value: "v1": must appear in spec.versions)"));
}

TEST_F(DefinitionTest, TheFinalizerStaysUntilDeletion) {
  const Value old_object = Made();
  Value without = old_object;
  without.MutableObject("metadata").Remove("finalizers");
  strategy().PrepareForUpdate(*resource_, Scope::kMain, old_object, without);
  EXPECT_EQ(Items(Get(without, "metadata"), "finalizers").size(), 1u);
  without = old_object;
  without.MutableObject("metadata").Remove("finalizers");
  without.MutableObject("metadata").Set("deletionTimestamp", Value::String("2026-01-01T00:00:00Z"));
  strategy().PrepareForUpdate(*resource_, Scope::kMain, old_object, without);
  EXPECT_EQ(Items(Get(without, "metadata"), "finalizers").size(), 0u);
}

TEST_F(DefinitionTest, ColumnsAreNameAndCreation) {
  const Value object =
      Json(R"({"metadata":{"name":"a.b","creationTimestamp":"2026-01-02T03:04:05Z"}})");
  EXPECT_EQ(resource_->columns->columns()[1].name, "Created At");
  const std::vector<Value> cells = resource_->columns->Cells(object, 0);
  EXPECT_EQ(cells[0].text(), "a.b");
  EXPECT_EQ(cells[1].text(), "2026-01-02T03:04:05Z");
}

}  // namespace
}  // namespace meltemi::apiserver
