// What the scheduler counts, under Kubernetes' names.
//
// Threads: thread-safe.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "base/metrics/metrics.h"

namespace meltemi::scheduler {

class SchedulerMetrics {
 public:
  // Null: nothing is counted. `registry` outlives it.
  explicit SchedulerMetrics(metrics::Registry* registry);

  // scheduler_pending_pods by queue: "active", "backoff", "unschedulable", "gated". May be null.
  metrics::Gauge* PendingPods(absl::string_view queue);
  // scheduler_scheduler_cache_size
  void CacheSize(size_t nodes, size_t pods, size_t assumed);
  // scheduler_schedule_attempts_total and scheduler_scheduling_attempt_duration_seconds; `result`:
  // "scheduled", "unschedulable", "error".
  void Attempt(absl::string_view result, absl::string_view profile, Duration took);
  // scheduler_scheduling_algorithm_duration_seconds
  void Algorithm(Duration took);
  // scheduler_pod_scheduling_attempts and scheduler_pod_scheduling_sli_duration_seconds.
  void Scheduled(int attempts, Duration since_first_tried);
  // scheduler_preemption_attempts_total, and scheduler_preemption_victims when there are some.
  void Preemption(size_t victims);

 private:
  std::mutex mutex_;  // the shard wants one writer at a time
  metrics::Scope* scope_ = nullptr;
};

}  // namespace meltemi::scheduler
