// What a Job's status and its pods amount to: the numbers that all its decisions are made from.
//
// A pod carries the finalizer batch.kubernetes.io/job-tracking until it has been counted. Counting
// takes three writes, so that a crash between them counts nothing twice and loses nothing: its uid
// goes into status.uncountedTerminatedPods, its finalizer goes, and only then the uid becomes part
// of the number. Of indexed Jobs the completed indexes are counted, so a success needs no uid.
//
// Threads: plain value types and functions without state.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "kube/batch/v1/batch.pb.h"
#include "orchestrator/controllers/job/indexes.h"
#include "orchestrator/controllers/runtime/pods.h"

namespace meltemi::controllers::jobs {

constexpr char kTrackingFinalizer[] = "batch.kubernetes.io/job-tracking";
constexpr char kIndexFailures[] = "batch.kubernetes.io/job-index-failure-count";
constexpr char kIndexIgnoredFailures[] = "batch.kubernetes.io/job-index-ignored-failure-count";

bool IsIndexed(const kube::batch::v1::Job& job);
bool IsSuspended(const kube::batch::v1::Job& job);
// Complete or Failed.
bool IsFinished(const kube::batch::v1::Job& job);
// Another controller looks after it.
bool IsManagedElsewhere(const kube::batch::v1::Job& job);
const kube::batch::v1::JobCondition* FindTrue(const kube::batch::v1::JobStatus& status,
                                              absl::string_view type);
// Pods are replaced when they have failed, not already when they are being deleted.
bool ReplacesFailedOnly(const kube::batch::v1::Job& job);

bool IsTracked(const kube::core::v1::Pod& pod);
bool HasFailed(const kube::core::v1::Pod& pod, const kube::batch::v1::Job& job);
// Being deleted, and not ended yet.
bool IsEnding(const kube::core::v1::Pod& pod);

struct Facts {
  std::vector<PodPtr> pods;  // all that belong to the Job, by index
  std::vector<PodPtr> active;
  std::set<std::string> uncounted_succeeded, uncounted_failed;  // uids
  std::vector<PodPtr> new_succeeded, new_failed;                // in none of the counts yet
  int ready = 0;                                                // of the active
  int ending = 0;
  int succeeded = 0, failed = 0;  // all that are known of, counted or not
  // Of indexed Jobs: as the status says, and with what is new.
  IndexSet known_succeeded_indexes, succeeded_indexes;
  std::optional<IndexSet> failed_indexes;  // with backoffLimitPerIndex
  // With backoffLimitPerIndex: the failed pod of each index that waits for its successor, which
  // takes over its count of failures; it keeps its finalizer until then.
  std::map<int, PodPtr> to_replace;
};

Facts Gather(const kube::batch::v1::Job& job, std::vector<PodPtr> pods);

}  // namespace meltemi::controllers::jobs
