// What is outstanding to a cluster, over all workers, and the limits on it.
//
// Thread-safe: relaxed atomics. A limit may be passed by as many as there are workers deciding at
// the same moment; it never drifts. Semantics: Envoy, "Circuit breaking".
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include "proxy/upstream/cluster/cluster_config.h"

namespace meltemi::proxy {

enum class BreakerKind : uint8_t { kConnections, kPending, kRequests, kRetries };
inline constexpr size_t kBreakerKinds = 4;

class Breakers {
 public:
  using Count = std::atomic<uint32_t>;

  // `limits` is the cluster's configuration of the moment: the counts outlive updates.
  bool CanAdd(BreakerKind kind, bool high_priority, const ClusterConfig& limits) {
    if (count(kind, high_priority) < Limit(kind, high_priority, limits)) return true;
    ever_open_[high_priority].store(true, std::memory_order_relaxed);
    return false;
  }
  // Something was refused: the gauges are worth having.
  bool ever_open(bool high_priority) const {
    return ever_open_[high_priority].load(std::memory_order_relaxed);
  }
  void Add(BreakerKind kind, bool high_priority) {
    At(kind, high_priority).fetch_add(1, std::memory_order_relaxed);
  }
  void Remove(BreakerKind kind, bool high_priority) {
    At(kind, high_priority).fetch_sub(1, std::memory_order_relaxed);
  }
  uint32_t count(BreakerKind kind, bool high_priority) const {
    return counts_[high_priority][static_cast<size_t>(kind)].load(std::memory_order_relaxed);
  }

  uint32_t Limit(BreakerKind kind, bool high_priority, const ClusterConfig& config) const {
    const CircuitBreakers& limits = high_priority ? config.breakers_high : config.breakers_default;
    switch (kind) {
      case BreakerKind::kConnections:
        return limits.connections_max;
      case BreakerKind::kPending:
        return limits.pending_requests_max;
      case BreakerKind::kRequests:
        return limits.requests_max;
      case BreakerKind::kRetries:
        return limits.retry_budget_percent.has_value() ? RetryBudget(limits, high_priority)
                                                       : limits.retries_max;
    }
    return 0;
  }

 private:
  Count& At(BreakerKind kind, bool high_priority) {
    return counts_[high_priority][static_cast<size_t>(kind)];
  }
  // A share of what is active and pending, but at least the configured concurrency.
  uint32_t RetryBudget(const CircuitBreakers& limits, bool high_priority) const {
    const uint32_t outstanding =
        count(BreakerKind::kRequests, high_priority) + count(BreakerKind::kPending, high_priority);
    const auto budget = static_cast<uint32_t>(*limits.retry_budget_percent / 100.0 * outstanding);
    return budget < limits.retry_budget_min_concurrency ? limits.retry_budget_min_concurrency
                                                        : budget;
  }

  std::array<std::array<Count, kBreakerKinds>, 2> counts_{};
  std::array<std::atomic<bool>, 2> ever_open_{};
};

}  // namespace meltemi::proxy
