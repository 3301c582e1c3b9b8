#include "orchestrator/kubelet/pods/plan.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "orchestrator/kubelet/pods/planner.h"
#include "orchestrator/kubelet/pods/status.h"

namespace meltemi::kubelet {

using kube::core::v1::Container;
using kube::core::v1::Pod;
using Phase = ContainerState::Phase;

Plan Planner::Make() && {
  if (in_.pod == nullptr) {
    End();
    return std::move(plan_);
  }
  plan_.has_status = true;
  plan_.status = MakePodStatus(in_, false);
  const bool past_deadline = IsPastDeadline(in_);
  if (past_deadline) Tell("Normal", kDeadlineReason, kDeadlineMessage);
  plan_.ending = in_.gone || in_.pod->metadata().has_deletion_timestamp() ||
                 in_.memory.ending_by.has_value() || IsFinalPhase(plan_.status);
  if (plan_.ending) {
    End();
  } else {
    Run();
    if (const std::optional<WallTime> deadline = DeadlineOf(in_)) LookAgain(At(*deadline));
  }
  return std::move(plan_);
}

const SandboxState* Planner::Sandbox() const {
  return SandboxIsUsable(*in_.pod, in_.state) ? &in_.state.sandboxes.front() : nullptr;
}

const ContainerState* Planner::InSandbox(const std::string& name) const {
  const SandboxState* sandbox = Sandbox();
  if (sandbox == nullptr) return nullptr;
  for (const ContainerState& state : in_.state.containers) {
    if (state.name == name && state.sandbox == sandbox->id) return &state;
  }
  return nullptr;
}

bool Planner::MainHasBeenStarted() const {
  const auto& containers = in_.pod->spec().containers();
  return std::any_of(containers.begin(), containers.end(), [this](const Container& container) {
    const ContainerState* state = InSandbox(container.name());
    return state != nullptr && state->phase != Phase::kCreated;
  });
}

ProbeResult Planner::Probe(const Container& container, const ContainerState& state) const {
  if (!in_.probe) return {.started = true, .ready = true};
  return in_.probe(container, state);
}

bool Planner::HookRuns() const {
  return std::any_of(in_.memory.containers.begin(), in_.memory.containers.end(),
                     [this](const auto& entry) {
                       const ContainerState* state = in_.state.ById(entry.second.hook_of);
                       return state != nullptr && state->phase == Phase::kRunning;
                     });
}

void Planner::Kill(const ContainerState& state, MonotonicTime by, bool turn, std::string message) {
  if (!killed_.insert(state.id).second) return;
  Action action;
  action.kind = Action::Kind::kKill;
  action.id = state.id;
  action.container = state.name;
  action.turn = turn;
  action.by = by;
  action.message = std::move(message);
  const auto begun = in_.memory.kills.find(state.id);
  if (begun != in_.memory.kills.end()) action.by = std::min(by, begun->second.deadline);
  LookAgain(action.by);
  plan_.actions.push_back(std::move(action));
}

void Planner::Add(Action::Kind kind, std::string id) {
  Action action;
  action.kind = kind;
  action.id = std::move(id);
  plan_.actions.push_back(std::move(action));
}

void Planner::LookAgain(MonotonicTime at) {
  if (at <= in_.now) return;
  if (!plan_.again.has_value() || at < *plan_.again) plan_.again = at;
}

void Planner::Tell(absl::string_view type, absl::string_view reason, std::string message,
                   absl::string_view container) {
  plan_.events.push_back(
      {std::string(type), std::string(reason), std::move(message), std::string(container)});
}

Plan MakePlan(const PlanInput& input) { return Planner(input).Make(); }

std::optional<WallTime> BackOffUntil(const CrashBackOff& backoff, WallTime finished_at,
                                     Duration longest, WallTime now) {
  if (backoff.delay == Duration::zero()) return std::nullopt;
  // It has run for long: forgiven.
  if (finished_at - backoff.restarted_at > 2 * longest) return std::nullopt;
  const WallTime until = finished_at + backoff.delay;
  if (until <= now) return std::nullopt;
  return until;
}

CrashBackOff NextBackOff(const CrashBackOff& backoff, WallTime finished_at, WallTime now,
                         Duration first, Duration longest) {
  const bool forgiven = finished_at - backoff.restarted_at > 2 * longest;
  if (backoff.delay == Duration::zero() || forgiven) return {first, now};
  return {std::min(2 * backoff.delay, longest), now};
}

KillStep NextKillStep(const KillMemory& kill, bool has_hook, bool turn, MonotonicTime now) {
  const Duration left = kill.deadline - now;
  const bool in_time = left > Duration::zero();
  // A grace period that has become shorter is told to the runtime once more.
  if (kill.stopping && kill.stopping_by <= std::max(kill.deadline, now + kGraceMin)) return {};
  if (has_hook && in_time && kill.hook == KillMemory::Hook::kNone) {
    return {KillStep::Kind::kRunHook, left, std::nullopt};
  }
  if (in_time && (kill.hook == KillMemory::Hook::kRunning || !turn)) {
    return {KillStep::Kind::kWait, Duration::zero(), kill.deadline};
  }
  if (!kill.stopping && now < kill.retry_at) {
    return {KillStep::Kind::kWait, Duration::zero(), kill.retry_at};
  }
  return {KillStep::Kind::kStop, std::max(left, kGraceMin), std::nullopt};
}

bool IsSidecarContainer(const Container& container) {
  return container.restart_policy() == "Always";
}

std::string GoSeconds(Duration duration) {
  const int64_t all = std::chrono::duration_cast<seconds>(duration).count();
  if (all < 60) return absl::StrCat(all, "s");
  if (all < 3600) return absl::StrCat(all / 60, "m", all % 60, "s");
  return absl::StrCat(all / 3600, "h", all % 3600 / 60, "m", all % 60, "s");
}

std::string PodText(const Pod& pod) {
  return absl::StrCat(pod.metadata().name(), "_", pod.metadata().namespace_(), "(",
                      pod.metadata().uid(), ")");
}

const Container* FindContainer(const Pod& pod, const std::string& name) {
  for (const Container& container : pod.spec().init_containers()) {
    if (container.name() == name) return &container;
  }
  for (const Container& container : pod.spec().containers()) {
    if (container.name() == name) return &container;
  }
  return nullptr;
}

}  // namespace meltemi::kubelet
