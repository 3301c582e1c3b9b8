// The filters that judge by rules: requests (envoy.filters.http.rbac) and connections
// (envoy.filters.network.rbac).
//
// A refused request gets 403 "RBAC: access denied" (gRPC: PERMISSION_DENIED); a refused connection
// is closed. Either way the policy that decided is in the details of the log, without a flag (as in
// Envoy). Shadow rules are judged, counted and logged at debug level, and refuse nothing.
#pragma once

#include <memory>
#include <string>

#include "proxy/filters/filter.h"
#include "proxy/filters/network_filter.h"
#include "proxy/filters/rbac/engine.h"

namespace meltemi::proxy {

struct RbacConfig {
  std::shared_ptr<const RbacRules> rules;         // null: nothing is refused
  std::shared_ptr<const RbacRules> shadow_rules;  // null: none
};

// Tell counters of several filters apart: "istio_dry_run_allow_". May be "".
struct RbacStatPrefixes {
  std::string rules, shadow_rules;
};

// `name`: of the filter in its chain; routes override the rules by it. Counts per worker:
// envoy_http_rbac_{allowed,denied,shadow_allowed,shadow_denied}, with a prefix as the label
// envoy_rbac_http_prefix.
std::shared_ptr<const FilterConfig> NewHttpRbac(std::string name, RbacConfig config,
                                                RbacStatPrefixes prefixes);
// Counts envoy_rbac_{allowed,…} with the label envoy_rbac_prefix="`stat_prefix`". For Istio's
// "tcp." the names are Envoy's for it:
// envoy_allowed{envoy_rbac_prefix="tcp",envoy_tcp_prefix="rbac"}.
std::shared_ptr<const NetworkFilterConfig> NewNetworkRbac(RbacConfig config,
                                                          std::string stat_prefix,
                                                          RbacStatPrefixes prefixes);

}  // namespace meltemi::proxy
