// How long a pod may stay on a node with NoExecute taints.
//
// Threads: functions without state. Source: Kubernetes' taints and tolerations.
#pragma once

#include <optional>
#include <vector>

#include "base/clock/clock.h"
#include "kube/core/v1/placement.pb.h"
#include "kube/core/v1/pod.pb.h"

namespace meltemi::controllers {

bool Tolerates(const kube::core::v1::Toleration& toleration, const kube::core::v1::Taint& taint);

// nullopt: for ever. Zero: not at all. Of each taint the first toleration that fits counts; of all
// taints the shortest time.
std::optional<Duration> ToleratedFor(const kube::core::v1::PodSpec& pod,
                                     const std::vector<kube::core::v1::Taint>& taints);

}  // namespace meltemi::controllers
