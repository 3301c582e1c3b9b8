// The small parts that many resources share: string, header and query matchers, regexes, fractions,
// durations. Pure functions; `where` begins the error's text and ends in the field's path.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "proxy/route/matchers.h"
#include "proxy/route/policies.h"

namespace google::protobuf {
class Duration;
template <typename T>
class RepeatedPtrField;
}  // namespace google::protobuf
namespace envoy::config::core::v3 {
class RuntimeFractionalPercent;
}
namespace envoy::config::route::v3 {
class HeaderMatcher;
class QueryParameterMatcher;
}  // namespace envoy::config::route::v3
namespace envoy::type::matcher::v3 {
class RegexMatchAndSubstitute;
class RegexMatcher;
class StringMatcher;
}  // namespace envoy::type::matcher::v3
namespace envoy::type::v3 {
class FractionalPercent;
}

namespace meltemi::proxy {

// Negative durations and such that don't fit 64-bit nanoseconds are errors.
absl::StatusOr<Duration> CompileDuration(const google::protobuf::Duration& duration,
                                         absl::string_view where);
Fraction CompileFraction(const envoy::type::v3::FractionalPercent& percent);
// There is no runtime: the default value counts.
Fraction CompileFraction(const envoy::config::core::v3::RuntimeFractionalPercent& percent);

absl::StatusOr<std::shared_ptr<const Regex>> CompileRegex(
    const envoy::type::matcher::v3::RegexMatcher& regex, absl::string_view where);
absl::StatusOr<RegexRewrite> CompileRegexRewrite(
    const envoy::type::matcher::v3::RegexMatchAndSubstitute& rewrite, absl::string_view where);
absl::StatusOr<StringMatcher> CompileStringMatcher(
    const envoy::type::matcher::v3::StringMatcher& matcher, absl::string_view where);
absl::StatusOr<HeaderMatcher> CompileHeaderMatcher(
    const envoy::config::route::v3::HeaderMatcher& matcher, absl::string_view where);
absl::StatusOr<std::vector<HeaderMatcher>> CompileHeaderMatchers(
    const google::protobuf::RepeatedPtrField<envoy::config::route::v3::HeaderMatcher>& matchers,
    absl::string_view where);
absl::StatusOr<QueryMatcher> CompileQueryMatcher(
    const envoy::config::route::v3::QueryParameterMatcher& matcher, absl::string_view where);

}  // namespace meltemi::proxy
