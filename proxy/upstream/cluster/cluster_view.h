// A cluster as the main loop hands it to the workers: immutable, one object for all of them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "proxy/upstream/cluster/breakers.h"
#include "proxy/upstream/cluster/cluster_config.h"
#include "proxy/upstream/cluster/host_set.h"

namespace meltemi::proxy {

// Which of a host's counters has reached its limit.
enum class OutlierKind : uint8_t { kConsecutive5xx, kConsecutiveGateway, kConsecutiveLocalOrigin };

// Thread-safe: takes a worker's alarm about a host to the main loop.
class OutlierAlarm {
 public:
  virtual ~OutlierAlarm() = default;
  virtual void OnThreshold(std::shared_ptr<Host> host, OutlierKind kind) = 0;
};

struct ClusterView {
  std::shared_ptr<const ClusterConfig> config;
  std::shared_ptr<const HostSet> hosts;
  std::shared_ptr<Breakers> breakers;
  std::shared_ptr<OutlierAlarm> outlier_alarm;  // null: no outlier detection
  std::vector<uint32_t> drop_per_million;       // of EDS
};

// What a worker applies in one turn. A null view removes the cluster.
struct ClusterUpdate {
  std::vector<std::pair<std::string, std::shared_ptr<const ClusterView>>> changes;
};

}  // namespace meltemi::proxy
