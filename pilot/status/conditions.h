// Writes how far each object has come to the object itself: conditions `Accepted` and `Programmed`
// in its status, so that `kubectl wait --for=condition=Programmed` returns when every proxy that it
// concerns enforces it.
//
// What is decided (accepted, rejected, programmed) is written at once, progress in between and
// words that change now and then. Nothing is written that is there already. Only who leads writes.
//
// Loop-owned; calls run on the executor.
#pragma once

#include <cstddef>
#include <memory>

#include "base/clock/clock.h"
#include "base/loop/loop.h"
#include "pilot/ingest/kube/live_object.h"
#include "pilot/status/programmed.h"

namespace meltemi::kube {
class Client;
class Executor;
}  // namespace meltemi::kube

namespace meltemi::pilot {

struct ConditionsOptions {
  // From a change to its writing, so that what comes together is one write.
  Duration settle = milliseconds(20);
  // Progress that decides nothing ("3 of 7 proxies"): no sooner than this after the change, and
  // other words for the same outcome no sooner than that.
  Duration progress = seconds(1);
  Duration words = seconds(15);
  size_t writes_per_second_max = 100;
  size_t in_flight_max = 4;
  Duration backoff_min = milliseconds(200);
  Duration backoff_max = seconds(30);
};

struct ConditionsStats {
  size_t written = 0;
  size_t conflicts = 0;
  size_t failed = 0;
  size_t waiting = 0;  // objects of which something may have to be written
};

class Conditions {
 public:
  virtual ~Conditions() = default;
  // Whether this replica writes. At the beginning it does not.
  virtual void SetLeading(bool leading) = 0;
  virtual ConditionsStats stats() const = 0;
};

// All outlive it; it is the one listener of `programmed` and `live`. Destroying waits for calls
// that are under way.
std::unique_ptr<Conditions> NewConditions(Loop& loop, kube::Client& client,
                                          kube::Executor& executor, ProgrammedSource& programmed,
                                          LiveObjects& live, const ConditionsOptions& options = {});

}  // namespace meltemi::pilot
