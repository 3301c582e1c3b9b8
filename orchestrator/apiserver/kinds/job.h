// What Jobs and the templates of CronJobs have in common.
//
// Threads: functions without state. Source: pkg/apis/batch/validation of Kubernetes 1.32.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "kube/status/field_error.h"

namespace meltemi::apiserver {

// A JobSpec without what belongs to its selector.
void ValidateJobSpec(const json::Value& spec, const kube::FieldPath& path,
                     kube::FieldErrors& errors);
std::vector<std::string> JobSpecWarnings(const json::Value& spec, const kube::FieldPath& path);

// The status of a Job after it was `old_job`'s (job_status.cc).
void ValidateJobStatusUpdate(const json::Value& old_job, const json::Value& job,
                             kube::FieldErrors& errors);
// The condition's status is True.
bool HasTrueCondition(const json::Value& job, absl::string_view type);

// "0,3-5" as a set of numbers below `completions`: how many, or what is wrong with it.
struct IndexCount {
  int64_t count = 0;
  std::string error;
};
IndexCount CountIndexes(absl::string_view text, int64_t completions);
// `failedIndexes and completedIndexes overlap at index: 3`, or empty.
std::string OverlapOfIndexes(absl::string_view completed, absl::string_view failed,
                             int64_t completions);

}  // namespace meltemi::apiserver
