// ReplicaSets, ReplicationControllers and Deployments.
#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "kube/core/v1/replication.pb.h"
#include "test/sim/invariant.h"
#include "test/sim/versions.h"

namespace meltemi::sim {
namespace {

using kube::apps::v1::Deployment;
using kube::apps::v1::ReplicaSet;
using kube::core::v1::Pod;
using kube::core::v1::ReplicationController;

class ReplicasInvariant final : public Invariant {
 public:
  void OnChange(const Truth& truth, const Change& change, const Circumstances& circumstances,
                Findings& findings) override {
    if (change.resource() == "replicasets.apps") Note<ReplicaSet>(change);
    if (change.resource() == "replicationcontrollers") Note<ReplicationController>(change);
    if (change.resource() != "pods" || !change.created()) return;
    const std::string owner = ControllerUid(*change.after);
    const std::map<int64_t, int>* const wanted = versions_.Of(owner);
    if (wanted == nullptr) return;
    int most = 0, active = 0;
    for (const auto& [generation, replicas] : *wanted) most = std::max(most, replicas);
    for (const Pod* pod : truth.OwnedBy<Pod>("pods", owner)) {
      if (IsActive(*pod) && circumstances.unacknowledged.count(pod->metadata().uid()) == 0) {
        ++active;
      }
    }
    if (active <= most) return;
    findings.Add(absl::StrCat("pod ", change.entry.name, " is one too many: its owner has ", active,
                              " active ones and wants ", most));
  }

 private:
  template <typename T>
  void Note(const Change& change) {
    const T& object = change.Object<T>();
    const std::string& uid = object.metadata().uid();
    if (change.gone()) return versions_.Drop(uid);
    versions_.Note(uid, object.metadata().generation(), object.status().observed_generation(),
                   object.spec().has_replicas() ? object.spec().replicas() : 1);
  }

  Versions<int> versions_;
};

struct Bounds {
  int replicas = 1, most = 1, least = 0;
};

Bounds BoundsOf(const Deployment& deployment) {
  Bounds bounds;
  const auto& spec = deployment.spec();
  bounds.replicas = spec.has_replicas() ? spec.replicas() : 1;
  bounds.most = bounds.replicas;
  if (spec.strategy().type() != "RollingUpdate" || bounds.replicas == 0) return bounds;
  const auto& rolling = spec.strategy().rolling_update();
  const int surge = Scaled(rolling.max_surge(), bounds.replicas, true);
  int unavailable = Scaled(rolling.max_unavailable(), bounds.replicas, false);
  if (surge == 0 && unavailable == 0) unavailable = 1;
  bounds.most = bounds.replicas + surge;
  bounds.least = std::max(0, bounds.replicas - unavailable);
  return bounds;
}

class RolloutInvariant final : public Invariant {
 public:
  void OnChange(const Truth& truth, const Change& change, const Circumstances& circumstances,
                Findings& findings) override {
    circumstances_ = &circumstances;
    if (change.resource() == "deployments.apps") OnDeployment(truth, change);
    if (change.resource() == "replicasets.apps") {
      OnReplicaSet(truth, change, circumstances, findings);
    }
    if (change.resource() == "pods") OnPod(truth, change, findings);
  }

 private:
  struct Known {
    std::string ns, name;
    // All was available at some moment, and since then nobody but the controllers has taken any of
    // it away, or asked for another number.
    bool calm = false;
    Disturbance disturbance;
  };

  void Disturb(Known& known, const Change& change) {
    known.calm = false;
    known.disturbance.Note(change.entry.revision, circumstances_->now);
  }

  void OnDeployment(const Truth& truth, const Change& change) {
    const Deployment& deployment = change.Object<Deployment>();
    const std::string& uid = deployment.metadata().uid();
    if (change.gone()) {
      versions_.Drop(uid);
      known_.erase(uid);
      return;
    }
    Known& known = known_[uid];
    known.ns = change.entry.ns;
    known.name = change.entry.name;
    const Bounds now = BoundsOf(deployment);
    versions_.Note(uid, deployment.metadata().generation(),
                   deployment.status().observed_generation(), now);
    if (!change.created()) {
      const Bounds before = BoundsOf(*change.Before<Deployment>());
      if (before.replicas != now.replicas || before.most != now.most || before.least != now.least ||
          IsTerminating(deployment)) {
        Disturb(known, change);
      }
    }
    CalmDown(truth, uid);
  }

  void OnReplicaSet(const Truth& truth, const Change& change, const Circumstances& circumstances,
                    Findings& findings) {
    const ReplicaSet& set = change.Object<ReplicaSet>();
    const std::string uid = ControllerUid(set);
    const auto known = known_.find(uid);
    if (known == known_.end()) return;
    if (change.by() != "deployment-controller" && change.by() != "replicaset-controller") {
      Disturb(known->second, change);
    }
    const int before = change.created() ? 0 : change.Before<ReplicaSet>()->spec().replicas();
    if (change.gone() || set.spec().replicas() <= before) return CalmDown(truth, uid);
    int sum = 0;
    bool uncertain = false;
    for (const ReplicaSet* other : truth.OwnedBy<ReplicaSet>("replicasets.apps", uid)) {
      sum += other->spec().replicas();
      uncertain = uncertain || circumstances.unacknowledged.count(other->metadata().uid()) > 0;
    }
    int most = 0;
    for (const auto& [generation, bounds] : *versions_.Of(uid)) {
      most = std::max(most, bounds.most);
    }
    if (sum <= most || uncertain || change.by() != "deployment-controller") return;
    findings.Add(absl::StrCat("deployment ", known->second.name, " asks for ", sum,
                              " pods; replicas and maxSurge allow ", most));
  }

  void OnPod(const Truth& truth, const Change& change, Findings& findings) {
    const Pod& pod = change.Object<Pod>();
    const std::string uid = DeploymentOf(truth, pod);
    const auto known = known_.find(uid);
    if (known == known_.end()) return;
    const bool was_ready = !change.created() && IsReady(*change.Before<Pod>());
    if (!change.deletion_begins()) {
      const bool lost = was_ready && !change.gone() && !IsTerminating(pod) && !IsReady(pod);
      if (lost || (!IsTerminating(pod) && IsFinished(pod))) Disturb(known->second, change);
      return CalmDown(truth, uid);
    }
    if (change.by() != "replicaset-controller") {
      Disturb(known->second, change);
      return;
    }
    if (!was_ready || !known->second.calm) return;
    int least = INT32_MAX;
    for (const auto& [generation, bounds] : *versions_.Of(uid)) {
      least = std::min(least, bounds.least);
    }
    const int available = Available(truth, uid);
    if (available >= least) return;
    findings.Add(absl::StrCat("deployment ", known->second.name, " has ", available,
                              " available pods after ", pod.metadata().name(),
                              " was deleted; maxUnavailable asks for ", least));
  }

  static std::string DeploymentOf(const Truth& truth, const Pod& pod) {
    for (const auto& owner : pod.metadata().owner_references()) {
      if (!owner.controller() || owner.kind() != "ReplicaSet") continue;
      const auto* const set =
          truth.Find<ReplicaSet>("replicasets.apps", pod.metadata().namespace_(), owner.name());
      if (set != nullptr && set->metadata().uid() == owner.uid()) return ControllerUid(*set);
    }
    return "";
  }

  static int Available(const Truth& truth, const std::string& uid) {
    int available = 0;
    for (const ReplicaSet* set : truth.OwnedBy<ReplicaSet>("replicasets.apps", uid)) {
      for (const Pod* pod : truth.OwnedBy<Pod>("pods", set->metadata().uid())) {
        if (IsActive(*pod) && IsReady(*pod)) ++available;
      }
    }
    return available;
  }

  // Everything is as it should be, and the controllers know.
  void CalmDown(const Truth& truth, const std::string& uid) {
    Known& known = known_[uid];
    if (known.calm || known.disturbance.IsNews(*circumstances_)) return;
    const auto* const deployment = truth.Find<Deployment>("deployments.apps", known.ns, known.name);
    if (deployment == nullptr || deployment->metadata().uid() != uid) return;
    const int replicas = BoundsOf(*deployment).replicas;
    int sum = 0;
    for (const ReplicaSet* set : truth.OwnedBy<ReplicaSet>("replicasets.apps", uid)) {
      sum += set->spec().replicas();
      int ready = 0, active = 0;
      for (const Pod* pod : truth.OwnedBy<Pod>("pods", set->metadata().uid())) {
        active += IsActive(*pod) ? 1 : 0;
        ready += IsActive(*pod) && IsReady(*pod) ? 1 : 0;
      }
      if (ready != active || ready != set->spec().replicas() ||
          ready != set->status().available_replicas() ||
          set->status().observed_generation() != set->metadata().generation()) {
        return;
      }
    }
    known.calm = sum == replicas && !IsTerminating(*deployment) &&
                 deployment->status().observed_generation() == deployment->metadata().generation();
  }

  Versions<Bounds> versions_;
  std::map<std::string, Known> known_;
  const Circumstances* circumstances_ = nullptr;  // during OnChange
};

}  // namespace

std::unique_ptr<Invariant> NewReplicasInvariant() { return std::make_unique<ReplicasInvariant>(); }
std::unique_ptr<Invariant> NewRolloutInvariant() { return std::make_unique<RolloutInvariant>(); }

}  // namespace meltemi::sim
