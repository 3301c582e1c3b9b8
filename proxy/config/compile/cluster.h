// CDS: envoy.config.cluster.v3.Cluster to the immutable ClusterConfig. Pure functions; main loop.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "proxy/upstream/cluster/cluster_config.h"

namespace envoy::config::cluster::v3 {
class Cluster;
}

namespace meltemi::proxy {

class TlsSockets;

struct CompiledCluster {
  std::shared_ptr<const ClusterConfig> config;
  // What the cluster itself says of its endpoints; null for EDS.
  std::shared_ptr<const EndpointsConfig> endpoints;
};

// Error (INVALID_ARGUMENT): names the cluster and the field, and says what is not supported or
// wrong. `sockets`: makes what speaks TLS; without it TLS is refused.
absl::StatusOr<CompiledCluster> CompileCluster(const envoy::config::cluster::v3::Cluster& cluster,
                                               TlsSockets* sockets = nullptr);

}  // namespace meltemi::proxy
