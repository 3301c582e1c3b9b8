// VirtualService matches as Envoy route matches. Pure functions.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "pilot/model/meta.h"

namespace envoy::config::route::v3 {
class RouteMatch;
}
namespace envoy::type::matcher::v3 {
class StringMatcher;
}
namespace istio::networking::v1alpha3 {
class HTTPMatchRequest;
class L4MatchAttributes;
class StringMatch;
class TLSMatchAttributes;
}  // namespace istio::networking::v1alpha3

namespace meltemi::pilot {

namespace networking = ::istio::networking::v1alpha3;

// Where a rule is being applied.
struct RuleSite {
  std::string gateway;  // "mesh" or "NS/NAME"
  std::string ns;       // of the proxy
  Labels labels;        // of the proxy
  uint32_t port = 0;    // on which the request arrives
};

// True if the parts of `match` that are decided beforehand hold at `site`: source labels and
// namespace, gateway, port.
bool AppliesAt(const networking::HTTPMatchRequest& match, const RuleSite& site);
bool AppliesAt(const networking::L4MatchAttributes& match, const RuleSite& site);
bool AppliesAt(const networking::TLSMatchAttributes& match, const RuleSite& site);

// The rest of the match. Headers and query parameters come in order of their names.
void TranslateMatch(const networking::HTTPMatchRequest& match,
                    envoy::config::route::v3::RouteMatch* out);
// True if every request fits.
bool MatchesAll(const envoy::config::route::v3::RouteMatch& match);

void TranslateStringMatch(const networking::StringMatch& match,
                          envoy::type::matcher::v3::StringMatcher* out);

}  // namespace meltemi::pilot
