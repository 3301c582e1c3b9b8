#include "orchestrator/kubelet/pods/pod_state.h"

#include <algorithm>

namespace meltemi::kubelet {

const ContainerState* PodState::Newest(const std::string& container) const {
  for (const ContainerState& state : containers) {
    if (state.name == container) return &state;
  }
  return nullptr;
}

const ContainerState* PodState::ById(const std::string& id) const {
  for (const ContainerState& state : containers) {
    if (state.id == id) return &state;
  }
  return nullptr;
}

bool PodState::AnyRunning() const {
  return std::any_of(containers.begin(), containers.end(), [](const ContainerState& state) {
    return state.phase == ContainerState::Phase::kRunning ||
           state.phase == ContainerState::Phase::kUnknown;
  });
}

}  // namespace meltemi::kubelet
