// The "istio" metadata on clusters, endpoints and routes, from which proxies fill telemetry labels;
// and cluster names. Pure functions.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "pilot/model/meta.h"
#include "pilot/model/service.h"

namespace envoy::config::core::v3 {
class Metadata;
}

namespace meltemi::pilot {

// "outbound|PORT|SUBSET|HOST"
std::string OutboundClusterName(uint32_t port, absl::string_view subset, absl::string_view host);
// False unless `name` has that form.
bool ParseOutboundClusterName(absl::string_view name, uint32_t* port, std::string* subset,
                              std::string* host);
// "inbound|PORT||"
std::string InboundClusterName(uint32_t port);

inline constexpr absl::string_view kPassthroughCluster = "PassthroughCluster";
inline constexpr absl::string_view kBlackHoleCluster = "BlackHoleCluster";
inline constexpr absl::string_view kInboundPassthroughCluster = "InboundPassthroughCluster";

// Appends {host, name, namespace} to istio.services.
void AddServiceMetadata(const Service& service, envoy::config::core::v3::Metadata* metadata);
void SetIstioText(absl::string_view key, absl::string_view value,
                  envoy::config::core::v3::Metadata* metadata);
void SetIstioNumber(absl::string_view key, double value,
                    envoy::config::core::v3::Metadata* metadata);
// Marks an endpoint as one that the cluster's "tlsMode-istio" socket is for.
void SetTakesMtls(envoy::config::core::v3::Metadata* metadata);
// The path of a rule in the API: "/apis/networking.istio.io/v1/namespaces/NS/virtual-service/NAME".
std::string ConfigPath(const ObjectMeta& meta);
// "WORKLOAD;NAMESPACE;CANONICAL NAME;REVISION;CLUSTER"
std::string WorkloadMetadata(const Endpoint& endpoint, absl::string_view cluster_id);

}  // namespace meltemi::pilot
