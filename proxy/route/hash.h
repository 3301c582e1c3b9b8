// The key by which a consistent balancer places a request: from a route's hash policies. Pure; any
// thread. The combination of several policies and the hash (XXH64) are Envoy's, so that both send
// the same key to the same place.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "base/http/header_map.h"
#include "base/net/address.h"
#include "proxy/route/policies.h"

namespace meltemi::proxy {

struct HashResult {
  std::optional<uint64_t> hash;          // unset: no policy found anything
  std::vector<std::string> set_cookies;  // values of Set-Cookie for the response: generated cookies
};

// `request` may be null (TCP): then only the source address counts.
HashResult ComputeHash(absl::Span<const HashPolicy> policies, const http::HeaderMap* request,
                       const net::Address& downstream_remote, const net::Address& downstream_local);

// The value of a cookie, without quotes; "" when absent.
absl::string_view CookieValue(const http::HeaderMap& request, absl::string_view name);

}  // namespace meltemi::proxy
