// EDS: envoy.config.endpoint.v3.ClusterLoadAssignment to the immutable EndpointsConfig. Pure
// functions; main loop.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proxy/upstream/cluster/cluster_config.h"

namespace envoy::config::endpoint::v3 {
class ClusterLoadAssignment;
}

namespace meltemi::proxy {

// Error (INVALID_ARGUMENT): names the assignment, the endpoint and the field.
absl::StatusOr<std::shared_ptr<const EndpointsConfig>> CompileEndpoints(
    const envoy::config::endpoint::v3::ClusterLoadAssignment& assignment);

// The load_assignment of a cluster. `by_name`: addresses are names to be resolved (literal
// addresses are names too).
absl::StatusOr<std::shared_ptr<const EndpointsConfig>> CompileInlineEndpoints(
    const envoy::config::endpoint::v3::ClusterLoadAssignment& assignment, absl::string_view where,
    bool by_name);

}  // namespace meltemi::proxy
