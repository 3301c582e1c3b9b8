// Time as a seam: everything that needs "now" is handed a Clock (or reads its Loop's frozen time).
#pragma once

#include <chrono>
#include <cstdint>

namespace meltemi {

// All durations and instants carry nanoseconds. Arithmetic is plain 64-bit: cheap on hot paths.
using Duration = std::chrono::nanoseconds;
using MonotonicTime = std::chrono::time_point<std::chrono::steady_clock, Duration>;
using WallTime = std::chrono::time_point<std::chrono::system_clock, Duration>;

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

inline int64_t ToMillis(Duration d) { return std::chrono::duration_cast<milliseconds>(d).count(); }

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  // For intervals and deadlines; never goes back.
  virtual MonotonicTime Now() const = 0;
  // For log lines and dates; may jump.
  virtual WallTime WallNow() const = 0;
};

class SystemClock final : public Clock {
 public:
  MonotonicTime Now() const override;
  WallTime WallNow() const override;
};

}  // namespace meltemi
