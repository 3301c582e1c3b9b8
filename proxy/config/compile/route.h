// RDS: envoy.config.route.v3.RouteConfiguration to the immutable RouteTable that workers match
// with. Pure functions; main loop.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proxy/route/route.h"

namespace envoy::config::route::v3 {
class RouteConfiguration;
}

namespace meltemi::proxy {

struct CompileContext;

// Error (INVALID_ARGUMENT): names the table, the virtual host, the route and the field, and says
// what is not supported or wrong. A field that would change meaning is never ignored.
absl::StatusOr<std::shared_ptr<const RouteTable>> CompileRouteTable(
    const envoy::config::route::v3::RouteConfiguration& config, const CompileContext& context);

}  // namespace meltemi::proxy
