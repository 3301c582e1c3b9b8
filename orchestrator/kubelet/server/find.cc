#include "orchestrator/kubelet/server/find.h"

#include "kube/core/v1/pod.pb.h"

namespace meltemi::kubelet {

FoundSpec FindSpec(const kube::core::v1::Pod& pod, const std::string& container) {
  for (const auto* list : {&pod.spec().containers(), &pod.spec().init_containers()}) {
    for (const auto& one : *list) {
      if (one.name() == container) return {.found = true, .tty = one.tty()};
    }
  }
  for (const auto& one : pod.spec().ephemeral_containers()) {
    const auto& common = one.ephemeral_container_common();
    if (common.name() == container) return {.found = true, .tty = common.tty()};
  }
  return {};
}

const ContainerState* FindRunning(const PodState& state, const std::string& container) {
  const ContainerState* const newest = state.Newest(container);
  if (newest == nullptr || newest->phase != ContainerState::Phase::kRunning) return nullptr;
  return newest;
}

}  // namespace meltemi::kubelet
