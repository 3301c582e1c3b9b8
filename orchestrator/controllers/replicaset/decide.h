// What is to be done for a ReplicaSet, and what its status says: pure functions of what is there.
//
// Threads: functions without state. Source: pkg/controller/replicaset's rules.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/clock/clock.h"
#include "kube/apps/v1/apps.pb.h"
#include "orchestrator/controllers/runtime/pods.h"

namespace meltemi::controllers {

// Most pods that are made or deleted in one go; the rest follows when these have been seen.
constexpr int kReplicaBurst = 500;

int WantedReplicas(const kube::apps::v1::ReplicaSet& set);

struct ReplicaPlan {
  int create = 0;
  std::vector<PodPtr> remove;
};

// `pods`: those of the set that are active. `related`: active pods of all sets that have the same
// owner (all revisions of a Deployment), its own among them: where many of them share a node, one
// of those goes first.
ReplicaPlan PlanReplicas(const kube::apps::v1::ReplicaSet& set, std::vector<PodPtr> pods,
                         const std::vector<PodPtr>& related, WallTime now);

// `failure`: what went wrong with making or deleting pods. `recheck` gets when the next pod becomes
// available by the mere passing of time; nullopt: none does.
kube::apps::v1::ReplicaSetStatus ReplicaStatus(const kube::apps::v1::ReplicaSet& set,
                                               const std::vector<PodPtr>& pods,
                                               const std::optional<std::string>& failure,
                                               WallTime now, std::optional<Duration>* recheck);

// Whether there is anything new to write.
bool SameStatus(const kube::apps::v1::ReplicaSetStatus& a,
                const kube::apps::v1::ReplicaSetStatus& b);

}  // namespace meltemi::controllers
