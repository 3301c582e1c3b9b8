// What pods and the node use: the Summary API and Prometheus' text, from cgroups, the runtime, the
// pods' network namespaces and the file systems.
//
// Threads: thread-safe; a call blocks on files and on the runtime; results are kept for a second.
// Source: k8s.io/kubelet/pkg/apis/stats/v1alpha1; /metrics/resource, /metrics/cadvisor (subset).
#pragma once

#include <memory>
#include <string>

#include "base/clock/clock.h"
#include "orchestrator/kubelet/cgroups/pod_cgroups.h"
#include "orchestrator/kubelet/cri/runtime.h"
#include "orchestrator/kubelet/pods/pods.h"
#include "orchestrator/kubelet/volumes/volumes.h"

namespace meltemi::kubelet {

class Stats {
 public:
  virtual ~Stats() = default;
  virtual std::string SummaryJson(bool only_cpu_and_memory) = 0;
  virtual std::string ResourceMetrics() = 0;
  virtual std::string ContainerMetrics() = 0;
};

// `root`: the file system that pods are kept on.
std::unique_ptr<Stats> NewStats(const std::string& node_name, const std::string& root,
                                const Clock& clock, const Pods& pods, Runtime& runtime,
                                PodCgroups& cgroups, Volumes& volumes);

}  // namespace meltemi::kubelet
