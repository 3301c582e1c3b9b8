// What a stream decides before a request goes upstream: time-outs, the cluster's name, how an
// upgrade is written. Pure functions; any thread. (Rewrites, redirects and hashes are
// proxy/route's.)
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "base/http/header_map.h"
#include "base/http/stream.h"
#include "base/random/random.h"
#include "proxy/route/route.h"

namespace meltemi::proxy {

struct StreamInfo;

struct ForwardTimeouts {
  Duration request{0};  // from the end of the request to the end of the response; 0: none
  Duration per_try{0};
  Duration per_try_idle{0};
};

// The route's time-outs, what the request's own headers say over them
// (x-envoy-upstream-rq-timeout-ms, …-per-try-timeout-ms, grpc-timeout), and the header that tells
// the upstream how long it has. The headers that were read are removed.
ForwardTimeouts DecideTimeouts(const Route& route, bool suppress_envoy_headers,
                               http::HeaderMap& request);

// "100m", "5S" …: the value of grpc-timeout; nullopt when it is not one.
std::optional<Duration> ParseGrpcTimeout(absl::string_view text);

// The name of the cluster that takes the request: the picked one's, or what its header names; "".
absl::string_view ClusterFor(const WeightedCluster& picked, const http::HeaderMap& request);

// An upgrade is written differently in HTTP/1.1 (GET with Upgrade, 101) and HTTP/2 (RFC 8441:
// CONNECT with :protocol, 200). These turn one into the other; nothing to do gives no change.
// Sec-WebSocket-Key and -Accept, which RFC 8441 drops, travel through so that the ends of a chain
// of proxies agree.
void ConvertUpgradeRequest(http::Protocol upstream, Random& random, http::HeaderMap& request);
void ConvertUpgradeResponse(http::Protocol downstream, absl::string_view upgrade,
                            http::HeaderMap& response);

}  // namespace meltemi::proxy
