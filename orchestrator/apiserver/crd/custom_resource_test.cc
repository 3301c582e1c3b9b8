#include "orchestrator/apiserver/crd/custom_resource.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json/parse.h"
#include "base/json/write.h"
#include "orchestrator/apiserver/crd/custom_columns.h"
#include "orchestrator/apiserver/crd/naming.h"
#include "orchestrator/apiserver/crd/rules.h"
#include "orchestrator/apiserver/kinds/strategy.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using json::Value;
using testing::ElementsAre;
using testing::IsEmpty;
using Texts = std::vector<std::string>;

Value Json(absl::string_view text) {
  auto value = json::Parse(text);
  EXPECT_TRUE(value.ok()) << value.status() << text;
  return value.ok() ? *std::move(value) : Value();
}

Texts Lines(const kube::FieldErrors& errors) {
  Texts lines;
  for (const kube::FieldError& error : errors) lines.push_back(error.ToString());
  return lines;
}

const char* const kDefinition = R"({"metadata":{"name":"widgets.example.com"},
 "spec":{"group":"example.com","scope":"Namespaced","names":{"plural":"widgets","kind":"Widget"},
  "versions":[
 {"name":"v1","served":true,"storage":true,"subresources":{"status":{},"scale":{
  "specReplicasPath":".spec.replicas","statusReplicasPath":".status.replicas",
  "labelSelectorPath":".status.selector"}},
  "selectableFields":[{"jsonPath":".spec.color"}],
  "additionalPrinterColumns":[{"name":"Color","type":"string","jsonPath":".spec.color"},
   {"name":"Replicas","type":"integer","jsonPath":".spec.replicas","priority":1},
   {"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"},
   {"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}],
  "schema":{"openAPIV3Schema":{"type":"object","properties":{
   "spec":{"type":"object","required":["color"],"properties":{"color":{"type":"string"},
  "replicas":{"type":"integer"}}},
   "status":{"type":"object","properties":{"replicas":{"type":"integer","maximum":9},
  "selector":{"type":"string"}}}}}}},
 {"name":"v1alpha1","served":true,"storage":false,"deprecated":true,
  "schema":{"openAPIV3Schema":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}},
 {"name":"v0","served":false,"storage":false,"schema":{"openAPIV3Schema":{"type":"object"}}}]},
 "status":{"acceptedNames":{"plural":"widgets","singular":"widget","kind":"Widget",
  "listKind":"WidgetList","shortNames":["wd"],"categories":["all"]}}})";

class CustomResourceTest : public testing::Test {
 protected:
  CustomResourceTest() : made_(MakeCustomResources(Json(kDefinition))), v1_(*made_.versions[0]) {}
  CustomResources made_;
  const Resource& v1_;
};

TEST_F(CustomResourceTest, ServedVersionsBecomeResources) {
  ASSERT_EQ(made_.versions.size(), 2u);
  EXPECT_EQ(v1_.api_version(), "example.com/v1");
  EXPECT_EQ(v1_.singular, "widget");
  EXPECT_THAT(v1_.short_names, ElementsAre("wd"));
  EXPECT_THAT(v1_.verbs, testing::Contains("create"));
  EXPECT_TRUE(v1_.custom);
  EXPECT_TRUE(v1_.namespaced);
  EXPECT_TRUE(v1_.status_subresource);
  EXPECT_EQ(v1_.scale->spec_replicas_path, "spec.replicas");
  EXPECT_EQ(v1_.scale->label_selector_path, "status.selector");
  const Resource& alpha = *made_.versions[1];
  EXPECT_FALSE(alpha.status_subresource);
  EXPECT_EQ(alpha.storage_version, "example.com/v1");
  EXPECT_EQ(made_.stored, made_.versions[0]);
  EXPECT_THAT(alpha.strategy->Warnings(alpha, Value::Object()),
              ElementsAre("example.com/v1alpha1 Widget is deprecated"));
  EXPECT_THAT(v1_.strategy->Warnings(v1_, Value::Object()), IsEmpty());
}

TEST_F(CustomResourceTest, NothingIsCreatedWhileTheDefinitionGoes) {
  Value definition = Json(kDefinition);
  definition.MutableObject("metadata")
      .Set("deletionTimestamp", Value::String("2026-01-01T00:00:00Z"));
  EXPECT_THAT(MakeCustomResources(definition).versions[0]->verbs,
              testing::Not(testing::Contains("create")));
}

TEST_F(CustomResourceTest, ObjectsAreValidated) {
  EXPECT_THAT(Lines(v1_.strategy->Validate(v1_, Json(R"({"spec":{"replicas":-1}})"))),
              ElementsAre("spec.color: Required value",
                          ".spec.replicas: Invalid value: -1: should be a non-negative integer"));
  const Value old_object = Json(R"({"spec":{},"status":{"replicas":1}})");
  EXPECT_THAT(Lines(v1_.strategy->ValidateUpdate(v1_, Scope::kStatus, old_object,
                                                 Json(R"({"spec":{},"status":{"replicas":10}})"))),
              ElementsAre("status.replicas: Invalid value: 10: replicas in body should be less "
                          "than or equal to 9"));
  EXPECT_THAT(Lines(v1_.strategy->ValidateUpdate(v1_, Scope::kMain, old_object, old_object)),
              IsEmpty());
}

TEST_F(CustomResourceTest, GenerationsCountWhatIsNotStatus) {
  const Value a = Json(R"({"kind":"W","spec":{"x":1},"status":{"y":1}})");
  const Value b = Json(R"({"kind":"W","spec":{"x":1},"status":{"y":2}})");
  const Value c = Json(R"({"kind":"W","spec":{"x":1},"status":{"y":1},"data":[]})");
  EXPECT_FALSE(v1_.strategy->SpecChanged(a, b));
  EXPECT_TRUE(made_.versions[1]->strategy->SpecChanged(a, b));
  EXPECT_TRUE(v1_.strategy->SpecChanged(a, c));
  EXPECT_TRUE(v1_.strategy->SpecChanged(c, a));
  EXPECT_TRUE(v1_.strategy->CountsGenerations(v1_));
}

TEST_F(CustomResourceTest, FieldsCanBeSelected) {
  const Value object = Json(R"({"spec":{"color":"red"}})");
  EXPECT_THAT(v1_.strategy->SelectableFieldNames(), ElementsAre("spec.color"));
  EXPECT_THAT(v1_.strategy->SelectableFields(object),
              ElementsAre(std::make_pair("spec.color", "red")));
  EXPECT_THAT(made_.fields_of(Json("{}")), ElementsAre(std::make_pair("spec.color", "")));
}

TEST_F(CustomResourceTest, ColumnsComeFromPaths) {
  const Value object = Json(R"({"metadata":{"name":"a","creationTimestamp":"2026-01-01T00:00:00Z"},
      "spec":{"color":"red","replicas":3},"status":{"conditions":[{"type":"Ready",
  "status":"True"}]}})");
  std::string cells;
  for (const Value& cell : v1_.columns->Cells(object, 1767225900))
    cells += json::ToString(cell) + " ";
  EXPECT_EQ(cells, R"("a" "red" 3 "True" "5m" )");
  EXPECT_EQ(v1_.columns->columns()[2].priority, 1);
  EXPECT_EQ(v1_.columns->columns()[1].description,
            "Custom resource definition column (in JSONPath format): .spec.color");
  const auto plain = NewCustomColumns(nullptr);
  ASSERT_EQ(plain->columns().size(), 2u);
  EXPECT_EQ(plain->columns()[1].name, "Age");
  EXPECT_EQ(plain->Cells(object, 1767225600 + 90)[1].text(), "90s");
}

TEST(RulesTest, AreTestedWhereTheyStand) {
  Value definition = Json(kDefinition);
  definition.MutableObject("spec")
      .Find("versions")
      ->items()[0]
      .MutableObject("schema")
      .Set("openAPIV3Schema", Json(R"x({"type":"object","properties":{"spec":{"type":"object",
      "x-kubernetes-validations":[{"rule":"self.min <= self.max",
  "message":"min must not be above max"},
        {"rule":"self.min >= oldSelf.min","messageExpression":"'min was ' + string(oldSelf.min)"}],
      "properties":{"min":{"type":"integer"},"max":{"type":"integer","x-kubernetes-validations":[
        {"rule":"self < 100","reason":"FieldValueForbidden"}]}}}}})x"));
  const CustomResources made = MakeCustomResources(definition);
  const Resource& v1 = *made.versions[0];
  EXPECT_THAT(Lines(v1.strategy->Validate(v1, Json(R"({"spec":{"min":1,"max":2}})"))), IsEmpty());
  EXPECT_THAT(Lines(v1.strategy->Validate(v1, Json(R"({"spec":{"min":3,"max":2}})"))),
              ElementsAre(R"(spec: Invalid value: "object": min must not be above max)"));
  EXPECT_THAT(Lines(v1.strategy->Validate(v1, Json(R"({"spec":{"min":3,"max":200}})"))),
              ElementsAre("spec.max: Forbidden: failed rule: self < 100"));
  EXPECT_THAT(
      Lines(v1.strategy->Validate(v1, Json(R"({"spec":{"max":2}})"))),
      ElementsAre(R"(spec: Invalid value: "object": rule evaluation error: no such key: min )"
                  R"(evaluating rule: min must not be above max)"));
  const Value old_object = Json(R"({"spec":{"min":3,"max":5}})");
  EXPECT_THAT(Lines(v1.strategy->ValidateUpdate(v1, Scope::kMain, old_object,
                                                Json(R"({"spec":{"min":2,"max":5}})"))),
              ElementsAre(R"(spec: Invalid value: "object": min was 3)"));
  EXPECT_THAT(Lines(v1.strategy->Validate(v1, Json(R"({"spec":{"min":"x","max":2}})"))).back(),
              testing::HasSubstr("some validation rules were not checked"));
}

TEST(RulesTest, WhatIsNotEvaluatedIsNamed) {
  EXPECT_THAT(
      UnevaluatedRules(Json(R"x({"x-kubernetes-validations":[{"rule":"self.a == 1"},
      {"rule":"duration(self.b) > duration('1s')"}]})x")),
      ElementsAre(
          R"x("duration(self.b) > duration('1s')": 'duration' is not part of this server's CEL)x"));
}

class NamingTest : public testing::Test {
 protected:
  static Value Definition(const char* plural, const char* singular, const char* short_name,
                          const char* kind) {
    Value definition = Json(R"({"metadata":{},"spec":{"group":"example.com","names":{}}})");
    definition.MutableObject("metadata")
        .Set("name", Value::String(std::string(plural) + ".example.com"));
    Value& names = definition.MutableObject("spec").MutableObject("names");
    names.Set("plural", Value::String(plural));
    names.Set("singular", Value::String(singular));
    names.Set("shortNames", Value::Array()).Append(Value::String(short_name));
    names.Set("kind", Value::String(kind));
    names.Set("listKind", Value::String(std::string(kind) + "List"));
    return definition;
  }
  static std::string Condition(const Value& definition, absl::string_view type) {
    for (const Value& condition : Items(Get(definition, "status"), "conditions")) {
      if (Text(condition, "type") != type) continue;
      return std::string(Text(condition, "status")) + " " + std::string(Text(condition, "reason")) +
             ": " + std::string(Text(condition, "message"));
    }
    return "";
  }
};

TEST_F(NamingTest, FreeNamesAreAccepted) {
  Value widgets = Definition("widgets", "widget", "wd", "Widget");
  AcceptNames({&widgets}, "2026-01-01T00:00:00Z", widgets);
  EXPECT_EQ(Condition(widgets, "NamesAccepted"), "True NoConflicts: no conflicts found");
  EXPECT_EQ(Condition(widgets, "Established"),
            "True InitialNamesAccepted: the initial names have been accepted");
  const Value once = widgets;
  AcceptNames({&once}, "2027-01-01T00:00:00Z", widgets);
  EXPECT_EQ(json::ToString(widgets), json::ToString(once));
}

TEST_F(NamingTest, TakenNamesAreNot) {
  Value widgets = Definition("widgets", "widget", "wd", "Widget");
  AcceptNames({}, "t", widgets);
  Value gadgets = Definition("gadgets", "gadget", "wd", "Gadget");
  AcceptNames({&widgets}, "t", gadgets);
  EXPECT_EQ(Condition(gadgets, "NamesAccepted"),
            R"(False ShortNamesConflict: "wd" is already in use)");
  EXPECT_EQ(Condition(gadgets, "Established"), "False NotAccepted: not all names are accepted");
  EXPECT_EQ(Text(Get(gadgets, "status", "acceptedNames"), "plural"), "gadgets");
  Value other = Definition("others", "other", "ot", "Widget");
  AcceptNames({&widgets}, "t", other);
  EXPECT_EQ(Condition(other, "NamesAccepted"),
            R"(False ListKindConflict: "WidgetList" is already in use)");
  // The one that held the name is gone.
  AcceptNames({}, "t", gadgets);
  EXPECT_EQ(Condition(gadgets, "Established"),
            "True InitialNamesAccepted: the initial names have been accepted");
}

TEST_F(NamingTest, OtherGroupsDoNotCount) {
  Value widgets = Definition("widgets", "widget", "wd", "Widget");
  AcceptNames({}, "t", widgets);
  Value elsewhere = Definition("widgets", "widget", "wd", "Widget");
  elsewhere.MutableObject("spec").Set("group", Value::String("example.org"));
  elsewhere.MutableObject("metadata").Set("name", Value::String("widgets.example.org"));
  AcceptNames({&widgets}, "t", elsewhere);
  EXPECT_EQ(Condition(elsewhere, "NamesAccepted"), "True NoConflicts: no conflicts found");
}

}  // namespace
}  // namespace meltemi::apiserver
