// Consistent hashing over a list of hosts: a ring (Ketama) or a Maglev table.
//
// Immutable; shared by all workers. Both depend only on the hosts' addresses (or names) and
// weights, never on their order, so every proxy sends a key to the same host.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "proxy/upstream/cluster/cluster_config.h"

namespace meltemi::proxy {

struct Host;
struct HostList;

class HashTable {
 public:
  virtual ~HashTable() = default;
  // `attempt` > 0: the host after those that were chosen for smaller numbers. nullptr when empty.
  virtual const Host* Pick(uint64_t hash, uint32_t attempt) const = 0;
  // How many places it has, for statistics.
  virtual size_t size() const = 0;
};

// Hosts must outlive the table.
std::unique_ptr<const HashTable> NewRing(const HostList& list, const ClusterConfig& config);
std::unique_ptr<const HashTable> NewMaglev(const HostList& list, const ClusterConfig& config);

}  // namespace meltemi::proxy
