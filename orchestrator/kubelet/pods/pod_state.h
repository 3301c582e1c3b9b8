// What the runtime has of one pod, in the kubelet's words. Read from the runtime's lists, so it
// survives the kubelet; labels and annotations of sandboxes and containers carry what belongs to
// the pod (containers/labels.h).
//
// Threads: plain values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock/clock.h"

namespace meltemi::kubelet {

struct ContainerState {
  enum class Phase : uint8_t { kCreated, kRunning, kExited, kUnknown };
  std::string id, name;
  uint32_t attempt = 0;  // its restart count
  Phase phase = Phase::kUnknown;
  std::string image, image_ref;  // as the pod names it; what the runtime runs
  std::string sandbox;
  uint64_t spec_hash = 0;  // of the container's spec when it was made
  WallTime created_at{}, started_at{}, finished_at{};
  int32_t exit_code = 0;
  std::string reason, message;  // "OOMKilled", "Error", "Completed", …
  std::string log_path;
};

struct SandboxState {
  std::string id;
  uint32_t attempt = 0;
  bool ready = false;
  std::vector<std::string> ips;  // none with the host's network
  WallTime created_at{};
};

struct PodState {
  std::string uid, ns, name;
  std::vector<SandboxState> sandboxes;     // the newest first
  std::vector<ContainerState> containers;  // of all sandboxes; the newest of a name first

  // Null: there is none.
  const ContainerState* Newest(const std::string& container) const;
  const ContainerState* ById(const std::string& id) const;
  bool AnyRunning() const;
  // Nothing is left of it in the runtime.
  bool empty() const { return sandboxes.empty() && containers.empty(); }
};

}  // namespace meltemi::kubelet
