#include "proxy/config/compile/rbac.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "envoy/config/core/v3/address.pb.h"
#include "envoy/config/core/v3/extension.pb.h"
#include "envoy/config/rbac/v3/rbac.pb.h"
#include "envoy/extensions/filters/http/rbac/v3/rbac.pb.h"
#include "envoy/extensions/filters/network/rbac/v3/rbac.pb.h"
#include "envoy/extensions/path/match/uri_template/v3/uri_template_match.pb.h"
#include "google/protobuf/any.pb.h"
#include "proxy/config/compile/matchers.h"
#include "proxy/config/compile/try.h"
#include "proxy/config/compile/unsupported.h"
#include "proxy/filters/rbac/rbac.h"

namespace meltemi::proxy {
namespace {

namespace rbac_v3 = envoy::config::rbac::v3;
namespace matcher_v3 = envoy::type::matcher::v3;
namespace http_v3 = envoy::extensions::filters::http::rbac::v3;
namespace network_v3 = envoy::extensions::filters::network::rbac::v3;

using UriTemplate = envoy::extensions::path::match::uri_template::v3::UriTemplateMatchConfig;
using rbac_v3::Permission;
using rbac_v3::Principal;

constexpr char kPeerPrincipal[] = "io.istio.peer_principal";
constexpr uint32_t kPortMax = 65535;

absl::Status Wrong(absl::string_view where, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(where, ": ", why));
}

template <typename Condition>
RbacRule Rule(Condition condition) {
  RbacRule rule;
  rule.condition = std::move(condition);
  return rule;
}

RbacRule Always() { return Rule(rbac::Set{}); }

absl::StatusOr<RbacRule> CompileAny(bool any, const std::string& where) {
  if (!any) return Wrong(where, "'any' must be true");
  return Always();
}

absl::StatusOr<RbacRule> CompileIp(const envoy::config::core::v3::CidrRange& range,
                                   rbac::Whose whose, const std::string& where) {
  auto cidr =
      net::Cidr::Parse(absl::StrCat(range.address_prefix(), "/", range.prefix_len().value()));
  if (!cidr.ok()) return Wrong(where, cidr.status().message());
  return Rule(rbac::Ip{whose, *std::move(cidr)});
}

absl::StatusOr<RbacRule> CompilePath(const matcher_v3::PathMatcher& path,
                                     const std::string& where) {
  const std::string here = where + ".url_path";
  RETURN_IF_ERROR(CheckSupported(path, here, {"path"}));
  if (!path.has_path()) return Wrong(here, "'path' is not set");
  rbac::UrlPath out;
  ASSIGN_OR_RETURN(out.matcher, CompileStringMatcher(path.path(), here + ".path"));
  return Rule(std::move(out));
}

absl::StatusOr<RbacRule> CompileHeader(const envoy::config::route::v3::HeaderMatcher& header,
                                       const std::string& where) {
  ASSIGN_OR_RETURN(HeaderMatcher matcher, CompileHeaderMatcher(header, where + ".header"));
  return Rule(std::move(matcher));
}

// A set of rules of either kind; `compile` is CompilePermission or CompilePrincipal.
template <typename List, typename Compile>
absl::StatusOr<RbacRule> CompileSet(const List& rules, bool all, const std::string& where,
                                    Compile compile) {
  if (rules.empty()) return Wrong(where, "is empty");
  rbac::Set set{.all = all, .rules = {}};
  for (int i = 0; i < rules.size(); ++i) {
    ASSIGN_OR_RETURN(RbacRule rule, compile(rules[i], absl::StrCat(where, "[", i, "]")));
    set.rules.push_back(std::move(rule));
  }
  // One rule is itself, whichever set it is in: pilots write many such.
  if (set.rules.size() == 1) {
    RbacRule only = std::move(set.rules[0]);
    return only;
  }
  return Rule(std::move(set));
}

// What "*" and "**" in a template stand for: a segment, or any number of them (Envoy's
// uri_template).
constexpr char kSegment[] = "[a-zA-Z0-9\\-._~%!$&'()+,;:@=]+";
constexpr char kSegments[] = "[a-zA-Z0-9\\-._~%!$&'()+,;:@=/]*";

std::string Quoted(absl::string_view text) {
  std::string pattern;
  for (const char c : text) {
    if (!absl::ascii_isalnum(c)) pattern += '\\';
    pattern += c;
  }
  return pattern;
}

// "/a/*/b/**" as a regex. Variables ("{name}") are not supported.
absl::StatusOr<std::string> TemplateRegex(absl::string_view path, const std::string& where) {
  if (!absl::ConsumePrefix(&path, "/")) return Wrong(where, "the template must begin with '/'");
  std::string regex;
  bool ended = false;
  for (const absl::string_view segment : absl::StrSplit(path, '/')) {
    absl::StrAppend(&regex, "/");
    const bool any = segment == "*", all = segment == "**";
    if (ended && (any || all)) return Wrong(where, "nothing can be open after '**'");
    const bool literal = std::all_of(segment.begin(), segment.end(), [](char c) {
      return absl::ascii_isprint(c) && c != '*' && c != '{' && c != '}';
    });
    if (!any && !all && !literal) {
      return Wrong(where, absl::StrCat("segment '", segment, "' is not supported"));
    }
    ended |= all;
    absl::StrAppend(&regex, any ? kSegment : all ? kSegments : Quoted(segment));
  }
  return regex;
}

absl::StatusOr<RbacRule> CompileTemplate(
    const envoy::config::core::v3::TypedExtensionConfig& config, const std::string& where) {
  UriTemplate uri_template;
  RETURN_IF_ERROR(UnpackAny(config.typed_config(), where, &uri_template));
  RETURN_IF_ERROR(CheckSupported(uri_template, where, {"path_template"}));
  ASSIGN_OR_RETURN(const std::string regex, TemplateRegex(uri_template.path_template(), where));
  rbac::UrlPath out;
  out.matcher.kind = StringMatcher::Kind::kRegex;
  ASSIGN_OR_RETURN(out.matcher.regex, Regex::Compile(regex));
  return Rule(std::move(out));
}

// ---- Permissions --------------------------------------------------------------------------------

absl::StatusOr<RbacRule> CompilePort(uint32_t port, const std::string& where) {
  if (port > kPortMax) return Wrong(where, "'destination_port' must be at most 65535");
  return Rule(rbac::Port{port, port + 1});
}

absl::StatusOr<RbacRule> CompilePortRange(const envoy::type::v3::Int32Range& range,
                                          const std::string& where) {
  if (range.start() < 0 || range.end() > static_cast<int>(kPortMax) + 1 ||
      range.start() >= range.end()) {
    return Wrong(where, "'destination_port_range' is no range of ports");
  }
  return Rule(rbac::Port{static_cast<uint32_t>(range.start()), static_cast<uint32_t>(range.end())});
}

absl::StatusOr<RbacRule> CompilePermission(const Permission& permission, const std::string& where) {
  RETURN_IF_ERROR(
      CheckSupported(permission, where,
                     {"and_rules.rules", "or_rules.rules", "any", "header", "url_path",
                      "destination_ip.**", "destination_port", "destination_port_range.**",
                      "not_rule", "uri_template.**", "requested_server_name"}));
  switch (permission.rule_case()) {
    case Permission::kAndRules:
      return CompileSet(permission.and_rules().rules(), true, where + ".and_rules",
                        CompilePermission);
    case Permission::kOrRules:
      return CompileSet(permission.or_rules().rules(), false, where + ".or_rules",
                        CompilePermission);
    case Permission::kAny:
      return CompileAny(permission.any(), where);
    case Permission::kHeader:
      return CompileHeader(permission.header(), where);
    case Permission::kUrlPath:
      return CompilePath(permission.url_path(), where);
    case Permission::kDestinationIp:
      return CompileIp(permission.destination_ip(), rbac::Whose::kLocal, where + ".destination_ip");
    case Permission::kDestinationPort:
      return CompilePort(permission.destination_port(), where);
    case Permission::kDestinationPortRange:
      return CompilePortRange(permission.destination_port_range(), where);
    case Permission::kNotRule: {
      ASSIGN_OR_RETURN(RbacRule rule,
                       CompilePermission(permission.not_rule(), where + ".not_rule"));
      rule.negated = !rule.negated;
      return rule;
    }
    case Permission::kRequestedServerName: {
      rbac::ServerName name;
      ASSIGN_OR_RETURN(name.matcher, CompileStringMatcher(permission.requested_server_name(),
                                                          where + ".requested_server_name"));
      return Rule(std::move(name));
    }
    case Permission::kUriTemplate:
      return CompileTemplate(permission.uri_template(), where + ".uri_template");
    default:
      return Wrong(where, "no rule is set");
  }
}

// ---- Principals ---------------------------------------------------------------------------------

absl::StatusOr<RbacRule> CompileAuthenticated(const Principal::Authenticated& authenticated,
                                              const std::string& where) {
  RETURN_IF_ERROR(CheckSupported(authenticated, where, {"principal_name"}));
  rbac::Authenticated out;
  if (authenticated.has_principal_name()) {
    out.any_name = false;
    ASSIGN_OR_RETURN(
        out.name, CompileStringMatcher(authenticated.principal_name(), where + ".principal_name"));
  }
  return Rule(std::move(out));
}

absl::StatusOr<RbacRule> CompileFilterState(const matcher_v3::FilterStateMatcher& state,
                                            const std::string& where) {
  RETURN_IF_ERROR(CheckSupported(state, where, {"key", "string_match"}));
  if (state.key() != kPeerPrincipal || !state.has_string_match()) {
    return Wrong(where, absl::StrCat("only '", kPeerPrincipal,
                                     "' with 'string_match' is "
                                     "supported, not '",
                                     state.key(), "'"));
  }
  rbac::PeerPrincipal out;
  ASSIGN_OR_RETURN(out.name, CompileStringMatcher(state.string_match(), where + ".string_match"));
  return Rule(std::move(out));
}

absl::StatusOr<RbacRule> CompilePrincipal(const Principal& principal, const std::string& where) {
  RETURN_IF_ERROR(CheckSupported(
      principal, where,
      {"and_ids.ids", "or_ids.ids", "any", "authenticated", "source_ip.**", "direct_remote_ip.**",
       "remote_ip.**", "header", "url_path", "filter_state", "not_id"}));
  switch (principal.identifier_case()) {
    case Principal::kAndIds:
      return CompileSet(principal.and_ids().ids(), true, where + ".and_ids", CompilePrincipal);
    case Principal::kOrIds:
      return CompileSet(principal.or_ids().ids(), false, where + ".or_ids", CompilePrincipal);
    case Principal::kAny:
      return CompileAny(principal.any(), where);
    case Principal::kAuthenticated:
      return CompileAuthenticated(principal.authenticated(), where + ".authenticated");
    case Principal::kSourceIp:
      // Honours the PROXY protocol, which is not here, and not x-forwarded-for.
      return CompileIp(principal.source_ip(), rbac::Whose::kDirectRemote, where + ".source_ip");
    case Principal::kDirectRemoteIp:
      return CompileIp(principal.direct_remote_ip(), rbac::Whose::kDirectRemote,
                       where + ".direct_remote_ip");
    case Principal::kRemoteIp:
      return CompileIp(principal.remote_ip(), rbac::Whose::kRemote, where + ".remote_ip");
    case Principal::kHeader:
      return CompileHeader(principal.header(), where);
    case Principal::kUrlPath:
      return CompilePath(principal.url_path(), where);
    case Principal::kFilterState:
      return CompileFilterState(principal.filter_state(), where + ".filter_state");
    case Principal::kNotId: {
      ASSIGN_OR_RETURN(RbacRule rule, CompilePrincipal(principal.not_id(), where + ".not_id"));
      rule.negated = !rule.negated;
      return rule;
    }
    default:
      return Wrong(where, "no identifier is set");
  }
}

// ---- Policies and filters -----------------------------------------------------------------------

template <typename List, typename Compile>
absl::StatusOr<std::vector<RbacRule>> CompileList(const List& list, const std::string& where,
                                                  Compile compile) {
  if (list.empty()) return Wrong(where, "is empty");
  std::vector<RbacRule> out;
  for (int i = 0; i < list.size(); ++i) {
    ASSIGN_OR_RETURN(RbacRule rule, compile(list[i], absl::StrCat(where, "[", i, "]")));
    out.push_back(std::move(rule));
  }
  return out;
}

// Filters of both kinds have the same fields for this.
template <typename Filter>
absl::StatusOr<RbacConfig> CompileConfig(const Filter& filter, const std::string& where) {
  RbacConfig out;
  if (filter.has_rules()) {
    ASSIGN_OR_RETURN(out.rules, CompileRbacRules(filter.rules(), where + ": rules"));
  }
  if (filter.has_shadow_rules()) {
    ASSIGN_OR_RETURN(out.shadow_rules,
                     CompileRbacRules(filter.shadow_rules(), where + ": shadow_rules"));
  }
  return out;
}

absl::Status CheckHttp(const http_v3::RBAC& filter, const std::string& where) {
  return CheckSupported(filter, where,
                        {"rules", "rules_stat_prefix", "shadow_rules", "shadow_rules_stat_prefix"});
}

}  // namespace

absl::StatusOr<std::shared_ptr<const RbacRules>> CompileRbacRules(const rbac_v3::RBAC& rules,
                                                                  const std::string& where) {
  RETURN_IF_ERROR(CheckSupported(rules, where, {"action", "policies"}));
  auto out = std::make_shared<RbacRules>();
  switch (rules.action()) {
    case rbac_v3::RBAC::ALLOW:
      out->action = RbacAction::kAllow;
      break;
    case rbac_v3::RBAC::DENY:
      out->action = RbacAction::kDeny;
      break;
    case rbac_v3::RBAC::LOG:
      out->action = RbacAction::kLog;
      break;
    default:
      return Wrong(where, absl::StrCat("'action' has the unknown value ", rules.action()));
  }
  std::map<std::string, const rbac_v3::Policy*> by_name;
  for (const auto& [name, policy] : rules.policies()) by_name[name] = &policy;
  for (const auto& [name, policy] : by_name) {
    const std::string here = absl::StrCat(where, ": policy '", name, "'");
    RETURN_IF_ERROR(CheckSupported(*policy, here, {"permissions", "principals"}));
    ASSIGN_OR_RETURN(auto what,
                     CompileList(policy->permissions(), here + ": permissions", CompilePermission));
    ASSIGN_OR_RETURN(auto who,
                     CompileList(policy->principals(), here + ": principals", CompilePrincipal));
    out->policies.emplace_back(name, std::move(what), std::move(who));
  }
  return std::shared_ptr<const RbacRules>(std::move(out));
}

absl::StatusOr<std::shared_ptr<const FilterConfig>> CompileHttpRbac(
    const google::protobuf::Any& any, absl::string_view name, const std::string& where) {
  http_v3::RBAC filter;
  RETURN_IF_ERROR(UnpackAny(any, where, &filter));
  RETURN_IF_ERROR(CheckHttp(filter, where));
  ASSIGN_OR_RETURN(RbacConfig config, CompileConfig(filter, where));
  return NewHttpRbac(std::string(name), std::move(config),
                     {filter.rules_stat_prefix(), filter.shadow_rules_stat_prefix()});
}

absl::StatusOr<std::shared_ptr<const RbacConfig>> CompileRbacPerRoute(
    const google::protobuf::Any& any, const std::string& where) {
  http_v3::RBACPerRoute route;
  RETURN_IF_ERROR(UnpackAny(any, where, &route));
  RETURN_IF_ERROR(CheckSupported(route, where, {"rbac"}));
  if (!route.has_rbac()) return std::shared_ptr<const RbacConfig>();
  RETURN_IF_ERROR(CheckHttp(route.rbac(), where));
  ASSIGN_OR_RETURN(RbacConfig config, CompileConfig(route.rbac(), where));
  return std::make_shared<const RbacConfig>(std::move(config));
}

absl::StatusOr<std::shared_ptr<const NetworkFilterConfig>> CompileNetworkRbac(
    const google::protobuf::Any& any, const std::string& where) {
  network_v3::RBAC filter;
  RETURN_IF_ERROR(UnpackAny(any, where, &filter));
  // A connection's facts don't change with its bytes: both enforcement types are the same here.
  RETURN_IF_ERROR(CheckSupported(
      filter, where,
      {"rules", "shadow_rules", "shadow_rules_stat_prefix", "stat_prefix", "enforcement_type"}));
  if (filter.stat_prefix().empty()) return Wrong(where, "'stat_prefix' is empty");
  ASSIGN_OR_RETURN(RbacConfig config, CompileConfig(filter, where));
  return NewNetworkRbac(std::move(config), filter.stat_prefix(),
                        {"", filter.shadow_rules_stat_prefix()});
}

bool IsHttpRbac(absl::string_view type) { return type == http_v3::RBAC::descriptor()->full_name(); }
bool IsRbacPerRoute(absl::string_view type) {
  return type == http_v3::RBACPerRoute::descriptor()->full_name();
}
bool IsNetworkRbac(absl::string_view type) {
  return type == network_v3::RBAC::descriptor()->full_name();
}

}  // namespace meltemi::proxy
