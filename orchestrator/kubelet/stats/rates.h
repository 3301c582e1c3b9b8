// From totals that were measured again and again to rates: of the last half minute, or since the
// beginning while there is no more.
//
// Threads: one at a time.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>

#include "base/clock/clock.h"

namespace meltemi::kubelet {

class Rates {
 public:
  // Notes a total of nanoseconds of CPU, and gives nanoseconds per second. `since`: when it was 0,
  // if that is known. nullopt: not known yet.
  std::optional<int64_t> Observe(const std::string& key, int64_t total, WallTime now,
                                 std::optional<WallTime> since);
  // Forgets what was not observed at `now`.
  void ForgetBut(WallTime now);

 private:
  struct Point {
    WallTime time;
    int64_t total;
  };
  std::map<std::string, std::deque<Point>> points_;
};

}  // namespace meltemi::kubelet
