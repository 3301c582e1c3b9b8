// The ReplicaSets of a Deployment: which is the new one, their revisions and annotations.
//
// Threads: functions without state. Source: pkg/controller/deployment/util's rules; annotations are
// read by `kubectl rollout history` and `undo`.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kube/apps/v1/apps.pb.h"
#include "kube/core/v1/pod.pb.h"

namespace meltemi::controllers {

inline constexpr char kRevision[] = "deployment.kubernetes.io/revision";
inline constexpr char kRevisionHistory[] = "deployment.kubernetes.io/revision-history";
inline constexpr char kDesiredReplicas[] = "deployment.kubernetes.io/desired-replicas";
inline constexpr char kMaxReplicas[] = "deployment.kubernetes.io/max-replicas";
inline constexpr char kTemplateHash[] = "pod-template-hash";

// A ReplicaSet that is being worked on: how it was read, and what it is to be.
struct WorkingSet {
  kube::apps::v1::ReplicaSet now;
  int replicas_before = 0;
  bool changed = false;

  int replicas() const { return now.spec().replicas(); }
  // Its controller has seen the spec that we see, so its status can be trusted.
  bool observed() const {
    return now.status().observed_generation() >= now.metadata().generation();
  }
  // At most so many active pods: those that are to go count until they do. Precondition: observed.
  int pods_max() const { return std::max(replicas(), now.status().replicas()); }
  // At least so many available ones: those that are to go count no longer.
  int available_min() const { return std::min(replicas(), now.status().available_replicas()); }
};

// Apart from the label that tells ReplicaSets apart. Quantities are compared by value.
bool SameTemplate(const kube::core::v1::PodTemplateSpec& a,
                  const kube::core::v1::PodTemplateSpec& b);

// By age, then name.
bool OlderSet(const WorkingSet* a, const WorkingSet* b);
// The oldest that has the Deployment's template; null when none has.
WorkingSet* FindNewSet(const kube::apps::v1::Deployment& deployment, std::vector<WorkingSet>& sets);
// One of several active sets, or none: nullptr. The only active one; without any the new one, or
// the latest of the old ones.
WorkingSet* ActiveOrLatest(WorkingSet* new_set, const std::vector<WorkingSet*>& old_sets);

// 0: it has none. Nullopt: it is no number.
std::optional<int64_t> RevisionOf(const kube::apps::v1::ReplicaSet& set);
int64_t MaxRevision(const std::vector<WorkingSet*>& sets);
std::optional<int> DesiredReplicasOf(const kube::apps::v1::ReplicaSet& set);

// Copies the Deployment's annotations (kubernetes.io/change-cause among them) and raises the
// revision, noting the one before in the history. Whether anything has changed.
bool AnnotateNewSet(const kube::apps::v1::Deployment& deployment, int64_t revision,
                    kube::apps::v1::ReplicaSet* set);
// How many pods the Deployment wants, and may have: what tells a change of replicas later.
bool AnnotateSize(const kube::apps::v1::Deployment& deployment, kube::apps::v1::ReplicaSet* set);

// A ReplicaSet of the Deployment's template, without replicas and annotations.
kube::apps::v1::ReplicaSet MakeSet(const kube::apps::v1::Deployment& deployment);

// Which of the old sets are beyond revisionHistoryLimit and may go.
std::vector<WorkingSet*> SetsToRemove(const kube::apps::v1::Deployment& deployment,
                                      std::vector<WorkingSet*> old_sets);

}  // namespace meltemi::controllers
