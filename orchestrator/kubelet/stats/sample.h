// What was measured at one moment.
//
// Threads: plain values.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock/clock.h"
#include "orchestrator/kubelet/cgroups/pod_cgroups.h"
#include "orchestrator/kubelet/node/machine.h"

namespace meltemi::kubelet {

struct ComputeSample {
  Usage usage;
  WallTime time{};
  std::optional<int64_t> nanocores;  // not known yet: it was measured once
};

struct InterfaceSample {
  std::string name;
  int64_t rx_bytes = 0, rx_errors = 0, tx_bytes = 0, tx_errors = 0;
};

struct DiskUse {
  int64_t used_bytes = 0, inodes_used = 0;
};

struct ContainerSample {
  std::string name, id, image;
  WallTime started_at{};
  ComputeSample compute;
  DiskUse rootfs, logs;
};

struct VolumeSample {
  std::string name, claim;  // "": none
  bool ephemeral = false;   // counts as the pod's ephemeral storage
  DiskUse use;
};

struct PodSample {
  std::string ns, name, uid;
  int64_t start_time_s = 0;
  std::optional<ComputeSample> compute;  // none: its group is not there
  std::vector<ContainerSample> containers;
  std::vector<InterfaceSample> network;
  std::vector<VolumeSample> volumes;
  int64_t processes = 0;
};

struct NodeSample {
  std::string name;
  WallTime time{};
  Machine machine;
  std::optional<ComputeSample> compute;
  std::vector<InterfaceSample> network;
  FileSystemSpace fs;
  FileSystemSpace image_fs;
  DiskUse image_use;
  int64_t pids_max = 0, processes = 0;
  std::vector<PodSample> pods;
  bool complete = true;  // false: the runtime did not answer
};

}  // namespace meltemi::kubelet
