#include "pilot/push/debounce.h"

#include <algorithm>

namespace meltemi::pilot {

Duration Debouncer::OnChange(MonotonicTime now) {
  const bool starts_burst = !first_pending_.has_value();
  if (starts_burst) first_pending_ = now;
  // The first change after a pause is most likely alone.
  const bool quiet_before = !last_acted_.has_value() || now - *last_acted_ >= options_.quiet;
  if (starts_burst && quiet_before) return Duration::zero();
  const Duration left = *first_pending_ + options_.delay_max - now;
  return std::clamp(options_.quiet, Duration::zero(), std::max(left, Duration::zero()));
}

void Debouncer::OnActed(MonotonicTime now) {
  first_pending_.reset();
  last_acted_ = now;
}

}  // namespace meltemi::pilot
