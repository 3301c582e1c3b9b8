#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include "base/clock/clock.h"
#include "kube/executor/executor.h"

namespace meltemi::kube {
namespace {

// Counts what has happened; Wait is true when it has happened so often.
class Count {
 public:
  void Add() {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++count_;
    changed_.notify_all();
  }
  bool Wait(int count) {
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.wait_for(lock, seconds(20), [&] { return count_ >= count; });
  }
  int count() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return count_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int count_ = 0;
};

TEST(ThreadExecutorTest, WorkThatWaitsForOtherWorkIsNoDeadlock) {
  const SystemClock clock;
  const std::unique_ptr<Executor> executor = NewThreadExecutor(clock, {.threads_max = 8});
  Count begun, ended;
  for (int i = 0; i < 8; ++i) {
    executor->Run([&] {
      begun.Add();
      EXPECT_TRUE(begun.Wait(8));
      ended.Add();
    });
  }
  EXPECT_TRUE(ended.Wait(8));
}

TEST(ThreadExecutorTest, NoMoreThreadsThanAllowed) {
  const SystemClock clock;
  const std::unique_ptr<Executor> executor = NewThreadExecutor(clock, {.threads_max = 2});
  std::atomic<int> at_once = 0, most = 0;
  Count ended;
  for (int i = 0; i < 200; ++i) {
    executor->Run([&] {
      const int now = ++at_once;
      int before = most;
      while (before < now && !most.compare_exchange_weak(before, now)) {
      }
      --at_once;
      ended.Add();
    });
  }
  EXPECT_TRUE(ended.Wait(200));
  EXPECT_LE(most, 2);
}

TEST(ThreadExecutorTest, IdleThreadsEndAndNewOnesTakeTheirPlace) {
  const SystemClock clock;
  const std::unique_ptr<Executor> executor =
      NewThreadExecutor(clock, {.threads_max = 4, .idle_timeout = milliseconds(1)});
  Count ended;
  for (int round = 1; round <= 30; ++round) {
    executor->Run([&] { ended.Add(); });
    executor->Run([&] { ended.Add(); });
    ASSERT_TRUE(ended.Wait(2 * round));
    std::this_thread::yield();
  }
}

TEST(ThreadExecutorTest, DelayedWorkComesInTheOrderOfItsTimes) {
  const SystemClock clock;
  const std::unique_ptr<Executor> executor = NewThreadExecutor(clock, {.threads_max = 1});
  Count ended;
  std::vector<int> order;
  const auto late = executor->After(milliseconds(30), [&] {
    order.push_back(2);
    ended.Add();
  });
  const auto early = executor->After(milliseconds(5), [&] {
    order.push_back(1);
    ended.Add();
  });
  EXPECT_TRUE(ended.Wait(2));
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
}

TEST(ThreadExecutorTest, WhatIsCancelledDoesNotRun) {
  const SystemClock clock;
  const std::unique_ptr<Executor> executor = NewThreadExecutor(clock);
  Count cancelled, ended;
  auto handle = executor->After(milliseconds(20), [&] { cancelled.Add(); });
  const auto other = executor->After(milliseconds(40), [&] { ended.Add(); });
  handle.reset();
  EXPECT_TRUE(ended.Wait(1));
  EXPECT_EQ(cancelled.count(), 0);
}

TEST(ThreadExecutorTest, DestroyingWaitsForWhatIsUnderWay) {
  const SystemClock clock;
  Count begun, go;
  std::atomic<bool> ended = false;
  std::unique_ptr<Delayed> handle;
  std::thread later;
  {
    const std::unique_ptr<Executor> executor = NewThreadExecutor(clock, {.threads_max = 1});
    executor->Run([&] {
      begun.Add();
      EXPECT_TRUE(go.Wait(1));
      ended = true;
    });
    handle = executor->After(minutes(10), [&] { ADD_FAILURE(); });
    EXPECT_TRUE(begun.Wait(1));
    later = std::thread([&] { go.Add(); });
  }
  EXPECT_TRUE(ended);
  later.join();
  handle.reset();  // outlives the executor
}

}  // namespace
}  // namespace meltemi::kube
