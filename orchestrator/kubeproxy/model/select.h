// Which endpoints a service's port has, and for whom.
//
// Ready ones; where there is none, those that are terminating and still serve. Topology hints and
// trafficDistribution are not looked at: every endpoint is as near as any other.
//
// Threads: functions without state. Source: KEP-1669 (terminating endpoints), the Service API's
// internalTrafficPolicy and externalTrafficPolicy.
#pragma once

#include <vector>

#include "orchestrator/kubeproxy/model/facts.h"
#include "orchestrator/kubeproxy/model/rules.h"

namespace meltemi::kubeproxy {

// More endpoints of one port are not served (those with the highest addresses).
constexpr size_t kEndpointsMax = 10'000;

// An endpoint of one port.
struct Endpoint {
  Target target;
  EndpointFacts facts;
};

// Of all slices, each address and port once, sorted: where slices disagree (an endpoint moves from
// one to another), the better state counts.
std::vector<Endpoint> MergeEndpoints(const std::vector<const SliceFacts*>& slices,
                                     const PortFacts& port);

// Fills the lists of `rules`, whose addresses and node port are there already.
void SelectEndpoints(const std::vector<Endpoint>& endpoints, bool internal_local,
                     bool external_local, PortRules& rules);

}  // namespace meltemi::kubeproxy
