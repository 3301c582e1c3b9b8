#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/json/parse.h"
#include "base/json/write.h"
#include "gtest/gtest.h"
#include "orchestrator/apiserver/patch/patch.h"
#include "orchestrator/apiserver/patch/same_json.h"

namespace meltemi::apiserver {
namespace {

json::Value Json(absl::string_view text) {
  absl::StatusOr<json::Value> value = json::Parse(text);
  EXPECT_TRUE(value.ok()) << value.status() << "\n" << text;
  return value.value_or(json::Value());
}

// The patched document, or the code and the reason why there is none.
std::string Patched(absl::string_view object, absl::string_view patch) {
  kube::Result<json::Value> result = ApplyJsonPatch(Json(object), Json(patch));
  if (result.ok()) return json::ToString(*result);
  const kube::Status& status = result.status();
  return absl::StrCat(status.code, " ",
                      status.causes.empty() ? status.message : status.causes[0].message);
}

TEST(JsonPatch, DoesWhatTheOperationsSay) {
  struct Case {
    absl::string_view object, patch, expected;
  };
  const Case kCases[] = {
      {R"({"a":1})", R"([])", R"({"a":1})"},
      {R"({"a":1})", R"([{"op":"add","path":"/b","value":[2]}])", R"({"a":1,"b":[2]})"},
      {R"({"a":1})", R"([{"op":"add","path":"/a","value":null}])", R"({"a":null})"},
      {R"({"a":1})", R"([{"op":"add","path":"/b"}])", R"({"a":1,"b":null})"},
      {R"({"a":[1,3]})", R"([{"op":"add","path":"/a/1","value":2}])", R"({"a":[1,2,3]})"},
      {R"({"a":[1]})", R"([{"op":"add","path":"/a/-","value":2}])", R"({"a":[1,2]})"},
      {R"({"a":[1]})", R"([{"op":"add","path":"/a/1","value":2}])", R"({"a":[1,2]})"},
      {R"({"a":[1]})", R"([{"op":"add","path":"/a/-1","value":2}])", R"({"a":[1,2]})"},
      {R"({"a":{"b":1}})", R"([{"op":"remove","path":"/a/b"}])", R"({"a":{}})"},
      {R"({"a":[1,2,3]})", R"([{"op":"remove","path":"/a/1"}])", R"({"a":[1,3]})"},
      {R"({"a":[1,2,3]})", R"([{"op":"remove","path":"/a/-1"}])", R"({"a":[1,2]})"},
      {R"({"a":1})", R"([{"op":"replace","path":"/a","value":{"x":1}}])", R"({"a":{"x":1}})"},
      {R"({"a":1})", R"([{"op":"replace","path":"/b","value":2}])", R"({"a":1,"b":2})"},
      {R"({"a":1})", R"([{"op":"replace","path":"","value":{"z":0}}])", R"({"z":0})"},
      {R"({"a":{"b":1},"c":{}})", R"([{"op":"move","from":"/a/b","path":"/c/d"}])",
       R"({"a":{},"c":{"d":1}})"},
      {R"({"a":[1,2,3]})", R"([{"op":"move","from":"/a/0","path":"/a/-"}])", R"({"a":[2,3,1]})"},
      {R"({"a":{"b":1}})", R"([{"op":"copy","from":"/a","path":"/c"}])",
       R"({"a":{"b":1},"c":{"b":1}})"},
      {R"({"a~b/c":1})", R"([{"op":"replace","path":"/a~0b~1c","value":2}])", R"({"a~b/c":2})"},
      {R"({"~1":1})", R"([{"op":"remove","path":"/~01"}])", R"({})"},
      {R"({"a":{"x":1,"y":[2]}})",
       R"([{"op":"test","path":"/a","value":{"y":[2],"x":1}},{"op":"remove","path":"/a"}])",
       R"({})"},
      {R"({"a":null})", R"([{"op":"test","path":"/a"},{"op":"test","path":"/b","value":null}])",
       R"({"a":null})"},
      {R"({"a":1})", R"([{"op":"test","path":"","value":{"a":1}}])", R"({"a":1})"},
  };
  for (const Case& c : kCases) EXPECT_EQ(Patched(c.object, c.patch), c.expected) << c.patch;
}

TEST(JsonPatch, SaysWhyItDoesNotApply) {
  struct Case {
    absl::string_view patch, message;
  };
  const Case kCases[] = {
      {R"([{"op":"test","path":"/a","value":2}])", "testing value /a failed: test failed"},
      {R"([{"op":"remove","path":"/x"}])",
       "error in remove for path: '/x': Unable to remove nonexistent key: x: missing value"},
      {R"([{"op":"remove","path":"/x/y"}])",
       "remove operation does not apply: doc is missing path: \"/x/y\": missing value"},
      {R"([{"op":"add","path":"/x/y","value":1}])",
       "add operation does not apply: doc is missing path: \"/x/y\": missing value"},
      {R"([{"op":"add","path":"/l/5","value":1}])",
       "error in add for path: '/l/5': Unable to access invalid index: 5: invalid index "
       "referenced"},
      {R"([{"op":"add","path":"/l/x","value":1}])",
       "error in add for path: '/l/x': value was not a proper array index: 'x': strconv.Atoi: "
       "parsing \"x\": invalid syntax"},
      {R"([{"op":"replace","path":"/l/1","value":1}])",
       "replace operation does not apply: doc is missing key: /l/1: missing value"},
      {R"([{"op":"replace","path":"/a/b/c","value":1}])",
       "replace operation does not apply: doc is missing path: /a/b/c: missing value"},
      {R"([{"op":"move","from":"/x","path":"/y"}])",
       "error in move for path: 'x': Unable to remove nonexistent key: x: missing value"},
      {R"([{"op":"move","from":"/l","path":"/l/0"}])",
       "move operation does not apply: doc is missing destination path: /l/0: missing value"},
      {R"([{"op":"copy","from":"/l/3","path":"/y"}])",
       "error in copy for from: '/l/3': Unable to access invalid index: 3: invalid index "
       "referenced"},
      {R"([{"op":"copy","path":"/y"}])",
       "copy operation failed to decode from: operation, missing from field: missing value"},
      {R"([{"op":"add","value":1}])", "add operation failed to decode path: missing value"},
      {R"([{"op":"frob","path":"/a"}])", "Unexpected kind: frob"},
      {R"([{"path":"/a"}])", "Unexpected kind: unknown"},
      {R"([null])", "Unexpected kind: unknown"},
  };
  for (const Case& c : kCases) {
    EXPECT_EQ(Patched(R"({"a":1,"l":[0]})", c.patch), absl::StrCat("422 ", c.message)) << c.patch;
  }
}

TEST(JsonPatch, AFailedOneIsAnInvalidRequestInKubernetesWords) {
  kube::Result<json::Value> result =
      ApplyJsonPatch(Json(R"({"a":1})"), Json(R"([{"op":"test","path":"/a","value":2}])"));
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.status().reason, "Invalid");
  EXPECT_EQ(result.status().message,
            "the server rejected our request due to an error in our request");
}

TEST(JsonPatch, WhatIsNoPatchIsABadRequest) {
  EXPECT_EQ(Patched("{}", "{}"),
            "400 error decoding patch: json: cannot unmarshal object into Go value of type "
            "[]handlers.jsonPatchOp");
  EXPECT_EQ(Patched("{}", R"(["x"])"),
            "400 error decoding patch: json: cannot unmarshal string into Go value of type "
            "handlers.jsonPatchOp");
  EXPECT_EQ(Patched("{}", R"([{"op":1}])"),
            "400 error decoding patch: json: cannot unmarshal number into Go struct field "
            "jsonPatchOp.op of type string");
}

TEST(JsonPatch, IsBounded) {
  json::Value patch = json::Value::Array();
  for (int i = 0; i < 10'001; ++i) patch.Append(Json(R"({"op":"add","path":"/a","value":1})"));
  EXPECT_EQ(
      Patched("{}", json::ToString(patch)),
      "413 Request entity too large: The allowed maximum operations in a JSON patch is 10000, "
      "got 10001");

  // Each copy doubles the document: it ends at 3 MB.
  patch =
      Json(R"([{"op":"add","path":"/a","value":["0123456789012345678901234567890123456789"]}])");
  for (int i = 0; i < 100; ++i) {
    patch.Append(Json(R"({"op":"copy","from":"/a","path":"/b"})"));
    patch.Append(Json(R"({"op":"add","path":"/c","value":[]})"));
    patch.Append(Json(R"({"op":"copy","from":"/a","path":"/c/-"})"));
    patch.Append(Json(R"({"op":"copy","from":"/b","path":"/c/-"})"));
    patch.Append(Json(R"({"op":"move","from":"/c","path":"/a"})"));
  }
  EXPECT_TRUE(absl::string_view(Patched("{}", json::ToString(patch))).substr(0, 4) == "422 ");
}

TEST(JsonPatch, DoesNotNestWithoutBound) {
  json::Value patch = Json(R"([{"op":"add","path":"/a","value":{}}])");
  for (int i = 0; i < 120; ++i) {
    patch.Append(Json(R"({"op":"copy","from":"/a","path":"/a/b"})"));
  }
  std::string answer = Patched("{}", json::ToString(patch));
  EXPECT_NE(answer.find("422 "), std::string::npos);
  EXPECT_NE(answer.find("nested deeper than 100 levels"), std::string::npos) << answer;
}

TEST(MergePatch, FollowsTheExamplesOfRfc7386) {
  const absl::string_view kCases[][3] = {
      {R"({"a":"b"})", R"({"a":"c"})", R"({"a":"c"})"},
      {R"({"a":"b"})", R"({"b":"c"})", R"({"a":"b","b":"c"})"},
      {R"({"a":"b"})", R"({"a":null})", R"({})"},
      {R"({"a":"b","b":"c"})", R"({"a":null})", R"({"b":"c"})"},
      {R"({"a":["b"]})", R"({"a":"c"})", R"({"a":"c"})"},
      {R"({"a":"c"})", R"({"a":["b"]})", R"({"a":["b"]})"},
      {R"({"a":{"b":"c"}})", R"({"a":{"b":"d","c":null}})", R"({"a":{"b":"d"}})"},
      {R"({"a":[{"b":"c"}]})", R"({"a":[1]})", R"({"a":[1]})"},
      {R"(["a","b"])", R"(["c","d"])", R"(["c","d"])"},
      {R"({"a":"b"})", R"(["c"])", R"(["c"])"},
      {R"({"a":"foo"})", R"(null)", R"(null)"},
      {R"({"e":null})", R"({"a":1})", R"({"e":null,"a":1})"},
      {R"([1,2])", R"({"a":"b","c":null})", R"({"a":"b"})"},
      {R"({})", R"({"a":{"bb":{"ccc":null}}})", R"({"a":{"bb":{}}})"},
  };
  for (const auto& c : kCases) {
    EXPECT_EQ(json::ToString(ApplyMergePatch(Json(c[0]), Json(c[1]))), c[2]) << c[1];
  }
}

TEST(SameJson, ComparesMembersInAnyOrderAndNumbersByValue) {
  EXPECT_TRUE(SameJson(Json(R"({"a":1,"b":[1.0]})"), Json(R"({"b":[1],"a":1})")));
  EXPECT_FALSE(SameJson(Json(R"({"a":1})"), Json(R"({"a":1,"b":null})")));
  EXPECT_FALSE(SameJson(Json(R"({"a":1})"), Json(R"({"b":1})")));
  EXPECT_FALSE(SameJson(Json(R"([1,2])"), Json(R"([2,1])")));
  EXPECT_FALSE(SameJson(Json(R"("1")"), Json("1")));
  EXPECT_FALSE(SameJson(Json("9007199254740993"), Json("9007199254740992")));
  EXPECT_EQ(ScalarKey(Json("1.0")), ScalarKey(Json("1")));
  EXPECT_NE(ScalarKey(Json("\"1\"")), ScalarKey(Json("1")));
}

}  // namespace
}  // namespace meltemi::apiserver
