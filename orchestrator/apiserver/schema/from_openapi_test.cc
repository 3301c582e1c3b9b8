#include "orchestrator/apiserver/schema/from_openapi.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "base/json/parse.h"
#include "base/json/write.h"
#include "orchestrator/apiserver/schema/walk.h"

namespace meltemi::apiserver {
namespace {

using json::Value;
using Texts = std::vector<std::string>;

Value Json(absl::string_view text) {
  auto value = json::Parse(text);
  EXPECT_TRUE(value.ok()) << value.status() << "\n" << text;
  return value.ok() ? *std::move(value) : Value();
}

Texts Lines(const kube::FieldErrors& errors) {
  Texts lines;
  for (const kube::FieldError& error : errors) lines.push_back(error.ToString());
  return lines;
}

// Schemas of a field `spec.x`, and what is said about its values.
class FieldTest : public testing::Test {
 protected:
  void Use(absl::string_view schema_of_x) {
    root_ = Json(absl::StrCat(R"({"type":"object","properties":{"spec":{"type":"object",
                                  "properties":{"x":)",
                              schema_of_x, "}}}}"));
    schema_ = CompileOpenApi(root_, arena_);
  }
  Texts Errors(absl::string_view x) {
    const Value object = Json(absl::StrCat(R"({"spec":{"x":)", x, "}}"));
    return Lines(Validate(*schema_, object, kube::FieldPath()));
  }
  Texts Checked() { return Lines(CheckOpenApi(root_, {}, kube::FieldPath("schema"))); }

  SchemaArena arena_;
  Value root_;
  const Schema* schema_ = nullptr;
};

TEST_F(FieldTest, NumbersHaveBounds) {
  Use(R"({"type":"integer","minimum":1,"maximum":10,"exclusiveMaximum":true,"multipleOf":3})");
  EXPECT_EQ(
      Errors("0"),
      (Texts{"spec.x: Invalid value: 0: spec.x in body should be greater than or equal to 1"}));
  EXPECT_EQ(Errors("10"),
            (Texts{"spec.x: Invalid value: 10: spec.x in body should be a multiple of 3",
                   "spec.x: Invalid value: 10: spec.x in body should be less than 10"}));
  EXPECT_EQ(Errors("9"), Texts());
  EXPECT_EQ(Errors("3.0"), Texts());
  EXPECT_EQ(Errors("4.5").front(),
            R"(spec.x: Invalid value: "number": spec.x in body must be of type integer: "number")");
}

TEST_F(FieldTest, TypesAreNamed) {
  Use(R"({"type":"string"})");
  EXPECT_EQ(Errors("1"),
            (Texts{R"(spec.x: Invalid value: "integer": spec.x in body must be of type string: )"
                   R"("integer")"}));
  EXPECT_EQ(
      Errors("null"),
      (Texts{R"(spec.x: Invalid value: "null": spec.x in body must be of type string: "null")"}));
  Use(R"({"x-kubernetes-int-or-string":true})");
  EXPECT_EQ(Errors("1"), Texts());
  EXPECT_EQ(Errors("\"50%\""), Texts());
  EXPECT_EQ(Errors("true"),
            (Texts{R"(spec.x: Invalid value: "boolean": spec.x in body must be of type integer,)"
                   R"(string: "boolean")"}));
  Use(R"({"type":"string","nullable":true})");
  EXPECT_EQ(Errors("null"), Texts());
}

TEST_F(FieldTest, StringsHaveLengthsPatternsAndFormats) {
  Use(R"({"type":"string","minLength":2,"maxLength":4,"pattern":"^[a-zé]+$"})");
  EXPECT_EQ(
      Errors("\"a\""),
      (Texts{R"(spec.x: Invalid value: "a": spec.x in body should be at least 2 chars long)"}));
  EXPECT_EQ(Errors("\"abcde\""), (Texts{"spec.x: Too long: may not be more than 4 bytes"}));
  EXPECT_EQ(Errors("\"ab1\""),
            (Texts{R"(spec.x: Invalid value: "ab1": spec.x in body should match '^[a-zé]+$')"}));
  EXPECT_EQ(Errors("\"éééé\""), Texts());
  Use(R"({"type":"string","format":"date-time"})");
  EXPECT_EQ(
      Errors("\"noon\""),
      (Texts{
          R"(spec.x: Invalid value: "noon": spec.x in body must be of type date-time: "noon")"}));
}

TEST_F(FieldTest, EnumsListWhatIsSupported) {
  Use(R"({"type":"string","enum":["b","a"]})");
  EXPECT_EQ(Errors("\"c\""),
            (Texts{R"(spec.x: Unsupported value: "c": supported values: "b", "a")"}));
  Use(R"({"type":"integer","enum":[1,2]})");
  EXPECT_EQ(Errors("3"), (Texts{R"(spec.x: Unsupported value: 3: supported values: "1", "2")"}));
}

TEST_F(FieldTest, ListsAndMapsHaveSizes) {
  Use(R"({"type":"array","minItems":1,"maxItems":2,"items":{"type":"integer","minimum":1}})");
  EXPECT_EQ(Errors("[]"),
            (Texts{"spec.x: Invalid value: 0: spec.x in body should have at least 1 items"}));
  EXPECT_EQ(Errors("[1,2,3]"), (Texts{"spec.x: Too many: 3: must have at most 2 items"}));
  EXPECT_EQ(
      Errors("[1,0]"),
      (Texts{
          "spec.x[1]: Invalid value: 0: spec.x[1] in body should be greater than or equal to 1"}));
  Use(R"({"type":"object","minProperties":1,"maxProperties":1,)"
      R"("additionalProperties":{"type":"string"}})");
  EXPECT_EQ(Errors("{}"),
            (Texts{"spec.x: Invalid value: 0: spec.x in body should have at least 1 properties"}));
  EXPECT_EQ(Errors(R"({"a":"1","b":"2"})"),
            (Texts{"spec.x: Too many: 2: must have at most 1 items"}));
  EXPECT_EQ(
      Errors(R"({"a":1})"),
      (Texts{R"(spec.x.a: Invalid value: "integer": spec.x.a in body must be of type string: )"
             R"("integer")"}));
}

TEST_F(FieldTest, RequiredFieldsAreRequired) {
  Use(R"({"type":"object","required":["a"],"properties":{"a":{"type":"string"}}})");
  EXPECT_EQ(Errors("{}"), (Texts{"spec.x.a: Required value"}));
}

TEST_F(FieldTest, AlternativesShowTheClosestOne) {
  Use(R"({"type":"object","properties":{"a":{"type":"string"},"b":{"type":"string"}},
          "oneOf":[{"required":["a"]},{"required":["b"]}]})");
  EXPECT_EQ(Checked(), Texts());
  EXPECT_EQ(Errors(R"({"a":""})"), Texts());
  EXPECT_EQ(Errors(R"({"a":"","b":""})"),
            (Texts{R"(<nil>: Invalid value: "": "spec.x" must validate one and only one schema )"
                   R"((oneOf). Found 2 valid alternatives)"}));
  EXPECT_EQ(Errors("{}"),
            (Texts{R"(<nil>: Invalid value: "": "spec.x" must validate one and only one schema )"
                   R"((oneOf). Found none valid)",
                   "spec.x.a: Required value"}));
  Use(R"({"type":"integer","anyOf":[{"minimum":10},{"maximum":1}],"not":{"enum":[20]},
          "allOf":[{"maximum":30}]})");
  EXPECT_EQ(Errors("0"), Texts());
  EXPECT_EQ(Errors("5").front(),
            R"(<nil>: Invalid value: "": "spec.x" must validate at least one schema (anyOf))");
  EXPECT_EQ(Errors("20"),
            (Texts{R"(<nil>: Invalid value: "": "spec.x" must not validate the schema (not))"}));
  EXPECT_EQ(Errors("40").back(),
            R"(<nil>: Invalid value: "": "spec.x" must validate all the schemas (allOf). None )"
            R"(validated)");
}

TEST_F(FieldTest, SetsAndKeyedListsHaveNoDuplicates) {
  Use(R"({"type":"array","x-kubernetes-list-type":"set","items":{"type":"string"}})");
  EXPECT_EQ(Errors(R"(["a","b","a","a"])"), (Texts{R"(spec.x[2]: Duplicate value: "a")"}));
  Use(R"({"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["p","q"],
          "items":{"type":"object","required":["p","q"],"properties":{"p":{"type":"integer"},
          "q":{"type":"string"}}}})");
  EXPECT_EQ(Checked(), Texts());
  EXPECT_EQ(Errors(R"([{"p":1,"q":"a"},{"q":"a","p":1.0},{"p":1,"q":"b"}])"),
            (Texts{R"(spec.x[1]: Duplicate value: map[string]interface {}{"p":1, "q":"a"})"}));
}

TEST_F(FieldTest, UnchangedValuesAreNotHeldAgainstAnUpdate) {
  Use(R"({"type":"object","properties":{"a":{"type":"integer","maximum":1},)"
      R"("b":{"type":"string"}}})");
  const Value old_object = Json(R"({"spec":{"x":{"a":5,"b":"old"}}})");
  EXPECT_EQ(Lines(ValidateUpdate(*schema_, Json(R"({"spec":{"x":{"a":5,"b":"new"}}})"), old_object,
                                 kube::FieldPath())),
            Texts());
  EXPECT_EQ(
      Lines(ValidateUpdate(*schema_, Json(R"({"spec":{"x":{"a":6,"b":"old"}}})"), old_object,
                           kube::FieldPath())),
      (Texts{"spec.x.a: Invalid value: 6: spec.x.a in body should be less than or equal to 1"}));
}

TEST_F(FieldTest, EmbeddedResourcesNeedAKind) {
  Use(R"({"type":"object","x-kubernetes-embedded-resource":true,
          "x-kubernetes-preserve-unknown-fields":true})");
  EXPECT_EQ(Checked(), Texts());
  EXPECT_EQ(Errors("{}"), (Texts{"spec.x.apiVersion: Required value: must not be empty",
                                 "spec.x.kind: Required value: must not be empty"}));
  Value object =
      Json(R"({"spec":{"x":{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","odd":1},)"
           R"("any":{"thing":1}}}})");
  EXPECT_EQ(Prune(*schema_, object), (Texts{"spec.x.metadata.odd"}));
  EXPECT_NE(object.Find("spec", "x", "any", "thing"), nullptr);
}

TEST(CompileTest, PrunesAndDefaults) {
  SchemaArena arena;
  const Schema& schema = *CompileOpenApi(Json(R"({"type":"object","properties":{
      "spec":{"type":"object","default":{},"properties":{
        "size":{"type":"integer","default":3},"mode":{"type":"string","default":"on",
  "nullable":true},
        "free":{"type":"object","x-kubernetes-preserve-unknown-fields":true,
                "properties":{"strict":{"type":"object"}}},
        "none":{"type":"string"},
        "list":{"type":"array","items":{"type":"object","properties":{"a":{"type":"integer",
  "default":1}}}},
        "map":{"type":"object","additionalProperties":{"type":"object",
  "properties":{"v":{"type":"string"}}}}}}}})"),
                                         arena);
  Value object = Json(R"({"apiVersion":"a/v1","kind":"A","metadata":{"name":"n","x":1},"zzz":1,
      "spec":{"size":null,"mode":null,"none":null,"wrong":1,"free":{"kept":1,"strict":{"gone":2}},
      "list":[{"b":1}],"map":{"k":{"v":"1","w":2}}}})");
  EXPECT_EQ(Prune(schema, object), (Texts{"metadata.x", "spec.free.strict.gone", "spec.list[0].b",
                                          "spec.map.k.w", "spec.wrong", "zzz"}));
  ApplyDefaults(schema, object);
  EXPECT_EQ(json::ToString(*object.Find("spec")),
            R"({"mode":null,"free":{"kept":1,"strict":{}},"list":[{"a":1}],"map":{"k":{"v":"1"}},)"
            R"("size":3})");
  Value empty = Json(R"({"kind":"A"})");
  ApplyDefaults(schema, empty);
  EXPECT_EQ(json::ToString(empty), R"({"kind":"A","spec":{"size":3,"mode":"on"}})");
  EXPECT_EQ(CheckTypes(schema, Json(R"({"metadata":{"labels":{"a":1}}})")),
            "json: cannot unmarshal number into Go struct field ObjectMeta.labels of type string");
}

TEST(CompileTest, NamesCanBeRestricted) {
  SchemaArena arena;
  const Value root = Json(R"({"type":"object","properties":{"metadata":{"type":"object",
      "properties":{"name":{"type":"string","pattern":"^x-"}}}}})");
  EXPECT_EQ(Lines(CheckOpenApi(root, {}, kube::FieldPath("s"))), Texts());
  const Schema& schema = *CompileOpenApi(root, arena);
  EXPECT_EQ(
      Lines(Validate(schema, Json(R"({"metadata":{"name":"y"}})"), kube::FieldPath())),
      (Texts{R"(metadata.name: Invalid value: "y": metadata.name in body should match '^x-')"}));
}

struct Refusal {
  const char* name;
  const char* schema;
  Texts errors;
};

class RefusalTest : public testing::TestWithParam<Refusal> {};

TEST_P(RefusalTest, SaysWhatIsWrong) {
  const Value schema = Json(GetParam().schema);
  EXPECT_EQ(Lines(CheckOpenApi(schema, {}, kube::FieldPath("s"))), GetParam().errors);
  // What is refused can still be compiled without harm.
  SchemaArena arena;
  Value object = Json(R"({"a":{"b":[1]}})");
  const Schema* compiled = CompileOpenApi(schema, arena);
  Prune(*compiled, object);
  ApplyDefaults(*compiled, object);
  Validate(*compiled, object, kube::FieldPath());
}

INSTANTIATE_TEST_SUITE_P(
    All, RefusalTest,
    testing::Values(
        Refusal{"NoType", "{}", {"s.type: Required value: must not be empty at the root"}},
        Refusal{"RootType",
                R"({"type":"array","items":{"type":"string"}})",
                {R"(s.type: Invalid value: "array": must be object at the root)"}},
        Refusal{"FieldWithoutType",
                R"({"type":"object","properties":{"a":{}}})",
                {"s.properties[a].type: Required value: must not be empty for specified object "
                 "fields"}},
        Refusal{"ItemsMissing",
                R"({"type":"object","properties":{"a":{"type":"array"}}})",
                {"s.properties[a].items: Required value: must be specified"}},
        Refusal{
            "Metadata",
            R"({"type":"object","properties":{"metadata":{"type":"object","minProperties":1}}})",
            {"s.properties[metadata]: Forbidden: must not specify anything other than name and "
             "generateName, but metadata is implicitly specified"}},
        Refusal{
            "NestedType",
            R"({"type":"object","properties":{"a":{"type":"string","anyOf":[{"type":"string"}]}}})",
            {"s.properties[a].anyOf[0].type: Forbidden: must be empty to be structural"}},
        Refusal{
            "Incomplete",
            R"({"type":"object","properties":{"a":{"type":"object"}},)"
            R"("allOf":[{"properties":{"b":{"minimum":1}}}]})",
            {"s.properties[b]: Required value: because it is defined in s.allOf[0].properties[b]"}},
        Refusal{"UnknownType",
                R"({"type":"object","properties":{"a":{"type":"float"}}})",
                {R"(s.properties[a].type: Unsupported value: "float": supported values: )"
                 R"("array", "boolean", "integer", "number", "object", "string")"}},
        Refusal{
            "Unique",
            R"({"type":"object","properties":{"a":{"type":"array","uniqueItems":true,)"
            R"("items":{"type":"string"}}}})",
            {"s.properties[a].uniqueItems: Forbidden: uniqueItems cannot be set to true since the "
             "runtime complexity becomes quadratic"}},
        Refusal{"Pattern",
                R"({"type":"object","properties":{"a":{"type":"string","pattern":"("}}})",
                {R"(s.properties[a].pattern: Invalid value: "(": must be a valid regular )"
                 R"(expression, but isn't: error parsing regexp: missing ): ()"}},
        Refusal{
            "Default",
            R"({"type":"object","properties":{"a":{"type":"integer","minimum":2,"default":1}}})",
            {R"(s.properties[a].default: Invalid value: 1:  in body should be greater than )"
             R"(or equal to 2)"}},
        Refusal{"UnprunedDefault",
                R"({"type":"object","properties":{"a":{"type":"object","default":{"b":1}}}})",
                {R"(s.properties[a].default: Invalid value: map[string]interface {}{"b":1}: )"
                 R"(must not have unknown fields)"}},
        Refusal{"DefaultAtTheTop",
                R"({"type":"object","properties":{"kind":{"type":"string","default":"K"}}})",
                {"s.properties[kind].default: Forbidden: must not be set in top-level kind"}},
        Refusal{
            "MapKeys",
            R"({"type":"object","properties":{"a":{"type":"array",)"
            R"("x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["k","z"],)"
            R"("items":{"type":"object","properties":{"k":{"type":"string"}}}}}})",
            {R"(s.properties[a].x-kubernetes-list-map-keys: Invalid value: []string{"k",)"
             R"( "z"}: entries must all be names of item properties)",
             "s.properties[a].items.properties[k].default: Required value: this property is in "
             "x-kubernetes-list-map-keys, so it must have a default or be a required property"}},
        Refusal{"SetOfObjects",
                R"({"type":"object","properties":{"a":{"type":"array",)"
                R"("x-kubernetes-list-type":"set","items":{"type":"object"}}}})",
                {R"(s.properties[a].items.x-kubernetes-map-type: Invalid value: "null": must )"
                 R"(be atomic as item of a list with x-kubernetes-list-type=set)"}},
        Refusal{
            "Both",
            R"({"type":"object","properties":{"a":{"type":"object",)"
            R"("properties":{"b":{"type":"string"}},)"
            R"("additionalProperties":{"type":"string"}}}})",
            {"s.properties[a].additionalProperties: Forbidden: additionalProperties and properties "
             "are mutual exclusive"}},
        Refusal{"PreserveFalse",
                R"({"type":"object","x-kubernetes-preserve-unknown-fields":false})",
                {R"(s.x-kubernetes-preserve-unknown-fields: Invalid value: false: must be true )"
                 R"(or undefined)"}},
        Refusal{"Rule",
                R"({"type":"object","x-kubernetes-validations":[{"rule":"self.a >"},)"
                R"({"rule":"quantity(self.a) == self.b"}]})",
                {R"(s.x-kubernetes-validations[0].rule: Invalid value: "self.a >": compilation )"
                 R"(failed: ERROR: <input>:1:9: Syntax error: unexpected end)"}},
        Refusal{"Ref",
                R"({"type":"object","$ref":"#/a"})",
                {"s.$ref: Forbidden: $ref is not supported"}}),
    [](const testing::TestParamInfo<Refusal>& info) { return info.param.name; });

TEST(CheckTest, AStatusSubresourceLimitsTheRoot) {
  const Value schema = Json(R"({"type":"object","anyOf":[{"required":["spec"]}],)"
                            R"("properties":{"spec":{"type":"object"}}})");
  EXPECT_EQ(Lines(CheckOpenApi(schema, {}, kube::FieldPath("s"))), Texts());
  const Texts errors =
      Lines(CheckOpenApi(schema, {.status_subresource = true}, kube::FieldPath("s")));
  ASSERT_EQ(errors.size(), 1u);
  EXPECT_NE(
      errors[0].find(
          "fields are allowed at the root of the schema if the status subresource is enabled"),
      std::string::npos);
}

TEST(CheckTest, IntOrStringMayBeDescribedInItsOwnWay) {
  const Value schema =
      Json(R"({"type":"object","properties":{"a":{"x-kubernetes-int-or-string":true,
      "anyOf":[{"type":"integer"},{"type":"string"}],"pattern":"^[0-9]+%?$"}}})");
  EXPECT_EQ(Lines(CheckOpenApi(schema, {}, kube::FieldPath("s"))), Texts());
  SchemaArena arena;
  const Schema& compiled = *CompileOpenApi(schema, arena);
  EXPECT_TRUE(Validate(compiled, Json(R"({"a":7})"), kube::FieldPath()).empty());
  EXPECT_FALSE(Validate(compiled, Json(R"({"a":"x"})"), kube::FieldPath()).empty());
}

}  // namespace
}  // namespace meltemi::apiserver
