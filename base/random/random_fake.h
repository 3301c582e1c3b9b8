// Randomness that a test dictates.
#pragma once

#include <deque>

#include "base/random/random.h"

namespace meltemi {

// Hands out the queued values, then `fallback` for ever.
class FakeRandom final : public Random {
 public:
  explicit FakeRandom(uint64_t fallback = 0) : fallback_(fallback) {}
  void Push(uint64_t value) { values_.push_back(value); }
  // Queues a value for which Below(bound) gives `wanted`.
  void PushBelow(uint64_t wanted, uint64_t bound) {
    values_.push_back(
        static_cast<uint64_t>(((static_cast<unsigned __int128>(wanted) << 64) / bound) + 1));
  }
  uint64_t Next() override {
    if (values_.empty()) return fallback_;
    const uint64_t value = values_.front();
    values_.pop_front();
    return value;
  }

 private:
  std::deque<uint64_t> values_;
  uint64_t fallback_;
};

}  // namespace meltemi
