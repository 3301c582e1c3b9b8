// DestinationRule traffic policies: which settings hold for a port and subset, and how they show in
// a cluster. Pure functions; the settings point into the rule's spec, which must outlive them.
#pragma once

#include <cstdint>

#include "absl/strings/string_view.h"
#include "pilot/model/rules.h"
#include "pilot/model/service.h"
#include "pilot/snapshot/snapshot.h"

namespace envoy::config::cluster::v3 {
class Cluster;
}
namespace istio::networking::v1alpha3 {
class ClientTLSSettings;
class ConnectionPoolSettings;
class LoadBalancerSettings;
class LoadBalancerSettings_ConsistentHashLB;
class OutlierDetection;
class TrafficPolicy;
}  // namespace istio::networking::v1alpha3

namespace meltemi::pilot {

// Null: not set.
struct EffectivePolicy {
  const networking::ConnectionPoolSettings* connection_pool = nullptr;
  const networking::LoadBalancerSettings* load_balancer = nullptr;
  const networking::OutlierDetection* outlier_detection = nullptr;
  const networking::ClientTLSSettings* tls = nullptr;

  const networking::LoadBalancerSettings_ConsistentHashLB* consistent_hash() const;
};

// The rule's policy, overridden field by field by the subset's; in each, a port's own settings
// replace all others of that policy (Istio: they do not inherit). `rule` may be null.
EffectivePolicy ResolvePolicy(const DestinationRule* rule, uint32_t port, absl::string_view subset);

// Circuit breakers, balancer, outlier detection, time-outs and the protocol towards the upstream.
void ApplyPolicy(const EffectivePolicy& policy, Protocol protocol, const MeshSettings& mesh,
                 envoy::config::cluster::v3::Cluster* cluster);

// True if the upstream is always spoken to in HTTP/2. After ApplyPolicy.
bool SpeaksHttp2(const envoy::config::cluster::v3::Cluster& cluster);

// The protocol options alone, for clusters without a rule.
void ApplyDefaultBreakers(envoy::config::cluster::v3::Cluster* cluster);
void ApplyDownstreamProtocol(envoy::config::cluster::v3::Cluster* cluster);

}  // namespace meltemi::pilot
