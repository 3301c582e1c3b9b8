#include "proxy/transport/tls_config.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/strip.h"

namespace meltemi::proxy {
namespace {

// RFC 6125: a wildcard is the whole first label and stands for exactly one.
bool WildcardFits(absl::string_view pattern, absl::string_view name) {
  if (!absl::ConsumePrefix(&pattern, "*.")) return false;
  const size_t dot = name.find('.');
  return dot != absl::string_view::npos && dot > 0 &&
         absl::EqualsIgnoreCase(name.substr(dot + 1), pattern);
}

bool Fits(const NameMatcher& matcher, const tls::SubjectName& name) {
  if (matcher.kind.has_value() && *matcher.kind != name.kind) return false;
  if (matcher.text.Matches(name.text)) return true;
  return name.kind == tls::SubjectName::Kind::kDns &&
         matcher.text.kind == StringMatcher::Kind::kExact &&
         (absl::EqualsIgnoreCase(matcher.text.text, name.text) ||
          WildcardFits(name.text, matcher.text.text));
}

}  // namespace

tls::NameFits NamesFit(std::shared_ptr<const std::vector<NameMatcher>> names) {
  if (names == nullptr || names->empty()) return nullptr;
  return [names = std::move(names)](const tls::SubjectName& name) {
    for (const NameMatcher& matcher : *names) {
      if (Fits(matcher, name)) return true;
    }
    return false;
  };
}

}  // namespace meltemi::proxy
