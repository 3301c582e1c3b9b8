// A loop without descriptors under a clock that the test moves: timers, posted work, turn-end tasks
// and deferred deletion behave as in the real one.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "base/clock/clock_fake.h"
#include "base/loop/loop.h"
#include "base/loop/timer_wheel.h"
#include "base/loop/turn_end_list.h"

namespace meltemi {

// Single-threaded.
class FakeLoop final : public Loop {
 public:
  explicit FakeLoop(FakeClock& clock);
  ~FakeLoop() override;

  // Runs turns until nothing is posted, activated, linked or deferred.
  void RunPending();
  // Moves time forward tick by tick of the timers on the way, running turns.
  void Advance(Duration by);
  // Acts as if the kernel had reported `events` for a watched descriptor.
  void Trigger(int fd, uint8_t events);

  MonotonicTime Now() const override { return clock_.Now(); }
  WallTime WallNow() const override { return clock_.WallNow(); }
  std::unique_ptr<Timer> NewTimer(Callback on_fire) override;
  std::unique_ptr<FdWatch> WatchFd(int fd, FdTrigger trigger, uint8_t events,
                                   FdCallback on_event) override;
  std::unique_ptr<FdWatch> WatchSignal(int signal_number, Callback on_signal) override;
  void Post(Callback work) override { posted_.push_back(std::move(work)); }
  void AtTurnEnd(TurnEndTask* task) override { turn_end_.Add(task); }
  void DeferDelete(std::unique_ptr<Deferrable> object) override {
    deferred_.push_back(std::move(object));
  }
  void Run() override;
  void RunOnce(Duration wait_max) override;
  void Exit() override { exit_ = true; }
  bool IsLoopThread() const override { return true; }

 private:
  class Watch;
  bool busy() const;

  FakeClock& clock_;
  TimerWheel wheel_;
  TurnEndList turn_end_;
  std::vector<std::unique_ptr<Deferrable>> deferred_;
  std::vector<Callback> posted_;
  std::map<int, Watch*> watches_;
  bool exit_ = false;
};

}  // namespace meltemi
