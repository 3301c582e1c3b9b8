// What is written about one container.
//
// Threads: functions without state. Source: pkg/kubelet/kubelet_pods.go.
#pragma once

#include "kube/core/v1/pod.pb.h"
#include "orchestrator/kubelet/pods/plan.h"

namespace meltemi::kubelet {

// `before`: what was written of it last; null: nothing. `restarts`: the pod goes on, so that what
// has ended may come back.
kube::core::v1::ContainerStatus MakeContainerStatus(const PlanInput& input,
                                                    const kube::core::v1::Container& container,
                                                    bool init, bool restarts,
                                                    const kube::core::v1::ContainerStatus* before);

// Terminated in a way that nobody has seen.
void SetUnknownEnd(absl::string_view message, kube::core::v1::ContainerState* state);

// Whether it starts again once it has ended with this code.
bool IsRestarted(const kube::core::v1::Pod& pod, const kube::core::v1::Container& container,
                 int32_t exit_code);

}  // namespace meltemi::kubelet
