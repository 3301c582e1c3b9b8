// What a chosen route changes in the request's target before it goes upstream, and where a redirect
// leads. Pure functions over the route; any thread. Semantics: Envoy's RouteAction and
// RedirectAction.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "base/http/header_map.h"
#include "proxy/route/route.h"

namespace meltemi::proxy {

struct StreamInfo;

// All that a kForward route does to a request, in Envoy's order: headers of the chosen cluster, of
// the route, of the virtual host, of the table; then authority; then path. Auto-authority waits for
// the host: RewriteAutoAuthority.
void ApplyRequestChanges(const Route& route, const WeightedCluster& cluster,
                         http::HeaderMap& request, const StreamInfo& info,
                         bool suppress_envoy_headers = false);
// The same for the response: the chosen cluster's headers (null: none chosen), then the route's.
void ApplyResponseChanges(const Route& route, const WeightedCluster* cluster,
                          const http::HeaderMap& request, http::HeaderMap& response,
                          const StreamInfo& info);

// The path as the rewrite wants it, the query kept; x-envoy-original-path tells what it was unless
// `suppress_envoy_headers`.
void RewritePath(const Route& route, http::HeaderMap& request, bool suppress_envoy_headers = false);
void RewriteAuthority(const Route& route, const WeightedCluster& cluster, http::HeaderMap& request);
// auto_host_rewrite: `hostname` is the chosen endpoint's; "" changes nothing.
void RewriteAutoAuthority(const Route& route, absl::string_view hostname, http::HeaderMap& request);

// The Location of a kRedirect route for this request. Default ports are dropped when the scheme
// changes; x-forwarded-proto says what the request's scheme was (else :scheme).
std::string RedirectLocation(const Route& route, const http::HeaderMap& request);

// The authority of a mirrored request: "host-shadow", "host-shadow:port".
std::string ShadowAuthority(absl::string_view authority);

}  // namespace meltemi::proxy
