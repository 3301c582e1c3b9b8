#include <event2/event.h>
#include <event2/event_struct.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "base/log/log.h"
#include "base/loop/loop.h"
#include "base/loop/timer_wheel.h"
#include "base/loop/turn_end_list.h"

namespace meltemi {
namespace {

class EventLoop;

short ToLibevent(uint8_t events) {
  return static_cast<short>((events & kFdReadable ? EV_READ : 0) |
                            (events & kFdWritable ? EV_WRITE : 0) |
                            (events & kFdClosed ? EV_CLOSED : 0));
}

uint8_t FromLibevent(short what) {
  return static_cast<uint8_t>((what & EV_READ ? kFdReadable : 0) |
                              (what & EV_WRITE ? kFdWritable : 0) |
                              (what & EV_CLOSED ? kFdClosed : 0));
}

class EventFdWatch final : public FdWatch {
 public:
  EventFdWatch(EventLoop& loop, event_base* base, int fd, short flags, uint8_t events,
               Loop::FdCallback callback);
  ~EventFdWatch() override;
  void Want(uint8_t events) override;
  void Activate(uint8_t events) override;
  // Runs the callback, which may destroy this watch: so from a local.
  void Dispatch(uint8_t events);
  uint8_t TakeActivated() { return std::exchange(activated_, 0); }

 private:
  static void OnEvent(int, short what, void* self) {
    static_cast<EventFdWatch*>(self)->Dispatch(FromLibevent(what));
  }

  EventLoop& loop_;
  event_base* base_;
  const int fd_;
  const short flags_;  // EV_PERSIST, EV_ET, EV_SIGNAL
  event event_;
  bool added_ = false;
  uint8_t activated_ = 0;
  Loop::FdCallback callback_;
  bool* destroyed_ = nullptr;
};

class EventLoop final : public Loop {
 public:
  explicit EventLoop(const Clock& clock);
  ~EventLoop() override;

  MonotonicTime Now() const override {
    if (now_is_stale_) {
      now_ = clock_.Now();
      now_is_stale_ = false;
    }
    return now_;
  }
  WallTime WallNow() const override { return clock_.WallNow(); }

  std::unique_ptr<Timer> NewTimer(Callback on_fire) override {
    return wheel_.NewTimer(*this, std::move(on_fire));
  }
  std::unique_ptr<FdWatch> WatchFd(int fd, FdTrigger trigger, uint8_t events,
                                   FdCallback on_event) override {
    const short flags = static_cast<short>(EV_PERSIST | (trigger == FdTrigger::kEdge ? EV_ET : 0));
    return std::make_unique<EventFdWatch>(*this, base_, fd, flags, events, std::move(on_event));
  }
  std::unique_ptr<FdWatch> WatchSignal(int signal_number, Callback on_signal) override {
    return std::make_unique<EventFdWatch>(
        *this, base_, signal_number, EV_SIGNAL | EV_PERSIST, 0,
        [callback = std::move(on_signal)](uint8_t) mutable { callback(); });
  }

  void Post(Callback work) override;
  void AtTurnEnd(TurnEndTask* task) override { turn_end_.Add(task); }
  void DeferDelete(std::unique_ptr<Deferrable> object) override {
    deferred_.push_back(std::move(object));
  }
  void Run() override;
  void RunOnce(Duration wait_max) override;
  void Exit() override;
  bool IsLoopThread() const override {
    return thread_.load(std::memory_order_relaxed) == std::this_thread::get_id();
  }

  void AddActivated(EventFdWatch* watch) { activated_.push_back(watch); }
  void ForgetActivated(EventFdWatch* watch) {
    std::replace(activated_.begin(), activated_.end(), watch, static_cast<EventFdWatch*>(nullptr));
    std::replace(dispatching_.begin(), dispatching_.end(), watch,
                 static_cast<EventFdWatch*>(nullptr));
  }

 private:
  void Wait(Duration wait_max);
  void ScheduleWake(MonotonicTime at);
  void DispatchActivated();
  void RunPosted();
  void DeleteDeferred();
  void WakeUp();
  static void OnWheelTimer(int, short, void*) {}
  static void OnWakeFd(int fd, short, void*) {
    uint64_t count;
    (void)!read(fd, &count, sizeof(count));
  }

  const Clock& clock_;
  mutable MonotonicTime now_;
  mutable bool now_is_stale_ = true;
  event_base* base_;
  TimerWheel wheel_;
  event wheel_event_;
  event wake_event_;
  int wake_fd_;
  // When wheel_event_ will fire; max(): it is not pending.
  MonotonicTime wake_at_ = MonotonicTime::max();
  TurnEndList turn_end_;
  std::vector<std::unique_ptr<Deferrable>> deferred_;
  std::vector<EventFdWatch*> activated_, dispatching_;
  std::atomic<std::thread::id> thread_;
  std::atomic<bool> exit_{false};
  std::atomic<bool> wake_written_{false};

  std::mutex posted_mutex_;
  std::vector<Callback> posted_ ABSL_GUARDED_BY(posted_mutex_);
};

EventFdWatch::EventFdWatch(EventLoop& loop, event_base* base, int fd, short flags, uint8_t events,
                           Loop::FdCallback callback)
    : loop_(loop), base_(base), fd_(fd), flags_(flags), callback_(std::move(callback)) {
  if ((flags & EV_SIGNAL) != 0 || events != 0) {
    event_assign(&event_, base_, fd_, static_cast<short>(flags_ | ToLibevent(events)), OnEvent,
                 this);
    added_ = event_add(&event_, nullptr) == 0;
  }
}

EventFdWatch::~EventFdWatch() {
  if (destroyed_ != nullptr) *destroyed_ = true;
  if (added_) event_del(&event_);
  if (activated_ != 0) loop_.ForgetActivated(this);
}

void EventFdWatch::Want(uint8_t events) {
  if (added_) event_del(&event_);
  added_ = false;
  if (events == 0) return;
  event_assign(&event_, base_, fd_, static_cast<short>(flags_ | ToLibevent(events)), OnEvent, this);
  added_ = event_add(&event_, nullptr) == 0;
}

void EventFdWatch::Activate(uint8_t events) {
  if (activated_ == 0) loop_.AddActivated(this);
  activated_ |= events;
}

void EventFdWatch::Dispatch(uint8_t events) {
  bool destroyed = false;
  destroyed_ = &destroyed;
  Loop::FdCallback callback = std::move(callback_);
  callback(events);
  if (destroyed) return;
  callback_ = std::move(callback);
  destroyed_ = nullptr;
}

EventLoop::EventLoop(const Clock& clock) : clock_(clock), now_(clock.Now()), wheel_(now_) {
  event_config* config = event_config_new();
  CHECK(config != nullptr);
  event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
  // epoll is edge-triggered only here; a precise timer costs a timerfd for nothing.
  event_config_require_features(config, EV_FEATURE_ET | EV_FEATURE_EARLY_CLOSE);
  base_ = event_base_new_with_config(config);
  event_config_free(config);
  CHECK(base_ != nullptr);
  event_assign(&wheel_event_, base_, -1, 0, OnWheelTimer, this);
  wake_fd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  CHECK(wake_fd_ >= 0);
  event_assign(&wake_event_, base_, wake_fd_, EV_READ | EV_PERSIST, OnWakeFd, this);
  CHECK(event_add(&wake_event_, nullptr) == 0);
}

EventLoop::~EventLoop() {
  {
    std::lock_guard<std::mutex> lock(posted_mutex_);
    posted_.clear();
  }
  DeleteDeferred();
  event_del(&wake_event_);
  event_del(&wheel_event_);
  event_base_free(base_);
  close(wake_fd_);
}

void EventLoop::Post(Callback work) {
  {
    std::lock_guard<std::mutex> lock(posted_mutex_);
    posted_.push_back(std::move(work));
  }
  WakeUp();
}

void EventLoop::Exit() {
  exit_.store(true);
  WakeUp();
}

void EventLoop::WakeUp() {
  if (wake_written_.exchange(true)) return;
  const uint64_t one = 1;
  (void)!write(wake_fd_, &one, sizeof(one));
}

void EventLoop::ScheduleWake(MonotonicTime at) {
  if (at >= wake_at_) return;  // an earlier wake is pending: it comes first and schedules the next
  const Duration wait = std::max(at - clock_.Now(), Duration::zero());
  const timeval tv{.tv_sec = static_cast<time_t>(wait / seconds(1)),
                   .tv_usec = static_cast<suseconds_t>((wait % seconds(1)) / microseconds(1))};
  event_add(&wheel_event_, &tv);
  wake_at_ = at;
}

void EventLoop::Wait(Duration wait_max) {
  const bool busy = !activated_.empty() || !turn_end_.empty() || !deferred_.empty();
  if (busy || wait_max <= Duration::zero()) {
    now_is_stale_ = true;
    // ONCE too: alone, NONBLOCK polls again for as long as there are events, and a peer that sends
    // without a pause would keep the turn from ending.
    event_base_loop(base_, EVLOOP_NONBLOCK | EVLOOP_ONCE);
  } else {
    MonotonicTime wake = wheel_.NextWake();
    if (wait_max != Duration::max()) wake = std::min(wake, clock_.Now() + wait_max);
    if (wake != MonotonicTime::max()) ScheduleWake(wake);
    now_is_stale_ = true;
    event_base_loop(base_, EVLOOP_ONCE);
  }
  if (wake_at_ != MonotonicTime::max() && !event_pending(&wheel_event_, EV_TIMEOUT, nullptr)) {
    wake_at_ = MonotonicTime::max();
  }
}

void EventLoop::DispatchActivated() {
  // One round: what is activated meanwhile waits for the next turn, so that a busy connection can't
  // keep the others from being served.
  dispatching_.swap(activated_);
  for (size_t i = 0; i < dispatching_.size(); ++i) {
    EventFdWatch* watch = std::exchange(dispatching_[i], nullptr);
    if (watch != nullptr) watch->Dispatch(watch->TakeActivated());
  }
  dispatching_.clear();
}

void EventLoop::RunPosted() {
  if (!wake_written_.load()) return;
  wake_written_.store(false);
  std::vector<Callback> work;
  {
    std::lock_guard<std::mutex> lock(posted_mutex_);
    work.swap(posted_);
  }
  for (Callback& one : work) one();
}

void EventLoop::DeleteDeferred() {
  while (!deferred_.empty()) {
    std::vector<std::unique_ptr<Deferrable>> doomed;
    doomed.swap(deferred_);
  }
}

void EventLoop::RunOnce(Duration wait_max) {
  thread_.store(std::this_thread::get_id(), std::memory_order_relaxed);
  Wait(wait_max);
  if (!activated_.empty()) DispatchActivated();
  wheel_.Advance(Now());
  RunPosted();
  turn_end_.Run();
  DeleteDeferred();
}

void EventLoop::Run() {
  while (!exit_.load(std::memory_order_relaxed)) RunOnce(Duration::max());
  exit_.store(false);
}

}  // namespace

std::unique_ptr<Loop> NewEventLoop(const Clock& clock) {
  return std::make_unique<EventLoop>(clock);
}

}  // namespace meltemi
