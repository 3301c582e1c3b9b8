#include "proxy/filters/rbac/engine.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "proxy/observe/tls_info.h"

namespace meltemi::proxy {
namespace {

using Whose = rbac::Whose;

constexpr char kDeniedByNone[] = "rbac_access_denied_matched_policy[none]";

std::string DeniedDetails(std::string name) {
  for (char& c : name) {
    if (absl::ascii_isspace(c)) c = '_';
  }
  return absl::StrCat("rbac_access_denied_matched_policy[", name, "]");
}

bool AnyMatches(const std::vector<std::string>& names, const StringMatcher& matcher) {
  return std::any_of(names.begin(), names.end(),
                     [&](const std::string& name) { return matcher.Matches(name); });
}

bool AnyMatches(const std::vector<RbacRule>& rules, const RbacFacts& facts) {
  return std::any_of(rules.begin(), rules.end(),
                     [&](const RbacRule& rule) { return rule.Matches(facts); });
}

bool ValueMatches(const HeaderMatcher& matcher, absl::string_view value) {
  if (matcher.kind == HeaderMatcher::Kind::kString) return matcher.string.Matches(value);
  int64_t number = 0;
  return absl::SimpleAtoi(value, &number) && number >= matcher.range_start &&
         number < matcher.range_end;
}

// Each value of a field that comes several times is looked at for itself, unlike in routes: joined,
// a second value would hide the first from a rule that denies it.
bool HeaderMatches(const HeaderMatcher& matcher, const http::HeaderMap& request) {
  const auto* first = request.Find(matcher.name);
  // Absent, or one of those that can't come twice.
  if (first == nullptr || matcher.kind == HeaderMatcher::Kind::kPresent) {
    return matcher.Matches(request);
  }
  const auto* const end = request.entries().data() + request.entries().size();
  for (const auto* entry = first; entry != end; ++entry) {
    if (entry->id != first->id || entry->name != first->name) continue;
    if (ValueMatches(matcher, entry->value)) return !matcher.invert;
  }
  return matcher.invert;
}

// One overload for each kind of condition.
struct Condition {
  const RbacFacts& facts;

  bool operator()(const rbac::Set& set) const {
    if (!set.all) return AnyMatches(set.rules, facts);
    return std::all_of(set.rules.begin(), set.rules.end(),
                       [this](const RbacRule& rule) { return rule.Matches(facts); });
  }
  bool operator()(const HeaderMatcher& matcher) const {
    return HeaderMatches(matcher, facts.request);
  }
  bool operator()(const rbac::UrlPath& path) const {
    const absl::string_view whole = facts.request.path();
    return !whole.empty() && path.matcher.Matches(whole.substr(0, whole.find_first_of("?#")));
  }
  bool operator()(const rbac::Port& range) const {
    if (!facts.local.is_ip()) return false;
    const uint32_t port = facts.local.port();
    return port >= range.from && port < range.to;
  }
  bool operator()(const rbac::Ip& ip) const {
    switch (ip.whose) {
      case Whose::kLocal:
        return ip.range.Contains(facts.local);
      case Whose::kDirectRemote:
        return ip.range.Contains(facts.direct_remote);
      case Whose::kRemote:
        return ip.range.Contains(facts.remote);
    }
    return false;
  }
  bool operator()(const rbac::ServerName& name) const {
    return name.matcher.Matches(facts.server_name);
  }
  bool operator()(const rbac::Authenticated& who) const {
    const TlsInfo* tls = facts.tls;
    if (tls == nullptr || !tls->peer_verified) return false;
    return who.any_name || AnyMatches(tls->peer_uri_sans, who.name) ||
           AnyMatches(tls->peer_dns_sans, who.name) || who.name.Matches(tls->peer_subject);
  }
  bool operator()(const rbac::PeerPrincipal& who) const {
    return facts.tls != nullptr && !facts.tls->principal().empty() &&
           who.name.Matches(facts.tls->principal());
  }
};

}  // namespace

bool RbacRule::Matches(const RbacFacts& facts) const {
  return std::visit(Condition{facts}, condition) != negated;
}

RbacPolicy::RbacPolicy(std::string policy_name, std::vector<RbacRule> what,
                       std::vector<RbacRule> who)
    : name(std::move(policy_name)),
      denied_details(DeniedDetails(name)),
      permissions(std::move(what)),
      principals(std::move(who)) {}

bool RbacPolicy::Matches(const RbacFacts& facts) const {
  return AnyMatches(permissions, facts) && AnyMatches(principals, facts);
}

absl::string_view RbacRules::Decision::denied_details() const {
  return policy == nullptr ? absl::string_view(kDeniedByNone) : policy->denied_details;
}

RbacRules::Decision RbacRules::Judge(const RbacFacts& facts) const {
  const auto it = std::find_if(policies.begin(), policies.end(),
                               [&](const RbacPolicy& policy) { return policy.Matches(facts); });
  Decision decision;
  if (it != policies.end()) decision.policy = &*it;
  switch (action) {
    case RbacAction::kAllow:
      decision.allowed = decision.policy != nullptr;
      break;
    case RbacAction::kDeny:
      decision.allowed = decision.policy == nullptr;
      break;
    case RbacAction::kLog:
      break;
  }
  return decision;
}

}  // namespace meltemi::proxy
