// How many pods each ReplicaSet of a Deployment is to have: arithmetic on what the sets have.
//
// Threads: functions without state. Source: pkg/controller/deployment's rules. Two are stricter
// here, so that pods themselves, not only the sum of spec.replicas, stay within bounds: a set
// counts with the pods that it still has until they are on their way out, and with no more
// available ones than it is to keep.
#pragma once

#include <utility>
#include <vector>

#include "kube/apps/v1/apps.pb.h"
#include "orchestrator/controllers/deployment/sets.h"

namespace meltemi::controllers {

int ReplicasOf(const kube::apps::v1::Deployment& deployment);
bool IsRollingUpdate(const kube::apps::v1::Deployment& deployment);

struct Fenceposts {
  int surge = 0;
  int unavailable = 0;
};
// Percentages of `replicas`: of surge rounded up, of unavailability rounded down; when both are
// zero one pod may be unavailable, or nothing would ever move.
Fenceposts ResolveFenceposts(const kube::apps::v1::RollingUpdateDeployment& strategy, int replicas);

// 0 unless it is a rolling update.
int MaxSurge(const kube::apps::v1::Deployment& deployment);
// At most `replicas`; 0 unless it is a rolling update.
int MaxUnavailable(const kube::apps::v1::Deployment& deployment);

struct Resize {
  WorkingSet* set = nullptr;
  int replicas = 0;
};

// The size of the new set in a rolling update: as large as the surge allows, never beyond what is
// wanted. While some set has not yet been seen by its controller it stays as it is.
int NewSetSize(const kube::apps::v1::Deployment& deployment, const WorkingSet& new_set,
               const std::vector<WorkingSet*>& old_sets);
// Old sets that can be made smaller now: first pods that are not available, then available ones as
// far as enough of them are left; the oldest set first.
std::vector<Resize> ShrinkOldSets(const kube::apps::v1::Deployment& deployment,
                                  const WorkingSet& new_set, std::vector<WorkingSet*> old_sets);
// spec.replicas has changed in the middle of a rolling update: the difference is divided among the
// active sets in proportion to their sizes; what is left over goes to the largest.
std::vector<Resize> ScaleInProportion(const kube::apps::v1::Deployment& deployment,
                                      std::vector<WorkingSet*> sets);

}  // namespace meltemi::controllers
