// What the sync loop counts, under kube-proxy's names.
//
// Threads: one at a time.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "base/clock/clock.h"
#include "base/metrics/metrics.h"

namespace meltemi::kube::discovery::v1 {
class EndpointSlice;
}  // namespace meltemi::kube::discovery::v1

namespace meltemi::kubeproxy {

// What the endpoints controller says about when the slice's change began.
std::optional<WallTime> TriggerOf(const kube::discovery::v1::EndpointSlice& slice);

class SyncMetrics {
 public:
  // Null: nothing is counted.
  explicit SyncMetrics(metrics::Registry* registry);

  void CountServiceChange();
  void CountEndpointChange();
  void CountFailure();
  // Since when a slice that is about to be written has been due.
  void NoteTrigger(WallTime trigger);
  // Ends the time of all triggers that were noted.
  void RecordSync(Duration duration, bool full, bool success, WallTime now);

 private:
  struct Metrics {
    explicit Metrics(metrics::Scope& scope);
    metrics::Histogram &sync, &full, &partial, &programming;
    metrics::Counter &services, &endpoints, &failures;
    metrics::Gauge &last, &last_queued;
  };
  std::unique_ptr<Metrics> metrics_;
  std::vector<WallTime> triggers_;
};

}  // namespace meltemi::kubeproxy
