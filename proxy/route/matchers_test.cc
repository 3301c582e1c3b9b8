#include "proxy/route/matchers.h"

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "proxy/route/policies.h"
#include "proxy/route/route_test_builder.h"

namespace meltemi::proxy {
namespace {

using Kind = StringMatcher::Kind;

StringMatcher Matcher(Kind kind, std::string text, bool ignore_case = false) {
  StringMatcher matcher;
  matcher.kind = kind;
  matcher.text = std::move(text);
  matcher.ignore_case = ignore_case;
  return matcher;
}

TEST(StringMatcherTest, EachKind) {
  EXPECT_TRUE(Matcher(Kind::kExact, "abc").Matches("abc"));
  EXPECT_FALSE(Matcher(Kind::kExact, "abc").Matches("abcd"));
  EXPECT_TRUE(Matcher(Kind::kPrefix, "ab").Matches("abc"));
  EXPECT_FALSE(Matcher(Kind::kPrefix, "bc").Matches("abc"));
  EXPECT_TRUE(Matcher(Kind::kSuffix, "bc").Matches("abc"));
  EXPECT_FALSE(Matcher(Kind::kSuffix, "ab").Matches("abc"));
  EXPECT_TRUE(Matcher(Kind::kContains, "b").Matches("abc"));
  EXPECT_FALSE(Matcher(Kind::kContains, "x").Matches("abc"));
  StringMatcher regex;
  regex.kind = Kind::kRegex;
  regex.regex = *Regex::Compile("a.c");
  EXPECT_TRUE(regex.Matches("abc"));
  EXPECT_FALSE(regex.Matches("xabc"));
}

TEST(StringMatcherTest, IgnoresCaseWhenTold) {
  for (const Kind kind : {Kind::kExact, Kind::kPrefix, Kind::kSuffix, Kind::kContains}) {
    EXPECT_TRUE(Matcher(kind, "abc", true).Matches("ABC"));
    EXPECT_FALSE(Matcher(kind, "abc").Matches("ABC"));
  }
}

TEST(RegexTest, ABadPatternIsAnErrorWithRe2sWords) {
  const auto regex = Regex::Compile("a(b");
  ASSERT_FALSE(regex.ok());
  EXPECT_EQ(regex.status().message(), "regex \"a(b\" is not RE2: missing ): a(b");
}

TEST(RegexTest, SubstitutionIsCheckedBeforehand) {
  const auto regex = *Regex::Compile("^/service/([^/]+)(/.*)$");
  EXPECT_TRUE(regex->CheckSubstitution("\\2/instance/\\1").ok());
  EXPECT_EQ(regex->ReplaceAll("/service/foo/v1/api", "\\2/instance/\\1"), "/v1/api/instance/foo");
  EXPECT_FALSE(regex->CheckSubstitution("\\3").ok());
}

TEST(RegexTest, RequiredPrefixIsNeverTooLong) {
  const std::pair<const char*, const char*> table[] = {
      {"/api/v1/items/[0-9]+", "/api/v1/items/"},
      {"/a|/b", "/"},
      {"/abc", "/abc"},
      {"/abc?", "/ab"},
      {"/ab*", "/a"},
      {".*/x", ""},
      {"(?i)/abc", "/"},
      {"^/abc/.*$", "/abc/"},
      {"/(foo|bar)/x", "/"},
      {"a?", ""},
      {"", ""},
  };
  for (const auto& [pattern, longest] : table) {
    const std::string prefix = (*Regex::Compile(pattern))->RequiredPrefix();
    EXPECT_TRUE(absl::StartsWith(longest, prefix)) << pattern << " -> " << prefix;
  }
  EXPECT_EQ((*Regex::Compile("/api/v1/items/[0-9]+"))->RequiredPrefix(), "/api/v1/items/");
}

bool Header(const HeaderMatcher& matcher,
            const std::vector<std::pair<std::string, std::string>>& headers) {
  return matcher.Matches(*Get("a.com", "/p", headers));
}

TEST(HeaderMatcherTest, PresentAndAbsent) {
  HeaderMatcher matcher;
  matcher.name = "x";
  EXPECT_TRUE(Header(matcher, {{"x", ""}}));
  EXPECT_FALSE(Header(matcher, {}));
  matcher.present = false;
  EXPECT_FALSE(Header(matcher, {{"x", ""}}));
  EXPECT_TRUE(Header(matcher, {}));
  matcher.invert = true;
  EXPECT_TRUE(Header(matcher, {{"x", ""}}));
}

TEST(HeaderMatcherTest, InvertedDoesNotMatchWhatIsNotThere) {
  HeaderMatcher matcher = HeaderIs("x", Kind::kExact, "1");
  matcher.invert = true;
  EXPECT_TRUE(Header(matcher, {{"x", "2"}}));
  EXPECT_FALSE(Header(matcher, {{"x", "1"}}));
  EXPECT_FALSE(Header(matcher, {}));
  matcher.treat_missing_as_empty = true;  // as Istio's withoutHeaders are written
  EXPECT_TRUE(Header(matcher, {}));
}

TEST(HeaderMatcherTest, SeveralValuesAreOne) {
  EXPECT_TRUE(Header(HeaderIs("x", Kind::kExact, "1,2"), {{"x", "1"}, {"y", "z"}, {"x", "2"}}));
}

TEST(HeaderMatcherTest, Range) {
  HeaderMatcher matcher;
  matcher.name = "x";
  matcher.kind = HeaderMatcher::Kind::kRange;
  matcher.range_start = -10;
  matcher.range_end = 0;
  EXPECT_TRUE(Header(matcher, {{"x", "-1"}}));
  EXPECT_TRUE(Header(matcher, {{"x", "-10"}}));
  EXPECT_FALSE(Header(matcher, {{"x", "0"}}));
  EXPECT_FALSE(Header(matcher, {{"x", "somestring"}}));
  EXPECT_FALSE(Header(matcher, {{"x", "10.9"}}));
  EXPECT_FALSE(Header(matcher, {{"x", "-1somestring"}}));
}

TEST(HeaderMatcherTest, PseudoHeadersAndKnownOnes) {
  EXPECT_TRUE(Header(HeaderIs(":method", Kind::kExact, "GET"), {}));
  EXPECT_TRUE(Header(HeaderIs(":authority", Kind::kSuffix, ".com"), {}));
  EXPECT_TRUE(Header(HeaderIs(":path", Kind::kPrefix, "/"), {}));
  EXPECT_TRUE(Header(HeaderIs("host", Kind::kExact, "a.com"), {}));
  EXPECT_TRUE(Header(HeaderIs("user-agent", Kind::kContains, "curl"), {{"user-agent", "curl/7"}}));
  EXPECT_FALSE(Header(HeaderIs("user-agent", Kind::kContains, "curl"), {}));
}

TEST(QueryMatcherTest, TheFirstParameterOfTheNameCounts) {
  QueryMatcher matcher;
  matcher.name = "id";
  matcher.string = Matcher(Kind::kExact, "1");
  EXPECT_TRUE(matcher.Matches("id=1"));
  EXPECT_TRUE(matcher.Matches("a=b&id=1&id=2"));
  EXPECT_FALSE(matcher.Matches("a=b&id=2&id=1"));
  EXPECT_FALSE(matcher.Matches("idx=1"));
  EXPECT_FALSE(matcher.Matches("a=id=1"));
  EXPECT_FALSE(matcher.Matches(""));
  matcher.string.text = "";
  EXPECT_TRUE(matcher.Matches("id"));
  EXPECT_TRUE(matcher.Matches("id="));
}

TEST(QueryMatcherTest, PresentOrAbsent) {
  QueryMatcher matcher;
  matcher.name = "debug";
  matcher.present_only = true;
  EXPECT_TRUE(matcher.Matches("a&debug"));
  EXPECT_FALSE(matcher.Matches("a&debugx=1"));
  matcher.present = false;
  EXPECT_FALSE(matcher.Matches("a&debug=1"));
  EXPECT_TRUE(matcher.Matches("a"));
  EXPECT_TRUE(matcher.Matches(""));
}

TEST(ParseRetryOnTest, WordsBitsAndBareNumbers) {
  uint32_t bits = 0;
  std::vector<uint32_t> codes;
  std::string bad;
  ASSERT_TRUE(ParseRetryOn("connect-failure,refused-stream, unavailable,cancelled,503", &bits,
                           &codes, &bad));
  EXPECT_EQ(bits, kRetryConnectFailure | kRetryRefusedStream | kRetryGrpcUnavailable |
                      kRetryGrpcCancelled | kRetryRetriableStatusCodes);
  EXPECT_EQ(codes, std::vector<uint32_t>{503});
  EXPECT_FALSE(ParseRetryOn("5xx,on-sundays", &bits, &codes, &bad));
  EXPECT_EQ(bad, "on-sundays");
  EXPECT_FALSE(ParseRetryOn("99", &bits, &codes, &bad));
}

}  // namespace
}  // namespace meltemi::proxy
