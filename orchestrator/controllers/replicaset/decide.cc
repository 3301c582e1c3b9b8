#include "orchestrator/controllers/replicaset/decide.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <map>
#include <utility>

namespace meltemi::controllers {
namespace {

using kube::apps::v1::ReplicaSet;
using kube::apps::v1::ReplicaSetCondition;
using kube::apps::v1::ReplicaSetStatus;
using kube::core::v1::Pod;

constexpr char kReplicaFailure[] = "ReplicaFailure";

bool HasAllLabels(const Pod& pod, const google::protobuf::Map<std::string, std::string>& labels) {
  return std::all_of(labels.begin(), labels.end(), [&](const auto& label) {
    const auto found = pod.metadata().labels().find(label.first);
    return found != pod.metadata().labels().end() && found->second == label.second;
  });
}

// The condition stays as it was as long as there is a failure, and goes with the last one.
void SetReplicaFailure(const std::optional<std::string>& failure, int missing, WallTime now,
                       ReplicaSetStatus* status) {
  auto& conditions = *status->mutable_conditions();
  const auto found = std::find_if(conditions.begin(), conditions.end(), [](const auto& condition) {
    return condition.type() == kReplicaFailure;
  });
  if (!failure.has_value()) {
    if (found != conditions.end()) conditions.erase(found);
    return;
  }
  if (found != conditions.end()) return;
  ReplicaSetCondition& condition = *conditions.Add();
  condition.set_type(kReplicaFailure);
  condition.set_status("True");
  *condition.mutable_last_transition_time() = FromWall(now);
  if (missing != 0) condition.set_reason(missing > 0 ? "FailedCreate" : "FailedDelete");
  condition.set_message(*failure);
}

}  // namespace

int WantedReplicas(const ReplicaSet& set) {
  return set.spec().has_replicas() ? set.spec().replicas() : 1;
}

ReplicaPlan PlanReplicas(const ReplicaSet& set, std::vector<PodPtr> pods,
                         const std::vector<PodPtr>& related, WallTime now) {
  const int have = static_cast<int>(pods.size());
  const int want = WantedReplicas(set);
  ReplicaPlan plan;
  if (have <= want) {
    plan.create = std::min(want - have, kReplicaBurst);
    return plan;
  }
  std::map<std::string, int> on_node;
  for (const PodPtr& pod : related) ++on_node[pod->spec().node_name()];
  SortForDeletion(
      pods, [&](const Pod& pod) { return on_node[pod.spec().node_name()]; }, now);
  // What is ready but not yet for long enough is missed less than what is available.
  const Duration min_ready = seconds(set.spec().min_ready_seconds());
  std::stable_partition(pods.begin(), pods.end(), [&](const PodPtr& pod) {
    return !IsAvailable(*pod, min_ready, now, nullptr);
  });
  pods.resize(static_cast<size_t>(std::min(have - want, kReplicaBurst)));
  plan.remove = std::move(pods);
  return plan;
}

ReplicaSetStatus ReplicaStatus(const ReplicaSet& set, const std::vector<PodPtr>& pods,
                               const std::optional<std::string>& failure, WallTime now,
                               std::optional<Duration>* recheck) {
  const Duration min_ready = seconds(set.spec().min_ready_seconds());
  ReplicaSetStatus status = set.status();
  int labeled = 0;
  int ready = 0;
  int available = 0;
  recheck->reset();
  for (const PodPtr& pod : pods) {
    if (HasAllLabels(*pod, set.spec().template_().metadata().labels())) ++labeled;
    if (!IsReady(*pod)) continue;
    ++ready;
    Duration in{};
    if (IsAvailable(*pod, min_ready, now, &in)) {
      ++available;
    } else if (in > Duration::zero()) {
      *recheck = std::min(recheck->value_or(in), in);
    }
  }
  SetReplicaFailure(failure, WantedReplicas(set) - static_cast<int>(pods.size()), now, &status);
  status.set_replicas(static_cast<int>(pods.size()));
  status.set_fully_labeled_replicas(labeled);
  status.set_ready_replicas(ready);
  status.set_available_replicas(available);
  status.set_observed_generation(set.metadata().generation());
  return status;
}

bool SameStatus(const ReplicaSetStatus& a, const ReplicaSetStatus& b) {
  return google::protobuf::util::MessageDifferencer::Equals(a, b);
}

}  // namespace meltemi::controllers
