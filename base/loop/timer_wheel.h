// A hierarchical timing wheel (Varghese, Lauck 1987) with lazy entries: arming an entry that is
// already in an earlier slot only notes the new deadline; the slot moves it on when it comes round.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "base/loop/loop.h"

namespace meltemi {

// Loop-owned. Ticks are milliseconds of the monotonic clock.
class TimerWheel {
 public:
  explicit TimerWheel(MonotonicTime now);
  ~TimerWheel();
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  // `now`: gives the loop's frozen time when a timer is armed. The wheel outlives its timers.
  std::unique_ptr<Timer> NewTimer(const Loop& loop, Loop::Callback on_fire);

  // Fires what is due at `now`, in order of ticks.
  void Advance(MonotonicTime now);
  // A time at which Advance must be called again, not later than the first deadline; max() when
  // there is nothing to wait for.
  MonotonicTime NextWake() const;

 private:
  static constexpr int kLevels = 5;
  static constexpr int kSlotBits = 6;
  static constexpr uint64_t kSlots = 1u << kSlotBits;

  struct Node {
    Node* next = nullptr;
    Node* prev = nullptr;
  };
  class Entry;

  static uint64_t TickOf(MonotonicTime t);     // rounded down
  static uint64_t TickAfter(MonotonicTime t);  // rounded up
  void Insert(Entry* entry);
  void Remove(Entry* entry);
  void RunSlot(int level, uint64_t slot);

  uint64_t tick_;  // the last tick that was run
  std::array<std::array<Node, kSlots>, kLevels> slots_;
  std::array<uint64_t, kLevels> occupied_{};  // a bit per slot; may be stale-set, never stale-clear
};

}  // namespace meltemi
