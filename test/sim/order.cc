// StatefulSets.
#include <map>
#include <set>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "test/sim/invariant.h"
#include "test/sim/versions.h"

namespace meltemi::sim {
namespace {

using kube::apps::v1::StatefulSet;
using kube::core::v1::Pod;

int Replicas(const StatefulSet& set) {
  return set.spec().has_replicas() ? set.spec().replicas() : 1;
}

// -1: none.
int OrdinalOf(const Pod& pod) {
  const std::string& name = pod.metadata().name();
  const size_t dash = name.rfind('-');
  int ordinal = -1;
  if (dash == std::string::npos || !absl::SimpleAtoi(name.substr(dash + 1), &ordinal)) return -1;
  return ordinal;
}

class OrderInvariant final : public Invariant {
 public:
  void OnChange(const Truth& truth, const Change& change, const Circumstances& circumstances,
                Findings& findings) override {
    circumstances_ = &circumstances;
    if (change.resource() == "statefulsets.apps") OnSet(truth, change);
    if (change.resource() != "pods") return;
    const Pod& pod = change.Object<Pod>();
    if (IsReady(pod)) ever_ready_.insert(pod.metadata().uid());
    const std::string uid = ControllerUid(pod);
    const auto known = known_.find(uid);
    if (known == known_.end()) return;
    if (change.created()) {
      OnBegin(truth, known->second, pod, findings);
    } else if (change.deletion_begins()) {
      OnDeletion(truth, change, uid, known->second, pod, findings);
    } else if (!IsTerminating(pod) &&
               (IsFinished(pod) || (IsReady(*change.Before<Pod>()) && !IsReady(pod)))) {
      Disturb(known->second, change);
    }
    CalmDown(truth, uid, known->second);
  }

 private:
  struct Known {
    std::string ns, name;
    bool ordered = true;
    // All were ready at some moment, and nobody but the controller has taken one away since.
    bool calm = true;
    Disturbance disturbance;
  };

  void Disturb(Known& known, const Change& change) {
    known.calm = false;
    known.disturbance.Note(change.entry.revision, circumstances_->now);
  }

  void OnSet(const Truth& truth, const Change& change) {
    const StatefulSet& set = change.Object<StatefulSet>();
    const std::string& uid = set.metadata().uid();
    if (change.gone()) {
      known_.erase(uid);
      return versions_.Drop(uid);
    }
    Known& known = known_[uid];
    known.ns = change.entry.ns;
    known.name = change.entry.name;
    known.ordered = set.spec().pod_management_policy() != "Parallel";
    versions_.Note(uid, set.metadata().generation(), set.status().observed_generation(),
                   Replicas(set));
    CalmDown(truth, uid, known);
  }

  void OnBegin(const Truth& truth, const Known& known, const Pod& pod, Findings& findings) {
    if (!known.ordered || !known.calm) return;
    for (int i = 0; i < OrdinalOf(pod); ++i) {
      const Pod* const before = PodOf(truth, known, i);
      if (before != nullptr && ever_ready_.count(before->metadata().uid()) > 0) continue;
      findings.Add(absl::StrCat("pod ", pod.metadata().name(), " begins before ", known.name, "-",
                                i, before == nullptr ? " is there" : " was ready"));
    }
  }

  void OnDeletion(const Truth& truth, const Change& change, const std::string& uid, Known& known,
                  const Pod& pod, Findings& findings) {
    if (change.by() != "statefulset-controller") {
      Disturb(known, change);
      return;
    }
    int most = 0;
    for (const auto& [generation, replicas] : *versions_.Of(uid)) most = std::max(most, replicas);
    const int ordinal = OrdinalOf(pod);
    if (!known.ordered || !known.calm || ordinal < most) return;
    for (const Pod* other : truth.OwnedBy<Pod>("pods", uid)) {
      if (OrdinalOf(*other) <= ordinal) continue;
      findings.Add(absl::StrCat("pod ", pod.metadata().name(), " ends before ",
                                other->metadata().name(), " is gone"));
    }
  }

  static const Pod* PodOf(const Truth& truth, const Known& known, int ordinal) {
    return truth.Find<Pod>("pods", known.ns, absl::StrCat(known.name, "-", ordinal));
  }

  void CalmDown(const Truth& truth, const std::string& uid, Known& known) {
    if (known.calm || known.disturbance.IsNews(*circumstances_)) return;
    const auto* const set = truth.Find<StatefulSet>("statefulsets.apps", known.ns, known.name);
    if (set == nullptr || set->metadata().uid() != uid) return;
    for (int i = 0; i < Replicas(*set); ++i) {
      const Pod* const pod = PodOf(truth, known, i);
      if (pod == nullptr || !IsActive(*pod) || !IsReady(*pod)) return;
    }
    known.calm = set->status().observed_generation() == set->metadata().generation() &&
                 set->status().ready_replicas() == Replicas(*set);
  }

  Versions<int> versions_;
  std::map<std::string, Known> known_;
  std::set<std::string> ever_ready_;
  const Circumstances* circumstances_ = nullptr;  // during OnChange
};

}  // namespace

std::unique_ptr<Invariant> NewOrderInvariant() { return std::make_unique<OrderInvariant>(); }

}  // namespace meltemi::sim
