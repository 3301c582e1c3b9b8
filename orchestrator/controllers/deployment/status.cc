#include "orchestrator/controllers/deployment/status.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "orchestrator/controllers/deployment/rolling.h"
#include "orchestrator/controllers/runtime/pods.h"

namespace meltemi::controllers {
namespace {

using kube::apps::v1::Deployment;
using kube::apps::v1::DeploymentCondition;
using kube::apps::v1::DeploymentStatus;
using kube::apps::v1::ReplicaSetCondition;

constexpr char kComplete[] = "NewReplicaSetAvailable";
constexpr char kUpdated[] = "ReplicaSetUpdated";
constexpr char kTimedOut[] = "ProgressDeadlineExceeded";
constexpr char kPaused[] = "DeploymentPaused";
constexpr char kResumed[] = "DeploymentResumed";

bool HasReason(const DeploymentCondition* condition, absl::string_view reason) {
  return condition != nullptr && condition->reason() == reason;
}

// More new pods, fewer old ones, more that are ready or available.
bool HasMoved(const DeploymentStatus& before, const DeploymentStatus& now) {
  return now.updated_replicas() > before.updated_replicas() ||
         now.replicas() - now.updated_replicas() < before.replicas() - before.updated_replicas() ||
         now.ready_replicas() > before.ready_replicas() ||
         now.available_replicas() > before.available_replicas();
}

// The moment from which on a rollout without progress counts as failed.
WallTime Deadline(const Deployment& deployment, const DeploymentCondition& progressing) {
  return ToWall(progressing.last_update_time()) +
         seconds(deployment.spec().progress_deadline_seconds());
}

// `what` has happened to the new ReplicaSet, or, where there is none, to the Deployment.
std::string Message(const Deployment& deployment, const WorkingSet* new_set,
                    absl::string_view what) {
  return new_set != nullptr
             ? absl::StrCat("ReplicaSet \"", new_set->now.metadata().name(), "\" ", what)
             : absl::StrCat("Deployment \"", deployment.metadata().name(), "\" ", what);
}

void SetProgress(const Deployment& deployment, const WorkingSet* new_set, WallTime now,
                 DeploymentStatus* status) {
  const DeploymentCondition* current = FindCondition(*status, kProgressing);
  // Once complete it stays so, whatever happens to its pods, until there is a new template.
  if (status->replicas() == status->updated_replicas() && HasReason(current, kComplete)) return;
  if (IsComplete(deployment, *status)) {
    SetCondition(status, kProgressing, "True", kComplete,
                 Message(deployment, new_set, "has successfully progressed."), now);
  } else if (HasMoved(deployment.status(), *status)) {
    // Each progress begins the deadline anew; that is not a transition.
    std::optional<kube::meta::v1::Time> since;
    if (current != nullptr && current->status() == "True") since = current->last_transition_time();
    RemoveCondition(status, kProgressing);
    SetCondition(status, kProgressing, "True", kUpdated,
                 Message(deployment, new_set, "is progressing."), now);
    if (since.has_value()) {
      auto& condition = *status->mutable_conditions(status->conditions_size() - 1);
      *condition.mutable_last_transition_time() = *since;
    }
  } else if (current != nullptr && !HasReason(current, kComplete) &&
             (HasReason(current, kTimedOut) || Deadline(deployment, *current) < now)) {
    SetCondition(status, kProgressing, "False", kTimedOut,
                 Message(deployment, new_set, "has timed out progressing."), now);
  }
}

// That of the new set, or else of the first old one that has some.
const ReplicaSetCondition* FindReplicaFailure(const WorkingSet* new_set,
                                              const std::vector<WorkingSet*>& old_sets) {
  std::vector<const WorkingSet*> sets(old_sets.begin(), old_sets.end());
  if (new_set != nullptr) sets.insert(sets.begin(), new_set);
  for (const WorkingSet* set : sets) {
    for (const ReplicaSetCondition& condition : set->now.status().conditions()) {
      if (condition.type() == kReplicaFailure) return &condition;
    }
  }
  return nullptr;
}

}  // namespace

const DeploymentCondition* FindCondition(const DeploymentStatus& status, absl::string_view type) {
  for (const DeploymentCondition& condition : status.conditions()) {
    if (condition.type() == type) return &condition;
  }
  return nullptr;
}

void RemoveCondition(DeploymentStatus* status, absl::string_view type) {
  auto& conditions = *status->mutable_conditions();
  conditions.erase(std::remove_if(conditions.begin(), conditions.end(),
                                  [&](const auto& condition) { return condition.type() == type; }),
                   conditions.end());
}

void SetCondition(DeploymentStatus* status, absl::string_view type, absl::string_view value,
                  absl::string_view reason, absl::string_view message, WallTime now) {
  DeploymentCondition condition;
  condition.set_type(std::string(type));
  condition.set_status(std::string(value));
  condition.set_reason(std::string(reason));
  condition.set_message(std::string(message));
  *condition.mutable_last_update_time() = FromWall(now);
  *condition.mutable_last_transition_time() = FromWall(now);
  const DeploymentCondition* before = FindCondition(*status, type);
  if (before != nullptr && before->status() == value) {
    if (before->reason() == reason) return;
    *condition.mutable_last_transition_time() = before->last_transition_time();
  }
  RemoveCondition(status, type);
  *status->add_conditions() = std::move(condition);
}

bool HasProgressDeadline(const Deployment& deployment) {
  return deployment.spec().has_progress_deadline_seconds() &&
         deployment.spec().progress_deadline_seconds() != std::numeric_limits<int32_t>::max();
}

bool IsComplete(const Deployment& deployment, const DeploymentStatus& status) {
  const int replicas = ReplicasOf(deployment);
  return status.updated_replicas() == replicas && status.replicas() == replicas &&
         status.available_replicas() == replicas &&
         status.observed_generation() >= deployment.metadata().generation();
}

void SetPausedCondition(Deployment* deployment, WallTime now) {
  const DeploymentCondition* current = FindCondition(deployment->status(), kProgressing);
  if (!HasProgressDeadline(*deployment) || HasReason(current, kTimedOut)) return;
  const bool paused = HasReason(current, kPaused);
  if (deployment->spec().paused() && !paused) {
    SetCondition(deployment->mutable_status(), kProgressing, "Unknown", kPaused,
                 "Deployment is paused", now);
  } else if (!deployment->spec().paused() && paused) {
    SetCondition(deployment->mutable_status(), kProgressing, "Unknown", kResumed,
                 "Deployment is resumed", now);
  }
}

DeploymentStatus CountStatus(const Deployment& deployment, const WorkingSet* new_set,
                             const std::vector<WorkingSet*>& old_sets, WallTime now) {
  std::vector<const WorkingSet*> sets(old_sets.begin(), old_sets.end());
  if (new_set != nullptr) sets.push_back(new_set);
  DeploymentStatus status;
  int wanted = 0;
  for (const WorkingSet* set : sets) {
    const kube::apps::v1::ReplicaSetStatus& from = set->now.status();
    wanted += set->replicas();
    status.set_replicas(status.replicas() + from.replicas());
    status.set_ready_replicas(status.ready_replicas() + from.ready_replicas());
    status.set_available_replicas(status.available_replicas() + from.available_replicas());
  }
  status.set_observed_generation(deployment.metadata().generation());
  status.set_updated_replicas(new_set == nullptr ? 0 : new_set->now.status().replicas());
  status.set_unavailable_replicas(std::max(0, wanted - status.available_replicas()));
  *status.mutable_conditions() = deployment.status().conditions();
  if (deployment.status().has_collision_count()) {
    status.set_collision_count(deployment.status().collision_count());
  }
  if (status.available_replicas() >= ReplicasOf(deployment) - MaxUnavailable(deployment)) {
    SetCondition(&status, kAvailable, "True", "MinimumReplicasAvailable",
                 "Deployment has minimum availability.", now);
  } else {
    SetCondition(&status, kAvailable, "False", "MinimumReplicasUnavailable",
                 "Deployment does not have minimum availability.", now);
  }
  return status;
}

DeploymentStatus RolloutStatus(const Deployment& deployment, const WorkingSet* new_set,
                               const std::vector<WorkingSet*>& old_sets, WallTime now) {
  DeploymentStatus status = CountStatus(deployment, new_set, old_sets, now);
  if (HasProgressDeadline(deployment)) {
    SetProgress(deployment, new_set, now, &status);
  } else {
    RemoveCondition(&status, kProgressing);
  }
  if (const ReplicaSetCondition* failure = FindReplicaFailure(new_set, old_sets)) {
    SetCondition(&status, kReplicaFailure, failure->status(), failure->reason(), failure->message(),
                 ToWall(failure->last_transition_time()));
  } else {
    RemoveCondition(&status, kReplicaFailure);
  }
  return status;
}

std::optional<Duration> NextProgressCheck(const Deployment& deployment, WallTime now) {
  const DeploymentCondition* current = FindCondition(deployment.status(), kProgressing);
  if (!HasProgressDeadline(deployment) || current == nullptr || deployment.spec().paused() ||
      IsComplete(deployment, deployment.status()) || HasReason(current, kTimedOut) ||
      HasReason(current, kComplete)) {
    return std::nullopt;
  }
  // A second more: what is written down has whole seconds only.
  return std::max(Duration::zero(), Duration(Deadline(deployment, *current) - now)) + seconds(1);
}

}  // namespace meltemi::controllers
