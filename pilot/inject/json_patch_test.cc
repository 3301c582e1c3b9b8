#include "pilot/inject/json_patch.h"

#include <string>
#include <utility>

#include "base/json/parse.h"
#include "base/json/write.h"
#include "gtest/gtest.h"

namespace meltemi::pilot {
namespace {

TEST(JsonPatchTest, MakesTheOneOfTheOther) {
  struct Row {
    std::string from, to, patch;
  };
  const Row rows[] = {
      {R"({"a":1,"b":2})", R"({"b":2,"a":1})", "[]"},
      {R"({"a":1})", R"({"a":2,"x/y~":[]})",
       R"([{"op":"replace","path":"/a","value":2},{"op":"add","path":"/x~1y~0","value":[]}])"},
      {R"({"a":{"b":1,"c":1}})", R"({"a":{"c":1}})", R"([{"op":"remove","path":"/a/b"}])"},
      {"[1,2,3]", "[0,1,2,3]", R"([{"op":"add","path":"/0","value":0}])"},
      {"[1,2,3]", "[1,2,3,4,5]",
       R"([{"op":"add","path":"/3","value":4},{"op":"add","path":"/4","value":5}])"},
      {"[1,2,3,4]", "[1,4]", R"([{"op":"remove","path":"/2"},{"op":"remove","path":"/1"}])"},
      {R"([{"n":1,"v":1},{"n":2}])", R"([{"n":1,"v":2},{"n":2}])",
       R"([{"op":"replace","path":"/0/v","value":2}])"},
      {"[1,2,3]", "[3,2,1]",
       R"([{"op":"replace","path":"/0","value":3},{"op":"replace","path":"/2","value":1}])"},
      {"null", "{}", R"([{"op":"replace","path":"","value":{}}])"},
      {"[[],[1]]", "[[1],[]]",
       R"([{"op":"add","path":"/0/0","value":1},{"op":"remove","path":"/1/0"}])"},
  };
  for (const Row& row : rows) {
    json::Value document = *json::Parse(row.from);
    const json::Value to = *json::Parse(row.to);
    const json::Value patch = MakeJsonPatch(document, to);
    EXPECT_EQ(json::ToString(patch), row.patch);
    ASSERT_TRUE(ApplyJsonPatch(patch, &document).ok()) << row.patch;
    EXPECT_TRUE(MakeJsonPatch(document, to).items().empty()) << json::ToString(document);
  }
}

TEST(JsonPatchTest, WhatDoesNotFitIsAnError) {
  for (const char* patch :
       {R"({})", R"([{"op":"move","path":"/a"}])", R"([{"op":"add","path":"/a"}])",
        R"([{"op":"remove","path":"/x"}])", R"([{"op":"replace","path":"/l/7","value":1}])",
        R"([{"op":"add","path":"/l/3","value":1}])", R"([{"op":"add","path":"/x/y","value":1}])",
        R"([{"op":"test","path":"/a","value":2}])", R"([{"op":"add","path":"a","value":1}])"}) {
    json::Value document = *json::Parse(R"({"a":1,"l":[1,2]})");
    EXPECT_FALSE(ApplyJsonPatch(*json::Parse(patch), &document).ok()) << patch;
  }
}

}  // namespace
}  // namespace meltemi::pilot
