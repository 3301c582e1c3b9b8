// Measures the node and its pods.
//
// Threads: one at a time; blocks on files and on the runtime.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "orchestrator/kubelet/stats/rates.h"
#include "orchestrator/kubelet/stats/sample.h"
#include "orchestrator/kubelet/stats/stats.h"

namespace runtime::v1 {
class ContainerStats;
}  // namespace runtime::v1

namespace meltemi::kubelet {

class Sampler {
 public:
  Sampler(const StatsOptions& options, const Clock& clock, const Pods& pods, Runtime& runtime,
          PodCgroups& cgroups, Volumes& volumes);
  ~Sampler();

  // `with_disks`: sizes of volumes and logs, and network counters, too.
  NodeSample Take(bool with_disks);

 private:
  using StatsById = std::map<std::string, const cri::ContainerStats*>;

  void TakeNode(bool with_disks, NodeSample* out);
  PodSample TakePod(const PodOnNode& pod, const StatsById& stats, bool with_disks, WallTime now);
  void TakeDisks(const PodOnNode& pod, PodSample* out);
  std::map<std::string, Volumes::Size> Sizes(const std::string& pod_uid);

  const StatsOptions options_;
  const Clock& clock_;
  const Pods& pods_;
  Runtime& runtime_;
  PodCgroups& cgroups_;
  Volumes& volumes_;
  Rates rates_;
  struct Walked {
    MonotonicTime at;
    std::map<std::string, Volumes::Size> sizes;
  };
  std::map<std::string, Walked> walked_;  // by the pod's UID
};

}  // namespace meltemi::kubelet
