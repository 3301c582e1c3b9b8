#include "base/loop/timer_wheel.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/log/log.h"

namespace meltemi {

// States: unlinked and disarmed; linked and armed; linked and disarmed (dropped when its slot
// comes).
class TimerWheel::Entry final : public Timer, public TimerWheel::Node {
 public:
  Entry(TimerWheel& wheel, const Loop& loop, Loop::Callback on_fire)
      : wheel_(wheel), loop_(loop), on_fire_(std::move(on_fire)) {}
  ~Entry() override {
    if (destroyed_ != nullptr) *destroyed_ = true;
    if (linked()) wheel_.Remove(this);
  }

  void Arm(Duration after) override {
    deadline_ =
        std::max(TickAfter(loop_.Now() + std::max(after, Duration::zero())), wheel_.tick_ + 1);
    armed_ = true;
    if (linked()) {
      if (scheduled_ <= deadline_) return;
      wheel_.Remove(this);
    }
    wheel_.Insert(this);
  }
  void Disarm() override { armed_ = false; }
  bool armed() const override { return armed_; }
  bool linked() const { return next != nullptr; }

  // The callback may destroy this entry, so it runs from a local.
  void Fire() {
    armed_ = false;
    bool destroyed = false;
    destroyed_ = &destroyed;
    Loop::Callback callback = std::move(on_fire_);
    callback();
    if (destroyed) return;
    on_fire_ = std::move(callback);
    destroyed_ = nullptr;
  }

  uint64_t deadline_ = 0;
  uint64_t scheduled_ = 0;  // the tick whose slot this is linked in
  bool armed_ = false;
  int level_ = 0;

 private:
  TimerWheel& wheel_;
  const Loop& loop_;
  Loop::Callback on_fire_;
  bool* destroyed_ = nullptr;
};

TimerWheel::TimerWheel(MonotonicTime now) : tick_(TickOf(now)) {
  for (auto& level : slots_) {
    for (Node& head : level) head.next = head.prev = &head;
  }
}

TimerWheel::~TimerWheel() {
  // Timers that outlive the loop must not touch it: cut them off.
  for (auto& level : slots_) {
    for (Node& head : level) {
      for (Node* node = head.next; node != &head;) {
        Node* next = node->next;
        node->next = node->prev = nullptr;
        node = next;
      }
    }
  }
}

std::unique_ptr<Timer> TimerWheel::NewTimer(const Loop& loop, Loop::Callback on_fire) {
  return std::make_unique<Entry>(*this, loop, std::move(on_fire));
}

uint64_t TimerWheel::TickOf(MonotonicTime t) {
  return static_cast<uint64_t>(ToMillis(t.time_since_epoch()));
}

uint64_t TimerWheel::TickAfter(MonotonicTime t) {
  const int64_t ns = t.time_since_epoch().count();
  return static_cast<uint64_t>((ns + 999'999) / 1'000'000);
}

void TimerWheel::Insert(Entry* entry) {
  const uint64_t ahead = entry->deadline_ - tick_;
  int level = 0;
  while (level < kLevels - 1 && (ahead >> (kSlotBits * (level + 1))) != 0) ++level;
  const int shift = kSlotBits * level;
  // Beyond the wheel's reach: the farthest slot; it is inserted again when that comes round.
  const uint64_t reach = uint64_t{1} << (kSlotBits * kLevels);
  uint64_t at = ahead < reach ? entry->deadline_ : tick_ + reach - (uint64_t{1} << shift);
  const uint64_t slot = (at >> shift) & (kSlots - 1);
  entry->scheduled_ = (at >> shift) << shift;
  entry->level_ = level;
  Node& head = slots_[level][slot];
  entry->prev = head.prev;
  entry->next = &head;
  head.prev->next = entry;
  head.prev = entry;
  occupied_[level] |= uint64_t{1} << slot;
}

void TimerWheel::Remove(Entry* entry) {
  entry->prev->next = entry->next;
  entry->next->prev = entry->prev;
  entry->next = entry->prev = nullptr;
}

void TimerWheel::RunSlot(int level, uint64_t slot) {
  occupied_[level] &= ~(uint64_t{1} << slot);
  // Entries move to a local list first: what callbacks insert belongs to later ticks.
  Node pending;
  Node& head = slots_[level][slot];
  if (head.next == &head) return;
  pending.next = head.next;
  pending.prev = head.prev;
  pending.next->prev = pending.prev->next = &pending;
  head.next = head.prev = &head;
  while (pending.next != &pending) {
    Entry* entry = static_cast<Entry*>(pending.next);
    Remove(entry);
    if (!entry->armed_) continue;
    if (entry->deadline_ > tick_) {
      Insert(entry);
    } else {
      entry->Fire();
    }
  }
}

void TimerWheel::Advance(MonotonicTime now) {
  const uint64_t target = TickOf(now);
  while (tick_ < target) {
    // Jumps over ticks at which no slot of any level is due.
    const MonotonicTime wake = NextWake();
    const uint64_t next =
        wake == MonotonicTime::max() ? target : std::min(target, std::max(TickOf(wake), tick_ + 1));
    tick_ = next;
    for (int level = kLevels - 1; level >= 0; --level) {
      const int shift = kSlotBits * level;
      if ((tick_ & ((uint64_t{1} << shift) - 1)) != 0) continue;
      RunSlot(level, (tick_ >> shift) & (kSlots - 1));
    }
  }
}

MonotonicTime TimerWheel::NextWake() const {
  uint64_t best = UINT64_MAX;
  for (int level = 0; level < kLevels; ++level) {
    if (occupied_[level] == 0) continue;
    const int shift = kSlotBits * level;
    const uint64_t current = tick_ >> shift;
    // Slots after the current one, in the order in which they come round.
    const uint64_t ring =
        std::rotr(occupied_[level], static_cast<int>((current + 1) & (kSlots - 1)));
    const uint64_t steps = static_cast<uint64_t>(std::countr_zero(ring)) + 1;
    best = std::min(best, (current + steps) << shift);
  }
  if (best == UINT64_MAX) return MonotonicTime::max();
  return MonotonicTime(milliseconds(best));
}

}  // namespace meltemi
