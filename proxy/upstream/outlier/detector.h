// Decides which hosts of a cluster are ejected because of what requests to them came to.
//
// Sans-IO, main loop only: alarms, intervals and time come in; the kEjected bits of the hosts and
// counters are what comes out. Semantics: Envoy, "Outlier detection".
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/clock/clock.h"
#include "base/metrics/metrics.h"
#include "base/random/random.h"
#include "proxy/upstream/cluster/cluster_config.h"
#include "proxy/upstream/cluster/cluster_view.h"
#include "proxy/upstream/cluster/host.h"

namespace meltemi::proxy {

class OutlierDetector {
 public:
  // `scope`: the cluster's, on the main shard.
  OutlierDetector(const OutlierDetection& config, Random& random, metrics::Scope& scope);
  ~OutlierDetector();

  // The cluster's hosts of now; what was known of those that stay is kept.
  void SetHosts(const std::vector<std::shared_ptr<Host>>& hosts);

  // A host has reached a limit on some worker. True when it was ejected for that.
  bool OnAlarm(Host& host, OutlierKind kind, MonotonicTime now);
  // An active check of an ejected host has succeeded: its ejection is over.
  void OnHealthCheckSuccess(const Host& host, MonotonicTime now);
  // Every config.interval: lets hosts back in whose time is over, looks at the rates of the
  // interval. True when any host's state changed.
  bool OnInterval(MonotonicTime now);

  size_t ejected() const { return ejected_; }
  // Percent, -1: not known (too few requests or hosts).
  double SuccessRate(const Host& host) const;

 private:
  struct Record {
    std::shared_ptr<Host> host;
    MonotonicTime ejected_at{}, let_in_at{};
    Duration ejected_for{0};
    uint32_t backoff = 0;  // by how many base times the next ejection lasts
    double success_rate = -1;
  };
  enum class Cause : uint8_t {
    kConsecutive5xx,
    kConsecutiveGateway,
    kConsecutiveLocalOrigin,
    kSuccessRate,
    kFailurePercentage
  };

  bool Eject(Record& record, Cause cause, uint32_t enforcing_percent, MonotonicTime now);
  bool MayEject() const;
  void LetIn(Record& record, MonotonicTime now);
  bool LookAtRates(MonotonicTime now);
  void Count(const char* name, const char* cause);

  const OutlierDetection config_;
  Random& random_;
  metrics::Scope& scope_;
  absl::flat_hash_map<const Host*, Record> records_;
  size_t ejected_ = 0;
};

}  // namespace meltemi::proxy
