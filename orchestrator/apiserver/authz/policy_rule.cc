#include "orchestrator/apiserver/authz/policy_rule.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "kube/status/field_error.h"

namespace meltemi::apiserver {
namespace {

using json::Value;
using Texts = std::vector<std::string>;

Texts TextsOf(const Value& rule, absl::string_view member) {
  Texts out;
  const Value* list = rule.Find(member);
  if (list == nullptr) return out;
  for (const Value& item : list->items()) {
    if (item.is_string()) out.push_back(item.text());
  }
  return out;
}

void AddTexts(Value& rule, absl::string_view member, const Texts& texts) {
  if (texts.empty()) return;
  Value& list = rule.Add(std::string(member), Value::Array());
  for (const std::string& text : texts) list.Append(Value::String(text));
}

bool Has(const Texts& texts, absl::string_view text) {
  return std::find(texts.begin(), texts.end(), text) != texts.end();
}

bool HasOrAll(const Texts& texts, absl::string_view text) {
  return Has(texts, "*") || Has(texts, text);
}

// `subresource` may be empty; `resource` then stands alone.
bool MatchesResource(const Texts& resources, absl::string_view resource,
                     absl::string_view subresource) {
  const std::string whole =
      subresource.empty() ? std::string(resource) : absl::StrCat(resource, "/", subresource);
  for (const std::string& pattern : resources) {
    if (pattern == "*" || pattern == whole) return true;
    if (!subresource.empty() && absl::StartsWith(pattern, "*/") &&
        absl::string_view(pattern).substr(2) == subresource) {
      return true;
    }
  }
  return false;
}

// "/healthz/*" stands for what begins with "/healthz/".
bool MatchesPath(const Texts& patterns, absl::string_view path) {
  for (const std::string& pattern : patterns) {
    if (pattern == "*" || pattern == path) return true;
    absl::string_view prefix = pattern;
    if (!absl::ConsumeSuffix(&prefix, "*")) continue;
    while (absl::ConsumeSuffix(&prefix, "*")) continue;
    if (absl::StartsWith(path, prefix)) return true;
  }
  return false;
}

// Rules of one verb, one group, one resource, at most one name; or of one verb and one path.
std::vector<PolicyRule> BrokenDown(const PolicyRule& rule) {
  std::vector<PolicyRule> out;
  for (const std::string& group : rule.api_groups) {
    for (const std::string& resource : rule.resources) {
      for (const std::string& verb : rule.verbs) {
        PolicyRule one{.verbs = {verb}, .api_groups = {group}, .resources = {resource}};
        if (rule.resource_names.empty()) out.push_back(one);
        for (const std::string& name : rule.resource_names) {
          one.resource_names = {name};
          out.push_back(one);
        }
      }
    }
  }
  for (const std::string& path : rule.non_resource_urls) {
    for (const std::string& verb : rule.verbs) {
      out.push_back(PolicyRule{.verbs = {verb}, .non_resource_urls = {path}});
    }
  }
  return out;
}

// `one` is broken down.
bool Covers(const PolicyRule& held, const PolicyRule& one) {
  if (!HasOrAll(held.verbs, one.verbs[0])) return false;
  if (!one.non_resource_urls.empty()) {
    return MatchesPath(held.non_resource_urls, one.non_resource_urls[0]);
  }
  const absl::string_view whole = one.resources[0];
  const size_t slash = whole.find('/');
  const bool resource =
      slash == absl::string_view::npos
          ? MatchesResource(held.resources, whole, "")
          : MatchesResource(held.resources, whole.substr(0, slash), whole.substr(slash + 1));
  if (!resource || !HasOrAll(held.api_groups, one.api_groups[0])) return false;
  if (held.resource_names.empty()) return true;
  return !one.resource_names.empty() && Has(held.resource_names, one.resource_names[0]);
}

}  // namespace

PolicyRule PolicyRule::Of(const Value& rule) {
  PolicyRule out;
  out.verbs = TextsOf(rule, "verbs");
  out.api_groups = TextsOf(rule, "apiGroups");
  out.resources = TextsOf(rule, "resources");
  out.resource_names = TextsOf(rule, "resourceNames");
  out.non_resource_urls = TextsOf(rule, "nonResourceURLs");
  return out;
}

Value PolicyRule::ToJson() const {
  Value out = Value::Object();
  AddTexts(out, "verbs", verbs);
  AddTexts(out, "apiGroups", api_groups);
  AddTexts(out, "resources", resources);
  AddTexts(out, "resourceNames", resource_names);
  AddTexts(out, "nonResourceURLs", non_resource_urls);
  return out;
}

bool PolicyRule::Allows(const Attributes& attributes) const {
  if (!HasOrAll(verbs, attributes.verb)) return false;
  if (!attributes.is_resource) return MatchesPath(non_resource_urls, attributes.path);
  return HasOrAll(api_groups, attributes.group) &&
         MatchesResource(resources, attributes.resource, attributes.subresource) &&
         (resource_names.empty() || Has(resource_names, attributes.name));
}

std::string PolicyRule::ToString() const {
  std::vector<std::string> parts;
  const auto add = [&](absl::string_view label, const Texts& texts) {
    if (!texts.empty()) parts.push_back(absl::StrCat(label, ":", QuotedList(texts)));
  };
  add("APIGroups", api_groups);
  add("Resources", resources);
  add("NonResourceURLs", non_resource_urls);
  add("ResourceNames", resource_names);
  add("Verbs", verbs);
  return absl::StrCat("{", absl::StrJoin(parts, ", "), "}");
}

bool PolicyRule::operator==(const PolicyRule& other) const {
  return std::tie(verbs, api_groups, resources, resource_names, non_resource_urls) ==
         std::tie(other.verbs, other.api_groups, other.resources, other.resource_names,
                  other.non_resource_urls);
}

std::vector<PolicyRule> RulesOf(const Value& role) {
  std::vector<PolicyRule> out;
  const Value* rules = role.Find("rules");
  if (rules == nullptr) return out;
  for (const Value& rule : rules->items()) out.push_back(PolicyRule::Of(rule));
  return out;
}

std::vector<PolicyRule> MissingRules(const std::vector<PolicyRule>& held,
                                     const std::vector<PolicyRule>& wanted) {
  std::vector<PolicyRule> out;
  for (const PolicyRule& rule : wanted) {
    for (PolicyRule& one : BrokenDown(rule)) {
      const bool covered = std::any_of(held.begin(), held.end(), [&](const PolicyRule& candidate) {
        return Covers(candidate, one);
      });
      if (!covered) out.push_back(std::move(one));
    }
  }
  return out;
}

std::vector<PolicyRule> CompactRules(const std::vector<PolicyRule>& rules) {
  std::vector<PolicyRule> out;
  std::map<std::tuple<std::string, std::string, Texts>, size_t> seen;
  for (const PolicyRule& rule : rules) {
    const bool simple = rule.non_resource_urls.empty() && rule.api_groups.size() == 1 &&
                        rule.resources.size() == 1 && rule.resource_names.size() <= 1;
    if (!simple) {
      out.push_back(rule);
      continue;
    }
    const auto [at, is_new] = seen.emplace(
        std::make_tuple(rule.api_groups[0], rule.resources[0], rule.resource_names), out.size());
    if (is_new) {
      out.push_back(rule);
    } else {
      Texts& verbs = out[at->second].verbs;
      verbs.insert(verbs.end(), rule.verbs.begin(), rule.verbs.end());
    }
  }
  return out;
}

std::string QuotedList(const Texts& texts) {
  return absl::StrCat("[",
                      absl::StrJoin(texts, " ",
                                    [](std::string* out, const std::string& text) {
                                      absl::StrAppend(out, kube::GoQuote(text));
                                    }),
                      "]");
}

}  // namespace meltemi::apiserver
