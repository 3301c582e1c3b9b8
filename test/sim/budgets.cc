// PodDisruptionBudgets: what evictions leave.
#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "kube/policy/v1/policy.pb.h"
#include "test/sim/invariant.h"
#include "test/sim/users.h"

namespace meltemi::sim {
namespace {

using kube::core::v1::Pod;
using kube::policy::v1::PodDisruptionBudget;

bool Covers(const PodDisruptionBudget& budget, const Pod& pod) {
  if (budget.metadata().namespace_() != pod.metadata().namespace_()) return false;
  for (const auto& [key, value] : budget.spec().selector().match_labels()) {
    const auto found = pod.metadata().labels().find(key);
    if (found == pod.metadata().labels().end() || found->second != value) return false;
  }
  return true;
}

class BudgetInvariant final : public Invariant {
 public:
  void OnChange(const Truth& truth, const Change& change, const Circumstances& circumstances,
                Findings& findings) override {
    if (change.resource() == "poddisruptionbudgets.policy" && !change.gone()) {
      OnBudget(truth, *change.After<PodDisruptionBudget>(), circumstances);
    }
    if (change.resource() == "pods" && !change.created()) {
      OnPod(truth, change, circumstances, findings);
    }
  }

 private:
  void OnBudget(const Truth& truth, const PodDisruptionBudget& budget,
                const Circumstances& circumstances) {
    const std::string& uid = budget.metadata().uid();
    const int counted = budget.status().current_healthy(), healthy = Healthy(truth, budget);
    const bool news = disturbances_[uid].IsNews(circumstances);
    // The controller has caught up with what is; or it takes for healthy what it does not know to
    // be gone.
    if (counted == healthy && !news &&
        budget.status().observed_generation() == budget.metadata().generation()) {
      calm_.insert(uid);
    } else if (counted > healthy && news) {
      calm_.erase(uid);
    }
  }

  void OnPod(const Truth& truth, const Change& change, const Circumstances& circumstances,
             Findings& findings) {
    const Pod& before = *change.Before<Pod>();
    if (!IsActive(before) || !IsReady(before)) return;
    const bool ends = change.deletion_begins();
    if (!ends && !change.gone() && IsReady(*change.After<Pod>())) return;
    for (const auto& [name, message] : truth.Of("poddisruptionbudgets.policy")) {
      const auto& budget = static_cast<const PodDisruptionBudget&>(*message);
      if (!Covers(budget, before)) continue;
      disturbances_[budget.metadata().uid()].Note(change.entry.revision, circumstances.now);
      if (!ends || change.by() != kDrainer) {
        calm_.erase(budget.metadata().uid());
        continue;
      }
      const int healthy = Healthy(truth, budget);
      if (calm_.count(budget.metadata().uid()) == 0 ||
          healthy >= budget.status().desired_healthy()) {
        continue;
      }
      findings.Add(absl::StrCat("the eviction of ", before.metadata().name(), " leaves ", healthy,
                                " healthy pods; budget ", name.name, " asks for ",
                                budget.status().desired_healthy()));
    }
  }

  static int Healthy(const Truth& truth, const PodDisruptionBudget& budget) {
    int healthy = 0;
    for (const auto& [name, message] : truth.Of("pods")) {
      const Pod& pod = static_cast<const Pod&>(*message);
      if (IsActive(pod) && IsReady(pod) && Covers(budget, pod)) ++healthy;
    }
    return healthy;
  }

  std::set<std::string> calm_;  // uids
  std::map<std::string, Disturbance> disturbances_;
};

}  // namespace

std::unique_ptr<Invariant> NewBudgetInvariant() { return std::make_unique<BudgetInvariant>(); }

}  // namespace meltemi::sim
