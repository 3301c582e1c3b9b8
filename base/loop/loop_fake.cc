#include "base/loop/loop_fake.h"

#include <algorithm>
#include <utility>

namespace meltemi {

class FakeLoop::Watch final : public FdWatch {
 public:
  Watch(FakeLoop& loop, int fd, uint8_t wanted, FdCallback callback)
      : loop_(loop), fd_(fd), wanted_(wanted), callback_(std::move(callback)) {
    loop_.watches_[fd_] = this;
  }
  ~Watch() override {
    if (destroyed_ != nullptr) *destroyed_ = true;
    if (auto it = loop_.watches_.find(fd_); it != loop_.watches_.end() && it->second == this) {
      loop_.watches_.erase(it);
    }
  }
  void Want(uint8_t events) override { wanted_ = events; }
  void Activate(uint8_t events) override { activated_ |= events; }
  void Dispatch(uint8_t events) {
    bool destroyed = false;
    destroyed_ = &destroyed;
    FdCallback callback = std::move(callback_);
    callback(events);
    if (destroyed) return;
    callback_ = std::move(callback);
    destroyed_ = nullptr;
  }

  FakeLoop& loop_;
  const int fd_;
  uint8_t wanted_;
  uint8_t activated_ = 0;
  FdCallback callback_;
  bool* destroyed_ = nullptr;
};

FakeLoop::FakeLoop(FakeClock& clock) : clock_(clock), wheel_(clock.Now()) {}

FakeLoop::~FakeLoop() {
  while (!deferred_.empty()) {
    auto doomed = std::exchange(deferred_, {});
    doomed.clear();
  }
}

std::unique_ptr<Timer> FakeLoop::NewTimer(Callback on_fire) {
  return wheel_.NewTimer(*this, std::move(on_fire));
}

std::unique_ptr<FdWatch> FakeLoop::WatchFd(int fd, FdTrigger, uint8_t events, FdCallback on_event) {
  return std::make_unique<Watch>(*this, fd, events, std::move(on_event));
}

std::unique_ptr<FdWatch> FakeLoop::WatchSignal(int signal_number, Callback on_signal) {
  // Negative keys keep signals apart from descriptors.
  return std::make_unique<Watch>(
      *this, -signal_number, kFdReadable,
      [callback = std::move(on_signal)](uint8_t) mutable { callback(); });
}

bool FakeLoop::busy() const {
  return !posted_.empty() || !turn_end_.empty() || !deferred_.empty() ||
         std::any_of(watches_.begin(), watches_.end(),
                     [](const auto& entry) { return entry.second->activated_ != 0; });
}

void FakeLoop::RunOnce(Duration) {
  std::vector<int> activated;
  for (const auto& [fd, watch] : watches_) {
    if (watch->activated_ != 0) activated.push_back(fd);
  }
  for (const int fd : activated) {
    if (auto it = watches_.find(fd); it != watches_.end()) {
      it->second->Dispatch(std::exchange(it->second->activated_, 0));
    }
  }
  wheel_.Advance(Now());
  for (Callback& work : std::exchange(posted_, {})) work();
  turn_end_.Run();
  while (!deferred_.empty()) {
    auto doomed = std::exchange(deferred_, {});
    doomed.clear();
  }
}

void FakeLoop::RunPending() {
  do {
    RunOnce(Duration::zero());
  } while (busy());
}

void FakeLoop::Advance(Duration by) {
  const MonotonicTime end = Now() + by;
  RunPending();
  while (Now() < end) {
    const MonotonicTime wake = std::max(wheel_.NextWake(), Now() + milliseconds(1));
    clock_.Advance(std::min(wake, end) - Now());
    RunPending();
  }
}

void FakeLoop::Trigger(int fd, uint8_t events) {
  auto it = watches_.find(fd);
  if (it == watches_.end()) return;
  if (const uint8_t hit = static_cast<uint8_t>(events & it->second->wanted_); hit != 0) {
    it->second->Dispatch(hit);
  }
  RunPending();
}

void FakeLoop::Run() {
  while (!exit_ && busy()) RunOnce(Duration::zero());
  exit_ = false;
}

}  // namespace meltemi
