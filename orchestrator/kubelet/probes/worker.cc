#include "orchestrator/kubelet/probes/worker.h"

namespace meltemi::kubelet {

ProbeWorker::Effect ProbeWorker::Take(const ProbeVerdict& verdict, MonotonicTime now) {
  using Kind = ProbeVerdict::Kind;
  in_flight_ = false;
  const bool passed = verdict.kind == Kind::kSuccess || verdict.kind == Kind::kWarning;
  if (passed) soon_possible_ = false;
  due_ = std::max(scheduled_, now);
  if (soon_possible_) {
    due_ = std::min(due_, now + soon_);
    soon_ = std::min(2 * soon_, period_);
  }
  if (!passed && !in_schedule_) return {};
  Effect out{.tell = true};
  if (verdict.kind == Kind::kError) return out;
  run_ = last_ == passed ? run_ + 1 : 1;
  last_ = passed;
  if (run_ < (passed ? success_threshold_ : failure_threshold_)) return out;
  const ProbeState next = passed ? ProbeState::kSuccess : ProbeState::kFailure;
  out.changed = std::exchange(state_, next) != next;
  if ((type_ == ProbeType::kLiveness && !passed) || type_ == ProbeType::kStartup) {
    on_hold_ = true;
    run_ = 0;
  }
  return out;
}

}  // namespace meltemi::kubelet
