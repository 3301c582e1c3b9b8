// One worker thread: a loop, its listeners, its view of the clusters.
//
// Made, started, told and stopped on the main loop; everything inside belongs to the worker's own
// loop. Results come back as posts to the main loop.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "base/clock/clock.h"
#include "base/loop/loop.h"
#include "base/net/address.h"
#include "base/random/random.h"

namespace meltemi::metrics {
class Registry;
class Shard;
}  // namespace meltemi::metrics

namespace meltemi::proxy {

class ClusterDirectory;
class MeshStats;
class WorkerClusters;
class WorkerListeners;
struct Snapshot;
struct Workload;
struct WorkerContext;

struct WorkerOptions {
  uint32_t index = 0;
  uint32_t connections_max = 0;  // of this worker; 0: no limit
  Duration drain_time = seconds(45);
};

// What applying a snapshot came to.
struct ApplyReport {
  std::map<std::string, net::Address> bound;  // by listener; unset where it is not bound
  struct Failure {
    std::string listener;
    absl::Status status;
  };
  std::vector<Failure> failures;
};

class Worker {
 public:
  Worker(Loop& main_loop, const Clock& clock, ClusterDirectory& clusters,
         metrics::Registry& registry, std::shared_ptr<const Workload> self,
         const WorkerOptions& options);
  // Stops.
  ~Worker();

  void Start();
  void Apply(std::shared_ptr<const Snapshot> snapshot, absl::AnyInvocable<void(ApplyReport)> done);
  // Answers say that the connection ends; new ones are still accepted.
  void Drain();
  void StopAccepting();
  // Open downstream connections.
  void CountConnections(absl::AnyInvocable<void(size_t)> done);
  // Ends the loop and waits for the thread: connections that are still open are closed.
  void Stop();

 private:
  struct Parts;  // what lives on the worker's thread
  void Run();

  Loop& main_loop_;
  const WorkerOptions options_;
  const std::shared_ptr<const Workload> self_;
  metrics::Shard& shard_;
  FastRandom random_;
  std::unique_ptr<Loop> loop_;
  std::unique_ptr<WorkerClusters> clusters_;
  std::unique_ptr<Parts> parts_;
  std::thread thread_;
};

}  // namespace meltemi::proxy
