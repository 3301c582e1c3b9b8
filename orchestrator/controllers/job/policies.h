// What a Job's own rules say about pods that have failed (podFailurePolicy) and about indexes that
// have succeeded (successPolicy).
//
// Threads: functions without state. Source: the fields' documentation, pkg/controller/job's words.
#pragma once

#include <optional>
#include <string>

#include "kube/batch/v1/batch.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "orchestrator/controllers/job/indexes.h"

namespace meltemi::controllers::jobs {

struct FailureVerdict {
  enum class Action : uint8_t { kNone, kIgnore, kCount, kFailIndex, kFailJob };
  Action action = Action::kNone;  // of the first rule that fits
  std::string message;            // kFailJob: why, for the condition

  // Towards backoffLimit.
  bool counts() const { return action != Action::kIgnore; }
};

// `pod` has failed.
FailureVerdict JudgeFailure(const kube::batch::v1::JobSpec& spec, const kube::core::v1::Pod& pod);

// The message of the condition SuccessCriteriaMet, when a rule of the success policy holds.
std::optional<std::string> MetSuccessPolicy(const kube::batch::v1::JobSpec& spec,
                                            const IndexSet& succeeded);

}  // namespace meltemi::controllers::jobs
