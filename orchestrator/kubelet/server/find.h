// Containers of a pod by their names.
//
// Threads: functions without state.
#pragma once

#include <string>

#include "orchestrator/kubelet/pods/pods.h"

namespace meltemi::kubelet {

struct FoundSpec {
  bool found = false;
  bool tty = false;
};
// Init, ordinary and ephemeral containers alike.
FoundSpec FindSpec(const kube::core::v1::Pod& pod, const std::string& container);

// The newest one of this name, if it runs; null otherwise.
const ContainerState* FindRunning(const PodState& state, const std::string& container);

}  // namespace meltemi::kubelet
