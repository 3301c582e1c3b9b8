// LDS of sidecars: the virtual listeners on 15001 and 15006 and, behind the first, one per service
// address or port. Pure functions.
#pragma once

#include <memory>
#include <vector>

#include "pilot/model/authorization.h"
#include "pilot/model/peer_authentication.h"
#include "pilot/snapshot/scope.h"
#include "pilot/translate/filters.h"
#include "pilot/translate/inbound.h"
#include "pilot/translate/resource.h"

namespace meltemi::pilot {

inline constexpr uint32_t kOutboundPort = 15001;
inline constexpr uint32_t kInboundPort = 15006;

// virtualOutbound and, for each service port, "VIP_PORT" (TCP and sniffed) or "0.0.0.0_PORT" (HTTP,
// and whatever has no address of its own). `identity`: the proxy has a certificate of the mesh.
std::vector<ResourcePtr> BuildOutboundListeners(const Scope& scope, const AccessLogSettings& log,
                                                bool identity);
// Headless TCP services have one listener per endpoint: their endpoints are an argument of
// BuildOutboundListeners. In scope order.
std::vector<ServiceEndpointsPtr> ListenerEndpoints(const Scope& scope);

// What holds for one workload's server side.
struct InboundSettings {
  std::shared_ptr<const MeshSettings> mesh;
  bool identity = false;  // the proxy has a certificate
  MtlsPolicy mtls;
  std::vector<AuthorizationPolicyPtr> authorization;  // those that protect the workload

  bool operator==(const InboundSettings&) const = default;
};

// virtualInbound.
ResourcePtr BuildInboundListener(const std::vector<InboundPort>& ports,
                                 const InboundSettings& settings, const AccessLogSettings& log);

}  // namespace meltemi::pilot
