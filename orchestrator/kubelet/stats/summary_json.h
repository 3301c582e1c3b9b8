// A sample as the Summary API writes it.
//
// Threads: functions without state. Source: k8s.io/kubelet/pkg/apis/stats/v1alpha1.
#pragma once

#include <string>

#include "orchestrator/kubelet/stats/sample.h"

namespace meltemi::kubelet {

std::string SummaryOf(const NodeSample& node, bool only_cpu_and_memory);

}  // namespace meltemi::kubelet
