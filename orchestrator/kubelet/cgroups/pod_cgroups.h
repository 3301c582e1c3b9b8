// The control groups of this node's pods: ROOT/kubepods/{,burstable/,besteffort/}podUID with the
// pod's limits, on cgroup v1, v2 and the mixture of both.
//
// Threads: thread-safe; blocks on file operations only. Source: pkg/kubelet/cm (formulas of shares,
// quota and limits; QoS classes).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "orchestrator/kubelet/cgroups/qos.h"

namespace meltemi::kubelet {

struct Usage {
  int64_t cpu_nanoseconds = 0;  // since its beginning
  int64_t memory_bytes = 0;     // all
  int64_t working_set_bytes = 0;
  int64_t rss_bytes = 0;
  int64_t page_faults = 0, major_page_faults = 0;
};

class PodCgroups {
 public:
  virtual ~PodCgroups() = default;
  // Makes or updates the pod's group; gives what a sandbox is told as its cgroup_parent.
  virtual absl::StatusOr<std::string> Ensure(const kube::core::v1::Pod& pod) = 0;
  // Kills what is left in it. Not there: fine. kUnavailable: what was killed is still ending; call
  // again a little later.
  virtual absl::Status Remove(const std::string& pod_uid) = 0;
  virtual absl::StatusOr<Usage> UsageOf(const std::string& pod_uid) = 0;
  virtual absl::StatusOr<Usage> NodeUsage() = 0;
  // Ids of the processes in the pod's group, at most 1000 of them; none when it is not there.
  virtual std::vector<int32_t> Processes(const std::string& pod_uid) = 0;
};

struct PodCgroupsOptions {
  std::string mount = "/sys/fs/cgroup";
  std::string root;  // "/meltemi/NODE": where kubepods lies; "" the top
  // The group whose usage is the node's: "/" the machine, as Kubernetes has it. "": `root`, where
  // several nodes share a machine.
  std::string usage_root;
};
// Error: what is missing on this machine.
absl::StatusOr<std::unique_ptr<PodCgroups>> NewPodCgroups(const PodCgroupsOptions& options);

}  // namespace meltemi::kubelet
