#include "orchestrator/controllers/job/plan.h"

#include <algorithm>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "orchestrator/controllers/job/policies.h"

namespace meltemi::controllers::jobs {
namespace {

namespace core = kube::core::v1;
namespace batch = kube::batch::v1;

// Of pods that restart their containers themselves, the restarts count.
bool RestartsExceedLimit(const batch::Job& job, const Facts& facts) {
  if (job.spec().template_().spec().restart_policy() != "OnFailure") return false;
  int64_t restarts = 0;
  for (const PodPtr& pod : facts.pods) {
    const std::string& phase = pod->status().phase();
    if (phase != "Running" && phase != "Pending") continue;
    for (const auto& status : pod->status().init_container_statuses()) {
      restarts += status.restart_count();
    }
    for (const auto& status : pod->status().container_statuses()) {
      restarts += status.restart_count();
    }
  }
  return restarts > 0 && restarts >= job.spec().backoff_limit();
}

std::optional<Conclusion> ConcludeIndexes(const batch::Job& job, const Facts& facts) {
  if (facts.failed_indexes.has_value()) {
    const int64_t failed = facts.failed_indexes->size();
    if (job.spec().has_max_failed_indexes() && failed > job.spec().max_failed_indexes()) {
      return Conclusion{false, "MaxFailedIndexesExceeded",
                        "Job has exceeded the specified maximal number of failed indexes"};
    }
    if (failed > 0 && failed + facts.succeeded_indexes.size() >= job.spec().completions()) {
      return Conclusion{false, "FailedIndexes", "Job has failed indexes"};
    }
  }
  if (std::optional<std::string> met = MetSuccessPolicy(job.spec(), facts.succeeded_indexes)) {
    return Conclusion{true, "SuccessPolicy", std::move(*met)};
  }
  return std::nullopt;
}

// Surplus pods first: those that could not be counted when they end, whose index is none of the
// Job's, or doubled.
void SplitSurplus(const batch::Job& job, const Facts& facts, std::vector<PodPtr>& surplus,
                  std::vector<PodPtr>& rest) {
  const auto none_on_node = [](const core::Pod&) { return 0; };
  std::map<int, std::vector<PodPtr>> by_index;
  for (const PodPtr& pod : facts.active) {
    const int index = IndexOf(*pod);
    if (!IsTracked(*pod)) {
      surplus.push_back(pod);
    } else if (!IsIndexed(job)) {
      rest.push_back(pod);
    } else if (index < 0 || index >= job.spec().completions()) {
      surplus.push_back(pod);
    } else {
      by_index[index].push_back(pod);
    }
  }
  for (auto& [index, pods] : by_index) {
    if (pods.size() > 1) SortForDeletion(pods, none_on_node);
    surplus.insert(surplus.end(), pods.begin(), pods.end() - 1);
    rest.push_back(pods.back());
  }
  SortForDeletion(rest, none_on_node);
}

int WantedActive(const batch::Job& job, const Facts& facts) {
  const int active = static_cast<int>(facts.active.size());
  if (IsSuspended(job)) return 0;
  if (job.spec().has_completions()) {
    return std::clamp(job.spec().completions() - facts.succeeded, 0,
                      std::max(0, job.spec().parallelism()));
  }
  // After the first success the others finish, and none are added.
  return facts.succeeded > 0 ? active : job.spec().parallelism();
}

// Of the indexes that are wanted, those whose last failure is long enough ago.
void CreateIndexes(const Facts& facts, const std::vector<int>& wanted, WallTime now, Work& work) {
  for (int index : wanted) {
    Duration wait = Duration::zero();
    const auto failed = facts.to_replace.find(index);
    if (failed != facts.to_replace.end()) {
      const core::Pod& pod = *failed->second;
      wait = FailureRun{FailureCountOf(pod, kIndexFailures) +
                            FailureCountOf(pod, kIndexIgnoredFailures) + 1,
                        FinishTime(pod)}
                 .Remaining(now);
    }
    if (wait == Duration::zero()) {
      work.create.push_back(index);
    } else {
      work.wait = std::min(wait, work.wait.value_or(wait));
    }
  }
}

// Whether the pod has been dealt with, so that its finalizer may go.
bool MayRelease(const batch::Job& job, const Facts& facts, const core::Pod& pod, bool concluded) {
  if (job.metadata().has_deletion_timestamp() || concluded || pod.status().phase() == "Succeeded") {
    return true;
  }
  if (!HasFailed(pod, job)) return false;
  const auto waiting = facts.to_replace.find(IndexOf(pod));
  return waiting == facts.to_replace.end() ||
         waiting->second->metadata().uid() != pod.metadata().uid();
}

// Writes down that the pod has ended, where that is not told by its index.
void Note(const batch::Job& job, const Facts& facts, const core::Pod& pod, bool failed_with_job,
          batch::UncountedTerminatedPods& uncounted) {
  const std::string& uid = pod.metadata().uid();
  if (pod.status().phase() == "Succeeded" && facts.uncounted_failed.count(uid) == 0) {
    if (!IsIndexed(job) && facts.uncounted_succeeded.count(uid) == 0) uncounted.add_succeeded(uid);
    return;
  }
  if (!HasFailed(pod, job) && !failed_with_job) return;
  if (facts.uncounted_failed.count(uid) > 0) return;
  const int index = IndexOf(pod);
  if (IsIndexed(job) && (index < 0 || index >= job.spec().completions())) return;
  if (JudgeFailure(job.spec(), pod).counts()) uncounted.add_failed(uid);
}

int Settled(google::protobuf::RepeatedPtrField<std::string>& uids,
            const std::set<std::string>& tracked) {
  const int before = uids.size();
  uids.erase(std::remove_if(uids.begin(), uids.end(),
                            [&](const std::string& uid) { return tracked.count(uid) == 0; }),
             uids.end());
  return before - uids.size();
}

}  // namespace

std::optional<Conclusion> Conclude(const batch::Job& job, const Facts& facts, WallTime now) {
  if (const auto* met = FindTrue(job.status(), "SuccessCriteriaMet")) {
    return Conclusion{true, met->reason(), met->message()};
  }
  if (const auto* target = FindTrue(job.status(), "FailureTarget")) {
    return Conclusion{false, target->reason(), target->message()};
  }
  if (job.spec().has_pod_failure_policy()) {
    for (const PodPtr& pod : facts.pods) {
      if (!HasFailed(*pod, job)) continue;
      FailureVerdict verdict = JudgeFailure(job.spec(), *pod);
      if (verdict.action == FailureVerdict::Action::kFailJob) {
        return Conclusion{false, "PodFailurePolicy", std::move(verdict.message)};
      }
    }
  }
  if (facts.failed > job.spec().backoff_limit() || RestartsExceedLimit(job, facts)) {
    return Conclusion{false, "BackoffLimitExceeded", "Job has reached the specified backoff limit"};
  }
  if (job.spec().has_active_deadline_seconds() && job.status().has_start_time() &&
      !IsSuspended(job) && !UntilDeadline(job, now).has_value()) {
    return Conclusion{false, "DeadlineExceeded", "Job was active longer than specified deadline"};
  }
  return IsIndexed(job) ? ConcludeIndexes(job, facts) : std::nullopt;
}

std::optional<Conclusion> Completed(const batch::Job& job, const Facts& facts, int active) {
  const bool enough = job.spec().has_completions() ? facts.succeeded >= job.spec().completions()
                                                   : facts.succeeded > 0;
  if (!enough || active > 0) return std::nullopt;
  return Conclusion{true, "CompletionsReached", "Reached expected number of succeeded pods"};
}

std::optional<Duration> UntilDeadline(const batch::Job& job, WallTime now) {
  if (!job.spec().has_active_deadline_seconds() || !job.status().has_start_time() ||
      IsSuspended(job)) {
    return std::nullopt;
  }
  // More than a hundred years are no deadline (and would not fit).
  constexpr int64_t kSecondsMax = int64_t{100} * 366 * 86'400;
  const Duration left = ToWall(job.status().start_time()) +
                        seconds(std::min(job.spec().active_deadline_seconds(), kSecondsMax)) - now;
  if (left <= Duration::zero()) return std::nullopt;
  return left;
}

Work Manage(const batch::Job& job, const Facts& facts, const FailureRun& run, WallTime now) {
  Work work;
  std::vector<PodPtr> rest;
  SplitSurplus(job, facts, work.remove, rest);
  const int active = static_cast<int>(facts.active.size());
  const int wanted = WantedActive(job, facts);
  for (const PodPtr& pod : rest) {
    if (active - static_cast<int>(work.remove.size()) <= wanted) break;
    work.remove.push_back(pod);
  }
  if (work.remove.size() > kPodsPerReconcileMax) work.remove.resize(kPodsPerReconcileMax);
  const int missing = wanted - active - (ReplacesFailedOnly(job) ? facts.ending : 0);
  if (!work.remove.empty() || missing <= 0 || IsSuspended(job)) return work;

  if (!facts.failed_indexes.has_value()) {
    const Duration wait = run.Remaining(now);
    if (wait > Duration::zero()) {
      work.wait = wait;
      return work;
    }
  }
  const int count = std::min(missing, kPodsPerReconcileMax);
  if (!IsIndexed(job)) {
    work.create.assign(count, -1);
    return work;
  }
  IndexSet taken;
  for (const PodPtr& pod : facts.pods) {
    const bool holds = IsActive(*pod) || (ReplacesFailedOnly(job) && IsEnding(*pod));
    if (holds && IndexOf(*pod) >= 0) taken.Add(IndexOf(*pod));
  }
  taken.AddAll(facts.succeeded_indexes);
  if (facts.failed_indexes.has_value()) taken.AddAll(*facts.failed_indexes);
  CreateIndexes(facts, taken.FirstMissing(count, job.spec().completions()), now, work);
  return work;
}

Tally Track(const batch::Job& job, batch::JobStatus status, const Facts& facts,
            const std::optional<Conclusion>& conclusion, WallTime now) {
  Tally tally;
  std::set<std::string> tracked;
  for (const PodPtr& pod : facts.pods) {
    if (IsTracked(*pod)) tracked.insert(pod->metadata().uid());
  }
  Settle(status, tracked);
  batch::UncountedTerminatedPods& uncounted = *status.mutable_uncounted_terminated_pods();
  const bool failed_with_job = conclusion.has_value() && !conclusion->success;
  for (const PodPtr& pod : facts.pods) {
    if (!IsTracked(*pod) || !MayRelease(job, facts, *pod, conclusion.has_value())) continue;
    if (uncounted.succeeded_size() + uncounted.failed_size() >= kUncountedMax ||
        tally.release.size() >= kPodsPerReconcileMax) {
      tally.more = true;
      break;
    }
    tally.release.push_back(pod);
    Note(job, facts, *pod, failed_with_job, uncounted);
  }
  if (IsIndexed(job)) {
    status.set_succeeded(static_cast<int>(facts.succeeded_indexes.size()));
    status.set_completed_indexes(facts.succeeded_indexes.ToString());
    status.clear_failed_indexes();
    if (facts.failed_indexes.has_value()) {
      status.set_failed_indexes(facts.failed_indexes->ToString());
    }
  }
  if (conclusion.has_value()) {
    SetCondition(status, conclusion->success ? "SuccessCriteriaMet" : "FailureTarget", true,
                 conclusion->reason, conclusion->message, now);
  }
  tally.status = std::move(status);
  return tally;
}

void Settle(batch::JobStatus& status, const std::set<std::string>& tracked) {
  batch::UncountedTerminatedPods& uncounted = *status.mutable_uncounted_terminated_pods();
  status.set_succeeded(status.succeeded() + Settled(*uncounted.mutable_succeeded(), tracked));
  status.set_failed(status.failed() + Settled(*uncounted.mutable_failed(), tracked));
}

bool Close(batch::JobStatus& status, const Conclusion& conclusion, WallTime now) {
  const batch::UncountedTerminatedPods& uncounted = status.uncounted_terminated_pods();
  if (uncounted.succeeded_size() + uncounted.failed_size() > 0 || status.terminating() > 0 ||
      status.active() > 0) {
    return false;
  }
  SetCondition(status, conclusion.success ? "Complete" : "Failed", true, conclusion.reason,
               conclusion.message, now);
  if (conclusion.success) *status.mutable_completion_time() = FromWall(now);
  return true;
}

bool SetCondition(batch::JobStatus& status, absl::string_view type, bool value,
                  absl::string_view reason, absl::string_view message, WallTime now) {
  const absl::string_view text = value ? "True" : "False";
  auto condition = absl::c_find_if(*status.mutable_conditions(),
                                   [&](const auto& candidate) { return candidate.type() == type; });
  batch::JobCondition* changed = nullptr;
  if (condition != status.mutable_conditions()->end()) {
    if (condition->status() == text && condition->reason() == reason &&
        condition->message() == message) {
      return false;
    }
    changed = &*condition;
  } else if (value) {
    changed = status.add_conditions();
  } else {
    return false;
  }
  changed->set_type(std::string(type));
  changed->set_status(std::string(text));
  changed->set_reason(std::string(reason));
  changed->set_message(std::string(message));
  *changed->mutable_last_probe_time() = FromWall(now);
  *changed->mutable_last_transition_time() = FromWall(now);
  return true;
}

}  // namespace meltemi::controllers::jobs
