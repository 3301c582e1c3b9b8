// One probe of one running container: when it is due, and what its answers amount to.
//
// Threads: one at a time; time is handed in. Source: pkg/kubelet/prober/worker.go (thresholds, the
// hold after a final result, errors that say nothing).
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include "base/clock/clock.h"
#include "kube/core/v1/container.pb.h"
#include "orchestrator/kubelet/probes/network_prober.h"

namespace meltemi::kubelet {

enum class ProbeType : uint8_t { kLiveness, kReadiness, kStartup };
constexpr int kProbeTypes = 3;
inline const char* ProbeTypeName(ProbeType type) {
  return type == ProbeType::kLiveness    ? "Liveness"
         : type == ProbeType::kReadiness ? "Readiness"
                                         : "Startup";
}

enum class ProbeState : uint8_t { kUnknown, kSuccess, kFailure };

class ProbeWorker {
 public:
  // `first`: when it is due first. `taken_over`: an earlier kubelet had found it started or ready.
  ProbeWorker(ProbeType type, const kube::core::v1::Probe& spec, MonotonicTime first,
              bool taken_over)
      : type_(type),
        period_(seconds(OrDefault(spec.period_seconds(), 10))),
        success_threshold_(OrDefault(spec.success_threshold(), 1)),
        failure_threshold_(OrDefault(spec.failure_threshold(), 3)),
        state_(Initial(type, taken_over)),
        on_hold_(taken_over && type == ProbeType::kStartup),
        soon_possible_(type != ProbeType::kLiveness && success_threshold_ == 1 && !taken_over),
        soon_(spec.handler().has_exec() ? seconds(1) : Duration(milliseconds(100))),
        scheduled_(first),
        due_(first) {}

  ProbeType type() const { return type_; }
  ProbeState state() const { return state_; }
  // A final result: nothing is asked any more until the container is another one.
  bool on_hold() const { return on_hold_; }
  bool in_flight() const { return in_flight_; }
  MonotonicTime due() const { return due_; }
  // Of the one in flight; its answer may only count when it is still the same.
  uint64_t number() const { return number_; }

  uint64_t Begin(MonotonicTime now) {
    in_flight_ = true;
    in_schedule_ = now >= scheduled_;
    if (in_schedule_) scheduled_ = now + period_;
    tries_ = 0;
    return ++number_;
  }
  // The same once more, after an error.
  uint64_t Retry() {
    ++tries_;
    return ++number_;
  }
  int tries() const { return tries_; }

  struct Effect {
    bool tell = false;     // an event, if it is no plain success
    bool changed = false;  // state() is another one
  };
  Effect Take(const ProbeVerdict& verdict, MonotonicTime now);
  // Of a pod that is ending: it passes, without being asked.
  bool Pass() {
    on_hold_ = true;
    return std::exchange(state_, ProbeState::kSuccess) != ProbeState::kSuccess;
  }

 private:
  // The API server's defaults, should they be missing.
  static int OrDefault(int value, int fallback) { return value > 0 ? value : fallback; }
  static ProbeState Initial(ProbeType type, bool taken_over) {
    if (taken_over || type == ProbeType::kLiveness) return ProbeState::kSuccess;
    return type == ProbeType::kReadiness ? ProbeState::kFailure : ProbeState::kUnknown;
  }

  const ProbeType type_;
  const Duration period_;
  const int success_threshold_, failure_threshold_;
  ProbeState state_;
  bool on_hold_;

  // A container that has just started is asked sooner than its period says, at growing intervals,
  // until it passes for the first time. Failures of these extra probes count for nothing.
  bool soon_possible_;
  Duration soon_;
  MonotonicTime scheduled_;  // by its period
  MonotonicTime due_;

  bool in_flight_ = false, in_schedule_ = true;
  uint64_t number_ = 0;
  int tries_ = 0;
  std::optional<bool> last_;  // success
  int run_ = 0;               // how often in a row
};

}  // namespace meltemi::kubelet
