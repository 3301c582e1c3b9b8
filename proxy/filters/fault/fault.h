// Fault injection (envoy.filters.http.fault): delays requests, or answers them with an error.
//
// The config is immutable and shared; the number of faults under way is one for all workers. A
// route's own FaultPolicy (FilterStream::overrides) replaces the filter's.
#pragma once

#include <memory>

#include "proxy/filters/filter.h"
#include "proxy/route/policies.h"

namespace meltemi::proxy {

// Counts per worker:
// envoy_http_fault_{aborts_injected,delays_injected,faults_overflow,active_faults}.
std::shared_ptr<const FilterConfig> NewFaultFilter(std::shared_ptr<const FaultPolicy> policy);

}  // namespace meltemi::proxy
