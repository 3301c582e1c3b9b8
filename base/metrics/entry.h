// One metric of a scope; internal to base/metrics.
#pragma once

#include <algorithm>
#include <iterator>
#include <memory>
#include <string>

#include "base/metrics/metrics.h"

namespace meltemi::metrics {

struct Scope::Entry {
  enum Kind : uint8_t { kCounter, kGauge, kHistogram };
  // Constant after construction.
  std::string name;
  const Labels* scope_labels = nullptr;  // sorted; the scope's own, shared by all its entries
  Labels extra;                          // sorted
  Kind kind = kCounter;
  // One of these is in use.
  Counter counter;
  Gauge gauge;
  std::unique_ptr<Histogram> histogram;

  // All of them, sorted.
  Labels AllLabels() const {
    Labels all;
    all.reserve(scope_labels->size() + extra.size());
    std::merge(scope_labels->begin(), scope_labels->end(), extra.begin(), extra.end(),
               std::back_inserter(all));
    return all;
  }
};

}  // namespace meltemi::metrics
