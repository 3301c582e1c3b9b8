// Cross-origin resource sharing (envoy.filters.http.cors): answers preflights, and marks the
// answers to requests from allowed origins. What is allowed comes from the route (overrides, else
// Route::cors). Source: WHATWG Fetch, "CORS protocol"; Envoy's filter for what it leaves open.
#pragma once

#include <memory>

#include "proxy/filters/filter.h"
#include "proxy/route/policies.h"

namespace meltemi::proxy {

// Counts per worker: envoy_http_cors_origin_{valid,invalid}.
std::shared_ptr<const FilterConfig> NewCorsFilter();

}  // namespace meltemi::proxy
