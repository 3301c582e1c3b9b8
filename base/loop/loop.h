// The event loop: descriptors, timers, posted work and deferred deletion of one thread.
//
// One thread runs one Loop; everything that is attached to it lives and dies on that thread. A turn
// of the loop is: wait for descriptors and timers, run their callbacks, run posted work, run the
// turn-end tasks, delete what was deferred. Time is frozen during a turn (Now()).
#pragma once

#include <cstdint>
#include <memory>

#include "absl/functional/any_invocable.h"
#include "base/clock/clock.h"

namespace meltemi {

// What may be handed to Loop::DeferDelete.
class Deferrable {
 public:
  virtual ~Deferrable() = default;
};

// A timer that can be armed again and again. Loop-owned: use on the loop's thread alone.
// Arming and disarming cost a store: the wheel entry moves lazily. Resolution: 1 ms.
class Timer {
 public:
  // Destroying disarms; allowed inside the timer's own callback only through DeferDelete.
  virtual ~Timer() = default;
  // Fires once, `after` from Now() (rounded up to the next tick; never in this turn). Re-arms.
  virtual void Arm(Duration after) = 0;
  virtual void Disarm() = 0;
  virtual bool armed() const = 0;
};

// Bits of what happened to, or is wanted of, a descriptor.
enum FdEvent : uint8_t {
  kFdReadable = 1,
  kFdWritable = 2,
  kFdClosed = 4,  // the peer has shut its sending side down, or the socket failed
};

enum class FdTrigger : uint8_t {
  kEdge,   // told once per change: read until short, remember what is ready
  kLevel,  // told each turn while it holds: for listeners, UDP, pipes, libraries' descriptors
};

// Watches one descriptor (not owned). Destroying ends the watch: do it before closing the
// descriptor.
class FdWatch {
 public:
  virtual ~FdWatch() = default;
  // Changes which FdEvents are wanted (a bit set); 0 mutes. One epoll_ctl: not for hot paths.
  virtual void Want(uint8_t events) = 0;
  // Runs the callback with `events` in a later phase of this turn or in the next turn, as if the
  // kernel had said so: for whoever stopped reading an edge-triggered descriptor early.
  virtual void Activate(uint8_t events) = 0;
};

// Work to do once at the end of the current turn; linked into the loop's list at most once.
// Destroying unlinks. The owner keeps the object; Run is called on the loop's thread.
class TurnEndTask {
 public:
  TurnEndTask() = default;
  TurnEndTask(const TurnEndTask&) = delete;
  TurnEndTask& operator=(const TurnEndTask&) = delete;
  virtual ~TurnEndTask() { Unlink(); }
  virtual void RunAtTurnEnd() = 0;
  bool linked() const { return next_ != nullptr; }

 protected:
  void Unlink() {
    if (next_ == nullptr) return;
    next_->prev_ = prev_;
    prev_->next_ = next_;
    next_ = prev_ = nullptr;
  }

 private:
  friend class TurnEndList;
  TurnEndTask* next_ = nullptr;
  TurnEndTask* prev_ = nullptr;
};

class Loop {
 public:
  using Callback = absl::AnyInvocable<void()>;
  using FdCallback = absl::AnyInvocable<void(uint8_t events)>;

  virtual ~Loop() = default;

  // The time at which this turn began. Frozen within a turn.
  virtual MonotonicTime Now() const = 0;
  virtual WallTime WallNow() const = 0;

  virtual std::unique_ptr<Timer> NewTimer(Callback on_fire) = 0;
  // `events`: what is wanted at first. The callback may destroy the watch that it serves.
  virtual std::unique_ptr<FdWatch> WatchFd(int fd, FdTrigger trigger, uint8_t events,
                                           FdCallback on_event) = 0;
  // A signal of the process; only one loop of the process may watch a given signal.
  virtual std::unique_ptr<FdWatch> WatchSignal(int signal_number, Callback on_signal) = 0;

  // Runs `work` on the loop's thread in order of posting. The one thread-safe method beside Exit.
  // Work that is still queued when the loop is destroyed is destroyed unrun.
  virtual void Post(Callback work) = 0;
  // Runs `task` at the end of this turn; if the turn-end phase is under way, in the same phase.
  // Nothing when it is linked already.
  virtual void AtTurnEnd(TurnEndTask* task) = 0;
  // Deletes at the end of this turn, after the turn-end tasks: how an object ends itself, or its
  // owner ends it from within one of its callbacks.
  virtual void DeferDelete(std::unique_ptr<Deferrable> object) = 0;

  // Runs until Exit. RunOnce does one turn, waiting at most until the first event or `wait_max`.
  virtual void Run() = 0;
  virtual void RunOnce(Duration wait_max) = 0;
  // Thread-safe and signal-unsafe: makes Run return after the current turn.
  virtual void Exit() = 0;
  virtual bool IsLoopThread() const = 0;
};

// A loop over libevent (epoll). `name` is given to no thread: it appears in debug output.
std::unique_ptr<Loop> NewEventLoop(const Clock& clock);

}  // namespace meltemi
