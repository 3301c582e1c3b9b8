// What a route asks of HTTP filters and beside its answer: faults, CORS, mirrors. Pure functions.
#pragma once

#include <cstdint>

#include "pilot/snapshot/scope.h"

namespace envoy::config::route::v3 {
class Route;
class RouteAction;
}  // namespace envoy::config::route::v3
namespace istio::networking::v1alpha3 {
class HTTPRoute;
}

namespace meltemi::pilot {

// Per-route configuration of the fault and CORS filters.
void AddRouteFilters(const networking::HTTPRoute& route, envoy::config::route::v3::Route* out);
void AddMirrors(const networking::HTTPRoute& route, const Scope& scope, uint32_t listen_port,
                envoy::config::route::v3::RouteAction* out);

}  // namespace meltemi::pilot
