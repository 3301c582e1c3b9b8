// The ports on which a workload serves, as its sidecar must know them. Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pilot/model/service.h"
#include "pilot/snapshot/scope.h"
#include "pilot/translate/node.h"

namespace istio::networking::v1alpha3 {
class ConnectionPoolSettings;
}

namespace meltemi::pilot {

struct InboundPort {
  uint32_t port = 0;  // on which the application listens
  Protocol protocol = Protocol::kSniffed;
  std::vector<ServicePtr> services;  // that lead here, in order of creation
  uint32_t service_port = 0;         // of the first service
  // Sidecar ingress alone: where to forward instead of to the port itself ("127.0.0.1:8080").
  std::string forward_address;
  uint32_t forward_port = 0;
  const networking::ConnectionPoolSettings* connection_pool = nullptr;  // owned by the Sidecar

  bool operator==(const InboundPort&) const = default;
};

// Sorted by port. Found by the selectors of the services of the proxy's namespace and by the
// endpoints at its addresses; a Sidecar with ingress listeners replaces both.
std::vector<InboundPort> FindInboundPorts(const ProxyNode& node, const Scope& scope);

}  // namespace meltemi::pilot
