#include "pilot/translate/authorization.h"

#include <google/protobuf/any.pb.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "envoy/config/listener/v3/listener_components.pb.h"
#include "envoy/config/rbac/v3/rbac.pb.h"
#include "envoy/extensions/filters/http/rbac/v3/rbac.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "envoy/extensions/filters/network/rbac/v3/rbac.pb.h"
#include "pilot/translate/authorization_rule.h"
#include "pilot/translate/resource.h"
#include "security/v1/authorization_policy.pb.h"

namespace meltemi::pilot {
namespace {

namespace hcm = envoy::extensions::filters::network::http_connection_manager::v3;
namespace http_rbac = envoy::extensions::filters::http::rbac::v3;
namespace network_rbac = envoy::extensions::filters::network::rbac::v3;
using envoy::config::listener::v3::Filter;
using envoy::config::listener::v3::FilterChain;
using envoy::config::rbac::v3::RBAC;
using Action = security::AuthorizationPolicy;

constexpr char kHttpFilter[] = "envoy.filters.http.rbac";
constexpr char kNetworkFilter[] = "envoy.filters.network.rbac";
constexpr char kTcpStatPrefix[] = "tcp.";

// The order in which actions are asked.
constexpr std::pair<security::AuthorizationPolicy::Action, RBAC::Action> kActions[] = {
    {Action::AUDIT, RBAC::LOG}, {Action::DENY, RBAC::DENY}, {Action::ALLOW, RBAC::ALLOW}};

const char* ShadowStatPrefix(RBAC::Action action) {
  if (action == RBAC::ALLOW) return "istio_dry_run_allow_";
  return action == RBAC::DENY ? "istio_dry_run_deny_" : "";
}

std::string PolicyName(const ObjectMeta& meta, int rule) {
  return absl::StrCat("ns[", meta.ns, "]-policy[", meta.name, "]-rule[", rule, "]");
}

// Adds the rules of `policy`; one that can't match there is not among them.
void AddPolicy(const AuthorizationPolicy& policy, const RuleTarget& target, RBAC* out) {
  auto& policies = *out->mutable_policies();
  for (int i = 0; i < policy.spec->rules_size(); ++i) {
    envoy::config::rbac::v3::Policy built;
    if (!TranslateRule(policy.spec->rules(i), target, &built)) continue;
    policies[PolicyName(policy.meta, i)] = std::move(built);
  }
  if (policy.spec->rules().empty()) FillNever(&policies[PolicyName(policy.meta, 0)]);
}

// `Config` is either filter's. False if no policy has that action.
template <typename Config>
bool FillConfig(const std::vector<AuthorizationPolicyPtr>& policies,
                security::AuthorizationPolicy::Action of, RBAC::Action action,
                const RuleTarget& target, Config* out) {
  bool any = false;
  for (const AuthorizationPolicyPtr& policy : policies) {
    if (policy->spec->action() != of) continue;
    any = true;
    RBAC& rules = policy->dry_run ? *out->mutable_shadow_rules() : *out->mutable_rules();
    rules.set_action(action);
    AddPolicy(*policy, target, &rules);
  }
  if (out->has_shadow_rules()) out->set_shadow_rules_stat_prefix(ShadowStatPrefix(action));
  return any;
}

}  // namespace

struct AuthorizationFilters::Built {
  std::vector<hcm::HttpFilter> http;
  std::vector<Filter> network;
};

AuthorizationFilters::AuthorizationFilters(const std::vector<AuthorizationPolicyPtr>& policies,
                                           absl::string_view trust_domain) {
  if (policies.empty()) return;
  auto built = std::make_shared<Built>();
  for (const auto& [of, action] : kActions) {
    RuleTarget target{.allows = action == RBAC::ALLOW, .trust_domain = std::string(trust_domain)};
    http_rbac::RBAC http;
    if (!FillConfig(policies, of, action, target, &http)) continue;
    hcm::HttpFilter& filter = built->http.emplace_back();
    filter.set_name(kHttpFilter);
    PackAny(http, filter.mutable_typed_config());

    target.tcp = true;
    network_rbac::RBAC network;
    network.set_stat_prefix(kTcpStatPrefix);
    FillConfig(policies, of, action, target, &network);
    Filter& below = built->network.emplace_back();
    below.set_name(kNetworkFilter);
    PackAny(network, below.mutable_typed_config());
  }
  built_ = std::move(built);
}

void AuthorizationFilters::AddTo(hcm::HttpConnectionManager* manager) const {
  if (built_ == nullptr) return;
  google::protobuf::RepeatedPtrField<hcm::HttpFilter> others;
  others.Swap(manager->mutable_http_filters());
  for (const hcm::HttpFilter& filter : built_->http) *manager->add_http_filters() = filter;
  for (hcm::HttpFilter& filter : others) *manager->add_http_filters() = std::move(filter);
}

void AuthorizationFilters::AddTo(FilterChain* chain) const {
  if (built_ == nullptr) return;
  for (const Filter& filter : built_->network) *chain->add_filters() = filter;
}

}  // namespace meltemi::pilot
