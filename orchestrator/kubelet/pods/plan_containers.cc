#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "orchestrator/kubelet/pods/container_status.h"
#include "orchestrator/kubelet/pods/planner.h"
#include "orchestrator/kubelet/pods/status.h"

namespace meltemi::kubelet {
namespace {

using kube::core::v1::Container;
using kube::core::v1::Pod;
using Phase = ContainerState::Phase;

constexpr int64_t kGraceDefault_s = 30;

Duration PodGrace(const Pod& pod) {
  const int64_t grace_s = pod.spec().has_termination_grace_period_seconds()
                              ? pod.spec().termination_grace_period_seconds()
                              : kGraceDefault_s;
  return seconds(std::max<int64_t>(0, grace_s));
}

// A probe may give the container another time to end than the pod has.
Duration ProbeGrace(const Pod& pod, const kube::core::v1::Probe& probe) {
  if (!probe.has_termination_grace_period_seconds()) return PodGrace(pod);
  return seconds(std::max<int64_t>(0, probe.termination_grace_period_seconds()));
}

bool IsInit(const Pod& pod, const Container& container) {
  const auto& init = pod.spec().init_containers();
  return std::any_of(init.begin(), init.end(),
                     [&](const Container& other) { return &other == &container; });
}

bool RunsOrMay(const ContainerState& state) {
  return state.phase == Phase::kRunning || state.phase == Phase::kUnknown;
}

}  // namespace

void Planner::Run() {
  RemoveLeftovers();
  GoOnWithKills();
  if (Sandbox() == nullptr ? !AnythingToStart() : AllHaveEnded()) return End();
  if (!in_.memory.volumes_ready) {
    if (in_.now < in_.memory.volumes_retry_at) {
      LookAgain(in_.memory.volumes_retry_at);
    } else {
      Add(Action::Kind::kPrepareVolumes, "");
    }
  }
  if (!RunSandbox() || RunInit() == Init::kGoesOn) return;
  for (const Container& container : in_.pod->spec().containers()) RunMain(container);
}

bool Planner::RunSandbox() {
  if (Sandbox() != nullptr) return true;
  if (!in_.state.sandboxes.empty()) ReplaceSandbox();
  const bool old_is_gone = !in_.state.AnyRunning() &&
                           std::none_of(in_.state.sandboxes.begin(), in_.state.sandboxes.end(),
                                        [](const SandboxState& sandbox) { return sandbox.ready; });
  if (!old_is_gone) return false;
  if (!in_.memory.volumes_ready && in_.now < in_.memory.volumes_retry_at) return false;
  if (in_.now < in_.memory.sandbox_retry_at) {
    LookAgain(in_.memory.sandbox_retry_at);
    return false;
  }
  Action action;
  action.kind = Action::Kind::kCreateSandbox;
  if (!in_.state.sandboxes.empty()) action.attempt = in_.state.sandboxes.front().attempt + 1;
  plan_.actions.push_back(std::move(action));
  return false;
}

// What is left of the earlier one ends first: two of a pod never run beside each other.
void Planner::ReplaceSandbox() {
  Tell("Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.");
  bool running = false;
  for (const ContainerState& state : in_.state.containers) {
    if (!RunsOrMay(state)) continue;
    running = true;
    Kill(state, in_.now + PodGrace(*in_.pod), true,
         absl::StrCat("Stopping container ", state.name));
  }
  if (running) return;
  for (const SandboxState& sandbox : in_.state.sandboxes) {
    if (sandbox.ready) Add(Action::Kind::kStopSandbox, sandbox.id);
  }
}

// Containers have ended for good: sidecars do not keep the pod.
bool Planner::AllHaveEnded() const {
  const auto& containers = in_.pod->spec().containers();
  return std::all_of(containers.begin(), containers.end(), [this](const Container& container) {
    const ContainerState* newest = in_.state.Newest(container.name());
    return newest != nullptr && newest->phase == Phase::kExited &&
           !IsRestarted(*in_.pod, container, newest->exit_code);
  });
}

// Of a pod without a sandbox.
bool Planner::AnythingToStart() const {
  const Pod& pod = *in_.pod;
  if (in_.state.sandboxes.empty()) return true;
  bool any_main = false, all_done = true;
  for (const Container& container : pod.spec().containers()) {
    const ContainerState* newest = in_.state.Newest(container.name());
    any_main |= newest != nullptr && newest->phase != Phase::kCreated;
    all_done &= newest != nullptr && newest->phase == Phase::kExited && newest->exit_code == 0;
  }
  if (pod.spec().restart_policy() == "Never") return !any_main;
  return pod.spec().restart_policy() != "OnFailure" || !all_done;
}

Planner::Init Planner::RunInit() {
  const auto& init = in_.pod->spec().init_containers();
  int last = -1;  // that has been begun
  for (int i = 0; i < init.size(); ++i) {
    const ContainerState* state = InSandbox(init[i].name());
    if (state != nullptr && state->phase != Phase::kCreated) last = i;
  }
  const bool done = MainHasBeenStarted();
  const int through = done ? init.size() : last;
  // Those before are through, whatever became of them; sidecars among them go on.
  for (int i = 0; i < through; ++i) {
    if (IsSidecarContainer(init[i])) RunSidecar(init[i]);
  }
  if (done) return Init::kDone;
  if (last >= 0 && !RunLastInit(init[last])) return Init::kGoesOn;
  if (last + 1 >= init.size()) return Init::kDone;
  Start(init[last + 1]);
  return Init::kGoesOn;
}

bool Planner::RunLastInit(const Container& container) {
  const ContainerState& state = *InSandbox(container.name());
  if (IsSidecarContainer(container)) {
    RunSidecar(container);
    return state.phase == Phase::kRunning && killed_.count(state.id) == 0 && !HookRuns() &&
           Probe(container, state).started;
  }
  switch (state.phase) {
    case Phase::kExited:
      if (state.exit_code == 0) return true;
      if (IsRestarted(*in_.pod, container, state.exit_code)) Start(container);
      return false;
    case Phase::kUnknown:
      Kill(state, in_.now + PodGrace(*in_.pod), true,
           "Init container is in \"unknown\" state, try killing it before restart");
      return false;
    case Phase::kRunning:
    case Phase::kCreated:
      return false;
  }
  return false;
}

void Planner::RunSidecar(const Container& container) {
  const ContainerState* state = InSandbox(container.name());
  if (state == nullptr || state->phase == Phase::kExited || state->phase == Phase::kCreated) {
    Start(container);
  } else if (state->phase == Phase::kUnknown) {
    Kill(*state, in_.now + PodGrace(*in_.pod), true,
         "Init container is in \"unknown\" state, try killing it before restart");
  } else {
    KillUnfit(container, *state);
  }
}

void Planner::RunMain(const Container& container) {
  const ContainerState* state = InSandbox(container.name());
  if (state == nullptr || state->phase == Phase::kCreated) {
    const ContainerState* earlier = in_.state.Newest(container.name());
    const bool done = earlier != nullptr && earlier->phase == Phase::kExited &&
                      !IsRestarted(*in_.pod, container, earlier->exit_code);
    if (!done) Start(container);
    return;
  }
  switch (state->phase) {
    case Phase::kExited:
      if (IsRestarted(*in_.pod, container, state->exit_code)) Start(container);
      return;
    case Phase::kUnknown:
      Kill(*state, in_.now + PodGrace(*in_.pod), true,
           "Container is in \"unknown\" state, try killing it before restart");
      return;
    case Phase::kRunning:
      KillUnfit(container, *state);
      return;
    case Phase::kCreated:
      return;
  }
}

bool Planner::KillUnfit(const Container& container, const ContainerState& state) {
  const auto memory = in_.memory.containers.find(container.name());
  if (memory != in_.memory.containers.end() && memory->second.hook_of == state.id) return false;
  if (in_.memory.kills.count(state.id) != 0) return true;
  const bool init = IsInit(*in_.pod, container);
  const std::string name = absl::StrCat(init ? "Init container " : "Container ", container.name());
  // Sidecars always come back, and it goes without saying.
  const char* const and_then = init ? "" : ", will be restarted";
  if (in_.spec_hash && state.spec_hash != 0 && in_.spec_hash(container) != state.spec_hash) {
    Kill(state, in_.now + PodGrace(*in_.pod), true,
         absl::StrCat(name, " definition changed", and_then));
    return true;
  }
  const ProbeResult probed = Probe(container, state);
  if (!probed.unhealthy) return false;
  const bool startup = container.has_startup_probe() && !probed.started;
  const Duration grace =
      ProbeGrace(*in_.pod, startup ? container.startup_probe() : container.liveness_probe());
  Kill(state, in_.now + grace, true,
       absl::StrCat(name, startup ? " failed startup probe" : " failed liveness probe",
                    in_.pod->spec().restart_policy() == "Never" ? "" : and_then));
  return true;
}

bool Planner::Start(const Container& container) {
  if (!in_.memory.volumes_ready) return false;
  const ContainerState* earlier = nullptr;
  for (const ContainerState& state : in_.state.containers) {
    if (state.name != container.name() || state.phase == Phase::kCreated) continue;
    earlier = &state;
    break;
  }
  Action action;
  action.kind = Action::Kind::kStart;
  action.id = Sandbox()->id;
  action.container = container.name();
  const auto at = in_.memory.containers.find(container.name());
  if (at != in_.memory.containers.end() && in_.now < at->second.retry_at) {
    LookAgain(at->second.retry_at);
    return false;
  }
  if (earlier != nullptr) {
    action.attempt = earlier->attempt + 1;
    action.finished_at = earlier->finished_at;
    const std::optional<WallTime> until = at == in_.memory.containers.end()
                                              ? std::nullopt
                                              : BackOffUntil(at->second.crash, earlier->finished_at,
                                                             in_.options.backoff_max, in_.wall);
    if (until.has_value()) {
      Tell("Warning", "BackOff",
           absl::StrCat("Back-off restarting failed container ", container.name(), " in pod ",
                        PodText(*in_.pod)),
           container.name());
      LookAgain(At(*until));
      return false;
    }
  } else {
    // The runtime may have lost all that was.
    const bool init = IsInit(*in_.pod, container);
    for (const auto& status :
         init ? plan_.status.init_container_statuses() : plan_.status.container_statuses()) {
      if (status.name() != container.name()) continue;
      action.attempt =
          static_cast<uint32_t>(status.restart_count()) + (status.state().has_terminated() ? 1 : 0);
    }
  }
  // One after the other: what a postStart handler prepares is there for those that come later.
  if (HookRuns()) return false;
  plan_.actions.push_back(std::move(action));
  return true;
}

void Planner::GoOnWithKills() {
  for (const auto& [id, kill] : in_.memory.kills) {
    const ContainerState* state = in_.state.ById(id);
    if (state != nullptr && RunsOrMay(*state)) Kill(*state, kill.deadline, true, kill.message);
  }
}

// What was made and never started, dead containers beyond those that are kept for their logs, and
// sandboxes that nothing is in any more.
void Planner::RemoveLeftovers() {
  std::map<std::string, int> kept;
  std::set<std::string> used;
  for (const ContainerState& state : in_.state.containers) {
    const bool dead = state.phase == Phase::kExited;
    if (state.phase == Phase::kCreated ||
        (dead && ++kept[state.name] > in_.options.dead_containers_per_name)) {
      Add(Action::Kind::kRemoveContainer, state.id);
    } else {
      used.insert(state.sandbox);
    }
  }
  for (size_t i = 1; i < in_.state.sandboxes.size(); ++i) {
    const SandboxState& sandbox = in_.state.sandboxes[i];
    if (!sandbox.ready && used.count(sandbox.id) == 0) {
      Add(Action::Kind::kRemoveSandbox, sandbox.id);
    }
  }
}

}  // namespace meltemi::kubelet
