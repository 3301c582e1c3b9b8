// When two trees differ, and when that can be told cheaply.
#include "orchestrator/apiserver/schema/values.h"

#include <gtest/gtest.h>

#include "base/json/parse.h"

namespace meltemi::apiserver {
namespace {

json::Value Tree(const char* text) { return *json::Parse(text); }
bool Differ(const char* a, const char* b) {
  const bool differ = SurelyDiffer(Tree(a), Tree(b));
  EXPECT_EQ(differ, SurelyDiffer(Tree(b), Tree(a))) << a << " " << b;
  // What is said to differ is never the same.
  EXPECT_FALSE(differ && SameTree(Tree(a), Tree(b))) << a << " " << b;
  return differ;
}

TEST(ValuesTest, WhatIsTheSameDoesNotDiffer) {
  EXPECT_FALSE(Differ(R"({"a":1,"b":[{"c":"x"}]})", R"({"b":[{"c":"x"}],"a":1.0})"));
  EXPECT_FALSE(Differ("null", "null"));
}

TEST(ValuesTest, WhatSaysNothingMayBeThereOrNot) {
  EXPECT_FALSE(Differ(R"({"a":1})", R"({"a":1,"b":null,"c":{},"d":[],"e":"","f":0,"g":false})"));
  EXPECT_FALSE(Differ(R"({"a":{"b":{"c":[]}}})", "{}"));
  EXPECT_FALSE(Differ(R"({"a":null})", R"({"a":{}})"));
}

TEST(ValuesTest, EverythingElseDiffers) {
  EXPECT_TRUE(Differ(R"({"a":1})", "{}"));
  EXPECT_TRUE(Differ(R"({"a":1})", R"({"a":2})"));
  EXPECT_TRUE(Differ(R"({"a":1})", R"({"a":"1"})"));
  EXPECT_TRUE(Differ(R"({"a":true})", R"({"a":false})"));
  EXPECT_TRUE(Differ(R"({"a":["x"]})", R"({"a":[]})"));
  EXPECT_TRUE(Differ(R"({"a":["x",""]})", R"({"a":["x"]})"));
  EXPECT_TRUE(Differ(R"({"a":{"b":"x"}})", R"({"a":{"c":"x"}})"));
  EXPECT_TRUE(Differ(R"({"a":{"b":{"c":[0]}}})", "{}"));
}

}  // namespace
}  // namespace meltemi::apiserver
