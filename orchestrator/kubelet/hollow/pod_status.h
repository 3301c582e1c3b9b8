// What a kubelet writes about a pod: phase, conditions, addresses and containers, in its form and
// words.
//
// Threads: functions without state. Source: the kubelet's status generation.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "kube/core/v1/pod.pb.h"
#include "orchestrator/kubelet/hollow/pod_run.h"

namespace meltemi::kubelet {

struct PodAddresses {
  std::string host_ip, pod_ip;  // pod_ip "": none yet
};

// Times of conditions that have changed are set in `run` as well.
kube::core::v1::PodStatus StatusOf(const kube::core::v1::Pod& pod, const PodAddresses& addresses,
                                   int64_t now_s, PodRun* run);

// Takes over the times of conditions that the pod has.
void AdoptConditions(const kube::core::v1::Pod& pod, PodRun* run);

// Whether the pod, as the API server has it, says something else than `wanted` about phase,
// address or conditions: somebody else has written it.
bool Differs(const kube::core::v1::PodStatus& wanted, const kube::core::v1::PodStatus& written);

// The strategic merge patch that writes the status, if the pod is still the one with this uid.
std::string StatusPatch(absl::string_view uid, const kube::core::v1::PodStatus& status);

}  // namespace meltemi::kubelet
