// Which pods would have to go so that another one fits: pure decisions.
//
// Threads: functions without state. Source: kube-scheduler's default preemption.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock/clock.h"
#include "base/random/random.h"
#include "kube/selector/selector.h"
#include "orchestrator/scheduler/cycle/diagnosis.h"
#include "orchestrator/scheduler/cycle/filters.h"

namespace meltemi::kube::policy::v1 {
class PodDisruptionBudget;
}  // namespace meltemi::kube::policy::v1

namespace meltemi::scheduler {

// What a PodDisruptionBudget allows.
struct Budget {
  std::string ns;
  kube::LabelSelector selector;
  int64_t allowed = 0;
  std::set<std::string> disrupted;  // pods whose going has been counted already
};
Budget BudgetOf(const kube::policy::v1::PodDisruptionBudget& budget);

struct Candidate {
  const NodeInfo* node = nullptr;
  std::vector<PodInfoPtr> victims;  // the most important first; not empty
  int64_t budget_violations = 0;
};

// Among pods of a node the one of higher priority, or that has run for longer, is more important.
// What has not started yet counts as started now.
bool MoreImportant(const PodInfo& a, const PodInfo& b, WallTime now);

// Why the pod is not to preempt others, in Kubernetes' words; empty: it may. `nominated_node` is
// that of an earlier preemption (may be null), `said` what it said to the pod in this cycle.
absl::string_view WhyNotEligible(const PodInfo& pod, const NodeInfo* nominated_node,
                                 Verdict::Code said);

// The fewest and least important pods whose going makes room, or why there are none.
struct Victims {
  Candidate candidate;
  Refusal refusal;
};
Victims VictimsOn(const NodeInfo& node, const Filters& filters, const std::vector<Budget>& budgets,
                  WallTime now);

// Looks at some of the nodes where it may help: a tenth, at least 100. Empty: nowhere; `reasons`
// tells why.
std::vector<Candidate> FindCandidates(const std::vector<const NodeInfo*>& nodes,
                                      const Filters& filters, const std::vector<Budget>& budgets,
                                      WallTime now, Random& random, Reasons* reasons);

// The place of the best one: fewest violated budgets, lowest highest priority, lowest sum of
// priorities, fewest victims, latest start of the most important ones. Precondition: not empty.
size_t BestCandidate(const std::vector<Candidate>& candidates, WallTime now);

}  // namespace meltemi::scheduler
