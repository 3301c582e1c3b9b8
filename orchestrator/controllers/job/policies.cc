#include "orchestrator/controllers/job/policies.h"

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"

namespace meltemi::controllers::jobs {
namespace {

namespace core = kube::core::v1;
namespace batch = kube::batch::v1;
using Statuses = google::protobuf::RepeatedPtrField<core::ContainerStatus>;

// A container that has ended by a code that the rule is about.
const core::ContainerStatus* FindExit(const Statuses& statuses,
                                      const batch::PodFailurePolicyOnExitCodesRequirement& rule) {
  for (const core::ContainerStatus& status : statuses) {
    if (!status.state().has_terminated()) continue;
    if (rule.has_container_name() && rule.container_name() != status.name()) continue;
    const int code = status.state().terminated().exit_code();
    if (code == 0) continue;
    const bool listed = absl::c_linear_search(rule.values(), code);
    if ((rule.operator_() == "In" && listed) || (rule.operator_() == "NotIn" && !listed)) {
      return &status;
    }
  }
  return nullptr;
}

const core::PodCondition* FindCondition(const core::PodStatus& status,
                                        const batch::PodFailurePolicyRule& rule) {
  for (const core::PodCondition& condition : status.conditions()) {
    for (const auto& pattern : rule.on_pod_conditions()) {
      if (condition.type() == pattern.type() && condition.status() == pattern.status()) {
        return &condition;
      }
    }
  }
  return nullptr;
}

// What about the pod fits the rule, in the words of the Job's condition; nothing: it does not fit.
std::optional<std::string> Fit(const batch::PodFailurePolicyRule& rule, const core::Pod& pod) {
  const std::string name = absl::StrCat(pod.metadata().namespace_(), "/", pod.metadata().name());
  if (rule.has_on_exit_codes()) {
    const core::ContainerStatus* exit =
        FindExit(pod.status().container_statuses(), rule.on_exit_codes());
    if (exit == nullptr) {
      exit = FindExit(pod.status().init_container_statuses(), rule.on_exit_codes());
    }
    if (exit == nullptr) return std::nullopt;
    return absl::StrCat("Container ", exit->name(), " for pod ", name, " failed with exit code ",
                        exit->state().terminated().exit_code());
  }
  const core::PodCondition* condition = FindCondition(pod.status(), rule);
  if (condition == nullptr) return std::nullopt;
  return absl::StrCat("Pod ", name, " has condition ", condition->type());
}

FailureVerdict::Action ActionOf(absl::string_view action) {
  if (action == "Ignore") return FailureVerdict::Action::kIgnore;
  if (action == "FailIndex") return FailureVerdict::Action::kFailIndex;
  if (action == "FailJob") return FailureVerdict::Action::kFailJob;
  if (action == "Count") return FailureVerdict::Action::kCount;
  return FailureVerdict::Action::kNone;
}

}  // namespace

FailureVerdict JudgeFailure(const batch::JobSpec& spec, const core::Pod& pod) {
  FailureVerdict verdict;
  const auto& rules = spec.pod_failure_policy().rules();
  for (int i = 0; i < rules.size(); ++i) {
    const FailureVerdict::Action action = ActionOf(rules[i].action());
    if (action == FailureVerdict::Action::kNone)
      continue;  // of a newer API: as if it were not there
    const std::optional<std::string> fit = Fit(rules[i], pod);
    if (!fit.has_value()) continue;
    verdict.action = action;
    if (action == FailureVerdict::Action::kFailJob) {
      verdict.message = absl::StrCat(*fit, " matching ", rules[i].action(), " rule at index ", i);
    }
    return verdict;
  }
  return verdict;
}

std::optional<std::string> MetSuccessPolicy(const batch::JobSpec& spec, const IndexSet& succeeded) {
  if (succeeded.empty()) return std::nullopt;
  const auto& rules = spec.success_policy().rules();
  for (int i = 0; i < rules.size(); ++i) {
    const batch::SuccessPolicyRule& rule = rules[i];
    bool met = false;
    if (rule.has_succeeded_indexes()) {
      const IndexSet wanted = IndexSet::Parse(rule.succeeded_indexes(), spec.completions());
      const int64_t common = wanted.CommonWith(succeeded);
      met = !wanted.empty() && (common == wanted.size() ||
                                (rule.has_succeeded_count() && common >= rule.succeeded_count()));
    } else {
      met = rule.has_succeeded_count() && succeeded.size() >= rule.succeeded_count();
    }
    if (met) return absl::StrCat("Matched rules at index ", i);
  }
  return std::nullopt;
}

}  // namespace meltemi::controllers::jobs
