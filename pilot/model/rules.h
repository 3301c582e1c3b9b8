// Istio's traffic rules with every host and namespace in them resolved. The decoded spec stays
// attached: translation reads it, nothing changes it. Immutable; shared between snapshots.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "pilot/model/meta.h"
#include "pilot/model/names.h"

namespace istio::networking::v1alpha3 {
class DestinationRule;
class Gateway;
class Sidecar;
class VirtualService;
}  // namespace istio::networking::v1alpha3

namespace meltemi::pilot {

namespace networking = ::istio::networking::v1alpha3;

// One place that a route may send traffic to.
struct DestinationRef {
  std::string host;
  std::string subset;
  uint32_t port = 0;  // 0: follows from the service or the request

  bool operator==(const DestinationRef&) const = default;
};

struct VirtualService {
  ObjectMeta meta;
  std::vector<std::string> hosts;     // full names
  std::vector<std::string> gateways;  // "mesh" or "NS/NAME"; never empty
  ExportTo export_to;
  // Destination hosts inside are full names too.
  std::shared_ptr<const networking::VirtualService> spec;
  std::vector<DestinationRef> destinations;  // sorted, unique

  bool AppliesTo(absl::string_view gateway) const {
    for (const std::string& name : gateways) {
      if (name == gateway) return true;
    }
    return false;
  }
};
using VirtualServicePtr = std::shared_ptr<const VirtualService>;

struct DestinationRule {
  ObjectMeta meta;
  std::string host;  // full name or wildcard
  ExportTo export_to;
  Labels workload_selector;  // of the clients that it applies to; empty: all
  std::shared_ptr<const networking::DestinationRule> spec;

  bool HasSubset(absl::string_view name) const;
};
using DestinationRulePtr = std::shared_ptr<const DestinationRule>;

struct Gateway {
  ObjectMeta meta;
  Labels selector;
  std::shared_ptr<const networking::Gateway> spec;
};
using GatewayPtr = std::shared_ptr<const Gateway>;

struct Sidecar {
  ObjectMeta meta;
  Labels selector;  // empty: the namespace's default
  std::shared_ptr<const networking::Sidecar> spec;
};
using SidecarPtr = std::shared_ptr<const Sidecar>;

}  // namespace meltemi::pilot
