#include "orchestrator/kubelet/stats/stats.h"

#include <mutex>
#include <optional>
#include <utility>

#include "kube/queue/controller.h"
#include "orchestrator/kubelet/stats/metrics_text.h"
#include "orchestrator/kubelet/stats/sampler.h"
#include "orchestrator/kubelet/stats/summary_json.h"

namespace meltemi::kubelet {
namespace {

constexpr Duration kFresh = seconds(1);

kube::ControllerOptions QueueOptions() {
  kube::ControllerOptions out;
  out.name = "stats";
  out.workers = 1;
  return out;
}

class SampledStats final : public Stats {
 public:
  SampledStats(const StatsOptions& options, kube::Executor& executor, const Pods& pods,
               Runtime& runtime, PodCgroups& cgroups, Volumes& volumes)
      : clock_(executor.clock()),
        sampler_(options, executor.clock(), pods, runtime, cgroups, volumes),
        controller_(kube::NewController(
            QueueOptions(), executor, nullptr,
            [this, period = options.sample_period](const kube::NamespacedName&) {
              (void)Sample(/*with_disks=*/false);
              // The second one soon: before it there are no rates.
              return kube::Again(std::exchange(first_, false) ? 2 * kFresh : period);
            })) {
    controller_->Add({"", "sample"});
    controller_->Start();
  }
  ~SampledStats() override { controller_.reset(); }

  std::string SummaryJson(bool only_cpu_and_memory) override {
    return SummaryOf(*Sample(!only_cpu_and_memory), only_cpu_and_memory);
  }
  std::string ResourceMetrics() override { return ResourceMetricsOf(*Sample(false)); }
  std::string ContainerMetrics() override { return ContainerMetricsOf(*Sample(true)); }

 private:
  std::shared_ptr<const NodeSample> Sample(bool with_disks) {
    // Who asks at the same time waits for the one result.
    const std::lock_guard<std::mutex> lock(mutex_);
    const MonotonicTime now = clock_.Now();
    const bool fresh = last_ != nullptr && now - taken_at_ < kFresh;
    if (fresh && (has_disks_ || !with_disks)) return last_;
    last_ = std::make_shared<const NodeSample>(sampler_.Take(with_disks));
    taken_at_ = now;
    has_disks_ = with_disks;
    return last_;
  }

  const Clock& clock_;
  std::mutex mutex_;
  // Guarded by mutex_.
  Sampler sampler_;
  std::shared_ptr<const NodeSample> last_;
  MonotonicTime taken_at_{};
  bool has_disks_ = false;

  bool first_ = true;  // the one key's
  std::unique_ptr<kube::Controller> controller_;
};

}  // namespace

std::unique_ptr<Stats> NewStats(const StatsOptions& options, kube::Executor& executor,
                                const Pods& pods, Runtime& runtime, PodCgroups& cgroups,
                                Volumes& volumes) {
  return std::make_unique<SampledStats>(options, executor, pods, runtime, cgroups, volumes);
}

}  // namespace meltemi::kubelet
