#include "orchestrator/controllers/disruption/budget.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace meltemi::controllers {
namespace {

using kube::core::v1::Pod;
using kube::core::v1::PodCondition;
using kube::meta::v1::Condition;
using kube::meta::v1::LabelSelector;
using kube::policy::v1::PodDisruptionBudget;
using kube::policy::v1::PodDisruptionBudgetSpec;
using kube::policy::v1::PodDisruptionBudgetStatus;

constexpr char kDisruptionAllowed[] = "DisruptionAllowed";
constexpr char kDisruptionTarget[] = "DisruptionTarget";
constexpr int kString = 1;  // of IntOrString::type

Condition& MutableCondition(PodDisruptionBudgetStatus& status) {
  for (Condition& condition : *status.mutable_conditions()) {
    if (condition.type() == kDisruptionAllowed) return condition;
  }
  return *status.add_conditions();
}

void SetCondition(bool allowed, absl::string_view reason, absl::string_view message, WallTime now,
                  PodDisruptionBudgetStatus& status) {
  Condition& condition = MutableCondition(status);
  const char* const value = allowed ? "True" : "False";
  if (condition.status() != value) *condition.mutable_last_transition_time() = FromWall(now);
  condition.set_type(kDisruptionAllowed);
  condition.set_status(value);
  condition.set_reason(std::string(reason));
  condition.set_message(std::string(message));
  condition.set_observed_generation(status.observed_generation());
}

bool SameConditions(const PodDisruptionBudgetStatus& a, const PodDisruptionBudgetStatus& b) {
  return std::equal(a.conditions().begin(), a.conditions().end(), b.conditions().begin(),
                    b.conditions().end(), [](const Condition& x, const Condition& y) {
                      return x.type() == y.type() && x.status() == y.status() &&
                             x.reason() == y.reason() && x.message() == y.message() &&
                             x.observed_generation() == y.observed_generation();
                    });
}

}  // namespace

bool NeedsScale(const PodDisruptionBudgetSpec& budget) {
  if (budget.has_max_unavailable()) return true;
  return budget.has_min_available() && budget.min_available().type() == kString;
}

BudgetCount CountOf(const PodDisruptionBudgetSpec& budget, int pods, int scale) {
  BudgetCount out;
  if (budget.has_max_unavailable()) {
    out.expected = scale;
    out.desired_healthy = std::max(0, scale - ScaledValue(budget.max_unavailable(), scale, true));
  } else if (budget.has_min_available()) {
    out.expected = NeedsScale(budget) ? scale : pods;
    out.desired_healthy = ScaledValue(budget.min_available(), out.expected, true);
  }
  return out;
}

BudgetResult NewStatus(const PodDisruptionBudget& budget, const std::vector<PodPtr>& pods,
                       const BudgetCount& count, WallTime now) {
  BudgetResult out;
  const auto& granted = budget.status().disrupted_pods();
  int healthy = 0;
  for (const PodPtr& pod : pods) {
    if (pod->metadata().has_deletion_timestamp()) continue;
    const auto found = granted.find(pod->metadata().name());
    if (found != granted.end()) {
      const Duration left = ToWall(found->second) + kDisruptionTimeout - now;
      if (left >= Duration::zero()) {
        (*out.status.mutable_disrupted_pods())[found->first] = found->second;
        // A moment later it has expired.
        out.again = std::min(out.again.value_or(left + seconds(1)), left + seconds(1));
        continue;
      }
      out.not_deleted.push_back(pod);
    }
    if (IsReady(*pod)) ++healthy;
  }
  const int allowed = count.expected <= 0 ? 0 : std::max(0, healthy - count.desired_healthy);
  out.status.set_observed_generation(budget.metadata().generation());
  out.status.set_expected_pods(count.expected);
  out.status.set_desired_healthy(count.desired_healthy);
  out.status.set_current_healthy(healthy);
  out.status.set_disruptions_allowed(allowed);
  *out.status.mutable_conditions() = budget.status().conditions();
  SetCondition(allowed > 0, allowed > 0 ? "SufficientPods" : "InsufficientPods", "", now,
               out.status);
  return out;
}

PodDisruptionBudgetStatus FailedStatus(const PodDisruptionBudget& budget, absl::string_view why,
                                       WallTime now) {
  PodDisruptionBudgetStatus status = budget.status();
  status.set_disruptions_allowed(0);
  SetCondition(false, "SyncFailed", why, now, status);
  return status;
}

bool SameStatus(const PodDisruptionBudgetStatus& a, const PodDisruptionBudgetStatus& b) {
  const bool same_granted =
      a.disrupted_pods_size() == b.disrupted_pods_size() &&
      std::all_of(a.disrupted_pods().begin(), a.disrupted_pods().end(), [&b](const auto& each) {
        const auto other = b.disrupted_pods().find(each.first);
        return other != b.disrupted_pods().end() &&
               other->second.seconds() == each.second.seconds();
      });
  return same_granted && a.observed_generation() == b.observed_generation() &&
         a.expected_pods() == b.expected_pods() && a.desired_healthy() == b.desired_healthy() &&
         a.current_healthy() == b.current_healthy() &&
         a.disruptions_allowed() == b.disruptions_allowed() && SameConditions(a, b);
}

std::string SelectorText(const LabelSelector& selector) {
  std::map<std::string, std::string> labels(selector.match_labels().begin(),
                                            selector.match_labels().end());
  std::string text = "&LabelSelector{MatchLabels:map[string]string{";
  for (const auto& [key, value] : labels) absl::StrAppend(&text, key, ": ", value, ",");
  absl::StrAppend(&text, "},MatchExpressions:[]LabelSelectorRequirement{");
  for (const auto& each : selector.match_expressions()) {
    absl::StrAppend(&text, "LabelSelectorRequirement{Key:", each.key(),
                    ",Operator:", each.operator_(), ",Values:[", absl::StrJoin(each.values(), " "),
                    "],},");
  }
  absl::StrAppend(&text, "},}");
  return text;
}

std::optional<Duration> StaleTargetIn(const Pod& pod, WallTime now) {
  const PodCondition* const condition = FindCondition(pod, kDisruptionTarget);
  if (condition == nullptr || condition->status() != "True" ||
      pod.metadata().has_deletion_timestamp() || IsFinished(pod) ||
      condition->reason() == "TerminationByKubelet") {
    return std::nullopt;
  }
  const Duration left = ToWall(condition->last_transition_time()) + kDisruptionTimeout - now;
  // A clock that has jumped back does not make it last for hours.
  return std::clamp<Duration>(left, Duration::zero(), kDisruptionTimeout);
}

bool ClearTarget(WallTime now, Pod& pod) {
  for (PodCondition& condition : *pod.mutable_status()->mutable_conditions()) {
    if (condition.type() != kDisruptionTarget) continue;
    condition.Clear();
    condition.set_type(kDisruptionTarget);
    condition.set_status("False");
    *condition.mutable_last_transition_time() = FromWall(now);
    return true;
  }
  return false;
}

}  // namespace meltemi::controllers
