// LDS of sidecars: the virtual listeners on 15001 and 15006 and, behind the first, one per service
// address or port. Pure functions.
#pragma once

#include <vector>

#include "pilot/snapshot/scope.h"
#include "pilot/translate/filters.h"
#include "pilot/translate/inbound.h"
#include "pilot/translate/resource.h"

namespace meltemi::pilot {

inline constexpr uint32_t kOutboundPort = 15001;
inline constexpr uint32_t kInboundPort = 15006;

// virtualOutbound and, for each service port, "VIP_PORT" (TCP and sniffed) or "0.0.0.0_PORT" (HTTP,
// and whatever has no address of its own).
std::vector<ResourcePtr> BuildOutboundListeners(const Scope& scope, const AccessLogSettings& log);
// Headless TCP services have one listener per endpoint: their endpoints are an argument of
// BuildOutboundListeners. In scope order.
std::vector<ServiceEndpointsPtr> ListenerEndpoints(const Scope& scope);

// virtualInbound.
ResourcePtr BuildInboundListener(const std::vector<InboundPort>& ports, const MeshSettings& mesh,
                                 const AccessLogSettings& log);

}  // namespace meltemi::pilot
