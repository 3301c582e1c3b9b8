// The orderly end: say no to new work, finish what is in flight, go.
//
//   Begin: readiness says no, answers say that their connection ends
//     -- grace --> stop accepting -- until no connection is open, or the time is up --> Drained
//
// Main loop only.
#pragma once

#include <cstddef>
#include <memory>

#include "absl/functional/any_invocable.h"
#include "base/clock/clock.h"
#include "base/loop/loop.h"

namespace meltemi::proxy {

// What is drained.
class Drainable {
 public:
  virtual ~Drainable() = default;
  virtual void AnnounceEnd() = 0;
  virtual void StopAccepting() = 0;
  // The open downstream connections; `done` comes from the loop.
  virtual void CountConnections(absl::AnyInvocable<void(size_t)> done) = 0;
  // The last call.
  virtual void Drained() = 0;
};

struct DrainTimes {
  Duration grace = milliseconds(500);
  Duration time_max = seconds(45);  // after the grace
};

class Drain {
 public:
  Drain(Loop& loop, Drainable& what, const DrainTimes& times);
  ~Drain();

  // Once; later calls do nothing.
  void Begin();
  bool begun() const { return begun_; }

 private:
  void OnTimer();
  void OnCount(size_t connections);
  void Finish();

  Loop& loop_;
  Drainable& what_;
  const DrainTimes times_;
  std::unique_ptr<Timer> timer_;
  MonotonicTime deadline_{};
  bool begun_ = false;
  bool accepting_ = true;
  bool finished_ = false;
};

}  // namespace meltemi::proxy
