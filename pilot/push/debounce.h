// When to act on changes: at once where there is nothing to wait for; no faster than acting takes,
// so that a flood of changes becomes as many pushes as can be had; a burst of configuration
// together, once it pauses; endpoints never behind it. Sans-IO: the driver supplies the time and
// arms a timer. Loop-owned.
#pragma once

#include <cstdint>
#include <optional>

#include "base/clock/clock.h"

namespace meltemi::pilot {

enum class ChangeKind : uint8_t {
  kEndpoints,  // where requests go to this very moment
  kConfig,
};

class Debouncer {
 public:
  struct Options {
    Duration quiet = milliseconds(10);       // no change for so long ends a burst
    Duration delay_max = milliseconds(100);  // no change waits longer
  };

  explicit Debouncer(Options options) : options_(options) {}

  // A change has happened; acting on the last ones has taken `cost` so far. Returns how long to
  // wait before acting on all that is pending (zero: now).
  Duration OnChange(MonotonicTime now, ChangeKind kind, Duration cost);
  // What was pending is being acted on.
  void OnActed(MonotonicTime now);
  bool pending() const { return first_pending_.has_value(); }

 private:
  const Options options_;
  std::optional<MonotonicTime> first_pending_;
  std::optional<MonotonicTime> act_at_;  // of what is pending
  bool config_only_ = false;             // likewise
  std::optional<MonotonicTime> last_acted_;
};

}  // namespace meltemi::pilot
