#include "pilot/translate/route_match.h"

#include <algorithm>
#include <map>
#include <string>

#include "absl/strings/string_view.h"
#include "envoy/config/route/v3/route_components.pb.h"
#include "networking/v1/virtual_service.pb.h"

namespace meltemi::pilot {
namespace {

using envoy::config::route::v3::HeaderMatcher;
using envoy::config::route::v3::RouteMatch;
using networking::StringMatch;

// An empty match, and the regular expression "*" of old, ask only for presence.
bool IsPresence(const StringMatch& match) {
  return match.match_type_case() == StringMatch::MATCH_TYPE_NOT_SET ||
         (match.has_regex() && match.regex() == "*");
}

void AddHeader(const std::string& name, const StringMatch& match, bool invert, RouteMatch* out) {
  HeaderMatcher* matcher = out->add_headers();
  matcher->set_name(name);
  matcher->set_invert_match(invert);
  if (IsPresence(match)) {
    matcher->set_present_match(true);
    return;
  }
  TranslateStringMatch(match, matcher->mutable_string_match());
  // "not this value" holds for a request without the header too.
  if (invert) matcher->set_treat_missing_header_as_empty(true);
}

template <typename Map>
std::map<std::string, StringMatch> Sorted(const Map& map) {
  return {map.begin(), map.end()};
}

void TranslatePath(const networking::HTTPMatchRequest& match, RouteMatch* out) {
  switch (match.uri().match_type_case()) {
    case StringMatch::kExact:
      out->set_path(match.uri().exact());
      break;
    case StringMatch::kPrefix:
      out->set_prefix(match.uri().prefix());
      break;
    case StringMatch::kRegex:
      out->mutable_safe_regex()->set_regex(match.uri().regex());
      break;
    case StringMatch::MATCH_TYPE_NOT_SET:
      out->set_prefix("/");
      break;
  }
  if (match.ignore_uri_case()) out->mutable_case_sensitive()->set_value(false);
}

bool HoldsGateway(const google::protobuf::RepeatedPtrField<std::string>& gateways,
                  const RuleSite& site) {
  return gateways.empty() ||
         std::find(gateways.begin(), gateways.end(), site.gateway) != gateways.end();
}

template <typename Match>
bool HoldsSite(const Match& match, const RuleSite& site) {
  if (!HoldsGateway(match.gateways(), site)) return false;
  if (match.port() != 0 && match.port() != site.port) return false;
  // Source conditions are about callers in the mesh.
  if (site.gateway != "mesh") return true;
  if (!match.source_namespace().empty() && match.source_namespace() != site.ns) return false;
  return LabelsMatch(Labels(match.source_labels().begin(), match.source_labels().end()),
                     site.labels);
}

}  // namespace

bool AppliesAt(const networking::HTTPMatchRequest& match, const RuleSite& site) {
  return HoldsSite(match, site);
}

bool AppliesAt(const networking::L4MatchAttributes& match, const RuleSite& site) {
  return HoldsSite(match, site);
}

bool AppliesAt(const networking::TLSMatchAttributes& match, const RuleSite& site) {
  return HoldsSite(match, site);
}

void TranslateStringMatch(const StringMatch& match, envoy::type::matcher::v3::StringMatcher* out) {
  switch (match.match_type_case()) {
    case StringMatch::kExact:
      out->set_exact(match.exact());
      break;
    case StringMatch::kPrefix:
      out->set_prefix(match.prefix());
      break;
    case StringMatch::kRegex:
      out->mutable_safe_regex()->set_regex(match.regex());
      break;
    case StringMatch::MATCH_TYPE_NOT_SET:
      break;
  }
}

void TranslateMatch(const networking::HTTPMatchRequest& match, RouteMatch* out) {
  TranslatePath(match, out);
  for (const auto& [name, value] : Sorted(match.headers())) AddHeader(name, value, false, out);
  for (const auto& [name, value] : Sorted(match.without_headers())) {
    AddHeader(name, value, true, out);
  }
  if (match.has_method()) AddHeader(":method", match.method(), false, out);
  if (match.has_authority()) AddHeader(":authority", match.authority(), false, out);
  if (match.has_scheme()) AddHeader(":scheme", match.scheme(), false, out);
  for (const auto& [name, value] : Sorted(match.query_params())) {
    auto* parameter = out->add_query_parameters();
    parameter->set_name(name);
    if (IsPresence(value)) {
      parameter->set_present_match(true);
    } else {
      TranslateStringMatch(value, parameter->mutable_string_match());
    }
  }
}

bool MatchesAll(const RouteMatch& match) {
  if (!match.headers().empty() || !match.query_parameters().empty()) return false;
  return (match.has_prefix() && match.prefix() == "/") ||
         (match.has_safe_regex() &&
          (match.safe_regex().regex() == ".*" || match.safe_regex().regex() == "/.*"));
}

}  // namespace meltemi::pilot
