#include "orchestrator/kubeproxy/model/select.h"

#include <algorithm>

namespace meltemi::kubeproxy {
namespace {

bool Leaving(const EndpointFacts& facts) { return facts.serving && facts.terminating; }

int Worth(const EndpointFacts& facts) { return facts.ready ? 2 : facts.serving ? 1 : 0; }

// Those of `endpoints` that are ready, or else those that leave.
std::vector<Target> Usable(const std::vector<Endpoint>& endpoints, bool local_only) {
  std::vector<Target> ready, leaving;
  for (const Endpoint& endpoint : endpoints) {
    if (local_only && !endpoint.facts.local) continue;
    if (endpoint.facts.ready) {
      ready.push_back(endpoint.target);
    } else if (Leaving(endpoint.facts)) {
      leaving.push_back(endpoint.target);
    }
  }
  return ready.empty() ? leaving : ready;
}

// Addresses of `targets` that may be this node's.
void CollectOwn(const std::vector<Endpoint>& endpoints, const std::vector<Target>& targets,
                std::vector<Ipv4>& own) {
  auto endpoint = endpoints.begin();
  for (const Target& target : targets) {
    while (endpoint->target < target) ++endpoint;
    if (endpoint->facts.local || !endpoint->facts.placed) own.push_back(target.ip);
  }
}

}  // namespace

std::vector<Endpoint> MergeEndpoints(const std::vector<const SliceFacts*>& slices,
                                     const PortFacts& port) {
  std::vector<Endpoint> merged;
  for (const SliceFacts* slice : slices) {
    for (const SlicePort& slice_port : slice->ports) {
      if (slice_port.name != port.name || slice_port.protocol != port.protocol) continue;
      for (const EndpointFacts& facts : slice->endpoints) {
        merged.push_back({{facts.ip, slice_port.port}, facts});
      }
    }
  }
  std::sort(merged.begin(), merged.end(), [](const Endpoint& a, const Endpoint& b) {
    if (a.target != b.target) return a.target < b.target;
    if (a.facts.local != b.facts.local) return static_cast<bool>(a.facts.local);
    return Worth(a.facts) > Worth(b.facts);
  });
  const auto same = [](const Endpoint& a, const Endpoint& b) { return a.target == b.target; };
  merged.erase(std::unique(merged.begin(), merged.end(), same), merged.end());
  if (merged.size() > kEndpointsMax) merged.resize(kEndpointsMax);
  return merged;
}

void SelectEndpoints(const std::vector<Endpoint>& endpoints, bool internal_local,
                     bool external_local, PortRules& rules) {
  // Even where traffic from outside stays on its node, what comes from pods or from the node itself
  // to such an address may go anywhere.
  if (!internal_local || rules.external()) rules.cluster = Usable(endpoints, /*local_only=*/false);
  if (internal_local || (external_local && rules.external())) {
    rules.local = Usable(endpoints, /*local_only=*/true);
  }
  rules.has_endpoints = std::any_of(
      endpoints.begin(), endpoints.end(),
      [](const Endpoint& endpoint) { return endpoint.facts.ready || Leaving(endpoint.facts); });
  CollectOwn(endpoints, rules.cluster, rules.own);
  CollectOwn(endpoints, rules.local, rules.own);
  std::sort(rules.own.begin(), rules.own.end());
  rules.own.erase(std::unique(rules.own.begin(), rules.own.end()), rules.own.end());
  if (rules.protocol != Protocol::kUdp) return;
  for (const Endpoint& endpoint : endpoints) {
    if (endpoint.facts.serving) rules.serving.push_back(endpoint.target.ip);
  }
}

}  // namespace meltemi::kubeproxy
