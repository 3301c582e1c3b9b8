#include "orchestrator/kubeproxy/health/service_health.h"

#include "absl/strings/substitute.h"

namespace meltemi::kubeproxy {

std::string ServiceHealthAnswer(const kube::NamespacedName& service, int endpoints,
                                bool proxy_healthy) {
  return absl::Substitute(
      "{\n\t\"service\": {\n\t\t\"namespace\": \"$0\",\n\t\t\"name\": \"$1\"\n\t},\n"
      "\t\"localEndpoints\": $2,\n\t\"serviceProxyHealthy\": $3\n}",
      service.ns, service.name, endpoints, proxy_healthy ? "true" : "false");
}

}  // namespace meltemi::kubeproxy
