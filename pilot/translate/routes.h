// RDS: virtual hosts with their domains and routes, by the name of the route configuration. Pure
// functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "pilot/snapshot/scope.h"
#include "pilot/translate/inbound.h"
#include "pilot/translate/node.h"
#include "pilot/translate/resource.h"

namespace envoy::config::route::v3 {
class Route;
class RouteConfiguration;
class VirtualHost;
}  // namespace envoy::config::route::v3

namespace meltemi::pilot {

// The names by which a client of `client_ns` calls `host` on `port`: the full name, the short forms
// that its resolver completes, and the virtual addresses, each with and without the port.
std::vector<std::string> DomainsFor(absl::string_view host,
                                    const std::vector<std::string>& addresses, uint32_t port,
                                    absl::string_view client_ns, absl::string_view domain);

// The virtual host of `host` on `port` by the rules `rules` (may be empty: straight to `service`).
// Domains are left to the caller.
envoy::config::route::v3::VirtualHost BuildVirtualHost(const std::string& host,
                                                       const Service* service, uint32_t port,
                                                       const std::vector<VirtualServicePtr>& rules,
                                                       const std::string& gateway,
                                                       const Scope& scope, ProxyKind kind);

// The route configuration `name` of a sidecar: "PORT" for all HTTP services of a port, "HOST:PORT"
// for one service whose protocol is sniffed. Null if the name has another form, or no such service
// is there (any more).
ResourcePtr BuildOutboundRoute(absl::string_view name, const Scope& scope);

void SetRouteDefaults(absl::string_view name, envoy::config::route::v3::RouteConfiguration* out);

// Everything on `port` goes to the workload's own application.
void FillInboundRoute(const InboundPort& port, const std::string& cluster,
                      envoy::config::route::v3::RouteConfiguration* out);

// Sorts and merges the routes of several rules: what matches everything goes last, once.
void OrderRoutes(std::vector<envoy::config::route::v3::Route>* routes);

// What a sidecar does with requests to a host that nobody declared.
envoy::config::route::v3::VirtualHost FallbackVirtualHost(OutboundPolicy policy);

}  // namespace meltemi::pilot
