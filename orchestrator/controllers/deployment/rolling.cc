#include "orchestrator/controllers/deployment/rolling.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/numbers.h"
#include "orchestrator/controllers/runtime/pods.h"

namespace meltemi::controllers {
namespace {

using kube::apps::v1::Deployment;
using kube::apps::v1::ReplicaSet;

// What the set's Deployment could have had at most when the set was last sized.
int MaxReplicasBefore(const Deployment& deployment, const ReplicaSet& set) {
  const auto found = set.metadata().annotations().find(kMaxReplicas);
  int before = 0;
  if (found != set.metadata().annotations().end() && absl::SimpleAtoi(found->second, &before) &&
      before > 0) {
    return before;
  }
  return deployment.status().replicas();
}

// By how much the set would grow (or shrink) if all kept their shares.
int ShareOf(const Deployment& deployment, const WorkingSet& set) {
  if (ReplicasOf(deployment) == 0) return -set.replicas();
  const int before = MaxReplicasBefore(deployment, set.now);
  if (before == 0) return 0;
  const double size = static_cast<double>(set.replicas()) *
                      (ReplicasOf(deployment) + MaxSurge(deployment)) / before;
  return static_cast<int>(std::lround(size)) - set.replicas();
}

}  // namespace

int ReplicasOf(const Deployment& deployment) {
  return deployment.spec().has_replicas() ? deployment.spec().replicas() : 1;
}

bool IsRollingUpdate(const Deployment& deployment) {
  return deployment.spec().strategy().type() == "RollingUpdate";
}

Fenceposts ResolveFenceposts(const kube::apps::v1::RollingUpdateDeployment& strategy,
                             int replicas) {
  Fenceposts posts{ScaledValue(strategy.max_surge(), replicas, true),
                   ScaledValue(strategy.max_unavailable(), replicas, false)};
  if (posts.surge == 0 && posts.unavailable == 0) posts.unavailable = 1;
  return posts;
}

int MaxSurge(const Deployment& deployment) {
  if (!IsRollingUpdate(deployment)) return 0;
  return ResolveFenceposts(deployment.spec().strategy().rolling_update(), ReplicasOf(deployment))
      .surge;
}

int MaxUnavailable(const Deployment& deployment) {
  const int replicas = ReplicasOf(deployment);
  if (!IsRollingUpdate(deployment) || replicas == 0) return 0;
  const Fenceposts posts =
      ResolveFenceposts(deployment.spec().strategy().rolling_update(), replicas);
  return std::min(posts.unavailable, replicas);
}

int NewSetSize(const Deployment& deployment, const WorkingSet& new_set,
               const std::vector<WorkingSet*>& old_sets) {
  const int wanted = ReplicasOf(deployment);
  if (!IsRollingUpdate(deployment) || new_set.replicas() >= wanted) return wanted;
  if (!new_set.observed()) return new_set.replicas();
  int pods = new_set.pods_max();
  for (const WorkingSet* set : old_sets) {
    if (!set->observed()) return new_set.replicas();
    pods += set->pods_max();
  }
  const int room = wanted + MaxSurge(deployment) - pods;
  return room <= 0 ? new_set.replicas() : std::min(wanted, new_set.replicas() + room);
}

std::vector<Resize> ShrinkOldSets(const Deployment& deployment, const WorkingSet& new_set,
                                  std::vector<WorkingSet*> old_sets) {
  std::sort(old_sets.begin(), old_sets.end(), OlderSet);
  // Pods of the new set that are not available yet may never be: they count as missing.
  int spare = new_set.available_min() - (ReplicasOf(deployment) - MaxUnavailable(deployment));
  for (const WorkingSet* set : old_sets) spare += set->replicas();
  std::vector<Resize> resizes;
  for (WorkingSet* set : old_sets) {
    const int broken = std::clamp(spare, 0, set->replicas() - set->available_min());
    resizes.push_back({set, set->replicas() - broken});
    spare -= broken;
  }
  // What could not be made up for above is still missing: then nothing that works may go.
  int broken = 0;
  for (const Resize& resize : resizes) {
    broken += std::max(0, resize.replicas - resize.set->available_min());
  }
  spare -= broken;
  for (Resize& resize : resizes) {
    const int working = std::clamp(spare, 0, resize.replicas);
    resize.replicas -= working;
    spare -= working;
  }
  resizes.erase(std::remove_if(
                    resizes.begin(), resizes.end(),
                    [](const Resize& resize) { return resize.replicas == resize.set->replicas(); }),
                resizes.end());
  return resizes;
}

std::vector<Resize> ScaleInProportion(const Deployment& deployment, std::vector<WorkingSet*> sets) {
  sets.erase(std::remove_if(sets.begin(), sets.end(),
                            [](const WorkingSet* set) { return set->replicas() == 0; }),
             sets.end());
  int have = 0;
  for (const WorkingSet* set : sets) have += set->replicas();
  const int wanted = ReplicasOf(deployment);
  const int add = (wanted > 0 ? wanted + MaxSurge(deployment) : 0) - have;
  // The larger first; of equal ones the newer ones grow first, the older ones shrink first.
  std::sort(sets.begin(), sets.end(), [&](const WorkingSet* a, const WorkingSet* b) {
    if (a->replicas() != b->replicas()) return a->replicas() > b->replicas();
    return add > 0 ? OlderSet(b, a) : OlderSet(a, b);
  });
  std::vector<Resize> resizes;
  int added = 0;
  for (WorkingSet* set : sets) {
    int share = added == add ? 0 : ShareOf(deployment, *set);
    share = add > 0 ? std::min(share, add - added) : std::max(share, add - added);
    resizes.push_back({set, set->replicas() + share});
    added += share;
  }
  if (!resizes.empty() && add != 0) {
    resizes[0].replicas = std::max(0, resizes[0].replicas + add - added);
  }
  return resizes;
}

}  // namespace meltemi::controllers
