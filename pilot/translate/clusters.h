// CDS and EDS: clusters of the services that a class of proxies sees, of a proxy's own ports, and
// the load assignments behind them. Pure functions.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "pilot/snapshot/scope.h"
#include "pilot/translate/inbound.h"
#include "pilot/translate/node.h"
#include "pilot/translate/resource.h"
#include "pilot/translate/traffic_policy.h"

namespace meltemi::pilot {

// How clusters are to be shaped for whom.
struct ClusterOptions {
  ProxyKind kind = ProxyKind::kSidecar;
  bool identity = false;  // the proxy has a certificate of the mesh
};

// What decides whether an endpoint is reached over mutual TLS where no rule says so.
struct EndpointMtls {
  bool identity = false;  // the client has a certificate
  const PeerAuthenticationTable* policies = nullptr;
  absl::string_view root_namespace;
  // What a DestinationRule says for the endpoint's cluster; null: nothing.
  const networking::ClientTLSSettings* tls = nullptr;

  bool Takes(const Endpoint& endpoint) const;
};

// The cluster of every port and subset of `service`; UDP ports have none.
std::vector<ResourcePtr> BuildServiceClusters(const Service& service, const DestinationRule* rule,
                                              const ServiceEndpoints& endpoints,
                                              const Snapshot& snapshot,
                                              const ClusterOptions& options);
// True if the clusters of `service` carry their endpoints inside, so that they must be built anew
// when those change.
bool ClustersHoldEndpoints(const Service& service);
// True if they depend on which endpoints there are, and on PeerAuthentications.
bool ClustersLookAtEndpoints(const Service& service, const DestinationRule* rule,
                             const ClusterOptions& options);

// BlackHoleCluster and PassthroughCluster; for sidecars InboundPassthroughCluster too.
std::vector<ResourcePtr> BuildStaticClusters(const MeshSettings& mesh,
                                             const ClusterOptions& options);
std::vector<ResourcePtr> BuildInboundClusters(const std::vector<InboundPort>& ports,
                                              const MeshSettings& mesh);

// The labels that `subset` of `rule` asks for; none for the service as a whole.
Labels SubsetLabels(const DestinationRule* rule, absl::string_view subset);

// The load assignment `name`: those of `endpoints` that serve `port` and carry `labels`.
ResourcePtr BuildLoadAssignment(absl::string_view name, uint32_t port, const Labels& labels,
                                const ServiceEndpoints& endpoints, const EndpointMtls& mtls,
                                absl::string_view cluster_id);

}  // namespace meltemi::pilot
