// One rule of an AuthorizationPolicy as a policy of Envoy's RBAC. Pure functions.
#pragma once

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace envoy::config::rbac::v3 {
class Policy;
}
namespace istio::security::v1beta1 {
class Rule;
}

namespace meltemi::pilot {

struct RuleTarget {
  bool tcp = false;     // for a chain that forwards bytes
  bool allows = false;  // of an ALLOW policy: what can't be told never matches
  std::string trust_domain;
};

// False: the rule can never match there; `*policy` is then of no use.
bool TranslateRule(const istio::security::v1beta1::Rule& rule, const RuleTarget& target,
                   envoy::config::rbac::v3::Policy* policy);

// Stands for a policy without rules.
void FillNever(envoy::config::rbac::v3::Policy* policy);

// The key of a condition on a request header: "request.headers[NAME]" -> NAME; nullopt for others.
std::optional<std::string> HeaderOfCondition(absl::string_view key);

}  // namespace meltemi::pilot
