// The status of a node from what was seen of the machine and the runtime.
//
// Threads: functions without state. Source: pkg/kubelet/nodestatus.
#pragma once

#include <string>
#include <vector>

#include "base/clock/clock.h"
#include "kube/core/v1/node.pb.h"
#include "orchestrator/kubelet/node/machine.h"
#include "orchestrator/kubelet/node/node.h"

namespace meltemi::kubelet {

struct NodeSight {
  Machine machine;
  FileSystemSpace pods_fs;
  std::string ip;
  bool memory_pressure = false, disk_pressure = false;
  std::string runtime_version;        // "containerd://1.6.20"
  std::vector<std::string> problems;  // why it is not ready
  std::vector<kube::core::v1::ContainerImage> images;
  WallTime now{};
};

struct NodeEvent {
  std::string type, reason, message;
};

// `before`: as the API server has it, empty for a new node. What others have written there (their
// conditions, extended resources) stays. `events`: what is to be told once it is written.
kube::core::v1::NodeStatus NextNodeStatus(const NodeOptions& options, const NodeSight& sight,
                                          const kube::core::v1::NodeStatus& before,
                                          std::vector<NodeEvent>* events);

// But for the times of heartbeats.
bool SameNodeStatus(const kube::core::v1::NodeStatus& a, const kube::core::v1::NodeStatus& b);

bool LowOnMemory(const NodeOptions& options, const Machine& machine);
bool LowOnDisk(const NodeOptions& options, const FileSystemSpace& space);

// Errors as Kubernetes joins them: one alone, more as "[a, b]", each once.
std::string JoinProblems(const std::vector<std::string>& problems);

}  // namespace meltemi::kubelet
