// What metrics of an autoscaler ask for, and what its status says of them.
//
// Threads: thread-safe; Evaluate blocks on the metrics API.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kube/autoscaling/v2/autoscaling.pb.h"
#include "kube/client/client.h"
#include "orchestrator/controllers/autoscaler/replica_calculator.h"

namespace meltemi::controllers {

struct MetricsQuestion {
  std::string ns, selector;
  const std::vector<PodPtr>& pods;  // that the selector matches
  int32_t current_replicas = 0;
  WallTime now;
  const AutoscalerOptions& options;
};

// What one metric says.
struct MetricAnswer {
  bool ok = false;
  int32_t replicas = 0;
  std::string name;  // "cpu resource utilization (percentage of request)"
  kube::autoscaling::v2::MetricStatus status;
  // !ok: the reason of the condition and of the event ("FailedGetResourceMetric"), what the event
  // says, and what is said of all metrics together.
  std::string reason, error, summary;
};

MetricAnswer EvaluateMetric(kube::Client& client, const kube::autoscaling::v2::MetricSpec& spec,
                            const MetricsQuestion& question);

}  // namespace meltemi::controllers
