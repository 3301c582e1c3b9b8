// One endpoint with its live state, shared by all workers.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "base/net/address.h"
#include "proxy/upstream/cluster/cluster_config.h"

namespace meltemi::proxy {

// What outlier detection counts; written by workers, read and reset by the main loop. Relaxed
// atomics.
struct OutlierCounters {
  std::atomic<uint32_t> consecutive_5xx{0};
  std::atomic<uint32_t> consecutive_gateway_failure{0};
  std::atomic<uint32_t> consecutive_local_origin_failure{0};
  // Since the last interval.
  std::atomic<uint32_t> requests{0}, successes{0};
};

// Created by the ClusterDirectory (main loop); kept across updates while the address stays the
// same, so that its health and counters survive. Constant parts are read by all workers; counters
// are relaxed atomics.
struct Host : std::enable_shared_from_this<Host> {
  Host(EndpointConfig endpoint, std::string cluster)
      : config(std::move(endpoint)), cluster_name(std::move(cluster)) {}

  const EndpointConfig config;
  const std::string cluster_name;

  enum HealthBit : uint32_t {
    kFailedActiveCheck = 1,
    kEjected = 2,
    kEdsUnhealthy = 4,
    kEdsDraining = 8,
    kPendingFirstCheck = 16,
    kEdsDegraded = 32,  // healthy, but only used when the others are not enough
  };
  std::atomic<uint32_t> health{0};  // HealthBits; 0: healthy
  bool healthy() const {
    return (health.load(std::memory_order_relaxed) & ~uint32_t{kEdsDegraded}) == 0;
  }
  bool HasHealthBit(HealthBit bit) const {
    return (health.load(std::memory_order_relaxed) & bit) != 0;
  }
  // Main loop only. True when that changed something.
  bool SetHealthBit(HealthBit bit, bool on) {
    const uint32_t before = on ? health.fetch_or(bit, std::memory_order_relaxed)
                               : health.fetch_and(~uint32_t{bit}, std::memory_order_relaxed);
    return ((before & bit) != 0) != on;
  }

  // For /clusters and least request.
  std::atomic<uint32_t> requests_active{0};
  std::atomic<uint32_t> connections_active{0};
  std::atomic<uint64_t> requests_total{0}, requests_success{0}, requests_error{0};
  std::atomic<uint64_t> connections_total{0}, connect_failures{0}, timeouts{0};
  OutlierCounters outlier;
};

}  // namespace meltemi::proxy
