// Role-based access control: envoy.config.rbac.v3 to trees of conditions, and the two filters that
// carry it. Pure functions; main loop. `where` begins error texts.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace envoy::config::rbac::v3 {
class RBAC;
}
namespace google::protobuf {
class Any;
}

namespace meltemi::proxy {

class FilterConfig;         // proxy/filters/filter.h
class NetworkFilterConfig;  // proxy/filters/network_filter.h
struct RbacConfig;          // proxy/filters/rbac/rbac.h
struct RbacRules;           // proxy/filters/rbac/engine.h

absl::StatusOr<std::shared_ptr<const RbacRules>> CompileRbacRules(
    const envoy::config::rbac::v3::RBAC& rules, const std::string& where);

// The typed_config of the HTTP filter `name`.
absl::StatusOr<std::shared_ptr<const FilterConfig>> CompileHttpRbac(
    const google::protobuf::Any& any, absl::string_view name, const std::string& where);
// Of a route: RBACPerRoute. Null: the filter is off there.
absl::StatusOr<std::shared_ptr<const RbacConfig>> CompileRbacPerRoute(
    const google::protobuf::Any& any, const std::string& where);
// The typed_config of the network filter.
absl::StatusOr<std::shared_ptr<const NetworkFilterConfig>> CompileNetworkRbac(
    const google::protobuf::Any& any, const std::string& where);

// Full names of the types, as TypedStructs and Anys carry them.
bool IsHttpRbac(absl::string_view type);
bool IsRbacPerRoute(absl::string_view type);
bool IsNetworkRbac(absl::string_view type);

}  // namespace meltemi::proxy
