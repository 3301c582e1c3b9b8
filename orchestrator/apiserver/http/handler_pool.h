// The threads on which handlers run. There are as many as there is work, up to a bound; one that
// has had nothing to do for a while ends.
//
// Threads: Run from any thread; the destructor waits for what runs.
#pragma once

#include <pthread.h>

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "base/clock/clock.h"

namespace meltemi::apiserver {

class HandlerPool {
 public:
  using Work = absl::AnyInvocable<void()>;

  HandlerPool(size_t threads_max, Duration idle_max)
      : threads_max_(threads_max), idle_max_(idle_max) {}
  // Runs what is queued, then ends the threads.
  ~HandlerPool();
  HandlerPool(const HandlerPool&) = delete;
  HandlerPool& operator=(const HandlerPool&) = delete;

  // False: every thread is busy, and there may be no more of them or the system has none to give;
  // `work` is dropped.
  bool Run(Work work);

  size_t threads() const;

 private:
  struct Slot {
    HandlerPool* pool;
    size_t index;
    pthread_t thread;
    bool started = false;
  };

  bool StartThread() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void RunWork(size_t slot);

  const size_t threads_max_;
  const Duration idle_max_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Work> queue_ ABSL_GUARDED_BY(mutex_);
  size_t idle_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t running_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  // A slot per thread; those of threads that have ended are joined and used again.
  std::vector<std::unique_ptr<Slot>> slots_ ABSL_GUARDED_BY(mutex_);
  std::vector<size_t> ended_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meltemi::apiserver
