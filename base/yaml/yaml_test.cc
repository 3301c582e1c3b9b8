#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "base/json/write.h"
#include "base/yaml/parse.h"
#include "base/yaml/write.h"

namespace meltemi::yaml {
namespace {

using ::testing::HasSubstr;

std::string Json(absl::string_view text) {
  const auto value = Parse(text);
  return value.ok() ? json::ToString(*value) : std::string(value.status().message());
}

std::string ErrorOf(absl::string_view text, const ParseLimits& limits = {}) {
  return std::string(ParseAll(text, limits).status().message());
}

TEST(Yaml, ResolvesPlainScalarsAsKubernetesToolsDo) {
  EXPECT_EQ(Json("[true, yes, ON, false, No, off, tRue, y, n]"),
            R"([true,true,true,false,false,false,"tRue","y","n"])");
  EXPECT_EQ(Json("[null, ~, Null, ]"), "[null,null,null]");
  EXPECT_EQ(Json("[1, -2, +3, 0x1F, 0o17, 0644, 0b101, 1_000, 0]"), "[1,-2,3,31,15,420,5,1000,0]");
  EXPECT_EQ(Json("[1.5, .5, 5., -1e3, 1.5E+2, 007.5]"), "[1.5,0.5,5.0,-1e3,1.5E+2,7.5]");
  EXPECT_EQ(Json("[1.2.3, 3s, 08, 10.0.0.1, '80', \"true\", !!str 80, v1, .inf, -, 'a: b']"),
            R"(["1.2.3","3s",8,"10.0.0.1","80","true","80","v1",".inf","-","a: b"])");
  EXPECT_EQ(Json("a: |\n  x\n  y\nb: >-\n  x\n  y\n"), R"({"a":"x\ny\n","b":"x y"})");
}

TEST(Yaml, KnowsTheLineOfEveryValue) {
  const auto documents = ParseAll("# c\na: 1\nb:\n  - x\n  - y: 2\n---\n# nothing\n---\nc: 3\n");
  ASSERT_TRUE(documents.ok()) << documents.status();
  ASSERT_EQ(documents->size(), 2u);
  const json::Value& first = (*documents)[0];
  EXPECT_EQ(first.line(), 2);
  EXPECT_EQ(first.members()[1].line, 3);
  EXPECT_EQ(first.Find("b")->items()[1].line(), 5);
  EXPECT_EQ((*documents)[1].Find("c")->line(), 9);
}

TEST(Yaml, AliasesAndMergeKeysAreApplied) {
  EXPECT_EQ(Json("a: &x {k: 1, l: 2}\nb: *x\nc:\n  <<: *x\n  k: 9\n"),
            R"({"a":{"k":1,"l":2},"b":{"k":1,"l":2},"c":{"k":9,"l":2}})");
  EXPECT_EQ(Json("a: &x {k: 1}\nb: &y {k: 2, l: 3}\nc: {<<: [*x, *y]}\n"),
            R"({"a":{"k":1},"b":{"k":2,"l":3},"c":{"k":1,"l":3}})");
  EXPECT_THAT(Json("a: {<<: 3}"), HasSubstr("takes mappings only"));
}

TEST(Yaml, DuplicateAndComplexKeysAreRefused) {
  EXPECT_EQ(Json("a: 1\nb: 2\na: 3\n"),
            "line 3, column 1: the key \"a\" occurs twice in one mapping");
  EXPECT_THAT(Json("? [a, b]\n: 1\n"), HasSubstr("a key must be a scalar"));
}

TEST(Yaml, BrokenTextIsAnErrorWithItsLine) {
  EXPECT_THAT(Json("a: 1\n b: 2\n"), HasSubstr("line 2"));
  EXPECT_THAT(Json("a: [1, 2\n"), HasSubstr("line 2"));
  EXPECT_EQ(Json("a: 1\nb: \"x\n"), "line 2, column 4: a quoted string has no end");
  EXPECT_EQ(Json("a: 'it''s"), "line 1, column 10: illegal EOF in scalar");
  EXPECT_EQ(Json("a: ['it''s', \"\\\"\"]"), R"({"a":["it's","\""]})");
  EXPECT_THAT(Json("a: *nowhere\n"), HasSubstr("line 1"));
  EXPECT_THAT(Json("a: !mine x\n"), HasSubstr("\"!mine\" is not supported"));
  EXPECT_THAT(Json(""), HasSubstr("expected one document, got 0"));
  EXPECT_THAT(Json("a: 1\n---\nb: 2\n"), HasSubstr("expected one document, got 2"));
}

// yaml-cpp yields empty documents for ever.
TEST(Yaml, StrayTokensDoNotHang) {
  for (const char* text : {"]", "}", "a: 1\n]\n", "- ]", ",", "a: b: c", "]\n]", "? ]", ": ]"}) {
    EXPECT_FALSE(ParseAll(text).ok()) << text;
  }
}

TEST(Yaml, IsBounded) {
  EXPECT_THAT(ErrorOf(std::string(200, '[') + std::string(200, ']')), HasSubstr("nested deeper"));
  EXPECT_FALSE(ParseAll(std::string(100'000, '[')).ok());
  std::string bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 9; ++i) {
    absl::StrAppend(&bomb, "a", i, ": &a", i, " [");
    for (int j = 0; j < 10; ++j) absl::StrAppend(&bomb, "*a", i - 1, ",");
    absl::StrAppend(&bomb, "]\n");
  }
  EXPECT_THAT(ErrorOf(bomb, {.values_max = 100'000}), HasSubstr("more than 100000 values"));
  EXPECT_THAT(ErrorOf("[1, 2, 3]", {.size_bytes_max = 4}), HasSubstr("more than 4"));
}

TEST(Yaml, WhatIsWrittenIsReadBack) {
  const std::string text =
      "apiVersion: v1\n"
      "metadata:\n"
      "  annotations:\n"
      "    a/b: \"true\"\n"
      "    empty: \"\"\n"
      "    number: \"1e3\"\n"
      "    script: |\n"
      "      first\n"
      "\n"
      "        second\n"
      "spec:\n"
      "  args:\n"
      "  - --a=$(B)\n"
      "  - \"- x\"\n"
      "  - \"a: b\"\n"
      "  - - 1\n"
      "    - null\n"
      "  emptyDir: {}\n"
      "  list: []\n"
      "  ports:\n"
      "  - containerPort: 80\n"
      "    name: http\n";
  const auto tree = Parse(text);
  ASSERT_TRUE(tree.ok()) << tree.status();
  EXPECT_EQ(ToYaml(*tree), text);
  for (const char* hard :
       {"#", "a #b", "a:", ":a", "~", "yes", "0x1f", "\n", "a\nb", " a\n", "a\n\n", "\tx", "\x7f\n",
        "caf\xc3\xa9", "\xe2\x80\xa8\n", "*a", "a: b", "?", "1_000"}) {
    json::Value value = json::Value::Object();
    value.Set("key", json::Value::String(hard));
    value.Set(hard, json::Value::Array()).Append(json::Value::String(hard));
    const auto read = Parse(ToYaml(value));
    ASSERT_TRUE(read.ok()) << ToYaml(value) << read.status();
    EXPECT_EQ(*read, value) << ToYaml(value);
  }
}

}  // namespace
}  // namespace meltemi::yaml
