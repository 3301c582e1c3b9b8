// The hosts of a cluster at one moment, sorted by priority and health, with the share of the load
// that each priority takes.
//
// Immutable once built (main loop); read by all workers. Semantics of priorities, overprovisioning
// and panic: Envoy, "Load balancing / Priority levels, Panic threshold".
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/base/call_once.h"
#include "absl/types/span.h"
#include "proxy/upstream/cluster/cluster_config.h"
#include "proxy/upstream/cluster/host.h"

namespace meltemi::proxy {

class HashTable;  // proxy/upstream/balance/hash_table.h

struct WeightedHost {
  std::shared_ptr<Host> host;
  uint32_t weight = 1;
};

// Some hosts to choose from. The table of a hashing policy is built by the first worker that needs
// it and shared by all.
struct HostList {
  HostList();
  ~HostList();
  std::vector<WeightedHost> hosts;
  bool equal_weights = true;

  mutable absl::once_flag table_once;
  mutable std::unique_ptr<const HashTable> table;
};

struct HostPriority {
  // `healthy` is the same object as `all` when nothing is wrong.
  std::shared_ptr<const HostList> all, healthy, degraded;
  uint32_t healthy_load_percent = 0, degraded_load_percent = 0;
  bool panic = false;
};

struct PlacedHost {
  std::shared_ptr<Host> host;
  uint32_t weight = 1;
  uint32_t priority = 0;
  uint32_t locality_weight = 0;  // 0: its locality gets nothing where localities are weighted
};

struct HostSet {
  std::vector<HostPriority> priorities;
  size_t total = 0, healthy = 0, degraded = 0;

  // The priority for a uniform value: loads are cumulative over [0, 100).
  // `*degraded`: its degraded hosts are meant.
  size_t PickPriority(uint64_t random, bool* degraded) const;
};

struct HostSetOptions {
  double panic_threshold_percent = 50;
  uint32_t overprovisioning_percent = 140;
  bool ignore_new_hosts_until_first_check = false;
  bool locality_weighted = false;
};

// Hosts with kEdsDraining are left out altogether.
std::shared_ptr<const HostSet> BuildHostSet(absl::Span<const PlacedHost> hosts,
                                            const HostSetOptions& options);

}  // namespace meltemi::proxy
