#include "orchestrator/kubelet/hollow/pod_run.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "orchestrator/apiserver/http/go_duration.h"

namespace meltemi::kubelet {
namespace {

using kube::core::v1::Container;
using kube::core::v1::ContainerState;
using kube::core::v1::ContainerStatus;
using kube::core::v1::Pod;
using Stage = PodRun::Stage;
using State = ContainerRun::State;

constexpr int32_t kBackoffFirst_s = 10;
constexpr int32_t kBackoffMax_s = 300;
// A container that has run for this long has shown that it can: its back-off begins anew.
constexpr int64_t kBackoffForgotten_s = 2 * kBackoffMax_s;
constexpr int kKilled = 137;  // 128 + SIGKILL
constexpr int64_t kGraceDefault_s = 30;

void ReadDuration(const Pod& pod, absl::string_view name, Duration* out) {
  const absl::string_view text = HollowAnnotation(pod, name);
  if (text.empty()) return;
  const absl::StatusOr<Duration> value = apiserver::ParseGoDuration(text);
  if (value.ok() && *value >= Duration::zero()) *out = *value;
}

void Terminate(int code, int64_t now_s, ContainerRun* container) {
  container->state = State::kTerminated;
  container->ready = false;
  container->exit_code = code;
  container->finished_s = now_s;
  container->ends_at.reset();
  container->ready_at.reset();
  container->restarts_at.reset();
}

bool MayRestart(const Pod& pod, int exit_code) {
  const std::string& policy = pod.spec().restart_policy();
  if (policy == "Never") return false;
  return policy != "OnFailure" || exit_code != 0;
}

// One call of Step at one moment.
class Stepper {
 public:
  Stepper(const Pod& pod, const PodTiming& timing, const RunTime& time,
          const std::function<bool()>& failed_start, PodRun& run)
      : pod_(pod),
        timing_(timing),
        time_(time),
        now_s_(UnixSeconds(time.wall)),
        failed_start_(failed_start),
        run_(run) {}

  // False: nothing more is due at this moment.
  bool Advance() {
    if (run_.finished()) return false;
    if (pod_.metadata().has_deletion_timestamp() && run_.stage != Stage::kStopping) {
      return BeginStop();
    }
    if (run_.deadline.has_value() && *run_.deadline <= time_.now &&
        run_.stage != Stage::kStopping) {
      return PassDeadline();
    }
    switch (run_.stage) {
      case Stage::kNew:
        return Begin();
      case Stage::kStarting:
        return StartedAfterDelay();
      case Stage::kInit:
        return AdvanceInit();
      case Stage::kRunning:
        return AdvanceMain();
      case Stage::kStopping:
        return EndStop();
      case Stage::kFinished:
        return false;
    }
    return false;
  }

 private:
  bool Due(const std::optional<MonotonicTime>& at) const {
    return at.has_value() && *at <= time_.now;
  }

  bool Begin() {
    if (run_.start_time_s == 0) run_.start_time_s = now_s_;
    run_.init.resize(static_cast<size_t>(pod_.spec().init_containers_size()));
    run_.main.resize(static_cast<size_t>(pod_.spec().containers_size()));
    if (pod_.spec().has_active_deadline_seconds()) {
      const int64_t passed_s = std::max<int64_t>(0, now_s_ - run_.start_time_s);
      run_.deadline = time_.now + seconds(std::max<int64_t>(
                                      0, pod_.spec().active_deadline_seconds() - passed_s));
    }
    run_.stage = Stage::kStarting;
    run_.due = time_.now + timing_.start_delay;
    return true;
  }

  bool StartedAfterDelay() {
    if (!Due(run_.due)) return false;
    run_.due.reset();
    run_.sandbox = true;
    run_.stage = Stage::kInit;
    return true;
  }

  bool AdvanceInit() {
    for (size_t i = 0; i < run_.init.size(); ++i) {
      ContainerRun& container = run_.init[i];
      const bool sidecar = IsSidecar(pod_.spec().init_containers(static_cast<int>(i)));
      if (container.state == State::kWaiting) {
        container.state = State::kRunning;
        container.started_s = now_s_;
        container.ready = sidecar;
        if (!sidecar) container.ends_at = time_.now + timing_.init_run_for;
        return true;
      }
      if (sidecar || container.state == State::kTerminated) continue;
      if (!Due(container.ends_at)) return false;
      Terminate(0, now_s_, &container);
      return true;
    }
    run_.stage = Stage::kRunning;
    for (ContainerRun& container : run_.main) Start(container);
    return true;
  }

  void Start(ContainerRun& container) {
    container.state = State::kRunning;
    container.started_s = now_s_;
    container.finished_s = 0;
    container.exit_code = 0;
    container.ready = false;
    container.restarts_at.reset();
    container.ready_at.reset();
    container.ends_at.reset();
    if (failed_start_()) {
      container.exit_code = 1;
      container.ends_at = time_.now;
      return;
    }
    if (timing_.run_for.has_value()) {
      container.exit_code = timing_.exit_code;
      container.ends_at = time_.now + *timing_.run_for;
    }
    container.ready_at = time_.now + timing_.ready_delay;
  }

  bool AdvanceMain() {
    bool all_ended = !run_.main.empty();
    for (ContainerRun& container : run_.main) {
      if (AdvanceContainer(container)) return true;
      all_ended &= container.state == State::kTerminated;
    }
    if (!all_ended) return false;
    bool failed = false;
    for (const ContainerRun& container : run_.main) failed |= container.exit_code != 0;
    Finish(failed, 0);
    return true;
  }

  bool AdvanceContainer(ContainerRun& container) {
    if (container.state == State::kRunning) {
      if (Due(container.ends_at)) return End(container);
      if (!Due(container.ready_at)) return false;
      container.ready_at.reset();
      container.ready = true;
      return true;
    }
    if (container.state != State::kWaiting || !Due(container.restarts_at)) return false;
    Restart(container);
    return true;
  }

  bool End(ContainerRun& container) {
    const int code = container.exit_code;
    Terminate(code, now_s_, &container);
    if (!MayRestart(pod_, code)) return true;
    if (now_s_ - container.started_s >= kBackoffForgotten_s) container.backoff_s = 0;
    if (container.backoff_s == 0) {
      // The first restart comes at once.
      Restart(container);
      return true;
    }
    container.has_last = true;
    container.last_exit_code = container.exit_code;
    container.last_started_s = container.started_s;
    container.last_finished_s = container.finished_s;
    container.state = State::kWaiting;
    container.restarts_at = time_.now + seconds(container.backoff_s);
    return true;
  }

  void Restart(ContainerRun& container) {
    if (container.state == State::kTerminated) {
      container.has_last = true;
      container.last_exit_code = container.exit_code;
      container.last_started_s = container.started_s;
      container.last_finished_s = container.finished_s;
    }
    ++container.restarts;
    container.backoff_s = container.backoff_s == 0
                              ? kBackoffFirst_s
                              : std::min(kBackoffMax_s, 2 * container.backoff_s);
    Start(container);
  }

  bool BeginStop() {
    const int64_t grace_s = pod_.metadata().has_deletion_grace_period_seconds()
                                ? pod_.metadata().deletion_grace_period_seconds()
                                : kGraceDefault_s;
    const Duration grace = seconds(std::max<int64_t>(0, grace_s));
    const bool killed = timing_.stop_delay > grace;
    run_.stage = Stage::kStopping;
    run_.stop_code = killed ? kKilled : 0;
    run_.due = time_.now + (killed ? grace : timing_.stop_delay);
    for (std::vector<ContainerRun>* containers : {&run_.init, &run_.main}) {
      for (ContainerRun& container : *containers) {
        container.ends_at.reset();
        container.restarts_at.reset();
      }
    }
    return true;
  }

  bool EndStop() {
    if (!Due(run_.due)) {
      // Containers that were about to be ready still become so.
      for (ContainerRun& container : run_.main) {
        if (container.state != State::kRunning || !Due(container.ready_at)) continue;
        container.ready_at.reset();
        container.ready = true;
        return true;
      }
      return false;
    }
    Finish(false, run_.stop_code);
    for (const ContainerRun& container : run_.main) run_.failed |= container.exit_code != 0;
    run_.failed |= run_.main.empty();
    return true;
  }

  bool PassDeadline() {
    Finish(true, kKilled);
    run_.reason = "DeadlineExceeded";
    run_.message = "Pod was active on the node longer than the specified deadline";
    return true;
  }

  // What runs ends with `code`; what never ran can't be told from what was killed.
  void Finish(bool failed, int code) {
    run_.stage = Stage::kFinished;
    run_.failed = failed;
    run_.sandbox = false;
    run_.due.reset();
    run_.deadline.reset();
    for (ContainerRun& container : run_.main) EndForGood(container, code);
    for (ContainerRun& container : run_.init) {
      if (container.state == State::kRunning) EndForGood(container, code);
    }
  }

  void EndForGood(ContainerRun& container, int code) {
    if (container.state == State::kTerminated) return;
    if (container.state == State::kRunning) return Terminate(code, now_s_, &container);
    if (container.has_last) {
      container.exit_code = container.last_exit_code;
      container.started_s = container.last_started_s;
      Terminate(container.exit_code, container.last_finished_s, &container);
      return;
    }
    Terminate(kKilled, 0, &container);
  }

  const Pod& pod_;
  const PodTiming& timing_;
  const RunTime& time_;
  const int64_t now_s_;
  const std::function<bool()>& failed_start_;
  PodRun& run_;
};

void AdoptContainer(const ContainerStatus& status, const PodTiming& timing, const RunTime& time,
                    ContainerRun* out) {
  out->restarts = status.restart_count();
  out->ready = status.ready();
  out->backoff_s = out->restarts == 0 ? 0 : kBackoffFirst_s;
  const auto& last = status.last_state();
  if (last.has_terminated()) {
    out->has_last = true;
    out->last_exit_code = last.terminated().exit_code();
    out->last_started_s = last.terminated().started_at().seconds();
    out->last_finished_s = last.terminated().finished_at().seconds();
  }
  const ContainerState& state = status.state();
  if (state.has_running()) {
    out->state = State::kRunning;
    out->started_s = state.running().started_at().seconds();
    if (timing.run_for.has_value()) {
      const Duration ran = seconds(UnixSeconds(time.wall) - out->started_s);
      out->exit_code = timing.exit_code;
      out->ends_at = time.now + std::max(Duration::zero(), *timing.run_for - ran);
    }
    if (!out->ready) out->ready_at = time.now + timing.ready_delay;
  } else if (state.has_terminated()) {
    out->state = State::kTerminated;
    out->exit_code = state.terminated().exit_code();
    out->started_s = state.terminated().started_at().seconds();
    out->finished_s = state.terminated().finished_at().seconds();
  } else {
    out->restarts_at = time.now + seconds(out->backoff_s);
  }
}

}  // namespace

int64_t UnixSeconds(WallTime time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

bool IsSidecar(const Container& container) { return container.restart_policy() == "Always"; }

absl::string_view HollowAnnotation(const Pod& pod, absl::string_view name) {
  const auto& annotations = pod.metadata().annotations();
  const auto at = annotations.find(absl::StrCat(kAnnotationPrefix, name));
  return at == annotations.end() ? absl::string_view() : absl::string_view(at->second);
}

PodTiming TimingOf(const Pod& pod, const PodTiming& defaults) {
  PodTiming out = defaults;
  if (pod.spec().restart_policy() != "Never" && pod.spec().restart_policy() != "OnFailure") {
    out.run_for.reset();
  }
  ReadDuration(pod, "start-delay", &out.start_delay);
  ReadDuration(pod, "init-run-for", &out.init_run_for);
  ReadDuration(pod, "ready-delay", &out.ready_delay);
  ReadDuration(pod, "stop-delay", &out.stop_delay);
  if (const absl::string_view run_for = HollowAnnotation(pod, "run-for"); !run_for.empty()) {
    Duration value = Duration(-1);
    ReadDuration(pod, "run-for", &value);
    if (value >= Duration::zero()) out.run_for = value;
  }
  int exit_code = 0;
  if (absl::SimpleAtoi(HollowAnnotation(pod, "exit-code"), &exit_code) && exit_code >= 0 &&
      exit_code <= 255) {
    out.exit_code = exit_code;
  }
  double rate = 0;
  if (absl::SimpleAtod(HollowAnnotation(pod, "failure-rate"), &rate)) {
    out.failure_rate = std::clamp(rate, 0.0, 1.0);
  }
  return out;
}

bool Step(const Pod& pod, const PodTiming& timing, const RunTime& time,
          const std::function<bool()>& failed_start, PodRun* run) {
  Stepper stepper(pod, timing, time, failed_start, *run);
  bool changed = false;
  // Each step is one of few that a container can make at one moment; the bound is against a
  // mistake in the table above.
  const int steps_max = 16 + 8 * (static_cast<int>(run->init.size() + run->main.size()) +
                                  pod.spec().containers_size() + pod.spec().init_containers_size());
  for (int i = 0; i < steps_max && stepper.Advance(); ++i) changed = true;
  return changed;
}

std::optional<MonotonicTime> NextStep(const PodRun& run) {
  std::optional<MonotonicTime> next;
  const auto consider = [&next](const std::optional<MonotonicTime>& at) {
    if (at.has_value() && (!next.has_value() || *at < *next)) next = at;
  };
  if (run.finished()) return next;
  consider(run.due);
  if (run.stage != Stage::kStopping) consider(run.deadline);
  for (const std::vector<ContainerRun>* containers : {&run.init, &run.main}) {
    for (const ContainerRun& container : *containers) {
      consider(container.ends_at);
      consider(container.ready_at);
      consider(container.restarts_at);
    }
  }
  return next;
}

void Refuse(const Pod& pod, absl::string_view reason, absl::string_view message,
            const RunTime& time, PodRun* run) {
  run->stage = Stage::kFinished;
  run->failed = true;
  run->start_time_s = UnixSeconds(time.wall);
  run->reason = std::string(reason);
  run->message = absl::StrCat("Pod was rejected: ", message);
}

void Adopt(const Pod& pod, const PodTiming& timing, const RunTime& time, PodRun* run) {
  const kube::core::v1::PodStatus& status = pod.status();
  if (status.has_start_time()) run->start_time_s = status.start_time().seconds();
  if (status.phase() == "Succeeded" || status.phase() == "Failed") {
    run->stage = Stage::kFinished;
    run->failed = status.phase() == "Failed";
    run->reason = status.reason();
    run->message = status.message();
  }
  if (!run->finished() && status.phase() != "Running") return;
  run->init.resize(static_cast<size_t>(pod.spec().init_containers_size()));
  run->main.resize(static_cast<size_t>(pod.spec().containers_size()));
  for (const ContainerStatus& container : status.init_container_statuses()) {
    for (int i = 0; i < pod.spec().init_containers_size(); ++i) {
      if (pod.spec().init_containers(i).name() != container.name()) continue;
      PodTiming endless;  // of an earlier life: done, or a sidecar that goes on
      ContainerRun& adopted = run->init[static_cast<size_t>(i)];
      AdoptContainer(container, endless, time, &adopted);
      adopted.ready_at.reset();
      adopted.restarts_at.reset();
    }
  }
  for (const ContainerStatus& container : status.container_statuses()) {
    for (int i = 0; i < pod.spec().containers_size(); ++i) {
      if (pod.spec().containers(i).name() != container.name()) continue;
      AdoptContainer(container, timing, time, &run->main[static_cast<size_t>(i)]);
    }
  }
  if (run->finished()) return;
  run->stage = Stage::kRunning;
  run->sandbox = true;
  if (pod.spec().has_active_deadline_seconds()) {
    const int64_t passed_s = std::max<int64_t>(0, UnixSeconds(time.wall) - run->start_time_s);
    run->deadline =
        time.now + seconds(std::max<int64_t>(0, pod.spec().active_deadline_seconds() - passed_s));
  }
}

}  // namespace meltemi::kubelet
