#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/json/parse.h"
#include "base/json/value.h"
#include "base/json/write.h"

namespace meltemi::json {
namespace {

using ::testing::HasSubstr;

std::string ErrorOf(absl::string_view text, const ParseLimits& limits = {}) {
  return std::string(Parse(text, limits).status().message());
}

TEST(JsonParse, KeepsOrderLinesAndDigits) {
  const auto value = Parse("{\n  \"b\": 18446744073709551615,\n  \"a\": [1.50,\n true, null]\n}");
  ASSERT_TRUE(value.ok()) << value.status();
  ASSERT_EQ(value->members().size(), 2u);
  EXPECT_EQ(value->members()[0].key, "b");
  EXPECT_EQ(value->members()[0].line, 2);
  EXPECT_EQ(value->Find("b")->AsUint64(), std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(value->Find("b")->AsInt64(), std::nullopt);
  const Value* list = value->Find("a");
  ASSERT_NE(list, nullptr);
  EXPECT_EQ(list->line(), 3);
  EXPECT_EQ(list->items()[1].line(), 4);
  EXPECT_EQ(list->items()[0].text(), "1.50");
  EXPECT_EQ(ToString(*value), "{\"b\":18446744073709551615,\"a\":[1.50,true,null]}");
}

TEST(JsonParse, IntegersMayBeWrittenAsReals) {
  EXPECT_EQ(Parse("3e2")->AsInt64(), 300);
  EXPECT_EQ(Parse("3.0")->AsUint64(), 3u);
  EXPECT_EQ(Parse("3.5")->AsInt64(), std::nullopt);
  EXPECT_EQ(Parse("-1")->AsUint64(), std::nullopt);
  EXPECT_EQ(Parse("1e300")->AsInt64(), std::nullopt);
  EXPECT_EQ(Parse("-9223372036854775808")->AsInt64(), std::numeric_limits<int64_t>::min());
}

TEST(JsonParse, SaysWhereItIsWrong) {
  EXPECT_THAT(ErrorOf("{\"a\": 1,\n \"a\": 2}"), HasSubstr("line 2"));
  EXPECT_THAT(ErrorOf("{\"a\": 1,\n \"a\": 2}"), HasSubstr("\"a\" occurs twice"));
  EXPECT_THAT(ErrorOf("[1,\n\n 2,]"), HasSubstr("line 3"));
  EXPECT_THAT(ErrorOf("{} {}"), HasSubstr("line 1, column 4"));
  EXPECT_FALSE(Parse("").ok());
  EXPECT_FALSE(Parse("01").ok());
  EXPECT_FALSE(Parse("NaN").ok());
  EXPECT_FALSE(Parse("\"\xff\"").ok());
  EXPECT_FALSE(Parse("\"a\nb\"").ok());
  EXPECT_FALSE(Parse(absl::string_view("{}\0x", 4)).ok());
  EXPECT_FALSE(Parse("{\"a\":1").ok());
}

TEST(JsonParse, IsBounded) {
  const std::string deep = std::string(100, '[') + std::string(100, ']');
  EXPECT_TRUE(Parse(deep).ok());
  EXPECT_THAT(ErrorOf(absl::StrCat("[", deep, "]")), HasSubstr("nested deeper than 100"));
  EXPECT_THAT(ErrorOf(std::string(1'000'000, '[')), HasSubstr("nested deeper than 100"));
  EXPECT_THAT(ErrorOf("[1,2,3]", {.values_max = 3}), HasSubstr("more than 3 values"));
  EXPECT_THAT(ErrorOf("[1,2,3]", {.size_bytes_max = 3}), HasSubstr("more than 3"));
}

TEST(JsonParse, RepeatedKeysCanBeReportedInstead) {
  std::vector<std::string> duplicates;
  const auto value = ParseKeepingLast(
      R"({"a": 1, "spec": {"x": 1, "ports": [{}, {"n": 1, "n": 2, "n": 3}], "x": 2},)"
      R"( "a": {"b": 4}})",
      {}, &duplicates);
  ASSERT_TRUE(value.ok()) << value.status();
  EXPECT_EQ(ToString(*value), R"({"a":{"b":4},"spec":{"x":2,"ports":[{},{"n":3}]}})");
  EXPECT_EQ(duplicates, (std::vector<std::string>{"spec.ports[1].n", "spec.x", "a"}));
  EXPECT_FALSE(Parse(R"({"a": 1, "a": 2})").ok());
}

TEST(JsonWrite, EscapesWhatMustBeEscaped) {
  std::string out;
  AppendEscaped("a\"b\\c\n\t\x01\x7f é \xff\xc0\x80 <&>", &out);
  EXPECT_EQ(out, "a\\\"b\\\\c\\n\\t\\u0001\\u007f é \xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD <&>");
  const auto back = Parse(absl::StrCat("\"", out, "\""));
  ASSERT_TRUE(back.ok()) << back.status();
}

TEST(JsonValue, MembersAreReplacedAddedAndRemoved) {
  Value value = *Parse(R"({"metadata": {"name": "a"}, "spec": null})");
  value.Find("metadata")->Set("name", Value::String("b"));
  value.MutableObject("metadata").Set("uid", Value::String("u"));
  value.MutableObject("spec").Set("replicas", Value::Int(3));
  value.MutableObject("status");
  EXPECT_EQ(value.Find("metadata", "name")->text(), "b");
  EXPECT_EQ(value.Find("metadata", "labels", "app"), nullptr);
  EXPECT_TRUE(value.Remove("metadata"));
  EXPECT_FALSE(value.Remove("metadata"));
  EXPECT_EQ(ToString(value), R"({"spec":{"replicas":3},"status":{}})");
}

TEST(JsonWrite, StreamsNestedDocuments) {
  std::string out;
  Writer writer(&out);
  writer.BeginObject().Key("list").BeginArray().Int(-1).Uint(2).Double(0.1).EndArray();
  writer.Key("empty").BeginObject().EndObject().Key("no").Null().Key("raw").Raw("[1]");
  writer.Key("nan").Double(std::numeric_limits<double>::quiet_NaN()).EndObject();
  EXPECT_EQ(out, R"({"list":[-1,2,0.1],"empty":{},"no":null,"raw":[1],"nan":"NaN"})");
}

TEST(JsonWrite, IndentsOnRequest) {
  const auto value = Parse(R"({"a":{"b":[1,2]},"c":{},"d":[]})");
  EXPECT_EQ(ToString(*value, 2),
            "{\n  \"a\": {\n    \"b\": [\n      1,\n      2\n    ]\n  },\n  \"c\": {},\n"
            "  \"d\": []\n}");
}

TEST(JsonWrite, NumbersReadBackAsTheyWere) {
  for (const double number : {0.1, 1.0 / 3, 1e300, 5e-324, 123456789.125, -0.0}) {
    std::string out;
    Writer(&out).Double(number);
    EXPECT_EQ(Parse(out)->AsDouble(), number) << out;
  }
}

}  // namespace
}  // namespace meltemi::json
