// The loop of the proxy: changes of objects in, one run of the writer for all that have gathered.
//
// Threads: see kube_proxy.h.
#pragma once

#include <memory>

#include "orchestrator/kubeproxy/conntrack/flows.h"
#include "orchestrator/kubeproxy/health/service_health.h"
#include "orchestrator/kubeproxy/kube_proxy.h"
#include "orchestrator/kubeproxy/rules_writer.h"

namespace meltemi::kubeproxy {

// What the loop drives.
struct SyncParts {
  std::unique_ptr<RulesWriter> writer;
  std::unique_ptr<Flows> flows;
  // Given whether the proxy is healthy; the result may be null.
  std::function<std::unique_ptr<ServiceHealth>(std::function<bool()> healthy)> new_health;
  // After the first success: what another mode has left. May be empty.
  std::function<void()> remove_other_mode;
};

// Error: an option that can't be read.
absl::StatusOr<std::unique_ptr<KubeProxy>> NewSync(const KubeProxyOptions& options, SyncParts parts,
                                                   kube::Informers& informers,
                                                   kube::Executor& executor,
                                                   metrics::Registry* metrics);

}  // namespace meltemi::kubeproxy
