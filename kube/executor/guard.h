// Work on an executor that its owner can wait for at its end: whoever runs enters first, and is
// turned away once the owner has stopped it.
//
// Threads: thread-safe. Shared by the owner and the work.
#pragma once

#include <condition_variable>
#include <mutex>

namespace meltemi::kube {

class WorkGuard {
 public:
  // False: it is over, do nothing. True: Leave must follow.
  bool Enter() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (stopped_) return false;
    ++under_way_;
    return true;
  }
  void Leave() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (--under_way_ == 0) at_rest_.notify_all();
  }
  // Waits for all who are in; nobody enters any more. Not from within.
  void Stop() {
    std::unique_lock<std::mutex> lock(mutex_);
    stopped_ = true;
    at_rest_.wait(lock, [this] { return under_way_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable at_rest_;
  // Guarded by mutex_.
  bool stopped_ = false;
  int under_way_ = 0;
};

}  // namespace meltemi::kube
