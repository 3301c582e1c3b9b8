// Chooses a host of a list by the cluster's policy.
//
// Loop-owned: one for each worker, list and use. Knows nothing of health: the list holds what may
// be chosen (proxy/upstream/cluster/host_set.h).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/types/span.h"
#include "base/random/random.h"
#include "proxy/upstream/cluster/cluster_config.h"
#include "proxy/upstream/cluster/host_set.h"

namespace meltemi::proxy {

class Balancer {
 public:
  virtual ~Balancer() = default;
  // `hash`: only hashing policies look at it, with a random one in its place when unset. `attempt`:
  // how many choices for the same request were turned down. nullptr when the list is empty.
  virtual const Host* Pick(std::optional<uint64_t> hash, uint32_t attempt) = 0;
};

// `list` must outlive the balancer, `random` too.
std::unique_ptr<Balancer> NewBalancer(const HostList& list, const ClusterConfig& config,
                                      Random& random);

// All levels of one worker's view of a cluster: priority, panic, the retry predicate.
class HostPicker {
 public:
  HostPicker(std::shared_ptr<const HostSet> hosts, std::shared_ptr<const ClusterConfig> config,
             Random& random);
  ~HostPicker();

  struct Choice {
    const Host* host = nullptr;
    bool panic = false;  // chosen without regard to health
  };
  // `tried`: hosts to be avoided, asking up to `tries_max` more times; the last choice counts then.
  Choice Pick(std::optional<uint64_t> hash, absl::Span<const Host* const> tried,
              uint32_t tries_max);

 private:
  struct Level {
    std::unique_ptr<Balancer> healthy, degraded, all;
  };
  Choice PickOnce(std::optional<uint64_t> hash, uint32_t attempt);

  const std::shared_ptr<const HostSet> hosts_;
  const std::shared_ptr<const ClusterConfig> config_;
  Random& random_;
  std::vector<Level> levels_;
};

}  // namespace meltemi::proxy
