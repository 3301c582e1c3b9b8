// The conditions of a pod that its kubelet owns: PodReadyToStartContainers, Initialized, Ready,
// ContainersReady, PodScheduled.
//
// Threads: functions without state. Source: pkg/kubelet/status/generate.go.
#pragma once

#include "base/clock/clock.h"
#include "kube/core/v1/pod.pb.h"

namespace meltemi::kubelet {

// Adds them to `status`, whose phase and containers are set, after those that the pod has from
// others (readiness gates, DisruptionTarget). Those that keep their value keep their time as well:
// `before` has it.
void AddConditions(const kube::core::v1::Pod& pod, const kube::core::v1::PodStatus& before,
                   bool sandbox_ready, WallTime now, kube::core::v1::PodStatus* status);

// Any container but init containers runs or has run.
bool AnyMainStarted(const kube::core::v1::Pod& pod, const kube::core::v1::PodStatus& status);

}  // namespace meltemi::kubelet
