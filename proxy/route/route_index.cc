#include "proxy/route/route_index.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "proxy/route/route.h"

namespace meltemi::proxy {

RouteIndex::RouteIndex(const std::vector<std::unique_ptr<Route>>& routes) {
  std::map<std::string, Positions> by_prefix;
  for (uint32_t i = 0; i < routes.size(); ++i) {
    const RouteMatch& match = routes[i]->match;
    if (!match.case_sensitive) {
      others_.push_back(i);
      continue;
    }
    switch (match.path_kind) {
      case RouteMatch::Path::kExact:
        exact_[match.path].push_back(i);
        break;
      case RouteMatch::Path::kPrefix:
      case RouteMatch::Path::kPathSeparatedPrefix:  // the caller checks the separator
        by_prefix[match.path].push_back(i);
        break;
      case RouteMatch::Path::kRegex:  // the caller runs the regex
        by_prefix[match.regex->RequiredPrefix()].push_back(i);
        break;
      case RouteMatch::Path::kConnect:
        others_.push_back(i);
        break;
    }
  }
  // In sorted order all prefixes of a text stand before it, and those not yet closed form a stack.
  std::vector<int32_t> open;
  prefixes_.reserve(by_prefix.size());
  for (auto& [text, positions] : by_prefix) {
    while (!open.empty() && !absl::StartsWith(text, prefixes_[open.back()].text)) open.pop_back();
    const int32_t parent = open.empty() ? -1 : open.back();
    open.push_back(static_cast<int32_t>(prefixes_.size()));
    prefixes_.push_back({text, parent, std::move(positions)});
  }
}

int32_t RouteIndex::LongestPrefix(absl::string_view path) const {
  // The last text that is not above `path` has the longest prefix of it among its ancestors or is
  // it: whatever sorts between a prefix of the path and the path begins with that prefix.
  const auto after = std::upper_bound(
      prefixes_.begin(), prefixes_.end(), path,
      [](absl::string_view p, const Prefix& prefix) { return p < absl::string_view(prefix.text); });
  int32_t i = static_cast<int32_t>(after - prefixes_.begin()) - 1;
  while (i >= 0 && !absl::StartsWith(path, prefixes_[i].text)) i = prefixes_[i].parent;
  return i;
}

}  // namespace meltemi::proxy
