// What every connection and stream of one worker shares. Made by proxy/app; loop-owned.
#pragma once

#include <cstdint>
#include <memory>

namespace meltemi {
class Loop;
class Random;
namespace metrics {
class Shard;
}
}  // namespace meltemi

namespace meltemi::proxy {

struct Snapshot;
class WorkerClusters;
class MeshStats;  // proxy/observe/mesh_stats.h: Istio's standard metrics

struct WorkerContext {
  Loop& loop;
  Random& random;
  metrics::Shard& shard;
  WorkerClusters& clusters;
  MeshStats& mesh_stats;
  std::shared_ptr<const Snapshot> snapshot;  // replaced by the worker; compare `sequence`
  uint32_t worker_index = 0;
  bool draining = false;            // answers carry Connection: close / GOAWAY
  uint64_t next_connection_id = 1;  // unique per worker; shown as index << 48 | id
};

}  // namespace meltemi::proxy
