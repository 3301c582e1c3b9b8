// Clients of a store that run until they are told to stop: readers, writers under conditions, and a
// watch; each tells what it does, as lines of a History.
//
// Threads: its own; `tell` is called from all of them.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/random/random.h"
#include "orchestrator/store/store.h"
#include "test/history/history.h"

namespace meltemi::history {

struct WorkloadOptions {
  uint64_t seed = 1;
  uint64_t first_id = 1;  // of operations and sessions: no two of a history are the same
  int clients = 4;
  int keys = 5;
  int64_t watch_after = 0;
};

class Workload {
 public:
  Workload(store::Store& store, const WorkloadOptions& options,
           std::function<void(const std::string& line)> tell);
  // Stops and waits.
  ~Workload();

 private:
  class Telling;
  void RunClient(uint64_t seed);
  void Read(Random& random);
  void Write(Random& random);
  std::string Key(uint64_t number) const;

  store::Store& store_;
  const WorkloadOptions options_;
  const std::function<void(const std::string& line)> tell_;
  std::atomic<uint64_t> next_id_;
  std::atomic<bool> stop_{false};
  std::unique_ptr<Telling> watcher_;
  std::unique_ptr<store::WatchHandle> watch_;
  std::vector<std::thread> clients_;
};

inline constexpr char kPrefix[] = "/h/";

// All changes below `prefix` that the store knows, oldest first.
std::vector<Change> ReadTruth(store::Store& store, const std::string& prefix);

}  // namespace meltemi::history
