// What a PodDisruptionBudget allows, from the pods that it selects.
//
// Threads: functions without state. Source: the rules of Kubernetes' disruption controller.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/meta/v1/meta.pb.h"
#include "kube/policy/v1/policy.pb.h"
#include "orchestrator/controllers/runtime/pods.h"

namespace meltemi::controllers {

// A granted eviction that is not seen to begin within this time will not.
inline constexpr Duration kDisruptionTimeout = minutes(2);

// Whether the number of pods that are expected is that of the owners' scale, not of the pods.
bool NeedsScale(const kube::policy::v1::PodDisruptionBudgetSpec& budget);

struct BudgetCount {
  int expected = 0, desired_healthy = 0;
};
// `pods`: how many are selected; `scale`: of their owners together, where it is needed.
BudgetCount CountOf(const kube::policy::v1::PodDisruptionBudgetSpec& budget, int pods, int scale);

struct BudgetResult {
  kube::policy::v1::PodDisruptionBudgetStatus status;
  std::optional<Duration> again;    // when the next granted eviction expires
  std::vector<PodPtr> not_deleted;  // whose evictions have expired
};
BudgetResult NewStatus(const kube::policy::v1::PodDisruptionBudget& budget,
                       const std::vector<PodPtr>& pods, const BudgetCount& count, WallTime now);

// The status when the count could not be found: nothing is allowed.
kube::policy::v1::PodDisruptionBudgetStatus FailedStatus(
    const kube::policy::v1::PodDisruptionBudget& budget, absl::string_view why, WallTime now);

bool SameStatus(const kube::policy::v1::PodDisruptionBudgetStatus& a,
                const kube::policy::v1::PodDisruptionBudgetStatus& b);

// How Kubernetes' events print a selector.
std::string SelectorText(const kube::meta::v1::LabelSelector& selector);

// How long a pod that is not deleted keeps the condition DisruptionTarget; nullopt: it has none
// that could be stale.
std::optional<Duration> StaleTargetIn(const kube::core::v1::Pod& pod, WallTime now);
// Whether it had the condition.
bool ClearTarget(WallTime now, kube::core::v1::Pod& pod);

}  // namespace meltemi::controllers
