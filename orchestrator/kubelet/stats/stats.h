// What pods and the node use: the Summary API and Prometheus' text, from cgroups, the runtime, the
// pods' network namespaces and the file systems.
//
// Samples are taken every 15 seconds, so that rates are those of the last half minute, and when
// somebody asks; sizes of volumes, which are walked, at most once a minute.
//
// Threads: thread-safe; a call blocks on files and on the runtime; results are kept for a second.
// Source: k8s.io/kubelet/pkg/apis/stats/v1alpha1; /metrics/resource, /metrics/cadvisor (subset).
#pragma once

#include <memory>
#include <string>

#include "kube/executor/executor.h"
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

struct StatsOptions {
  std::string node_name;
  std::string root;          // the file system that pods are kept on
  std::string machine_root;  // before /proc: for tests
  Duration sample_period = seconds(15);
};

// All outlive it.
std::unique_ptr<Stats> NewStats(const StatsOptions& options, kube::Executor& executor,
                                const Pods& pods, Runtime& runtime, PodCgroups& cgroups,
                                Volumes& volumes);

}  // namespace meltemi::kubelet
