// A clock that stands still until a test moves it.
#pragma once

#include "base/clock/clock.h"

namespace meltemi {

// Not thread-safe: one test thread moves and reads it.
class FakeClock final : public Clock {
 public:
  MonotonicTime Now() const override { return now_; }
  WallTime WallNow() const override { return wall_epoch_ + now_.time_since_epoch(); }
  void Advance(Duration by) { now_ += by; }

 private:
  MonotonicTime now_{seconds(1000)};
  // 2024-01-01T00:00:00Z less the thousand seconds that the monotonic clock starts with.
  WallTime wall_epoch_{seconds(1704067200 - 1000)};
};

}  // namespace meltemi
