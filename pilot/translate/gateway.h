// LDS and RDS of gateways: what Gateway objects that select the proxy open, and the VirtualServices
// bound to them. Plain HTTP and TCP servers; those with TLS are left out (validation says so). Pure
// functions.
#pragma once

#include <vector>

#include "absl/strings/string_view.h"
#include "pilot/snapshot/scope.h"
#include "pilot/translate/filters.h"
#include "pilot/translate/node.h"
#include "pilot/translate/resource.h"

namespace meltemi::pilot {

// "0.0.0.0_PORT" for each port. Where the gateway's own Service maps the server's port to another
// one, the proxy listens there (80 -> 8080).
std::vector<ResourcePtr> BuildGatewayListeners(const ProxyNode& node, const Scope& scope,
                                               const AccessLogSettings& log);
// "http.PORT", PORT being the one that the proxy listens on. Null for any other name.
ResourcePtr BuildGatewayRoute(absl::string_view name, const ProxyNode& node, const Scope& scope);

}  // namespace meltemi::pilot
