// The status of a Deployment: counts and conditions, in Kubernetes' words.
//
// Threads: functions without state. Source: pkg/controller/deployment's rules.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "kube/apps/v1/apps.pb.h"
#include "orchestrator/controllers/deployment/sets.h"

namespace meltemi::controllers {

inline constexpr char kProgressing[] = "Progressing";
inline constexpr char kAvailable[] = "Available";
inline constexpr char kReplicaFailure[] = "ReplicaFailure";

// Null: there is none.
const kube::apps::v1::DeploymentCondition* FindCondition(
    const kube::apps::v1::DeploymentStatus& status, absl::string_view type);
// One of the same status and reason stays as it is, whatever its message; the transition is the
// moment when the status has changed.
void SetCondition(kube::apps::v1::DeploymentStatus* status, absl::string_view type,
                  absl::string_view value, absl::string_view reason, absl::string_view message,
                  WallTime now);
void RemoveCondition(kube::apps::v1::DeploymentStatus* status, absl::string_view type);

bool HasProgressDeadline(const kube::apps::v1::Deployment& deployment);
// All pods are there, of the new template and available, and the status is of this generation.
bool IsComplete(const kube::apps::v1::Deployment& deployment,
                const kube::apps::v1::DeploymentStatus& status);

// Condition Progressing while spec.paused, and after it.
void SetPausedCondition(kube::apps::v1::Deployment* deployment, WallTime now);

// Counts and Available. `new_set` may be null.
kube::apps::v1::DeploymentStatus CountStatus(const kube::apps::v1::Deployment& deployment,
                                             const WorkingSet* new_set,
                                             const std::vector<WorkingSet*>& old_sets,
                                             WallTime now);
// These, Progressing and ReplicaFailure. Whether there is progress: against the status that it has.
kube::apps::v1::DeploymentStatus RolloutStatus(const kube::apps::v1::Deployment& deployment,
                                               const WorkingSet* new_set,
                                               const std::vector<WorkingSet*>& old_sets,
                                               WallTime now);
// When to look again whether the deadline has passed; nullopt: no need.
std::optional<Duration> NextProgressCheck(const kube::apps::v1::Deployment& deployment,
                                          WallTime now);

}  // namespace meltemi::controllers
