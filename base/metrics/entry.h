// One metric of a scope; internal to base/metrics.
#pragma once

#include <memory>
#include <string>

#include "base/metrics/metrics.h"

namespace meltemi::metrics {

struct Scope::Entry {
  enum Kind : uint8_t { kCounter, kGauge, kHistogram };
  // Constant after construction.
  std::string name;
  Labels labels;  // sorted
  Kind kind = kCounter;
  // One of these is in use.
  Counter counter;
  Gauge gauge;
  std::unique_ptr<Histogram> histogram;
};

}  // namespace meltemi::metrics
