// AuthorizationPolicies as Envoy's RBAC filters, in Istio's shape: a filter for each action that
// any policy has (AUDIT, then DENY, then ALLOW), in each a policy "ns[NS]-policy[NAME]-rule[INDEX]"
// for every rule. Pure functions.
//
// Where bytes are forwarded (TCP), nothing is known of requests: an ALLOW rule that asks for them
// never matches, and in a DENY or AUDIT rule what asks for them is left out, so that it matches
// more.
#pragma once

#include <memory>
#include <vector>

#include "absl/strings/string_view.h"
#include "pilot/model/authorization.h"

namespace envoy::config::listener::v3 {
class FilterChain;
}
namespace envoy::extensions::filters::network::http_connection_manager::v3 {
class HttpConnectionManager;
}

namespace meltemi::pilot {

// The filters of one workload. Immutable; cheap to copy.
class AuthorizationFilters {
 public:
  // `policies`: those that protect the workload.
  AuthorizationFilters(const std::vector<AuthorizationPolicyPtr>& policies,
                       absl::string_view trust_domain);

  // Puts the filters before all that `manager` has.
  void AddTo(
      envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager*
          manager) const;
  // Appends the filters: `chain` has its other one, a TCP proxy, yet to come.
  void AddTo(envoy::config::listener::v3::FilterChain* chain) const;

 private:
  struct Built;
  std::shared_ptr<const Built> built_;  // null: no policies
};

}  // namespace meltemi::pilot
