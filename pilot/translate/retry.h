// Retry policies of routes. Pure functions.
#pragma once

namespace envoy::config::route::v3 {
class RouteAction;
}
namespace istio::networking::v1alpha3 {
class HTTPRetry;
}

namespace meltemi::pilot {

namespace networking = ::istio::networking::v1alpha3;

// `retries`: null for Istio's default (two more attempts where the request cannot have reached the
// application, or it said 503). `hashed`: the host follows from the request, so that asking for
// another one has no sense. attempts: 0 leaves the policy out.
void SetRetryPolicy(const networking::HTTPRetry* retries, bool hashed,
                    envoy::config::route::v3::RouteAction* out);

}  // namespace meltemi::pilot
