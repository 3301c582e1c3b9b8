#include "pilot/push/debounce.h"

#include <algorithm>

namespace meltemi::pilot {

Duration Debouncer::OnChange(MonotonicTime now, ChangeKind kind, Duration cost) {
  const bool alone = !first_pending_.has_value();
  if (alone) first_pending_ = now;
  const MonotonicTime latest = *first_pending_ + options_.delay_max;
  // While the last push still takes all there is, another would only get in its way.
  MonotonicTime at = last_acted_.has_value() ? std::max(now, *last_acted_ + cost) : now;
  if (kind == ChangeKind::kConfig) {
    // The first change after a pause is most likely alone; others come as a burst. What costs
    // little is not worth waiting for.
    const bool quiet_before = !last_acted_.has_value() || now - *last_acted_ >= options_.quiet;
    if (!alone || !quiet_before) at = std::max(at, now + std::min(options_.quiet, cost));
  }
  at = std::min(at, latest);
  // A burst of configuration moves its own end on, but not that of endpoints.
  if (kind == ChangeKind::kEndpoints || !act_at_.has_value() || config_only_) {
    const bool keep = act_at_.has_value() && kind == ChangeKind::kEndpoints;
    act_at_ = keep ? std::min(*act_at_, at) : at;
  }
  config_only_ = kind == ChangeKind::kConfig && (alone || config_only_);
  return std::max(*act_at_ - now, Duration::zero());
}

void Debouncer::OnActed(MonotonicTime now) {
  first_pending_.reset();
  act_at_.reset();
  config_only_ = false;
  last_acted_ = now;
}

}  // namespace meltemi::pilot
