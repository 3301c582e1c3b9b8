#include <algorithm>

#include "absl/strings/str_cat.h"
#include "orchestrator/kubelet/pods/planner.h"
#include "orchestrator/kubelet/pods/status.h"

namespace meltemi::kubelet {
namespace {

using kube::core::v1::Container;
using Phase = ContainerState::Phase;

constexpr int64_t kGraceDefault_s = 30;

bool RunsOrMay(const ContainerState& state) {
  return state.phase == Phase::kRunning || state.phase == Phase::kUnknown;
}

}  // namespace

void Planner::End() {
  plan_.ending = true;
  MonotonicTime by = in_.now + GracePeriod();
  // A period that has begun is never made longer.
  if (in_.memory.ending_by.has_value()) by = std::min(by, *in_.memory.ending_by);
  plan_.ending_by = by;
  EndContainers(by);
  if (!in_.state.AnyRunning()) {
    plan_.ended = true;
    for (const SandboxState& sandbox : in_.state.sandboxes) {
      if (!sandbox.ready) continue;
      plan_.ended = false;
      Add(Action::Kind::kStopSandbox, sandbox.id);
    }
  }
  if (!plan_.ended) {
    if (in_.pod != nullptr) HoldBackPhase(in_, &plan_.status);
    return;
  }
  if (in_.pod != nullptr) plan_.status = MakePodStatus(in_, true);
  if (!in_.memory.cleaned) {
    if (in_.now < in_.memory.clean_retry_at) return LookAgain(in_.memory.clean_retry_at);
    return Add(Action::Kind::kCleanUp, "");
  }
  if (in_.gone) return RemoveAll();
  plan_.may_delete = in_.pod->metadata().has_deletion_timestamp();
  RemoveLeftovers();
}

Duration Planner::GracePeriod() const {
  if (in_.pod == nullptr) return kGraceMin;
  const auto& meta = in_.pod->metadata();
  const auto& spec = in_.pod->spec();
  int64_t grace_s = kGraceDefault_s;
  if (meta.has_deletion_grace_period_seconds()) {
    grace_s = meta.deletion_grace_period_seconds();
  } else if (spec.has_termination_grace_period_seconds()) {
    grace_s = spec.termination_grace_period_seconds();
  }
  return seconds(std::max<int64_t>(0, grace_s));
}

MonotonicTime Planner::DrainedAt() const {
  const MonotonicTime since = in_.memory.ending_since.value_or(in_.now);
  if (in_.pod == nullptr || in_.gone || !in_.pod->metadata().has_deletion_timestamp()) return since;
  const auto& conditions = StatusBefore(in_).conditions();
  const bool ready = std::any_of(conditions.begin(), conditions.end(), [](const auto& condition) {
    return condition.type() == "Ready" && condition.status() == "True";
  });
  const auto& spec = in_.pod->spec();
  const auto declares = [](const Container& container) { return container.ports_size() > 0; };
  const bool serves =
      std::any_of(spec.containers().begin(), spec.containers().end(), declares) ||
      std::any_of(spec.init_containers().begin(), spec.init_containers().end(), declares);
  if (!ready || !serves) return since;
  return since + std::min(in_.options.drain_delay, GracePeriod() / 4);
}

// Containers at once; sidecars in reverse order when all that they serve has ended, or when the
// time is over.
void Planner::EndContainers(MonotonicTime by) {
  std::set<std::string> sidecars;
  if (in_.pod != nullptr) {
    for (const Container& container : in_.pod->spec().init_containers()) {
      if (IsSidecarContainer(container)) sidecars.insert(container.name());
    }
  }
  const MonotonicTime drained_at = DrainedAt();
  const auto end = [&](const ContainerState& state, bool turn) {
    if (!RunsOrMay(state)) return false;
    turn &= drained_at <= in_.now;
    LookAgain(drained_at);
    Kill(state, by, turn, absl::StrCat("Stopping container ", state.name));
    return true;
  };
  bool anything_runs = false;
  for (const ContainerState& state : in_.state.containers) {
    if (sidecars.count(state.name) == 0) anything_runs |= end(state, true);
  }
  if (in_.pod == nullptr) return;
  const auto& init = in_.pod->spec().init_containers();
  for (auto container = init.rbegin(); container != init.rend(); ++container) {
    if (!IsSidecarContainer(*container)) continue;
    bool runs = false;
    for (const ContainerState& state : in_.state.containers) {
      if (state.name == container->name()) runs |= end(state, !anything_runs);
    }
    anything_runs |= runs;
  }
}

void Planner::RemoveAll() {
  for (const ContainerState& state : in_.state.containers) {
    Add(Action::Kind::kRemoveContainer, state.id);
  }
  if (!in_.state.containers.empty()) return;
  for (const SandboxState& sandbox : in_.state.sandboxes) {
    Add(Action::Kind::kRemoveSandbox, sandbox.id);
  }
  if (in_.state.sandboxes.empty()) Add(Action::Kind::kForget, "");
}

}  // namespace meltemi::kubelet
