// Work on the executor that belongs to somebody: Close waits for what is under way, and nothing of
// it runs afterwards. So work may capture its owner.
//
// Threads: thread-safe, but Close is not called from within the work.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "kube/executor/executor.h"

namespace meltemi::scheduler {

class Gate {
 public:
  // `executor` outlives it.
  explicit Gate(kube::Executor& executor) : executor_(executor) {}
  ~Gate() { Close(); }

  kube::Executor& executor() { return executor_; }
  MonotonicTime Now() const { return executor_.clock().Now(); }

  void Run(std::function<void()> work) { executor_.Run(Guarded(std::move(work))); }
  std::unique_ptr<kube::Delayed> After(Duration delay, std::function<void()> work) {
    return executor_.After(delay, Guarded(std::move(work)));
  }
  // After, for who has no need to take it back.
  void Later(Duration delay, std::function<void()> work) {
    const std::lock_guard<std::mutex> lock(later_mutex_);
    const uint64_t number = ++later_number_;
    later_[number] = After(delay, [this, number, work = std::move(work)] {
      work();
      const std::lock_guard<std::mutex> forget(later_mutex_);
      later_.erase(number);
    });
  }
  void Close() {
    state_->closed.store(true);
    const std::unique_lock<std::shared_mutex> wait(state_->mutex);
  }

 private:
  struct State {
    std::atomic<bool> closed{false};
    std::shared_mutex mutex;  // held shared by what is under way
  };

  std::function<void()> Guarded(std::function<void()> work) {
    return [state = state_, work = std::move(work)] {
      const std::shared_lock<std::shared_mutex> under_way(state->mutex);
      if (!state->closed.load()) work();
    };
  }

  kube::Executor& executor_;
  const std::shared_ptr<State> state_ = std::make_shared<State>();
  std::mutex later_mutex_;
  uint64_t later_number_ ABSL_GUARDED_BY(later_mutex_) = 0;
  std::map<uint64_t, std::unique_ptr<kube::Delayed>> later_ ABSL_GUARDED_BY(later_mutex_);
};

// Pieces of work of which only so many are done at the same time; the others wait in order.
class Lanes {
 public:
  // `gate` outlives the lanes, and is closed before they go.
  Lanes(Gate& gate, int lanes_max) : gate_(gate), lanes_max_(lanes_max) {}

  void Add(std::function<void()> work) {
    const std::lock_guard<std::mutex> lock(mutex_);
    waiting_.push_back(std::move(work));
    if (busy_ >= lanes_max_) return;
    ++busy_;
    gate_.Run([this] { Drive(); });
  }
  // Waiting or under way.
  size_t size() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return waiting_.size() + under_way_;
  }

 private:
  void Drive() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (!waiting_.empty()) {
      std::function<void()> work = std::move(waiting_.front());
      waiting_.pop_front();
      ++under_way_;
      lock.unlock();
      work();
      lock.lock();
      --under_way_;
    }
    --busy_;
  }

  Gate& gate_;
  const int lanes_max_;
  mutable std::mutex mutex_;
  std::deque<std::function<void()>> waiting_ ABSL_GUARDED_BY(mutex_);
  int busy_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t under_way_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace meltemi::scheduler
