// Compiled matchers of strings, headers, query parameters and paths. Immutable, thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/http/header_map.h"

namespace re2 {
class RE2;
}

namespace meltemi::proxy {

// RE2, full match. Compilation is bounded (program size), matching is linear.
class Regex {
 public:
  // Error: the pattern and RE2's message.
  static absl::StatusOr<std::shared_ptr<const Regex>> Compile(absl::string_view pattern);
  ~Regex();
  bool FullMatch(absl::string_view text) const;
  // Replaces every match by `substitution`, whose \1 … are checked by the compiler beforehand.
  std::string ReplaceAll(absl::string_view text, absl::string_view substitution) const;
  absl::Status CheckSubstitution(absl::string_view substitution) const;
  const std::string& pattern() const;
  // A text that everything which matches begins with; may be "".
  std::string RequiredPrefix() const;

 private:
  explicit Regex(std::unique_ptr<re2::RE2> regex);
  std::unique_ptr<re2::RE2> regex_;
};

struct StringMatcher {
  enum class Kind : uint8_t { kExact, kPrefix, kSuffix, kContains, kRegex };
  Kind kind = Kind::kExact;
  std::string text;  // lower case when ignore_case
  bool ignore_case = false;
  std::shared_ptr<const Regex> regex;
  bool Matches(absl::string_view value) const;
};

struct HeaderMatcher {
  enum class Kind : uint8_t { kPresent, kString, kRange };
  std::string name;  // lower case; ":path", ":method", ":authority", ":scheme" too
  http::HeaderId id = http::HeaderId::kUnknown;
  Kind kind = Kind::kPresent;
  StringMatcher string;                    // of all values joined with ","
  int64_t range_start = 0, range_end = 0;  // [start, end)
  bool present = true;                     // kPresent: wanted present or wanted absent
  bool invert = false;
  bool treat_missing_as_empty = false;
  bool Matches(const http::HeaderMap& headers) const;
};

struct QueryMatcher {
  std::string name;
  bool present_only = false;  // `present`: true or false wanted
  bool present = true;
  StringMatcher string;
  // `query`: what follows "?" without the fragment. The first parameter of the name counts.
  bool Matches(absl::string_view query) const;
};

struct RouteMatch {
  enum class Path : uint8_t { kPrefix, kExact, kRegex, kPathSeparatedPrefix, kConnect };
  Path path_kind = Path::kPrefix;
  std::string path = "/";  // lower case when !case_sensitive
  std::shared_ptr<const Regex> regex;
  bool case_sensitive = true;
  std::vector<HeaderMatcher> headers;
  std::vector<QueryMatcher> query;
  bool grpc_only = false;
  std::optional<bool> tls;  // wanted: presented TLS or not
  uint32_t fraction_numerator = 100, fraction_denominator = 100;
};

}  // namespace meltemi::proxy
