#include "orchestrator/kubelet/pods/status.h"

#include <algorithm>
#include <string>

#include "orchestrator/kubelet/pods/conditions.h"
#include "orchestrator/kubelet/pods/container_status.h"

namespace meltemi::kubelet {
namespace {

using kube::core::v1::Container;
using kube::core::v1::ContainerStatus;
using kube::core::v1::Pod;
using kube::core::v1::PodStatus;
using Statuses = google::protobuf::RepeatedPtrField<ContainerStatus>;

constexpr char kLost[] = "The container could not be located when the pod was terminated";

const ContainerStatus* Find(const Statuses& all, const std::string& name) {
  for (const ContainerStatus& status : all) {
    if (status.name() == name) return &status;
  }
  return nullptr;
}

// How many containers are in which state.
struct Counts {
  int pending_init = 0, failed_init = 0, pending_sidecars = 0;
  int unknown = 0, running = 0, waiting = 0, stopped = 0, succeeded = 0;
};

void CountInit(const ContainerStatus* held, Counts* counts) {
  if (held == nullptr || held->state().has_running()) {
    ++counts->pending_init;
  } else if (held->state().has_terminated()) {
    counts->failed_init += held->state().terminated().exit_code() != 0;
  } else if (!held->last_state().has_terminated()) {
    ++counts->pending_init;
  } else {
    counts->failed_init += held->last_state().terminated().exit_code() != 0;
  }
}

// Sidecars that have ended do not count.
void CountSidecar(const ContainerStatus* held, Counts* counts) {
  if (held == nullptr) {
    ++counts->unknown;
  } else if (held->state().has_running()) {
    counts->pending_sidecars += !held->started();
    ++counts->running;
  } else if (!held->state().has_terminated() && !held->last_state().has_terminated()) {
    ++counts->pending_sidecars;
    ++counts->waiting;
  }
}

void CountMain(const ContainerStatus* held, Counts* counts) {
  if (held == nullptr) {
    ++counts->unknown;
  } else if (held->state().has_running()) {
    ++counts->running;
  } else if (held->state().has_terminated()) {
    ++counts->stopped;
    counts->succeeded += held->state().terminated().exit_code() == 0;
  } else if (held->last_state().has_terminated()) {
    ++counts->stopped;
  } else {
    ++counts->waiting;
  }
}

std::string PhaseOf(const Pod& pod, const PodStatus& status, bool ended) {
  Counts counts;
  for (const Container& container : pod.spec().init_containers()) {
    const ContainerStatus* held = Find(status.init_container_statuses(), container.name());
    IsSidecarContainer(container) ? CountSidecar(held, &counts) : CountInit(held, &counts);
  }
  for (const Container& container : pod.spec().containers()) {
    CountMain(Find(status.container_statuses(), container.name()), &counts);
  }
  const std::string& policy = pod.spec().restart_policy();
  if (counts.failed_init > 0 && policy == "Never") return "Failed";
  if (counts.pending_init > 0 || (counts.pending_sidecars > 0 && !AnyMainStarted(pod, status)) ||
      counts.waiting > 0) {
    return "Pending";
  }
  if (counts.unknown > 0) return "Pending";
  if (counts.running > 0) return "Running";
  if (counts.stopped == 0) return "Pending";
  const bool all_well = counts.stopped == counts.succeeded;
  if (ended) return all_well ? "Succeeded" : "Failed";
  if (policy != "Never" && policy != "OnFailure") return "Running";
  if (all_well) return "Succeeded";
  return policy == "Never" ? "Failed" : "Running";
}

// What the phase of an earlier status still says. A final phase is never left.
void KeepPhase(const PlanInput& input, PodStatus* status) {
  const PodStatus& before = StatusBefore(input);
  const PodStatus& written = input.pod->status();
  if (IsFinalPhase(written)) {
    status->set_phase(written.phase());
    status->set_reason(written.reason());
    status->set_message(written.message());
    return;
  }
  if (IsFinalPhase(before)) {
    status->set_phase(before.phase());
  }
  if (status->phase() != before.phase()) return;
  status->set_reason(before.reason().empty() ? written.reason() : before.reason());
  status->set_message(before.message().empty() ? written.message() : before.message());
}

// It does not come back to what it was: what it had is told to the end.
bool IsEnding(const PlanInput& input) {
  return input.gone || input.memory.ending_by.has_value() ||
         input.pod->metadata().has_deletion_timestamp() || IsFinalPhase(input.pod->status());
}

void AddAddresses(const PlanInput& input, PodStatus* status) {
  const PlanOptions& options = input.options;
  if (!options.node_ips.empty()) {
    status->set_host_ip(options.node_ips.front());
    for (const std::string& ip : options.node_ips) status->add_host_ips()->set_ip(ip);
  }
  std::vector<std::string> ips;
  if (input.pod->spec().host_network()) {
    ips = options.node_ips;
  } else if (!input.state.sandboxes.empty() && input.state.sandboxes.front().ready) {
    ips = input.state.sandboxes.front().ips;
  } else if (IsEnding(input)) {
    ips = input.memory.ips;
    if (ips.empty()) {
      for (const auto& ip : StatusBefore(input).pod_ips()) ips.push_back(ip.ip());
    }
  }
  if (ips.empty()) return;
  status->set_pod_ip(ips.front());
  for (const std::string& ip : ips) status->add_pod_ips()->set_ip(ip);
}

void AddContainers(const PlanInput& input, bool restarts, PodStatus* status) {
  const PodStatus& before = StatusBefore(input);
  for (const Container& container : input.pod->spec().init_containers()) {
    *status->add_init_container_statuses() = MakeContainerStatus(
        input, container, true, restarts, Find(before.init_container_statuses(), container.name()));
  }
  for (const Container& container : input.pod->spec().containers()) {
    *status->add_container_statuses() = MakeContainerStatus(
        input, container, false, restarts, Find(before.container_statuses(), container.name()));
  }
  std::sort(status->mutable_container_statuses()->begin(),
            status->mutable_container_statuses()->end(),
            [](const ContainerStatus& a, const ContainerStatus& b) { return a.name() < b.name(); });
}

// Whether its containers have had their turn: there are no init containers, or they are through.
bool WasInitialized(const Pod& pod, const PodStatus& status) {
  if (pod.spec().init_containers_size() == 0 || AnyMainStarted(pod, status)) return true;
  const Container& last = *pod.spec().init_containers().rbegin();
  const ContainerStatus* held = Find(status.init_container_statuses(), last.name());
  if (held == nullptr) return false;
  if (IsSidecarContainer(last)) return held->state().has_running() && held->started();
  const auto succeeded = [](const kube::core::v1::ContainerState& state) {
    return state.has_terminated() && state.terminated().exit_code() == 0;
  };
  return succeeded(held->state()) || succeeded(held->last_state());
}

// At the end every container that had its turn has ended, if need be in a way that nobody knows.
void EndContainers(const Pod& pod, PodStatus* status) {
  if (WasInitialized(pod, *status)) {
    for (ContainerStatus& held : *status->mutable_container_statuses()) {
      if (!held.state().has_terminated()) SetUnknownEnd(kLost, held.mutable_state());
    }
  }
  Statuses& init = *status->mutable_init_container_statuses();
  int begun = std::min(1, init.size());
  for (int i = 0; i < init.size(); ++i) {
    const bool waits = init[i].state().has_waiting() && !init[i].last_state().has_terminated();
    if (!waits) begun = i + 1;
  }
  for (int i = 0; i < begun; ++i) {
    if (!init[i].state().has_terminated()) SetUnknownEnd(kLost, init[i].mutable_state());
  }
}

PodStatus RejectedStatus(const PlanInput& input) {
  PodStatus out;
  out.set_phase("Failed");
  out.set_reason(input.memory.rejected->reason);
  out.set_message("Pod was rejected: " + input.memory.rejected->message);
  out.set_qos_class(input.pod->status().qos_class());
  *out.mutable_conditions() = input.pod->status().conditions();
  return out;
}

void SetStartTime(const PlanInput& input, PodStatus* status) {
  const PodStatus& before = StatusBefore(input);
  if (before.has_start_time()) {
    *status->mutable_start_time() = before.start_time();
  } else if (input.pod->status().has_start_time()) {
    *status->mutable_start_time() = input.pod->status().start_time();
  } else {
    status->mutable_start_time()->set_seconds(
        std::chrono::duration_cast<seconds>(input.wall.time_since_epoch()).count());
  }
}

void PassDeadline(PodStatus* status) {
  status->set_phase("Failed");
  status->set_reason(kDeadlineReason);
  status->set_message(kDeadlineMessage);
}

}  // namespace

const PodStatus& StatusBefore(const PlanInput& input) {
  return input.memory.status.has_value() ? *input.memory.status : input.pod->status();
}

bool IsFinalPhase(const PodStatus& status) {
  return status.phase() == "Succeeded" || status.phase() == "Failed";
}

std::optional<WallTime> DeadlineOf(const PlanInput& input) {
  if (!input.pod->spec().has_active_deadline_seconds()) return std::nullopt;
  const PodStatus& before = StatusBefore(input);
  const auto& start =
      before.has_start_time() ? before.start_time() : input.pod->status().start_time();
  const seconds allowed(input.pod->spec().active_deadline_seconds());
  if (start.seconds() == 0) return input.wall + allowed;  // it begins now
  return WallTime(seconds(start.seconds()) + allowed);
}

bool IsPastDeadline(const PlanInput& input) {
  const std::optional<WallTime> deadline = DeadlineOf(input);
  if (!deadline.has_value() || *deadline > input.wall) return false;
  // What had ended before stays as it was.
  const PodStatus& before = StatusBefore(input);
  return !IsFinalPhase(before) || before.reason() == kDeadlineReason;
}

bool SandboxIsUsable(const Pod& pod, const PodState& state) {
  if (state.sandboxes.empty() || !state.sandboxes.front().ready) return false;
  const auto ready = [](const SandboxState& sandbox) { return sandbox.ready; };
  if (std::count_if(state.sandboxes.begin(), state.sandboxes.end(), ready) > 1) return false;
  return pod.spec().host_network() || !state.sandboxes.front().ips.empty();
}

PodStatus MakePodStatus(const PlanInput& input, bool ended) {
  const Pod& pod = *input.pod;
  PodStatus out;
  if (input.memory.rejected.has_value()) {
    out = RejectedStatus(input);
    SetStartTime(input, &out);
    return out;
  }
  // Nothing is known of it but what is written, by whomever: that stays.
  if (IsFinalPhase(pod.status()) && input.state.empty()) return pod.status();
  const bool past_deadline = IsPastDeadline(input);
  const bool restarts = !ended && !input.gone && !past_deadline &&
                        !pod.metadata().has_deletion_timestamp() && !IsFinalPhase(pod.status());
  AddContainers(input, restarts, &out);
  out.set_phase(PhaseOf(pod, out, ended));
  KeepPhase(input, &out);
  if (past_deadline) PassDeadline(&out);
  if (ended) {
    EndContainers(pod, &out);
    if (!IsFinalPhase(out)) out.set_phase("Failed");
  }
  out.set_qos_class(input.qos_class.empty() ? pod.status().qos_class() : input.qos_class);
  AddAddresses(input, &out);
  SetStartTime(input, &out);
  AddConditions(pod, StatusBefore(input), SandboxIsUsable(pod, input.state), input.wall, &out);
  return out;
}

void HoldBackPhase(const PlanInput& input, PodStatus* status) {
  if (!IsFinalPhase(*status) || IsFinalPhase(input.pod->status())) return;
  const PodStatus& before = StatusBefore(input);
  status->set_phase(before.phase().empty() ? "Pending" : before.phase());
  status->set_reason(before.reason());
  status->set_message(before.message());
}

}  // namespace meltemi::kubelet
