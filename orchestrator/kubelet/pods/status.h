// What is written about a pod: containers, phase, addresses; conditions.h adds the conditions.
//
// Threads: functions without state. Source: the status that Kubernetes' kubelet makes
// (pkg/kubelet/kubelet_pods.go, pkg/kubelet/status).
#pragma once

#include "kube/core/v1/pod.pb.h"
#include "orchestrator/kubelet/pods/plan.h"

namespace meltemi::kubelet {

// `ended`: nothing of it runs any more, and nothing will. The phase may be final while containers
// still run (HoldBackPhase).
kube::core::v1::PodStatus MakePodStatus(const PlanInput& input, bool ended);

// "Succeeded" or "Failed".
bool IsFinalPhase(const kube::core::v1::PodStatus& status);
// The pod has been active for longer than it may be.
bool IsPastDeadline(const PlanInput& input);
// When it will be; nullopt: never.
std::optional<WallTime> DeadlineOf(const PlanInput& input);
// The status that the new one is built on: the last that was made, else the object's.
const kube::core::v1::PodStatus& StatusBefore(const PlanInput& input);
// A final phase is told only when nothing runs any more: others count on it.
void HoldBackPhase(const PlanInput& input, kube::core::v1::PodStatus* status);
// The newest sandbox is the only one that is ready, and its network is up.
bool SandboxIsUsable(const kube::core::v1::Pod& pod, const PodState& state);

inline constexpr char kDeadlineReason[] = "DeadlineExceeded";
inline constexpr char kDeadlineMessage[] =
    "Pod was active on the node longer than the specified deadline";

}  // namespace meltemi::kubelet
