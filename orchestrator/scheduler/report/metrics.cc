#include "orchestrator/scheduler/report/metrics.h"

#include <array>

#include "absl/strings/str_cat.h"

namespace meltemi::scheduler {
namespace {

template <size_t n>
constexpr std::array<double, n> Doubling(double first) {
  std::array<double, n> bounds{};
  for (double& bound : bounds) {
    bound = first;
    first *= 2;
  }
  return bounds;
}

constexpr std::array<double, 15> kAttemptSeconds = Doubling<15>(0.001);
constexpr std::array<double, 20> kPodSeconds = Doubling<20>(0.01);
constexpr std::array<double, 5> kAttempts = Doubling<5>(1);
constexpr std::array<double, 7> kVictims = Doubling<7>(1);

double Seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

SchedulerMetrics::SchedulerMetrics(metrics::Registry* registry) {
  if (registry == nullptr) return;
  scope_ = &registry->NewShard().root();
  registry->Describe("scheduler_schedule_attempts_total",
                     "Attempts to schedule pods, by result and profile.");
  registry->Describe("scheduler_pending_pods", "Pods that wait, by queue.");
  registry->Describe("scheduler_scheduler_cache_size",
                     "Nodes, pods and assumed pods that the scheduler knows.");
  registry->Describe("scheduler_scheduling_attempt_duration_seconds",
                     "Time of an attempt with its binding.");
  registry->Describe("scheduler_scheduling_algorithm_duration_seconds",
                     "Time of an attempt without its binding.");
  registry->Describe("scheduler_pod_scheduling_attempts", "Attempts that a pod has needed.");
  registry->Describe("scheduler_pod_scheduling_sli_duration_seconds",
                     "Time from a pod's first chance to its binding.");
  registry->Describe("scheduler_preemption_attempts_total", "Attempts to preempt pods.");
  registry->Describe("scheduler_preemption_victims", "Pods that have to go for another one.");
}

metrics::Gauge* SchedulerMetrics::PendingPods(absl::string_view queue) {
  if (scope_ == nullptr) return nullptr;
  const std::lock_guard<std::mutex> lock(mutex_);
  return &scope_->GetGauge("scheduler_pending_pods", {{"queue", std::string(queue)}});
}

void SchedulerMetrics::CacheSize(size_t nodes, size_t pods, size_t assumed) {
  if (scope_ == nullptr) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto set = [&](const char* type, size_t number) {
    scope_->GetGauge("scheduler_scheduler_cache_size", {{"type", type}})
        .Set(static_cast<int64_t>(number));
  };
  set("nodes", nodes);
  set("pods", pods);
  set("assumed_pods", assumed);
}

void SchedulerMetrics::Attempt(absl::string_view result, absl::string_view profile, Duration took) {
  if (scope_ == nullptr) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  const metrics::Labels labels = {{"result", std::string(result)},
                                  {"profile", std::string(profile)}};
  scope_->GetCounter("scheduler_schedule_attempts_total", labels).Inc();
  scope_->GetHistogram("scheduler_scheduling_attempt_duration_seconds", kAttemptSeconds, labels)
      .Record(Seconds(took));
}

void SchedulerMetrics::Algorithm(Duration took) {
  if (scope_ == nullptr) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  scope_->GetHistogram("scheduler_scheduling_algorithm_duration_seconds", kAttemptSeconds)
      .Record(Seconds(took));
}

void SchedulerMetrics::Scheduled(int attempts, Duration since_first_tried) {
  if (scope_ == nullptr) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  scope_->GetHistogram("scheduler_pod_scheduling_attempts", kAttempts).Record(attempts);
  const metrics::Labels labels = {{"attempts", attempts >= 15 ? "15+" : absl::StrCat(attempts)}};
  scope_->GetHistogram("scheduler_pod_scheduling_sli_duration_seconds", kPodSeconds, labels)
      .Record(Seconds(since_first_tried));
}

void SchedulerMetrics::Preemption(size_t victims) {
  if (scope_ == nullptr) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  scope_->GetCounter("scheduler_preemption_attempts_total").Inc();
  if (victims == 0) return;
  scope_->GetHistogram("scheduler_preemption_victims", kVictims)
      .Record(static_cast<double>(victims));
}

}  // namespace meltemi::scheduler
