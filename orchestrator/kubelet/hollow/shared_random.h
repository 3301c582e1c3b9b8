// A given Random for several threads.
//
// Threads: thread-safe.
#pragma once

#include <mutex>

#include "base/random/random.h"

namespace meltemi::kubelet {

class SharedRandom {
 public:
  // `random` outlives it; nobody else uses it meanwhile, or it has a lock of its own.
  explicit SharedRandom(Random& random) : random_(random) {}

  double Unit() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return random_.Unit();
  }

 private:
  std::mutex mutex_;
  Random& random_;
};

}  // namespace meltemi::kubelet
