// How long a Job waits before it replaces pods that have failed: 10 s, doubled with each failure in
// a row, at most 10 minutes.
//
// Threads: plain value types and functions without state. Source: the Job's documentation,
// pkg/controller/job's rules about when a pod has ended.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/clock/clock.h"
#include "kube/core/v1/pod.pb.h"
#include "orchestrator/controllers/runtime/pods.h"

namespace meltemi::controllers::jobs {

constexpr Duration kBackoffMin = seconds(10);
constexpr Duration kBackoffMax = minutes(10);

// When the pod ended: by its containers (sidecars too, which end last), else when it ceased to be
// ready, else when it was deleted, else when it was made.
WallTime FinishTime(const kube::core::v1::Pod& pod);

// Failures since the last success.
struct FailureRun {
  int failures = 0;
  WallTime last;

  // Adds pods that have ended since.
  void Add(const std::vector<PodPtr>& succeeded, const std::vector<PodPtr>& failed);
  // Zero: at once.
  Duration Remaining(WallTime now) const;
};

}  // namespace meltemi::controllers::jobs
