// LDS and RDS of gateways: what Gateway objects that select the proxy open, in plaintext and over
// TLS, and the VirtualServices bound to them. Pure functions.
#pragma once

#include <vector>

#include "absl/strings/string_view.h"
#include "pilot/snapshot/scope.h"
#include "pilot/translate/filters.h"
#include "pilot/translate/node.h"
#include "pilot/translate/resource.h"

namespace meltemi::pilot {

// "ADDRESS_PORT" of each place; where TLS is spoken, a chain per server (or, where TLS passes
// through, per match of a TLS route), chosen by the server name that the client asks for.
std::vector<ResourcePtr> BuildGatewayListeners(const ProxyNode& node, const Scope& scope,
                                               const AccessLogSettings& log);
// By BoundServer::RouteName (gateway_servers.h). Null for any other name.
ResourcePtr BuildGatewayRoute(absl::string_view name, const ProxyNode& node, const Scope& scope);

}  // namespace meltemi::pilot
