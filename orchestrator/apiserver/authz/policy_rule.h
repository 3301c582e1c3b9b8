// One rule of a role, and what rules together allow.
//
// Threads: plain value types, functions without state.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "orchestrator/apiserver/authz/authorizer.h"

namespace meltemi::apiserver {

struct PolicyRule {
  std::vector<std::string> verbs, api_groups, resources, resource_names, non_resource_urls;

  static PolicyRule Of(const json::Value& rule);
  // Members in Kubernetes' order; empty ones are left out.
  json::Value ToJson() const;
  bool Allows(const Attributes& attributes) const;
  // {APIGroups:["apps"], Resources:["deployments"], Verbs:["get"]}
  std::string ToString() const;
  bool operator==(const PolicyRule& other) const;
};

// The member `rules` of a Role or ClusterRole.
std::vector<PolicyRule> RulesOf(const json::Value& role);

// What `wanted` allows and `held` does not, as rules of one verb and one resource each; empty when
// everything is covered.
std::vector<PolicyRule> MissingRules(const std::vector<PolicyRule>& held,
                                     const std::vector<PolicyRule>& wanted);
// Rules that differ only by their verbs become one.
std::vector<PolicyRule> CompactRules(const std::vector<PolicyRule>& rules);

// ["a" "b"]: Go's notation of a list of strings.
std::string QuotedList(const std::vector<std::string>& texts);

}  // namespace meltemi::apiserver
