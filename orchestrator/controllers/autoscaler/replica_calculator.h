// How many replicas a metric asks for: Kubernetes' formula, with its treatment of pods that are not
// ready and of pods without figures. Pure functions.
//
// Threads: functions without state. Source: pkg/controller/podautoscaler's rules.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "orchestrator/controllers/autoscaler/autoscaler.h"
#include "orchestrator/controllers/runtime/pods.h"

namespace meltemi::controllers {

struct PodMetric {
  int64_t value = 0;  // in thousandths
  WallTime time;
  Duration window{0};
};
using PodMetrics = std::map<std::string, PodMetric>;  // by the pod's name

struct Proposal {
  int32_t replicas = 0;
  int32_t utilization = 0;  // percent of the requests; of ProposeByUtilization
  int64_t average = 0;      // per pod, in thousandths
};

struct ReplicaQuestion {
  const std::vector<PodPtr>& pods;  // all that the target's selector matches
  PodMetrics metrics;
  int32_t current_replicas = 0;
  std::string resource;   // "cpu"; empty: no resource
  std::string container;  // empty: all of the pod
  WallTime now;
  const AutoscalerOptions& options;
};

// Error: in Kubernetes' words.
absl::StatusOr<Proposal> ProposeByUtilization(ReplicaQuestion question, int32_t target_percent);
// `target`: per pod, in thousandths.
absl::StatusOr<Proposal> ProposeByAverage(ReplicaQuestion question, int64_t target);

}  // namespace meltemi::controllers
