// A sample as Prometheus reads it.
//
// Threads: functions without state. Source: pkg/kubelet/metrics/collectors/resource_metrics.go;
// cadvisor's names and labels (a subset).
#pragma once

#include <string>

#include "orchestrator/kubelet/stats/sample.h"

namespace meltemi::kubelet {

// /metrics/resource.
std::string ResourceMetricsOf(const NodeSample& node);
// /metrics/cadvisor.
std::string ContainerMetricsOf(const NodeSample& node);

}  // namespace meltemi::kubelet
