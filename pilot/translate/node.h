// Who a proxy is, from the node that it sends with its first request. Immutable.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "pilot/model/meta.h"

namespace envoy::config::core::v3 {
class Node;
}

namespace meltemi::pilot {

enum class ProxyKind : uint8_t {
  kSidecar,    // node id "sidecar~…"
  kGateway,    // node id "router~…"
  kProxyless,  // metadata GENERATOR=grpc: a gRPC client or server without a proxy
};

struct ProxyNode {
  std::string id;  // as sent
  ProxyKind kind = ProxyKind::kSidecar;
  std::string name;  // of the workload instance (pod)
  std::string ns;
  std::vector<std::string> addresses;  // at least one
  Labels labels;
  std::string workload_name;
  std::string service_account;
  std::string cluster_id;
  // Metadata ACCESS_LOG: where this proxy writes its access log, whatever the mesh's setting.
  std::string access_log_path;
  // Its connection showed a token that fits this node: it may have Secrets of its namespace.
  bool authenticated = false;

  // True if it gets certificates of the mesh: it has shown who it is, or says by its labels that an
  // agent beside it has.
  bool HasIdentity() const;
};

// The id is "KIND~IP~NAME.NS~DOMAIN" as Istio's; metadata NAMESPACE, LABELS, INSTANCE_IPS,
// WORKLOAD_NAME, SERVICE_ACCOUNT, CLUSTER_ID, GENERATOR and ACCESS_LOG add to it or replace parts.
// Invalid argument, with the form that is expected, where neither tells the address and namespace.
absl::StatusOr<ProxyNode> ParseNode(const envoy::config::core::v3::Node& node);

}  // namespace meltemi::pilot
