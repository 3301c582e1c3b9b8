// VirtualService actions as Envoy routes: destinations, redirects, rewrites, retries, mirrors,
// faults, CORS, headers. Pure functions.
#pragma once

#include <google/protobuf/repeated_field.h>

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "pilot/snapshot/scope.h"
#include "pilot/translate/node.h"
#include "pilot/translate/traffic_policy.h"

namespace envoy::config::route::v3 {
class Route;
class RouteAction;
}  // namespace envoy::config::route::v3
namespace envoy::extensions::filters::network::tcp_proxy::v3 {
class TcpProxy;
}
namespace istio::networking::v1alpha3 {
class Destination;
class HTTPRoute;
class RouteDestination;
}  // namespace istio::networking::v1alpha3

namespace meltemi::pilot {

inline constexpr char kFaultFilter[] = "envoy.filters.http.fault";
inline constexpr char kCorsFilter[] = "envoy.filters.http.cors";
inline constexpr char kRouterFilter[] = "envoy.filters.http.router";

// The cluster that `destination` means for a request that arrives on `listen_port`: its own port,
// else the service's only port, else `listen_port`.
std::string DestinationCluster(const networking::Destination& destination, const Scope& scope,
                               uint32_t listen_port);

// Fills everything of `out` but its match and name.
void TranslateAction(const networking::HTTPRoute& route, const Scope& scope, uint32_t listen_port,
                     ProxyKind kind, envoy::config::route::v3::Route* out);

// The TCP proxy that a TCP or TLS route asks for: to one cluster, or to several by weight. There is
// at least one of `destinations`.
envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy TcpProxyTo(
    const VirtualService& rule,
    const google::protobuf::RepeatedPtrField<networking::RouteDestination>& destinations,
    const Scope& scope, uint32_t listen_port);

// The route to a service for which there is no rule.
void RouteToCluster(const std::string& cluster, const EffectivePolicy& policy, ProxyKind kind,
                    envoy::config::route::v3::Route* out);

}  // namespace meltemi::pilot
