// When to act on changes: at once after a quiet time; in a burst, once it pauses or has lasted long
// enough. Sans-IO: the driver supplies the time and arms a timer. Loop-owned.
#pragma once

#include <optional>

#include "base/clock/clock.h"

namespace meltemi::pilot {

class Debouncer {
 public:
  struct Options {
    Duration quiet = milliseconds(10);       // no change for so long ends a burst
    Duration delay_max = milliseconds(100);  // no change waits longer
  };

  explicit Debouncer(Options options) : options_(options) {}

  // A change has happened. Returns how long to wait before acting on it (zero: now).
  Duration OnChange(MonotonicTime now);
  // What was pending is being acted on.
  void OnActed(MonotonicTime now);
  bool pending() const { return first_pending_.has_value(); }

 private:
  const Options options_;
  std::optional<MonotonicTime> first_pending_;
  std::optional<MonotonicTime> last_acted_;
};

}  // namespace meltemi::pilot
