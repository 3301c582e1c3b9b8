// The parts of a cluster's compilation, each reading some fields into the ClusterConfig. `where` is
// "cluster 'x'". Only for cluster.cc.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "proxy/upstream/cluster/cluster_config.h"

namespace envoy::config::cluster::v3 {
class CircuitBreakers;
class Cluster;
class OutlierDetection;
}  // namespace envoy::config::cluster::v3
namespace envoy::config::core::v3 {
class HealthCheck;
}

namespace meltemi::proxy {

// lb_policy, lb_config, load_balancing_policy, common_lb_config.
absl::Status CompileBalancing(const envoy::config::cluster::v3::Cluster& cluster,
                              absl::string_view where, ClusterConfig& config);
// typed_extension_protocol_options and the older fields for HTTP options.
// auto_sni and auto_san_validation, which stand among the HTTP options.
absl::Status CompileAutoNames(const envoy::config::cluster::v3::Cluster& cluster,
                              absl::string_view where, ClusterTransport& transport);
absl::Status CompileProtocol(const envoy::config::cluster::v3::Cluster& cluster,
                             absl::string_view where, ClusterConfig& config);
absl::Status CompileBreakers(const envoy::config::cluster::v3::CircuitBreakers& breakers,
                             absl::string_view where, ClusterConfig& config);
absl::Status CompileOutlierDetection(const envoy::config::cluster::v3::OutlierDetection& outlier,
                                     absl::string_view where, ClusterConfig& config);
absl::Status CompileHealthCheck(const envoy::config::core::v3::HealthCheck& check,
                                absl::string_view where, ClusterConfig& config);

}  // namespace meltemi::proxy
