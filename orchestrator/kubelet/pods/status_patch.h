// The write of a pod's status as a strategic merge patch of what is different: so that nothing of
// what others write (readiness gates, DisruptionTarget) is touched.
//
// Threads: functions without state. Source: Kubernetes' strategic merge patch.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "kube/core/v1/pod.pb.h"

namespace meltemi::kubelet {

// From `written`, as the API server has it, to `wanted`; "" where nothing that a kubelet owns
// differs. Refused (409) by a pod of another UID.
std::string PodStatusPatch(absl::string_view uid, const kube::core::v1::PodStatus& written,
                           const kube::core::v1::PodStatus& wanted);

}  // namespace meltemi::kubelet
