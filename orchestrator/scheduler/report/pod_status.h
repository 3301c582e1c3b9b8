// Patches of a pod's status: one condition, and the node that it is nominated for.
//
// Threads: functions without state; those with a client block.
#pragma once

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "kube/client/client.h"
#include "kube/core/v1/pod.pb.h"
#include "orchestrator/scheduler/model/pod_info.h"

namespace meltemi::scheduler {

struct Condition {
  std::string type, status, reason, message;
};

// Null: it has none of this type.
const kube::core::v1::PodCondition* FindCondition(const kube::core::v1::Pod& pod,
                                                  absl::string_view type);
bool Has(const kube::core::v1::Pod& pod, const Condition& condition);

// A strategic merge patch that holds only for the pod with this uid. `nominated`: the node's name,
// empty: none any more; without: as it is. The time of the transition is `now` where the status
// changes.
std::string StatusPatch(const kube::core::v1::Pod& pod, const std::optional<Condition>& condition,
                        const std::optional<std::string>& nominated, WallTime now);

kube::Outcome PatchStatus(kube::Client& client, const PodInfo& pod, absl::string_view patch);

}  // namespace meltemi::scheduler
