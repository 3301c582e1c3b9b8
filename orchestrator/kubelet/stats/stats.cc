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
// How old it may be where nothing better is to be had.
constexpr Duration kUsable = minutes(1);

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
    if (auto fresh = Known(with_disks, kFresh)) return fresh;
    // One at a time measures; who asks meanwhile waits for the result, but not for a runtime that
    // hangs as long as there is something to tell.
    std::unique_lock<std::mutex> measuring(measuring_, std::try_to_lock);
    if (!measuring.owns_lock()) {
      if (auto old = Known(with_disks, kUsable)) return old;
      measuring.lock();
    }
    if (auto fresh = Known(with_disks, kFresh)) return fresh;
    auto taken = std::make_shared<NodeSample>(sampler_.Take(with_disks));
    const std::lock_guard<std::mutex> lock(mutex_);
    const MonotonicTime now = clock_.Now();
    if (taken->complete) {
      complete_ = taken;
      complete_at_ = now;
    } else if (complete_ != nullptr && now - complete_at_ < kUsable) {
      // containerd fails as a whole when a container goes away in the wrong moment.
      taken->pods = complete_->pods;
    }
    last_ = taken;
    last_at_ = now;
    has_disks_ = with_disks;
    return last_;
  }

  // Null: nothing of that age.
  std::shared_ptr<const NodeSample> Known(bool with_disks, Duration age_max) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    const bool enough = last_ != nullptr && (has_disks_ || !with_disks);
    return enough && clock_.Now() - last_at_ < age_max ? last_ : nullptr;
  }

  const Clock& clock_;
  std::mutex measuring_;
  Sampler sampler_;  // guarded by measuring_

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  std::shared_ptr<const NodeSample> last_, complete_;
  MonotonicTime last_at_{}, complete_at_{};
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
