#include "base/metrics/metrics.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "base/metrics/entry.h"

namespace meltemi::metrics {

const std::array<double, 19> kMillisecondBounds = {
    0.5,  1,    5,     10,    25,    50,     100,    250,     500,    1000,
    2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000};
const std::array<double, 20> kByteBounds = {100,      250,      500,       1000,      2500,
                                            5000,     10000,    25000,     50000,     100000,
                                            250000,   500000,   1000000,   2500000,   5000000,
                                            10000000, 50000000, 100000000, 500000000, 1000000000};

Histogram::Histogram(absl::Span<const double> upper_bounds)
    : upper_bounds_(upper_bounds), buckets_(new std::atomic<uint64_t>[upper_bounds.size() + 1]) {
  for (size_t i = 0; i <= upper_bounds_.size(); ++i) buckets_[i].store(0);
}

void Histogram::Record(double value) {
  const size_t i =
      std::lower_bound(upper_bounds_.begin(), upper_bounds_.end(), value) - upper_bounds_.begin();
  std::atomic<uint64_t>& bucket = buckets_[i];
  bucket.store(bucket.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  sum_.store(sum_.load(std::memory_order_relaxed) + value, std::memory_order_relaxed);
}

namespace {

Labels Sorted(Labels labels) {
  std::sort(labels.begin(), labels.end());
  return labels;
}

}  // namespace

Scope::Scope(Shard& shard, Labels labels) : shard_(shard), labels_(Sorted(std::move(labels))) {
  std::lock_guard<std::mutex> lock(shard_.mutex_);
  shard_.scopes_.push_back(this);
}

Scope::~Scope() {
  std::lock_guard<std::mutex> lock(shard_.mutex_);
  shard_.scopes_.erase(std::find(shard_.scopes_.begin(), shard_.scopes_.end(), this));
}

Scope::Entry& Scope::Find(absl::string_view name, const Labels& extra, uint8_t kind,
                          absl::Span<const double> bounds) {
  // A scope's own labels are the same for all its entries: they are neither copied nor looked up
  // by.
  Labels labels = Sorted(extra);
  std::string key(name);
  for (const auto& [label, value] : labels) absl::StrAppend(&key, "\xff", label, "\xfe", value);
  std::lock_guard<std::mutex> lock(shard_.mutex_);
  std::unique_ptr<Entry>& slot = entries_[key];
  if (slot == nullptr) {
    slot = std::make_unique<Entry>();
    slot->name = std::string(name);
    slot->scope_labels = &labels_;
    slot->extra = std::move(labels);
    slot->kind = static_cast<Entry::Kind>(kind);
    if (slot->kind == Entry::kHistogram) slot->histogram = std::make_unique<Histogram>(bounds);
  }
  CHECK(slot->kind == kind);  // one name, one kind: a mistake in our code, not in anybody's input
  return *slot;
}

Counter& Scope::GetCounter(absl::string_view name, const Labels& extra) {
  return Find(name, extra, Entry::kCounter, {}).counter;
}

Gauge& Scope::GetGauge(absl::string_view name, const Labels& extra) {
  return Find(name, extra, Entry::kGauge, {}).gauge;
}

Histogram& Scope::GetHistogram(absl::string_view name, absl::Span<const double> static_bounds,
                               const Labels& extra) {
  return *Find(name, extra, Entry::kHistogram, static_bounds).histogram;
}

Shard::Shard() : root_(std::make_unique<Scope>(*this, Labels{})) {}

}  // namespace meltemi::metrics
