#include "proxy/config/compile/matchers.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "envoy/config/core/v3/base.pb.h"
#include "envoy/config/route/v3/route_components.pb.h"
#include "envoy/type/matcher/v3/regex.pb.h"
#include "envoy/type/matcher/v3/string.pb.h"
#include "envoy/type/v3/percent.pb.h"
#include "google/protobuf/duration.pb.h"
#include "proxy/config/compile/try.h"
#include "proxy/config/compile/unsupported.h"

namespace meltemi::proxy {
namespace {

namespace route_v3 = envoy::config::route::v3;
namespace matcher_v3 = envoy::type::matcher::v3;

using Kind = StringMatcher::Kind;

absl::Status Wrong(absl::string_view where, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(where, ": ", why));
}

}  // namespace

absl::StatusOr<Duration> CompileDuration(const google::protobuf::Duration& duration,
                                         absl::string_view where) {
  constexpr int64_t kSecondsMax = INT64_MAX / 1'000'000'000 - 1;
  if (duration.seconds() < 0 || duration.nanos() < 0) return Wrong(where, "is negative");
  if (duration.seconds() > kSecondsMax || duration.nanos() > 999'999'999) {
    return Wrong(where, "is out of range");
  }
  return seconds(duration.seconds()) + Duration(duration.nanos());
}

Fraction CompileFraction(const envoy::type::v3::FractionalPercent& percent) {
  Fraction fraction{percent.numerator(), 100};
  if (percent.denominator() == envoy::type::v3::FractionalPercent::TEN_THOUSAND) {
    fraction.denominator = 10'000;
  } else if (percent.denominator() == envoy::type::v3::FractionalPercent::MILLION) {
    fraction.denominator = 1'000'000;
  }
  return fraction;
}

Fraction CompileFraction(const envoy::config::core::v3::RuntimeFractionalPercent& percent) {
  return CompileFraction(percent.default_value());
}

absl::StatusOr<std::shared_ptr<const Regex>> CompileRegex(const matcher_v3::RegexMatcher& regex,
                                                          absl::string_view where) {
  RETURN_IF_ERROR(CheckSupported(regex, where, {"google_re2.**", "regex"}));
  if (regex.regex().empty()) return Wrong(where, "'regex' is empty");
  auto compiled = Regex::Compile(regex.regex());
  if (!compiled.ok()) return Wrong(where, compiled.status().message());
  return compiled;
}

absl::StatusOr<RegexRewrite> CompileRegexRewrite(const matcher_v3::RegexMatchAndSubstitute& rewrite,
                                                 absl::string_view where) {
  RETURN_IF_ERROR(CheckSupported(rewrite, where, {"pattern", "substitution"}));
  RegexRewrite out;
  ASSIGN_OR_RETURN(out.pattern, CompileRegex(rewrite.pattern(), absl::StrCat(where, ".pattern")));
  out.substitution = rewrite.substitution();
  if (absl::Status status = out.pattern->CheckSubstitution(out.substitution); !status.ok()) {
    return Wrong(where, status.message());
  }
  return out;
}

absl::StatusOr<StringMatcher> CompileStringMatcher(const matcher_v3::StringMatcher& matcher,
                                                   absl::string_view where) {
  RETURN_IF_ERROR(CheckSupported(
      matcher, where, {"exact", "prefix", "suffix", "safe_regex", "contains", "ignore_case"}));
  StringMatcher out;
  out.ignore_case = matcher.ignore_case();
  switch (matcher.match_pattern_case()) {
    case matcher_v3::StringMatcher::kExact:
      out.text = matcher.exact();
      break;
    case matcher_v3::StringMatcher::kPrefix:
      out.kind = Kind::kPrefix;
      out.text = matcher.prefix();
      break;
    case matcher_v3::StringMatcher::kSuffix:
      out.kind = Kind::kSuffix;
      out.text = matcher.suffix();
      break;
    case matcher_v3::StringMatcher::kContains:
      out.kind = Kind::kContains;
      out.text = matcher.contains();
      break;
    case matcher_v3::StringMatcher::kSafeRegex: {
      if (out.ignore_case) return Wrong(where, "'ignore_case' has no effect on 'safe_regex'");
      out.kind = Kind::kRegex;
      ASSIGN_OR_RETURN(out.regex,
                       CompileRegex(matcher.safe_regex(), absl::StrCat(where, ".safe_regex")));
      break;
    }
    default:
      return Wrong(where, "no match pattern is set");
  }
  if (out.text.empty() &&
      (out.kind == Kind::kPrefix || out.kind == Kind::kSuffix || out.kind == Kind::kContains)) {
    return Wrong(where, "a prefix, suffix or part to match must not be empty");
  }
  if (out.ignore_case) absl::AsciiStrToLower(&out.text);
  return out;
}

namespace {

// The specifiers that were fields of their own before string_match.
absl::StatusOr<StringMatcher> CompileOldHeaderMatch(const route_v3::HeaderMatcher& matcher,
                                                    absl::string_view where) {
  StringMatcher out;
  switch (matcher.header_match_specifier_case()) {
    case route_v3::HeaderMatcher::kExactMatch:
      out.text = matcher.exact_match();
      break;
    case route_v3::HeaderMatcher::kPrefixMatch:
      out.kind = Kind::kPrefix;
      out.text = matcher.prefix_match();
      break;
    case route_v3::HeaderMatcher::kSuffixMatch:
      out.kind = Kind::kSuffix;
      out.text = matcher.suffix_match();
      break;
    case route_v3::HeaderMatcher::kContainsMatch:
      out.kind = Kind::kContains;
      out.text = matcher.contains_match();
      break;
    default: {
      out.kind = Kind::kRegex;
      ASSIGN_OR_RETURN(out.regex, CompileRegex(matcher.safe_regex_match(),
                                               absl::StrCat(where, ".safe_regex_match")));
      break;
    }
  }
  return out;
}

}  // namespace

absl::StatusOr<HeaderMatcher> CompileHeaderMatcher(const route_v3::HeaderMatcher& matcher,
                                                   absl::string_view where) {
  RETURN_IF_ERROR(
      CheckSupported(matcher, where,
                     {"name", "exact_match", "safe_regex_match", "range_match.**", "present_match",
                      "prefix_match", "suffix_match", "contains_match", "string_match",
                      "invert_match", "treat_missing_header_as_empty"}));
  if (matcher.name().empty()) return Wrong(where, "'name' is empty");
  HeaderMatcher out;
  out.name = absl::AsciiStrToLower(matcher.name());
  if (out.name == "host") out.name = ":authority";
  out.id = http::FindHeaderId(out.name);
  out.invert = matcher.invert_match();
  out.treat_missing_as_empty = matcher.treat_missing_header_as_empty();
  switch (matcher.header_match_specifier_case()) {
    case route_v3::HeaderMatcher::HEADER_MATCH_SPECIFIER_NOT_SET:
      out.kind = HeaderMatcher::Kind::kPresent;
      break;
    case route_v3::HeaderMatcher::kPresentMatch:
      out.kind = HeaderMatcher::Kind::kPresent;
      out.present = matcher.present_match();
      break;
    case route_v3::HeaderMatcher::kRangeMatch:
      out.kind = HeaderMatcher::Kind::kRange;
      out.range_start = matcher.range_match().start();
      out.range_end = matcher.range_match().end();
      break;
    case route_v3::HeaderMatcher::kStringMatch: {
      out.kind = HeaderMatcher::Kind::kString;
      ASSIGN_OR_RETURN(out.string, CompileStringMatcher(matcher.string_match(),
                                                        absl::StrCat(where, ".string_match")));
      break;
    }
    default: {
      out.kind = HeaderMatcher::Kind::kString;
      ASSIGN_OR_RETURN(out.string, CompileOldHeaderMatch(matcher, where));
      break;
    }
  }
  return out;
}

absl::StatusOr<std::vector<HeaderMatcher>> CompileHeaderMatchers(
    const google::protobuf::RepeatedPtrField<route_v3::HeaderMatcher>& matchers,
    absl::string_view where) {
  std::vector<HeaderMatcher> out;
  for (int i = 0; i < matchers.size(); ++i) {
    ASSIGN_OR_RETURN(HeaderMatcher compiled,
                     CompileHeaderMatcher(matchers[i], absl::StrCat(where, "[", i, "]")));
    out.push_back(std::move(compiled));
  }
  return out;
}

absl::StatusOr<QueryMatcher> CompileQueryMatcher(const route_v3::QueryParameterMatcher& matcher,
                                                 absl::string_view where) {
  RETURN_IF_ERROR(CheckSupported(matcher, where, {"name", "string_match", "present_match"}));
  if (matcher.name().empty()) return Wrong(where, "'name' is empty");
  QueryMatcher out;
  out.name = matcher.name();
  if (matcher.has_string_match()) {
    ASSIGN_OR_RETURN(out.string, CompileStringMatcher(matcher.string_match(),
                                                      absl::StrCat(where, ".string_match")));
    return out;
  }
  out.present_only = true;
  out.present = matcher.query_parameter_match_specifier_case() !=
                    route_v3::QueryParameterMatcher::kPresentMatch ||
                matcher.present_match();
  return out;
}

}  // namespace meltemi::proxy
