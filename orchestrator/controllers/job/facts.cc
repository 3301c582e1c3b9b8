#include "orchestrator/controllers/job/facts.h"

#include <algorithm>
#include <utility>

#include "absl/algorithm/container.h"
#include "orchestrator/controllers/job/backoff.h"
#include "orchestrator/controllers/job/policies.h"

namespace meltemi::controllers::jobs {
namespace {

namespace core = kube::core::v1;
namespace batch = kube::batch::v1;

bool HasValidIndex(const batch::Job& job, const core::Pod& pod) {
  const int index = IndexOf(pod);
  return index >= 0 && index < job.spec().completions();
}

int AllFailuresOf(const core::Pod& pod) {
  return FailureCountOf(pod, kIndexFailures) + FailureCountOf(pod, kIndexIgnoredFailures);
}

// What has been written down as failed (it was being deleted) stays so, even if it has succeeded
// since: it has been replaced.
bool HasSucceeded(const core::Pod& pod, const Facts& facts) {
  return pod.status().phase() == "Succeeded" &&
         facts.uncounted_failed.count(pod.metadata().uid()) == 0;
}

void CountPods(const batch::Job& job, Facts& facts) {
  for (const PodPtr& pod : facts.pods) {
    const std::string& uid = pod->metadata().uid();
    if (IsActive(*pod)) {
      facts.active.push_back(pod);
      if (IsReady(*pod)) ++facts.ready;
    }
    if (IsEnding(*pod)) ++facts.ending;
    if (!IsTracked(*pod) || (IsIndexed(job) && !HasValidIndex(job, *pod))) continue;
    if (HasSucceeded(*pod, facts) && facts.uncounted_succeeded.count(uid) == 0) {
      facts.new_succeeded.push_back(pod);
    }
    if (HasFailed(*pod, job) && facts.uncounted_failed.count(uid) == 0) {
      facts.new_failed.push_back(pod);
    }
  }
  const batch::JobStatus& status = job.status();
  facts.succeeded = status.succeeded() + static_cast<int>(facts.new_succeeded.size()) +
                    static_cast<int>(facts.uncounted_succeeded.size());
  facts.failed = status.failed() + static_cast<int>(facts.uncounted_failed.size()) +
                 static_cast<int>(absl::c_count_if(facts.new_failed, [&](const PodPtr& pod) {
                   return JudgeFailure(job.spec(), *pod).counts();
                 }));
}

void CountSucceededIndexes(const batch::Job& job, Facts& facts) {
  facts.known_succeeded_indexes =
      IndexSet::Parse(job.status().completed_indexes(), job.spec().completions());
  IndexSet fresh;  // pods are sorted by index: each lands at the end
  for (const PodPtr& pod : facts.pods) {
    if (HasSucceeded(*pod, facts) && IsTracked(*pod) && HasValidIndex(job, *pod)) {
      fresh.Add(IndexOf(*pod));
    }
  }
  facts.succeeded_indexes = facts.known_succeeded_indexes;
  facts.succeeded_indexes.AddAll(fresh);
  facts.succeeded = static_cast<int>(facts.succeeded_indexes.size());
}

bool FailsIndex(const batch::Job& job, const core::Pod& pod) {
  if (!HasFailed(pod, job)) return false;
  const FailureVerdict verdict = JudgeFailure(job.spec(), pod);
  if (verdict.action == FailureVerdict::Action::kFailIndex) return true;
  return verdict.counts() &&
         FailureCountOf(pod, kIndexFailures) >= job.spec().backoff_limit_per_index();
}

void CountFailedIndexes(const batch::Job& job, Facts& facts) {
  IndexSet failed = IndexSet::Parse(job.status().failed_indexes(), job.spec().completions());
  IndexSet fresh;
  std::set<int> active;
  for (const PodPtr& pod : facts.active) active.insert(IndexOf(*pod));
  for (const PodPtr& pod : facts.pods) {
    if (IsTracked(*pod) && HasValidIndex(job, *pod) && FailsIndex(job, *pod)) {
      fresh.Add(IndexOf(*pod));
    }
  }
  failed.AddAll(fresh);
  for (const PodPtr& pod : facts.pods) {
    if (!IsTracked(*pod) || !HasValidIndex(job, *pod) || !HasFailed(*pod, job)) continue;
    const int index = IndexOf(*pod);
    if (facts.succeeded_indexes.Contains(index) || failed.Contains(index) ||
        active.count(index) > 0) {
      continue;
    }
    PodPtr& last = facts.to_replace[index];
    if (last == nullptr ||
        (AllFailuresOf(*last) <= AllFailuresOf(*pod) && FinishTime(*last) <= FinishTime(*pod))) {
      last = pod;
    }
  }
  facts.failed_indexes = std::move(failed);
}

}  // namespace

bool IsIndexed(const batch::Job& job) { return job.spec().completion_mode() == "Indexed"; }

bool IsSuspended(const batch::Job& job) { return job.spec().suspend(); }

bool IsFinished(const batch::Job& job) {
  return FindTrue(job.status(), "Complete") != nullptr ||
         FindTrue(job.status(), "Failed") != nullptr;
}

bool IsManagedElsewhere(const batch::Job& job) {
  return job.spec().has_managed_by() && job.spec().managed_by() != "kubernetes.io/job-controller";
}

const batch::JobCondition* FindTrue(const batch::JobStatus& status, absl::string_view type) {
  for (const batch::JobCondition& condition : status.conditions()) {
    if (condition.type() == type && condition.status() == "True") return &condition;
  }
  return nullptr;
}

bool ReplacesFailedOnly(const batch::Job& job) {
  return job.spec().pod_replacement_policy() == "Failed" || job.spec().has_pod_failure_policy();
}

bool IsTracked(const core::Pod& pod) {
  return absl::c_linear_search(pod.metadata().finalizers(), kTrackingFinalizer);
}

bool HasFailed(const core::Pod& pod, const batch::Job& job) {
  if (pod.status().phase() == "Failed") return true;
  // A pod that is gone before it has ended would be missing in the count.
  return !ReplacesFailedOnly(job) && IsEnding(pod);
}

bool IsEnding(const core::Pod& pod) {
  const std::string& phase = pod.status().phase();
  return pod.metadata().has_deletion_timestamp() && phase != "Succeeded" && phase != "Failed";
}

Facts Gather(const batch::Job& job, std::vector<PodPtr> pods) {
  Facts facts;
  facts.pods = std::move(pods);
  if (IsIndexed(job)) {
    absl::c_stable_sort(facts.pods,
                        [](const PodPtr& a, const PodPtr& b) { return IndexOf(*a) < IndexOf(*b); });
  }
  const batch::UncountedTerminatedPods& uncounted = job.status().uncounted_terminated_pods();
  facts.uncounted_succeeded.insert(uncounted.succeeded().begin(), uncounted.succeeded().end());
  facts.uncounted_failed.insert(uncounted.failed().begin(), uncounted.failed().end());
  CountPods(job, facts);
  if (IsIndexed(job)) {
    CountSucceededIndexes(job, facts);
    if (job.spec().has_backoff_limit_per_index()) CountFailedIndexes(job, facts);
  }
  return facts;
}

}  // namespace meltemi::controllers::jobs
