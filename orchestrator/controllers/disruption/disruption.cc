#include "orchestrator/controllers/disruption/disruption.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kube/client/typed.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/policy/v1/policy.pb.h"
#include "kube/queue/controller.h"
#include "orchestrator/controllers/disruption/budget.h"
#include "orchestrator/controllers/disruption/scale_finder.h"
#include "orchestrator/controllers/runtime/context.h"
#include "orchestrator/controllers/runtime/owners.h"
#include "orchestrator/controllers/runtime/pods.h"

namespace meltemi::controllers {
namespace {

using kube::core::v1::Pod;
using kube::policy::v1::PodDisruptionBudget;
using BudgetPtr = std::shared_ptr<const PodDisruptionBudget>;

kube::LabelSelector SelectorOfBudget(const PodDisruptionBudget& budget) {
  return SelectorOf(budget.spec().has_selector() ? &budget.spec().selector() : nullptr);
}

bool SameLabels(const Pod& a, const Pod& b) {
  const auto& of_a = a.metadata().labels();
  const auto& of_b = b.metadata().labels();
  return of_a.size() == of_b.size() &&
         std::all_of(of_a.begin(), of_a.end(), [&of_b](const auto& label) {
           const auto other = of_b.find(label.first);
           return other != of_b.end() && other->second == label.second;
         });
}

// Nothing that a budget counts has changed.
bool SameForBudgets(const Pod& a, const Pod& b) {
  const auto* const owner_a = ControllerOf(a);
  const auto* const owner_b = ControllerOf(b);
  const bool same_owner = (owner_a == nullptr) == (owner_b == nullptr) &&
                          (owner_a == nullptr || owner_a->uid() == owner_b->uid());
  return same_owner && IsReady(a) == IsReady(b) &&
         a.metadata().has_deletion_timestamp() == b.metadata().has_deletion_timestamp() &&
         SameLabels(a, b);
}

class DisruptionController final : public Running {
 public:
  explicit DisruptionController(Context& context)
      : client_(context.client),
        clock_(context.executor.clock()),
        recorder_(context.recorder("controllermanager")),
        budgets_(context.informers.ListerOf<PodDisruptionBudget>()),
        pods_(context.informers.ListerOf<Pod>()),
        scales_(context),
        targets_(kube::NewController(
            {.name = "stale_pod_disruption", .workers = 1}, context.executor, context.metrics,
            [this](const kube::NamespacedName& key) { return ClearStaleTarget(key); })),
        queue_(kube::NewController(
            {.name = "disruption", .workers = 4, .backoff_max = minutes(5)}, context.executor,
            context.metrics, [this](const kube::NamespacedName& key) { return Reconcile(key); })) {
    context.informers.Of<PodDisruptionBudget>().AddHandler([this](const kube::Change& change) {
      if (change.after != nullptr) queue_->Add(kube::NameOf(*change.after));
    });
    context.informers.Of<Pod>().AddHandler([this](const kube::Change& change) { OnPod(change); });
  }

  void Start() override {
    queue_->Start();
    targets_->Start();
  }

 private:
  void OnPod(const kube::Change& change) {
    const auto* before = static_cast<const Pod*>(change.before.get());
    const auto* after = static_cast<const Pod*>(change.after.get());
    if (after != nullptr) {
      const std::optional<Duration> stale = StaleTargetIn(*after, clock_.WallNow());
      if (stale.has_value()) targets_->AddAfter(kube::NameOf(*after), *stale);
    }
    if (before != nullptr && after != nullptr && SameForBudgets(*before, *after)) return;
    const bool relabelled = before == nullptr || after == nullptr || !SameLabels(*before, *after);
    if (before != nullptr && relabelled) AddBudgetsOf(*before);
    if (after == nullptr) return;
    const std::vector<std::string> names = AddBudgetsOf(*after);
    if (names.size() < 2 || !relabelled) return;
    recorder_.Record(
        *after, kube::kWarning, "MultiplePodDisruptionBudgets",
        absl::StrCat("Pod \"", after->metadata().namespace_(), "\"/\"", after->metadata().name(),
                     "\" matches multiple PodDisruptionBudgets.  Chose \"", names.front(),
                     "\" arbitrarily."));
  }

  std::vector<std::string> AddBudgetsOf(const Pod& pod) {
    std::vector<std::string> names;
    for (const BudgetPtr& budget : budgets_.List(pod.metadata().namespace_())) {
      if (!Matches(SelectorOfBudget(*budget), pod)) continue;
      queue_->Add(kube::NameOf(*budget));
      names.push_back(budget->metadata().name());
    }
    return names;
  }

  kube::ReconcileResult Reconcile(const kube::NamespacedName& key) {
    const BudgetPtr budget = budgets_.Get(key);
    if (budget == nullptr) return kube::Finished();
    const std::vector<PodPtr> pods = PodsOf(*budget);
    if (pods.empty()) {
      recorder_.Record(*budget, kube::kNormal, "NoPods", "No matching pods found");
    }
    ScaleFinder::Found found;
    if (NeedsScale(budget->spec())) {
      kube::Result<ScaleFinder::Found> scale = scales_.ScaleOf(pods);
      if (!scale.ok()) return Fail(*budget, scale.status());
      found = *scale;
    }
    if (found.unmanaged > 0) {
      recorder_.Record(
          *budget, kube::kWarning, "UnmanagedPods",
          absl::StrCat("Pods selected by this PodDisruptionBudget (selector: ",
                       SelectorText(budget->spec().selector()),
                       ") were found to be unmanaged. As a result, the status of the PDB cannot be "
                       "calculated correctly, which may result in undefined behavior. To account "
                       "for these pods please set \".spec.minAvailable\" field of the PDB to an "
                       "integer value."));
    }
    const BudgetCount count =
        CountOf(budget->spec(), static_cast<int>(pods.size()), static_cast<int>(found.scale));
    const BudgetResult result = NewStatus(*budget, pods, count, clock_.WallNow());
    for (const PodPtr& pod : result.not_deleted) {
      recorder_.Record(*pod, kube::kWarning, "NotDeleted",
                       absl::StrCat("Pod was expected by PDB ", key.ns, "/", key.ns,
                                    " to be deleted but it wasn't"));
    }
    const kube::Outcome written = Write(*budget, result.status);
    if (!written.ok()) return written.status();
    return kube::Requeue{result.again};
  }

  std::vector<PodPtr> PodsOf(const PodDisruptionBudget& budget) const {
    const kube::LabelSelector selector = SelectorOfBudget(budget);
    std::vector<PodPtr> pods = pods_.List(budget.metadata().namespace_());
    pods.erase(std::remove_if(pods.begin(), pods.end(),
                              [&](const PodPtr& pod) { return !Matches(selector, *pod); }),
               pods.end());
    return pods;
  }

  // Nothing is allowed while nothing is known. It is tried again: what is missing may come.
  kube::ReconcileResult Fail(const PodDisruptionBudget& budget, const kube::Status& why) {
    recorder_.Record(
        budget, kube::kWarning, "CalculateExpectedPodCountFailed",
        absl::StrCat("Failed to calculate the number of expected pods: ", why.message));
    const kube::Outcome written =
        Write(budget, FailedStatus(budget, why.message, clock_.WallNow()));
    if (!written.ok()) return written.status();
    return why;
  }

  // Fails when the server has granted an eviction since the budget was read.
  kube::Outcome Write(const PodDisruptionBudget& before,
                      const kube::policy::v1::PodDisruptionBudgetStatus& status) {
    if (SameStatus(before.status(), status)) return kube::Done{};
    PodDisruptionBudget budget = before;
    *budget.mutable_status() = status;
    const kube::Result<PodDisruptionBudget> written = kube::UpdateStatus(client_, budget);
    if (!written.ok() && !kube::IsNotFound(written.status())) return written.status();
    return kube::Done{};
  }

  // A pod that was to be deleted and was not.
  kube::ReconcileResult ClearStaleTarget(const kube::NamespacedName& key) {
    const PodPtr pod = pods_.Get(key);
    if (pod == nullptr) return kube::Finished();
    const std::optional<Duration> stale = StaleTargetIn(*pod, clock_.WallNow());
    if (!stale.has_value()) return kube::Finished();
    if (*stale > Duration::zero()) return kube::Again(*stale);
    Pod cleared = *pod;
    if (!ClearTarget(clock_.WallNow(), cleared)) return kube::Finished();
    const kube::Result<Pod> written = kube::UpdateStatus(client_, cleared);
    if (!written.ok() && !kube::IsNotFound(written.status())) return written.status();
    return kube::Finished();
  }

  kube::Client& client_;
  const Clock& clock_;
  kube::EventRecorder& recorder_;
  const kube::Lister<PodDisruptionBudget> budgets_;
  const kube::Lister<Pod> pods_;
  ScaleFinder scales_;
  const std::unique_ptr<kube::Controller> targets_, queue_;  // go first
};

}  // namespace

std::unique_ptr<Running> NewDisruptionController(Context& context) {
  return std::make_unique<DisruptionController>(context);
}

}  // namespace meltemi::controllers
