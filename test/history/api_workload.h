// Clients of an API server that create, change, delete, read, list and watch ConfigMaps until they
// are told to stop or the server is gone, and write down what they do.
//
// Threads: its own.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/random/random.h"
#include "test/history/api_client.h"
#include "test/history/history.h"

namespace meltemi::history {

struct ApiWorkloadOptions {
  ApiServerAddress server;
  uint64_t seed = 1;
  uint64_t first_id = 1;
  int clients = 4;
  int keys = 5;
  int64_t watch_after = 0;  // 0: after what a list says
  // A connection that is lost is the end (the server was killed), or is made again.
  bool reconnect = false;
};

class ApiWorkload {
 public:
  ApiWorkload(const ApiWorkloadOptions& options, History& history);
  // Stops and waits.
  ~ApiWorkload();
  // What a client was told that it never should be: a 410 of a watch, a 500.
  std::vector<std::string> surprises() const;

 private:
  void RunClient(uint64_t seed);
  void RunWatch();
  // False: the connection is lost.
  bool Step(ApiClient& client, Random& random);
  bool Write(ApiClient& client, const std::string& name, Random& random);
  bool Get(ApiClient& client, const std::string& name);
  bool List(ApiClient& client);
  void Record(uint64_t id, Operation& write, const ApiClient::Answer& answer);
  void Surprise(const std::string& what);

  const ApiWorkloadOptions options_;
  History& history_;
  std::atomic<uint64_t> next_id_;
  std::atomic<bool> stop_{false};
  mutable std::mutex mutex_;
  std::vector<std::string> surprises_;
  std::vector<std::thread> threads_;
};

// Where the ConfigMaps of the workload are in the store.
inline constexpr char kConfigMapPrefix[] = "/registry/core/configmaps/default/k";

}  // namespace meltemi::history
