#include "kube/selector/selector.h"

#include <string>
#include <utility>

#include "base/json/parse.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kube/selector/quote.h"

namespace meltemi::kube {
namespace {

using ::testing::ElementsAre;

LabelSelector Labels(absl::string_view text) {
  absl::StatusOr<LabelSelector> selector = LabelSelector::Parse(text);
  EXPECT_TRUE(selector.ok()) << text << ": " << selector.status();
  return selector.value_or(LabelSelector::Nothing());
}

std::string LabelError(absl::string_view text) {
  absl::StatusOr<LabelSelector> selector = LabelSelector::Parse(text);
  return selector.ok() ? "parsed as " + selector->ToString()
                       : std::string(selector.status().message());
}

const StringPairs kWeb = {{"app", "web"}, {"tier", "3"}, {"x", ""}};

TEST(LabelSelector, MatchesByEveryOperator) {
  for (absl::string_view text :
       {"", "app", "app=web", "app==web", "app!=db", "none!=db", "app in (db,web)",
        "app notin (db)", "none notin (db)", "!none", "tier>2", "tier<4", "x=", "x in ()",
        "x in (,)", "app=web,tier=3", " app = web ,\ttier = 3 ", "app,!y"}) {
    EXPECT_TRUE(Labels(text).Matches(kWeb)) << text;
  }
  for (absl::string_view text :
       {"none", "app=db", "app!=web", "app in (db)", "app notin (web,db)", "!app", "tier>3",
        "tier<3", "app>1", "none>1", "app=", "app=web,tier=4", "none=", "none in ()"}) {
    EXPECT_FALSE(Labels(text).Matches(kWeb)) << text;
  }
}

TEST(LabelSelector, IsWrittenSortedByKey) {
  const std::pair<absl::string_view, absl::string_view> kCases[] = {
      {"b=2,a=1", "a=1,b=2"},
      {"x in (c,a,,b)", "x in (,a,b,c)"},
      {"x in (b,a,b)", "x in (a,b)"},
      {"!z,y", "y,!z"},
      {"a notin ( x )", "a notin (x)"},
      {"a>1,a<5", "a>1,a<5"},
      {"a!=b", "a!=b"},
      {"in in (in,notin)", "in in (in,notin)"},
      {"notin=in", "notin=in"},
      {"x=,y", "x=,y"},
      {"example.com/app=web", "example.com/app=web"},
  };
  for (const auto& [text, written] : kCases) {
    EXPECT_EQ(Labels(text).ToString(), written) << text;
    EXPECT_EQ(Labels(written).ToString(), written);
  }
}

TEST(LabelSelector, RefusesInKubernetesWords) {
  const std::pair<absl::string_view, absl::string_view> kCases[] = {
      {"x=a||y=b",
       "unable to parse requirement: values[0][x]: Invalid value: \"a||y\": a valid label must be "
       "an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
       "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex "
       "used "
       "for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"},
      {"x==a==b", "found '==', expected: ',' or 'end of string'"},
      {"!x=a", "found '=', expected: ',' or 'end of string'"},
      {"x<a",
       "unable to parse requirement: values[0]: Invalid value: \"a\": for 'Gt', 'Lt' operators, "
       "the "
       "value must be an integer"},
      {"=", "found '=', expected: !, identifier, or 'end of string'"},
      {"x,", "found '', expected: identifier after ','"},
      {",x", "found ',', expected: !, identifier, or 'end of string'"},
      {"!", "unable to parse requirement: found '', expected: identifier"},
      {"x in", "unable to parse requirement: found '' expected: '('"},
      {"x in a", "unable to parse requirement: found 'a' expected: '('"},
      {"x in (", "unable to parse requirement: found '', expected: ',', ')' or identifier"},
      {"x in (a", "unable to parse requirement: found '', expected: ',' or ')'"},
      {"x in (a,", "unable to parse requirement: found '', expected: ',', or identifier"},
      {"x in (a b)", "unable to parse requirement: found 'b', expected: ',' or ')'"},
      {"x y", "unable to parse requirement: found 'y', expected: in, notin, =, ==, !=, gt, lt"},
      {"x=(", "unable to parse requirement: found '(', expected: identifier"},
      {"!x in (a)", "found 'in', expected: ',' or 'end of string'"},
      {"a b=c", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"},
      {"-a",
       "unable to parse requirement: <nil>: Invalid value: \"-a\": name part must consist of "
       "alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
       "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
       "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"},
  };
  for (const auto& [text, message] : kCases) EXPECT_EQ(LabelError(text), message) << text;
  EXPECT_EQ(LabelSelector::Parse("x y").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(LabelError("a in (x,-,.)"), ::testing::StartsWith("unable to parse requirement: ["));
}

absl::StatusOr<LabelSelector> OfJson(absl::string_view text) {
  absl::StatusOr<json::Value> value = json::Parse(text);
  EXPECT_TRUE(value.ok()) << value.status();
  return LabelSelector::FromJson(&*value);
}

TEST(LabelSelector, OfJsonIsTheSameAsItsText) {
  absl::StatusOr<LabelSelector> selector =
      OfJson(R"({"matchLabels":{"b":"2","a":"1"},"matchExpressions":[)"
             R"({"key":"c","operator":"In","values":["y","x"]},)"
             R"({"key":"d","operator":"NotIn","values":["z"]},)"
             R"({"key":"e","operator":"Exists"},{"key":"f","operator":"DoesNotExist"}]})");
  ASSERT_TRUE(selector.ok()) << selector.status();
  EXPECT_EQ(selector->ToString(), "a=1,b=2,c in (x,y),d notin (z),e,!f");
  EXPECT_TRUE(selector->Matches({{"a", "1"}, {"b", "2"}, {"c", "x"}, {"e", ""}}));
  EXPECT_FALSE(selector->Matches({{"a", "1"}, {"b", "2"}, {"c", "x"}, {"e", ""}, {"f", ""}}));
}

TEST(LabelSelector, MissingMatchesNothingAndEmptyEverything) {
  absl::StatusOr<LabelSelector> missing = LabelSelector::FromJson(nullptr);
  ASSERT_TRUE(missing.ok());
  EXPECT_FALSE(missing->Matches(kWeb));
  EXPECT_FALSE(missing->empty());
  EXPECT_FALSE(OfJson("null")->Matches({}));
  EXPECT_TRUE(OfJson("{}")->Matches(kWeb));
  EXPECT_TRUE(OfJson("{}")->empty());
}

TEST(LabelSelector, OfJsonRefusesInKubernetesWords) {
  EXPECT_EQ(OfJson(R"({"matchExpressions":[{"key":"a","operator":"Foo"}]})").status().message(),
            "\"Foo\" is not a valid label selector operator");
  EXPECT_EQ(OfJson(R"({"matchExpressions":[{"key":"a","operator":"In"}]})").status().message(),
            "values: Invalid value: []string(nil): for 'in', 'notin' operators, values set can't "
            "be empty");
  EXPECT_EQ(OfJson(R"({"matchExpressions":[{"key":"a","operator":"Exists","values":["b","c"]}]})")
                .status()
                .message(),
            "values: Invalid value: []string{\"b\", \"c\"}: values set must be empty for exists "
            "and does not exist");
}

FieldSelector Fields(absl::string_view text) {
  absl::StatusOr<FieldSelector> selector = FieldSelector::Parse(text);
  EXPECT_TRUE(selector.ok()) << text << ": " << selector.status();
  return selector.value_or(FieldSelector());
}

TEST(FieldSelector, MatchesEqualAndUnequal) {
  StringPairs pod = {{"metadata.name", "web"}, {"spec.nodeName", "n1"}, {"status.phase", "a,b=c"}};
  for (absl::string_view text : {"", "metadata.name=web", "metadata.name==web", "spec.nodeName!=n2",
                                 "other=", "metadata.name=web,spec.nodeName=n1",
                                 "status.phase=a\\,b\\=c", ",metadata.name=web,"}) {
    EXPECT_TRUE(Fields(text).Matches(pod)) << text;
  }
  for (absl::string_view text :
       {"metadata.name=db", "spec.nodeName!=n1", "other=x", "metadata.name=web,spec.nodeName=n2"}) {
    EXPECT_FALSE(Fields(text).Matches(pod)) << text;
  }
  EXPECT_EQ(Fields("spec.nodeName=n1,metadata.name!=x").RequiredValue("spec.nodeName"), "n1");
  EXPECT_EQ(Fields("metadata.name!=x").RequiredValue("metadata.name"), std::nullopt);
  EXPECT_TRUE(Fields(",,").empty());
  EXPECT_TRUE(Fields("=,!=").empty());
}

TEST(FieldSelector, IsWrittenSortedAndEscaped) {
  EXPECT_EQ(Fields("b==2,a!=1").ToString(), "a!=1,b=2");
  EXPECT_EQ(Fields(R"(a=x\,y\=z\\)").ToString(), R"(a=x\,y\=z\\)");
  EXPECT_THAT(Fields(R"(a=x\,y)").terms(),
              ElementsAre(::testing::Field(&FieldSelector::Term::value, "x,y")));
}

TEST(FieldSelector, RefusesInKubernetesWords) {
  const std::pair<absl::string_view, absl::string_view> kCases[] = {
      {"a", "invalid selector: 'a'; can't understand 'a'"},
      {"a=1,b", "invalid selector: 'a=1,b'; can't understand 'b'"},
      {"a=b=c", "invalid field selector: unescaped character in value: 61"},
      {"a===b", "invalid field selector: unescaped character in value: 61"},
      {"a=\\x", "invalid field selector: invalid escape sequence: \\x"},
      {"a=b\\", "invalid field selector: invalid escape sequence: \\"},
  };
  for (const auto& [text, message] : kCases) {
    EXPECT_EQ(FieldSelector::Parse(text).status().message(), message) << text;
  }
}

TEST(GoQuoted, EscapesWhatCannotBePrinted) {
  EXPECT_EQ(GoQuoted("a\"b\\c\n\x01\x7f\xff é"), "\"a\\\"b\\\\c\\n\\x01\\x7f\\xff é\"");
}

}  // namespace
}  // namespace meltemi::kube
