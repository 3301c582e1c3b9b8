#include "orchestrator/scheduler/preemption/victims.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "kube/policy/v1/policy.pb.h"
#include "orchestrator/scheduler/model/selectors.h"

namespace meltemi::scheduler {
namespace {

constexpr size_t kCandidatesPercent = 10;
constexpr size_t kCandidatesMin = 100;

WallTime StartOf(const PodInfo& pod, WallTime now) {
  if (!pod.pod->status().has_start_time()) return now;
  const kube::meta::v1::Time& time = pod.pod->status().start_time();
  return WallTime(seconds(time.seconds()) + Duration(time.nanos()));
}

// On its way out because of an earlier preemption.
bool IsPreempted(const kube::core::v1::Pod& pod) {
  if (!pod.metadata().has_deletion_timestamp()) return false;
  for (const kube::core::v1::PodCondition& condition : pod.status().conditions()) {
    if (condition.type() != "DisruptionTarget") continue;
    return condition.status() == "True" && condition.reason() == "PreemptionByScheduler";
  }
  return false;
}

// Splits off those whose going would violate a budget; the order stays.
std::vector<PodInfoPtr> TakeViolating(std::vector<PodInfoPtr>& pods,
                                      const std::vector<Budget>& budgets) {
  std::vector<int64_t> allowed;
  for (const Budget& budget : budgets) allowed.push_back(budget.allowed);
  const auto violates = [&](const PodInfo& pod) {
    bool violated = false;
    for (size_t i = 0; i < budgets.size() && !pod.labels.empty(); ++i) {
      const Budget& budget = budgets[i];
      if (budget.ns != pod.key.ns || budget.selector.empty() ||
          !budget.selector.Matches(pod.labels) || budget.disrupted.contains(pod.key.name)) {
        continue;
      }
      if (--allowed[i] < 0) violated = true;
    }
    return violated;
  };
  std::vector<PodInfoPtr> violating, others;
  for (PodInfoPtr& pod : pods) {
    (violates(*pod) ? violating : others).push_back(std::move(pod));
  }
  pods = std::move(others);
  return violating;
}

// What makes a candidate better than another one, in order; smaller is better.
using Badness = std::array<int64_t, 5>;

Badness BadnessOf(const Candidate& candidate, WallTime now) {
  int64_t sum = 0;
  const int32_t highest = candidate.victims[0]->priority;
  WallTime earliest = WallTime::max();
  for (const PodInfoPtr& victim : candidate.victims) {
    // All are made positive, so that fewer pods are better among negative priorities, too.
    sum += int64_t{victim->priority} + std::numeric_limits<int32_t>::max() + int64_t{1};
    if (victim->priority == highest) earliest = std::min(earliest, StartOf(*victim, now));
  }
  return {candidate.budget_violations, highest, sum, static_cast<int64_t>(candidate.victims.size()),
          -earliest.time_since_epoch().count()};
}

}  // namespace

Budget BudgetOf(const kube::policy::v1::PodDisruptionBudget& budget) {
  Budget out;
  out.ns = budget.metadata().namespace_();
  out.selector = budget.spec().has_selector() ? SelectorOf(budget.spec().selector())
                                              : kube::LabelSelector::Nothing();
  out.allowed = budget.status().disruptions_allowed();
  for (const auto& [name, time] : budget.status().disrupted_pods()) out.disrupted.insert(name);
  return out;
}

bool MoreImportant(const PodInfo& a, const PodInfo& b, WallTime now) {
  if (a.priority != b.priority) return a.priority > b.priority;
  return StartOf(a, now) < StartOf(b, now);
}

absl::string_view WhyNotEligible(const PodInfo& pod, const NodeInfo* nominated_node,
                                 Verdict::Code said) {
  if (pod.pod->spec().preemption_policy() == "Never") {
    return "not eligible due to preemptionPolicy=Never.";
  }
  if (nominated_node == nullptr || said == Verdict::Code::kUnresolvable) return "";
  for (const PodInfoPtr& other : nominated_node->pods) {
    if (other->priority < pod.priority && IsPreempted(*other->pod)) {
      return "not eligible due to a terminating pod on the nominated node.";
    }
  }
  return "";
}

Victims VictimsOn(const NodeInfo& original, const Filters& filters,
                  const std::vector<Budget>& budgets, WallTime now) {
  const PodInfo& pod = filters.pod();
  std::vector<PodInfoPtr> lower;
  for (const PodInfoPtr& other : original.pods) {
    if (other->priority < pod.priority) lower.push_back(other);
  }
  if (lower.empty()) {
    return {{}, {Verdict::Unresolvable("No preemption victims found for incoming pod"), 0}};
  }
  NodeInfo node = original;
  const std::unique_ptr<Filters> trial = filters.Clone();
  for (const PodInfoPtr& other : lower) {
    node.RemovePod(*other);
    trial->RemovePod(*other, node);
  }
  Refusal refusal = trial->Ask(node);
  if (!refusal.verdict.ok()) return {{}, filters.Keep(std::move(refusal))};

  // As many as possible may stay: first those whose budgets would be violated, then the others; of
  // each the more important ones first.
  std::stable_sort(lower.begin(), lower.end(), [&](const PodInfoPtr& a, const PodInfoPtr& b) {
    return MoreImportant(*a, *b, now);
  });
  Candidate candidate;
  candidate.node = &original;
  const auto stays = [&](const PodInfoPtr& other) {
    node.AddPod(other);
    trial->AddPod(*other, node);
    if (trial->Ask(node).verdict.ok()) return true;
    node.RemovePod(*other);
    trial->RemovePod(*other, node);
    candidate.victims.push_back(other);
    return false;
  };
  for (const PodInfoPtr& other : TakeViolating(lower, budgets)) {
    if (!stays(other)) ++candidate.budget_violations;
  }
  for (const PodInfoPtr& other : lower) stays(other);
  std::stable_sort(
      candidate.victims.begin(), candidate.victims.end(),
      [&](const PodInfoPtr& a, const PodInfoPtr& b) { return MoreImportant(*a, *b, now); });
  return {std::move(candidate), {}};
}

std::vector<Candidate> FindCandidates(const std::vector<const NodeInfo*>& nodes,
                                      const Filters& filters, const std::vector<Budget>& budgets,
                                      WallTime now, Random& random, Reasons* reasons) {
  std::vector<Candidate> candidates;
  bool some_violate_nothing = false;
  const size_t wanted = std::max(nodes.size() * kCandidatesPercent / 100, kCandidatesMin);
  const size_t start = static_cast<size_t>(random.Below(nodes.size()));
  for (size_t i = 0; i < nodes.size(); ++i) {
    Victims victims = VictimsOn(*nodes[(start + i) % nodes.size()], filters, budgets, now);
    if (!victims.refusal.verdict.ok()) {
      reasons->Add(victims.refusal.verdict);
      continue;
    }
    // All could stay: something has changed in between, and the next attempt will do.
    if (victims.candidate.victims.empty()) continue;
    if (victims.candidate.budget_violations == 0) some_violate_nothing = true;
    candidates.push_back(std::move(victims.candidate));
    if (some_violate_nothing && candidates.size() >= wanted) break;
  }
  return candidates;
}

size_t BestCandidate(const std::vector<Candidate>& candidates, WallTime now) {
  size_t best = 0;
  Badness least = BadnessOf(candidates[0], now);
  for (size_t i = 1; i < candidates.size(); ++i) {
    const Badness badness = BadnessOf(candidates[i], now);
    if (badness >= least) continue;
    least = badness;
    best = i;
  }
  return best;
}

}  // namespace meltemi::scheduler
