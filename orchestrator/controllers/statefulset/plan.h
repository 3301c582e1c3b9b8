// What is to be done about a StatefulSet: a pure function of it, its pods and the time.
//
// Pods have ordinals. Those below start or not below start + replicas are condemned. OrderedReady
// takes one step at a time and waits for each pod to be available; Parallel takes all at once.
// Either way one pod at a time is replaced for a new revision, from the highest ordinal down.
//
// Threads: functions without state. Source: the behaviour of Kubernetes'
// pkg/controller/statefulset.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/clock/clock.h"
#include "kube/apps/v1/apps.pb.h"
#include "kube/core/v1/claim.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "orchestrator/controllers/runtime/pods.h"

namespace meltemi::controllers::statefulsets {

constexpr char kPodNameLabel[] = "statefulset.kubernetes.io/pod-name";
constexpr char kPodIndexLabel[] = "apps.kubernetes.io/pod-index";
constexpr char kRevisionLabel[] = "controller-revision-hash";  // the revision's whole name

// The number at the end of "SET-NUMBER"; nothing when the pod's name is another one.
std::optional<int> OrdinalOf(const kube::apps::v1::StatefulSet& set, const std::string& pod_name);
std::string RevisionOf(const kube::core::v1::Pod& pod);

struct Action {
  enum class Type : uint8_t {
    kCreate,  // the pod with this ordinal and its claims
    kDelete,
    kClaims,  // the pod waits, perhaps for claims that are missing
    kRepair,  // the pod's labels are to say who it is
  };
  Type type;
  int ordinal = 0;
  PodPtr pod;          // but for kCreate
  bool update = true;  // kCreate: of the update revision, or of the current one
};

struct Plan {
  std::vector<Action> actions;  // in order; after a failure nothing that follows is done
  // When a pod becomes available by the mere passing of time.
  std::optional<Duration> wait;
};

// `update_revision`: the name of the newest one.
Plan PlanSet(const kube::apps::v1::StatefulSet& set, const std::vector<PodPtr>& pods,
             const std::string& update_revision, WallTime now);

// The status as the pods show it; `current` and `update` are names of revisions. When the rollout
// is complete, the current revision becomes the update revision.
kube::apps::v1::StatefulSetStatus StatusOf(const kube::apps::v1::StatefulSet& set,
                                           const std::vector<PodPtr>& pods,
                                           const std::string& current, const std::string& update,
                                           int collision_count, WallTime now);

kube::core::v1::Pod NewPod(const kube::apps::v1::StatefulSet& set,
                           const kube::core::v1::PodTemplateSpec& pod_template,
                           const std::string& revision, int ordinal);
// Labels that say who the pod is.
void SetIdentity(int ordinal, kube::core::v1::Pod& pod);
// The claims of the pod with this ordinal: one per template.
std::vector<kube::core::v1::PersistentVolumeClaim> ClaimsOf(const kube::apps::v1::StatefulSet& set,
                                                            int ordinal);

}  // namespace meltemi::controllers::statefulsets
