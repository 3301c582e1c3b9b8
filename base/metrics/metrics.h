// Counters, gauges and histograms: written by one thread without locks, summed over threads when
// read.
//
// Each worker owns a Shard; the Registry knows all shards. A Scope holds the metrics of one thing
// that comes and goes (a cluster, a listener): destroying it takes them out of later renderings.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace meltemi::metrics {

// Written by its shard's thread alone; read by any.
class Counter {
 public:
  void Add(uint64_t n) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  void Inc() { Add(1); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

class Gauge {
 public:
  void Add(int64_t n) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  void Inc() { Add(1); }
  void Dec() { Add(-1); }
  void Set(int64_t n) { value_.store(n, std::memory_order_relaxed); }
  int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> value_{0};
};

// Fixed upper bounds, shared by all shards of a family.
class Histogram {
 public:
  explicit Histogram(absl::Span<const double> upper_bounds);
  void Record(double value);
  absl::Span<const double> upper_bounds() const { return upper_bounds_; }
  uint64_t bucket(size_t i) const { return buckets_[i].load(std::memory_order_relaxed); }
  double sum() const { return sum_.load(std::memory_order_relaxed); }

 private:
  absl::Span<const double> upper_bounds_;             // static storage
  std::unique_ptr<std::atomic<uint64_t>[]> buckets_;  // one more than bounds: +Inf
  std::atomic<double> sum_{0};
};

// Istio's and Envoy's default millisecond bounds (0.5 … 3600000), and Envoy's byte bounds.
extern const std::array<double, 19> kMillisecondBounds;
extern const std::array<double, 20> kByteBounds;

using Labels = std::vector<std::pair<std::string, std::string>>;

class Shard;

// The metrics of one thing on one shard. Creating and destroying takes the shard's mutex; so get
// metrics at configuration time or cache the pointers. Pointers live as long as the scope. The
// scope must not outlive its shard.
class Scope {
 public:
  Scope(Shard& shard, Labels labels);
  ~Scope();
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

  // Same name and labels: same metric. `extra` is added to the scope's labels.
  Counter& GetCounter(absl::string_view name, const Labels& extra = {});
  Gauge& GetGauge(absl::string_view name, const Labels& extra = {});
  Histogram& GetHistogram(absl::string_view name, absl::Span<const double> static_bounds,
                          const Labels& extra = {});

 private:
  friend class Registry;
  struct Entry;
  Entry& Find(absl::string_view name, const Labels& extra, uint8_t kind,
              absl::Span<const double> bounds);

  Shard& shard_;
  const Labels labels_;
  // Guarded by the shard's mutex.
  absl::flat_hash_map<std::string, std::unique_ptr<Entry>> entries_;
};

class Shard {
 public:
  // What lives as long as the shard.
  Scope& root() { return *root_; }

 private:
  friend class Scope;
  friend class Registry;
  Shard();
  std::mutex mutex_;
  std::vector<Scope*> scopes_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<Scope> root_;
};

// Thread-safe.
class Registry {
 public:
  Registry();
  ~Registry();
  // The shard lives as long as the registry.
  Shard& NewShard();
  // `# HELP` of a family; without one the name stands in its place.
  void Describe(absl::string_view name, absl::string_view help);

  // Sums over shards, sorted by name and labels. `name_filter`: keep only names for which it is
  // true; empty: all.
  std::string RenderPrometheus(
      const std::function<bool(absl::string_view)>& name_filter = {}) const;
  // "name{labels}: value" lines, for /stats.
  std::string RenderText(const std::function<bool(absl::string_view)>& name_filter = {}) const;
  // The sum of a counter or gauge over shards and over all label sets that contain `labels`.
  int64_t Sum(absl::string_view name, const Labels& labels = {}) const;

 private:
  struct Merged;
  std::vector<Merged> Collect(const std::function<bool(absl::string_view)>& name_filter) const;

  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<Shard>> shards_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<std::string, std::string> help_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meltemi::metrics
