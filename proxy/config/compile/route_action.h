// One route of RDS: its match, its action, its retries. Private to route.cc. Pure functions.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proxy/route/route.h"

namespace google::protobuf {
template <typename T>
class RepeatedPtrField;
}
namespace envoy::config::route::v3 {
class DirectResponseAction;
class RedirectAction;
class RetryPolicy;
class RouteAction;
class RouteAction_RequestMirrorPolicy;
class RouteMatch;
}  // namespace envoy::config::route::v3

namespace meltemi::proxy {

struct CompileContext;

absl::StatusOr<RouteMatch> CompileRouteMatch(const envoy::config::route::v3::RouteMatch& match,
                                             absl::string_view where);
// Fills what belongs to kForward.
absl::Status CompileRouteAction(const envoy::config::route::v3::RouteAction& action,
                                absl::string_view where, const CompileContext& context,
                                Route* route);
absl::StatusOr<RedirectAction> CompileRedirect(
    const envoy::config::route::v3::RedirectAction& action, absl::string_view where);
absl::StatusOr<DirectResponseAction> CompileDirectResponse(
    const envoy::config::route::v3::DirectResponseAction& action, absl::string_view where,
    uint32_t body_bytes_max);
absl::StatusOr<std::shared_ptr<const RetryPolicy>> CompileRetryPolicy(
    const envoy::config::route::v3::RetryPolicy& policy, absl::string_view where);
absl::StatusOr<std::vector<MirrorPolicy>> CompileMirrors(
    const google::protobuf::RepeatedPtrField<
        envoy::config::route::v3::RouteAction_RequestMirrorPolicy>& mirrors,
    absl::string_view where);

// CorsPolicy of the route (its old place) and of the filter's per-route configuration are the same.
template <typename Policy>
absl::StatusOr<std::shared_ptr<const CorsPolicy>> CompileCorsPolicy(const Policy& policy,
                                                                    absl::string_view where);

}  // namespace meltemi::proxy
