#include "test/machine/envoy.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace meltemi::machine {

std::string EnvoyBootstrap(const EnvoyNode& node) {
  const std::string labels =
      absl::StrJoin(node.labels, ", ", [](std::string* out, const auto& label) {
        absl::StrAppend(out, "\"", label.first, "\": \"", label.second, "\"");
      });
  return absl::StrFormat(R"({
  "node": {
    "id": "sidecar~%s~%s.default~default.svc.cluster.local",
    "cluster": "%s.default",
    "metadata": {"NAMESPACE": "default", "NAME": "%s", "WORKLOAD_NAME": "%s", "LABELS": {%s}}
  },
  "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 15000}}},
  "dynamic_resources": {
    "lds_config": {"ads": {}, "resource_api_version": "V3"},
    "cds_config": {"ads": {}, "resource_api_version": "V3"},
    "ads_config": {
      "api_type": "%s", "transport_api_version": "V3",
      "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}]
    }
  },
  "static_resources": {
    "clusters": [{
      "name": "xds-grpc", "type": "STATIC", "connect_timeout": "5s",
      "typed_extension_protocol_options": {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
          "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
          "explicit_http_config": {"http2_protocol_options": {}}
        }
      },
      "load_assignment": {"cluster_name": "xds-grpc", "endpoints": [{"lb_endpoints": [{"endpoint":
        {"address": {"socket_address": {"address": "%s", "port_value": %d}}}}]}]}
    }]
  }
})",
                         node.ip, node.name, node.name, node.name, node.name, labels,
                         node.delta ? "DELTA_GRPC" : "GRPC", node.xds_ip, node.xds_port);
}

}  // namespace meltemi::machine
