// Randomness for those who share one source.
#pragma once

#include <mutex>

#include "base/random/random.h"

namespace meltemi {

// Thread-safe.
class LockedRandom final : public Random {
 public:
  uint64_t Next() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    return random_.Next();
  }

 private:
  std::mutex mutex_;
  FastRandom random_;
};

}  // namespace meltemi
