#include "proxy/route/matchers.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "re2/re2.h"

namespace meltemi::proxy {
namespace {

// RE2's automata never grow above this; a pattern that needs more is refused when it is compiled.
constexpr int64_t kRegexBytesMax = 8 << 20;
// Envoy's default warning level is 100, its hard limit by default none; this bounds compile time.
constexpr int kProgramSizeMax = 100'000;

re2::StringPiece Piece(absl::string_view text) { return {text.data(), text.size()}; }

}  // namespace

Regex::Regex(std::unique_ptr<re2::RE2> regex) : regex_(std::move(regex)) {}
Regex::~Regex() = default;

absl::StatusOr<std::shared_ptr<const Regex>> Regex::Compile(absl::string_view pattern) {
  RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(kRegexBytesMax);
  auto regex = std::make_unique<RE2>(Piece(pattern), options);
  if (!regex->ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("regex \"", pattern, "\" is not RE2: ", regex->error()));
  }
  if (regex->ProgramSize() > kProgramSizeMax) {
    return absl::InvalidArgumentError(absl::StrCat("regex \"", pattern, "\" compiles to ",
                                                   regex->ProgramSize(), " steps; at most ",
                                                   kProgramSizeMax, " are allowed"));
  }
  return std::shared_ptr<const Regex>(new Regex(std::move(regex)));
}

bool Regex::FullMatch(absl::string_view text) const { return RE2::FullMatch(Piece(text), *regex_); }

std::string Regex::ReplaceAll(absl::string_view text, absl::string_view substitution) const {
  std::string out(text);
  RE2::GlobalReplace(&out, *regex_, Piece(substitution));
  return out;
}

absl::Status Regex::CheckSubstitution(absl::string_view substitution) const {
  std::string error;
  if (regex_->CheckRewriteString(Piece(substitution), &error)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("substitution \"", substitution, "\" of regex \"",
                                                 regex_->pattern(), "\": ", error));
}

const std::string& Regex::pattern() const { return regex_->pattern(); }

std::string Regex::RequiredPrefix() const {
  constexpr int kBytesMax = 128;
  std::string low, high;
  if (!regex_->PossibleMatchRange(&low, &high, kBytesMax)) return "";
  // Whatever sorts between two texts begins with what both begin with.
  const size_t common =
      std::mismatch(low.begin(), low.begin() + std::min(low.size(), high.size()), high.begin())
          .first -
      low.begin();
  return low.substr(0, common);
}

bool StringMatcher::Matches(absl::string_view value) const {
  switch (kind) {
    case Kind::kExact:
      return ignore_case ? absl::EqualsIgnoreCase(value, text) : value == text;
    case Kind::kPrefix:
      return ignore_case ? absl::StartsWithIgnoreCase(value, text) : absl::StartsWith(value, text);
    case Kind::kSuffix:
      return ignore_case ? absl::EndsWithIgnoreCase(value, text) : absl::EndsWith(value, text);
    case Kind::kContains:
      return ignore_case ? absl::StrContains(absl::AsciiStrToLower(value), text)
                         : absl::StrContains(value, text);
    case Kind::kRegex:
      return regex->FullMatch(value);
  }
  return false;
}

bool HeaderMatcher::Matches(const http::HeaderMap& headers) const {
  std::string scratch;
  bool found = false;
  absl::string_view value;
  // A known name that is absent costs one bit test. Host is the authority under another name.
  if (id == http::HeaderId::kUnknown || id == http::HeaderId::kHost || headers.Has(id)) {
    value = headers.GetJoined(name, &scratch, &found);
  }
  if (!found && treat_missing_as_empty) {
    found = true;
    value = absl::string_view();
  }
  if (kind == Kind::kPresent) return (found == present) != invert;
  // A header that is not there matches nothing, inverted or not (Envoy's rule).
  if (!found) return false;
  bool matches = false;
  if (kind == Kind::kString) {
    matches = string.Matches(value);
  } else {
    int64_t number = 0;
    matches = absl::SimpleAtoi(value, &number) && number >= range_start && number < range_end;
  }
  return matches != invert;
}

bool QueryMatcher::Matches(absl::string_view query) const {
  while (!query.empty()) {
    const size_t end = query.find('&');
    absl::string_view parameter = query.substr(0, end);
    query = end == absl::string_view::npos ? absl::string_view() : query.substr(end + 1);
    if (!absl::ConsumePrefix(&parameter, name)) continue;
    if (!parameter.empty() && !absl::ConsumePrefix(&parameter, "=")) continue;  // a longer name
    return present_only ? present : string.Matches(parameter);
  }
  return present_only && !present;
}

}  // namespace meltemi::proxy
