// Thousands of sidecars over real incremental ADS streams, each a few hundred bytes: they subscribe
// as a proxy does, acknowledge everything, and note when they got which change.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "base/clock/clock.h"
#include "base/loop/loop.h"
#include "test/perf/pilot/mesh.h"

namespace meltemi::bench {

// When the clients of a kind of change had each round of it. Thread-safe.
class Rounds {
 public:
  explicit Rounds(const Clock& clock) : clock_(clock) {}

  // A round that `concerned` clients are to get begins now.
  void Begin(uint32_t round, size_t concerned);
  // A client has `round`, and so all before it that it did not have.
  void OnClientHas(uint32_t before, uint32_t round);
  // Seconds from the beginning to the last client; negative: not yet with everybody.
  double Taken(uint32_t round) const;
  // Rounds that are not with everybody.
  size_t open() const { return open_.load(); }

 private:
  struct Round {
    MonotonicTime begin, end;
    size_t missing = 0;
    bool known = false;
  };
  const Clock& clock_;
  mutable std::mutex mutex_;
  std::vector<Round> rounds_ ABSL_GUARDED_BY(mutex_);
  std::atomic<size_t> open_{0};
};

struct ProxiesOptions {
  uint32_t proxies = 2000;
  uint32_t threads = 2;
  uint32_t namespaces = 50;
  uint16_t port = 0;
};

using RoundsOf = std::array<Rounds*, kReaches>;

class Proxies {
 public:
  Proxies(const ProxiesOptions& options, const RoundsOf& routes, const RoundsOf& endpoints);
  ~Proxies();

  // All connect at once.
  void Connect();
  void Disconnect();
  // That have everything they asked for.
  size_t settled() const { return settled_.load(); }
  uint64_t responses() const { return responses_.load(); }
  uint64_t bytes() const { return bytes_.load(); }
  uint64_t failures() const { return failures_.load(); }

 private:
  class Client;
  struct Worker;

  const ProxiesOptions options_;
  const RoundsOf routes_, endpoints_;
  std::atomic<size_t> settled_{0};
  std::atomic<uint64_t> responses_{0}, bytes_{0}, failures_{0};
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace meltemi::bench
