// What is to be done about a Job: pure functions of its facts and the time.
//
//   Gather -> Conclude: is it over?  yes -> its pods are deleted
//                                    no  -> Manage: pods to make and to remove
//          -> Track: status to write, then finalizers to remove, then Settle and Close
//
// Threads: functions without state. Source: the behaviour of Kubernetes' pkg/controller/job.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock/clock.h"
#include "kube/batch/v1/batch.pb.h"
#include "orchestrator/controllers/job/backoff.h"
#include "orchestrator/controllers/job/facts.h"

namespace meltemi::controllers::jobs {

// Bounds of what one reconcile does, so that a big Job does not hold up small ones and its status
// stays small.
constexpr int kUncountedMax = 500;
constexpr int kPodsPerReconcileMax = 500;

// How the Job ends.
struct Conclusion {
  bool success = false;
  std::string reason, message;
};

std::optional<Conclusion> Conclude(const kube::batch::v1::Job& job, const Facts& facts,
                                   WallTime now);
// When all that was asked for has succeeded and no pod is active.
std::optional<Conclusion> Completed(const kube::batch::v1::Job& job, const Facts& facts,
                                    int active);
// Time until activeDeadlineSeconds; nothing: there is no deadline, or it is past.
std::optional<Duration> UntilDeadline(const kube::batch::v1::Job& job, WallTime now);

struct Work {
  std::vector<PodPtr> remove;
  std::vector<int> create;  // index of each pod; -1: it has none
  std::optional<Duration> wait;
};

// Either removes or creates, never both. `run`: how the Job's pods have failed lately.
Work Manage(const kube::batch::v1::Job& job, const Facts& facts, const FailureRun& run,
            WallTime now);

struct Tally {
  kube::batch::v1::JobStatus status;  // to be written before the finalizers go
  std::vector<PodPtr> release;        // whose finalizers may go then
  bool more = false;                  // there are more than one reconcile takes
};

// `status`: the Job's, with counts of active pods and conditions as they are now.
Tally Track(const kube::batch::v1::Job& job, kube::batch::v1::JobStatus status, const Facts& facts,
            const std::optional<Conclusion>& conclusion, WallTime now);

// Uncounted pods become part of the counts when they are not in `tracked` (uids of pods that have
// their finalizer).
void Settle(kube::batch::v1::JobStatus& status, const std::set<std::string>& tracked);

// Whether the final condition may be written, and it is: every pod has been counted and has ended.
bool Close(kube::batch::v1::JobStatus& status, const Conclusion& conclusion, WallTime now);

// Adds the condition, or changes it; True or False. A condition that is not there is not added as
// False. Tells whether anything changed.
bool SetCondition(kube::batch::v1::JobStatus& status, absl::string_view type, bool value,
                  absl::string_view reason, absl::string_view message, WallTime now);

// The pod of the Job with this index (-1: none). `replaced`: the failed one before it, may be null.
kube::core::v1::Pod NewPod(const kube::batch::v1::Job& job, int index,
                           const kube::core::v1::Pod* replaced);

}  // namespace meltemi::controllers::jobs
