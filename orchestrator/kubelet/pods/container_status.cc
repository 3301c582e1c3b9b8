#include "orchestrator/kubelet/pods/container_status.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace meltemi::kubelet {
namespace {

using kube::core::v1::Container;
using kube::core::v1::ContainerStatus;
using kube::core::v1::Pod;
using Phase = ContainerState::Phase;
using ApiState = kube::core::v1::ContainerState;

constexpr int kKilled = 137;
constexpr char kEndUnknown[] = "ContainerStatusUnknown";

void SetTime(WallTime time, kube::meta::v1::Time* out) {
  out->set_seconds(std::chrono::duration_cast<seconds>(time.time_since_epoch()).count());
}

std::string IdText(const PlanInput& input, const ContainerState& state) {
  return absl::StrCat(input.options.runtime_name, "://", state.id);
}

void FillTerminated(const PlanInput& input, const ContainerState& state, ApiState* out) {
  auto& terminated = *out->mutable_terminated();
  terminated.set_exit_code(state.exit_code);
  terminated.set_reason(state.reason);
  terminated.set_message(state.message);
  SetTime(state.started_at, terminated.mutable_started_at());
  SetTime(state.finished_at, terminated.mutable_finished_at());
  terminated.set_container_id(IdText(input, state));
}

void FillMounts(const Container& container, ContainerStatus* out) {
  for (const kube::core::v1::VolumeMount& mount : container.volume_mounts()) {
    auto& status = *out->add_volume_mounts();
    status.set_name(mount.name());
    status.set_mount_path(mount.mount_path());
    if (!mount.read_only()) continue;
    status.set_read_only(true);
    status.set_recursive_read_only("Disabled");
  }
}

// Its process is there, and its postStart handler has come back.
bool Runs(const PlanInput& input, const ContainerState& state) {
  if (state.phase != Phase::kRunning) return false;
  const auto memory = input.memory.containers.find(state.name);
  return memory == input.memory.containers.end() || memory->second.hook_of != state.id;
}

// The runs of it that have left something in the runtime; the newest first.
std::vector<const ContainerState*> RunsOf(const PlanInput& input, const std::string& name) {
  std::vector<const ContainerState*> out;
  for (const ContainerState& state : input.state.containers) {
    if (state.name == name) out.push_back(&state);
  }
  return out;
}

void FillWaiting(const PlanInput& input, ContainerStatus* out) {
  out->clear_state();
  out->mutable_state()->mutable_waiting()->set_reason(
      input.pod->spec().init_containers_size() > 0 ? "PodInitializing" : "ContainerCreating");
}

// Nothing of it is in the runtime.
void FillFromBefore(const PlanInput& input, const ContainerStatus* before, ContainerStatus* out) {
  if (before == nullptr) return;
  if (before->state().has_terminated()) {
    *out = *before;
    return;
  }
  out->set_restart_count(before->restart_count());
  *out->mutable_last_state() = before->last_state();
  if (!before->state().has_running() || before->last_state().has_terminated()) return;
  // It has run, and was lost: so that the pod does not look as if it had never begun.
  SetUnknownEnd(
      "The container could not be located when the pod was deleted.  The container used to be "
      "Running",
      out->mutable_last_state());
  if (!input.pod->metadata().has_deletion_timestamp()) {
    out->set_restart_count(out->restart_count() + 1);
  }
}

void FillFromRuntime(const PlanInput& input, const std::vector<const ContainerState*>& runs,
                     const ContainerStatus* before, ContainerStatus* out) {
  const ContainerState& newest = *runs.front();
  out->set_restart_count(static_cast<int32_t>(newest.attempt));
  if (runs.size() > 1 && runs[1]->phase == Phase::kExited) {
    FillTerminated(input, *runs[1], out->mutable_last_state());
  } else if (before != nullptr && before->last_state().has_terminated()) {
    *out->mutable_last_state() = before->last_state();
  }
  if (newest.phase == Phase::kCreated) return;
  if (newest.phase == Phase::kRunning && !Runs(input, newest)) return;
  if (!newest.image.empty()) out->set_image(newest.image);
  out->set_image_id(newest.image_ref);
  out->set_container_id(IdText(input, newest));
  out->clear_state();
  if (newest.phase == Phase::kRunning) {
    SetTime(newest.started_at, out->mutable_state()->mutable_running()->mutable_started_at());
  } else if (newest.phase == Phase::kExited) {
    FillTerminated(input, newest, out->mutable_state());
  } else if (before != nullptr && before->state().has_running()) {
    SetUnknownEnd("The container could not be located when the pod was terminated",
                  out->mutable_state());
  } else {
    out->mutable_state()->mutable_waiting();
  }
}

// What has ended or was never begun, and what keeps it from being started.
void FillWhyNot(const PlanInput& input, const Container& container, const ContainerState* newest,
                ContainerStatus* out) {
  const auto at = input.memory.containers.find(container.name());
  if (at == input.memory.containers.end()) return;
  const ContainerMemory& memory = at->second;
  std::string reason = memory.failure_reason, message = memory.failure_message;
  if (newest != nullptr && newest->phase == Phase::kExited &&
      BackOffUntil(memory.crash, newest->finished_at, input.options.backoff_max, input.wall)) {
    reason = "CrashLoopBackOff";
    message = absl::StrCat("back-off ", GoSeconds(memory.crash.delay),
                           " restarting failed container=", container.name(),
                           " pod=", PodText(*input.pod));
  }
  if (reason.empty()) return;
  if (out->state().has_terminated()) {
    const ApiState ended = out->state();
    *out->mutable_last_state() = ended;
  }
  out->clear_state();
  out->mutable_state()->mutable_waiting()->set_reason(reason);
  out->mutable_state()->mutable_waiting()->set_message(message);
}

}  // namespace

void SetUnknownEnd(absl::string_view message, ApiState* state) {
  state->Clear();
  state->mutable_terminated()->set_reason(kEndUnknown);
  state->mutable_terminated()->set_message(std::string(message));
  state->mutable_terminated()->set_exit_code(kKilled);
}

bool IsRestarted(const Pod& pod, const Container& container, int32_t exit_code) {
  if (IsSidecarContainer(container)) return true;
  const std::string& policy = pod.spec().restart_policy();
  if (policy == "Never") return false;
  return policy != "OnFailure" || exit_code != 0;
}

ContainerStatus MakeContainerStatus(const PlanInput& input, const Container& container, bool init,
                                    bool restarts, const ContainerStatus* before) {
  ContainerStatus out;
  out.set_name(container.name());
  out.set_image(container.image());
  out.mutable_last_state();
  FillMounts(container, &out);
  FillWaiting(input, &out);
  const std::vector<const ContainerState*> runs = RunsOf(input, container.name());
  const ContainerState* newest = runs.empty() ? nullptr : runs.front();
  if (newest == nullptr) {
    FillFromBefore(input, before, &out);
  } else {
    FillFromRuntime(input, runs, before, &out);
  }
  const bool done = init && !IsSidecarContainer(container) && newest != nullptr &&
                    newest->phase == Phase::kExited && newest->exit_code == 0;
  const bool starts_again =
      newest == nullptr ? !out.state().has_terminated()
                        : newest->phase == Phase::kCreated || newest->phase == Phase::kUnknown ||
                              (newest->phase == Phase::kExited &&
                               IsRestarted(*input.pod, container, newest->exit_code));
  if (restarts && !done && starts_again) FillWhyNot(input, container, newest, &out);
  out.set_started(false);
  out.set_ready(false);
  if (out.state().has_running()) {
    const ProbeResult probed =
        input.probe ? input.probe(container, *newest) : ProbeResult{.started = true, .ready = true};
    out.set_started(probed.started);
    out.set_ready(probed.started && probed.ready && (!init || IsSidecarContainer(container)));
  } else if (init && !IsSidecarContainer(container)) {
    out.set_ready(out.state().has_terminated() && out.state().terminated().exit_code() == 0);
  }
  return out;
}

}  // namespace meltemi::kubelet
