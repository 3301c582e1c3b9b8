#include "orchestrator/kubelet/hollow/pod_status.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "kube/codec/codec.h"
#include "kube/status/field_error.h"

namespace meltemi::kubelet {
namespace {

using kube::core::v1::Container;
using kube::core::v1::ContainerState;
using kube::core::v1::ContainerStateTerminated;
using kube::core::v1::ContainerStatus;
using kube::core::v1::Pod;
using kube::core::v1::PodCondition;
using kube::core::v1::PodStatus;
using State = ContainerRun::State;

constexpr absl::string_view kConditions[] = {"PodReadyToStartContainers", "Initialized",
                                             "ContainersReady", "Ready"};
enum Mark : uint8_t { kStartable, kInitialized, kContainersReady, kReady };

struct Verdict {
  bool value = true;
  std::string reason, message;
};

uint64_t Fnv1a(absl::string_view text, uint64_t hash) {
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return hash;
}

// 64 hexadecimal digits, the same whenever they are asked for.
std::string Digits(absl::string_view uid, absl::string_view container, int32_t run) {
  const std::string text = absl::StrCat(uid, "/", container, "/", run);
  std::string out;
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (int i = 0; i < 4; ++i) {
    hash = Fnv1a(text, hash + static_cast<uint64_t>(i));
    absl::StrAppendFormat(&out, "%016x", hash);
  }
  return out;
}

std::string ContainerId(const PodRun& run, const Container& container, int32_t restarts) {
  return absl::StrCat("hollow://", Digits(run.uid, container.name(), restarts));
}

// Go's notation of whole seconds: "10s", "1m20s", "5m0s".
std::string GoSeconds(int32_t value) {
  return value < 60 ? absl::StrCat(value, "s") : absl::StrCat(value / 60, "m", value % 60, "s");
}

void FillTerminated(int code, int64_t started_s, int64_t finished_s, std::string id,
                    ContainerStateTerminated* out) {
  out->set_exit_code(code);
  if (started_s == 0) {
    out->set_reason("ContainerStatusUnknown");
    out->set_message("The container could not be located when the pod was terminated");
    return;
  }
  out->set_reason(code == 0 ? "Completed" : "Error");
  out->mutable_started_at()->set_seconds(started_s);
  out->mutable_finished_at()->set_seconds(finished_s);
  out->set_container_id(std::move(id));
}

void FillWaiting(const Pod& pod, const Container& container, const ContainerRun& held, bool init,
                 const PodRun& run, ContainerState* out) {
  if (held.backing_off()) {
    out->mutable_waiting()->set_reason("CrashLoopBackOff");
    out->mutable_waiting()->set_message(absl::StrCat(
        "back-off ", GoSeconds(held.backoff_s), " restarting failed container=", container.name(),
        " pod=", pod.metadata().name(), "_", pod.metadata().namespace_(), "(", run.uid, ")"));
    return;
  }
  const bool waits_for_init = !init && pod.spec().init_containers_size() > 0;
  const bool waits_its_turn = init && run.sandbox;
  out->mutable_waiting()->set_reason(waits_for_init || waits_its_turn ? "PodInitializing"
                                                                      : "ContainerCreating");
}

void FillContainer(const Pod& pod, const Container& container, const ContainerRun& held, bool init,
                   const PodRun& run, ContainerStatus* out) {
  const bool ended = held.state == State::kTerminated;
  out->set_name(container.name());
  out->set_restart_count(held.restarts);
  out->set_image(container.image());
  out->set_ready(held.ready || (init && !IsSidecar(container) && ended && held.exit_code == 0));
  out->set_started(held.state == State::kRunning);
  out->mutable_last_state();
  ContainerState* state = out->mutable_state();
  if (held.state == State::kWaiting) {
    FillWaiting(pod, container, held, init, run, state);
  } else {
    out->set_image_id(absl::StrCat("hollow://", container.image()));
    out->set_container_id(ContainerId(run, container, held.restarts));
    if (ended) {
      FillTerminated(held.exit_code, held.started_s, held.finished_s, out->container_id(),
                     state->mutable_terminated());
    } else {
      state->mutable_running()->mutable_started_at()->set_seconds(held.started_s);
    }
  }
  if (held.has_last) {
    const int32_t last_run = held.backing_off() ? held.restarts : held.restarts - 1;
    FillTerminated(held.last_exit_code, held.last_started_s, held.last_finished_s,
                   ContainerId(run, container, last_run),
                   out->mutable_last_state()->mutable_terminated());
    if (held.backing_off()) {
      out->set_image_id(absl::StrCat("hollow://", container.image()));
      out->set_container_id(ContainerId(run, container, last_run));
    }
  }
}

// "containers with unready status: [a b]"; "" when there are none.
std::string Listed(absl::string_view what, const std::vector<std::string>& names) {
  if (names.empty()) return "";
  return absl::StrCat("containers with ", what, " status: [", absl::StrJoin(names, " "), "]");
}

Verdict InitializedVerdict(const Pod& pod, const PodRun& run, const PodStatus& status) {
  if (status.phase() == "Succeeded") return {true, "PodCompleted", ""};
  for (const ContainerRun& container : run.main) {
    if (container.state != State::kWaiting || container.has_last) return {};
  }
  std::vector<std::string> incomplete;
  for (int i = 0; i < status.init_container_statuses_size(); ++i) {
    const ContainerStatus& held = status.init_container_statuses(i);
    const bool done = IsSidecar(pod.spec().init_containers(i)) ? held.started() : held.ready();
    if (!done) incomplete.push_back(held.name());
  }
  if (incomplete.empty()) return {};
  return {false, "ContainersNotInitialized", Listed("incomplete", incomplete)};
}

Verdict ContainersReadyVerdict(const Pod& pod, const PodStatus& status) {
  if (status.phase() == "Succeeded") return {false, "PodCompleted", ""};
  if (status.phase() == "Failed") return {false, "PodFailed", ""};
  std::vector<std::string> unready;
  for (int i = 0; i < status.init_container_statuses_size(); ++i) {
    const ContainerStatus& held = status.init_container_statuses(i);
    if (IsSidecar(pod.spec().init_containers(i)) && !held.ready()) unready.push_back(held.name());
  }
  for (const ContainerStatus& held : status.container_statuses()) {
    if (!held.ready()) unready.push_back(held.name());
  }
  if (unready.empty()) return {};
  return {false, "ContainersNotReady", Listed("unready", unready)};
}

Verdict ReadyVerdict(const Pod& pod, const Verdict& containers) {
  if (!containers.value) return containers;
  std::vector<std::string> missing;
  for (const kube::core::v1::PodReadinessGate& gate : pod.spec().readiness_gates()) {
    const PodCondition* found = nullptr;
    for (const PodCondition& condition : pod.status().conditions()) {
      if (condition.type() == gate.condition_type()) found = &condition;
    }
    const std::string quoted = kube::GoQuote(gate.condition_type());
    if (found == nullptr) {
      missing.push_back(absl::StrCat("corresponding condition of pod readiness gate ", quoted,
                                     " does not exist."));
    } else if (found->status() != "True") {
      missing.push_back(absl::StrCat("the status of pod readiness gate ", quoted,
                                     " is not \"True\", but ", found->status()));
    }
  }
  if (missing.empty()) return {};
  return {false, "ReadinessGatesNotReady", absl::StrJoin(missing, ", ")};
}

void AddCondition(Mark which, const Verdict& verdict, int64_t now_s, PodRun* run, PodStatus* out) {
  ConditionMark& mark = run->marks[which];
  if (!mark.known || mark.value != verdict.value) mark = {true, verdict.value, now_s};
  PodCondition* condition = out->add_conditions();
  condition->set_type(std::string(kConditions[which]));
  condition->set_status(verdict.value ? "True" : "False");
  condition->mutable_last_transition_time()->set_seconds(mark.since_s);
  condition->set_reason(verdict.reason);
  condition->set_message(verdict.message);
}

void AddConditions(const Pod& pod, int64_t now_s, PodRun* run, PodStatus* out) {
  bool scheduled = false;
  for (const PodCondition& condition : pod.status().conditions()) {
    scheduled |= condition.type() == "PodScheduled";
  }
  if (!scheduled) {
    // Made with its node's name: no scheduler has said so.
    PodCondition* condition = out->add_conditions();
    condition->set_type("PodScheduled");
    condition->set_status("True");
    condition->mutable_last_transition_time()->set_seconds(run->start_time_s);
  }
  if (run->main.empty()) return;  // refused: it never had any
  const Verdict containers = ContainersReadyVerdict(pod, *out);
  AddCondition(kStartable, {run->sandbox, "", ""}, now_s, run, out);
  AddCondition(kInitialized, InitializedVerdict(pod, *run, *out), now_s, run, out);
  AddCondition(kContainersReady, containers, now_s, run, out);
  AddCondition(kReady, ReadyVerdict(pod, containers), now_s, run, out);
}

std::string Phase(const PodRun& run) {
  if (run.finished()) return run.failed ? "Failed" : "Succeeded";
  if (run.stage == PodRun::Stage::kRunning) return "Running";
  if (run.stage != PodRun::Stage::kStopping) return "Pending";
  for (const ContainerRun& container : run.main) {
    if (container.state != State::kWaiting || container.has_last) return "Running";
  }
  return "Pending";
}

}  // namespace

PodStatus StatusOf(const Pod& pod, const PodAddresses& addresses, int64_t now_s, PodRun* run) {
  PodStatus out;
  out.set_phase(Phase(*run));
  out.set_reason(run->reason);
  out.set_message(run->message);
  out.mutable_start_time()->set_seconds(run->start_time_s);
  for (int i = 0; i < pod.spec().init_containers_size(); ++i) {
    if (static_cast<size_t>(i) >= run->init.size()) break;
    FillContainer(pod, pod.spec().init_containers(i), run->init[static_cast<size_t>(i)], true, *run,
                  out.add_init_container_statuses());
  }
  for (int i = 0; i < pod.spec().containers_size(); ++i) {
    if (static_cast<size_t>(i) >= run->main.size()) break;
    FillContainer(pod, pod.spec().containers(i), run->main[static_cast<size_t>(i)], false, *run,
                  out.add_container_statuses());
  }
  if (!run->main.empty()) {
    out.set_host_ip(addresses.host_ip);
    out.add_host_ips()->set_ip(addresses.host_ip);
    if (!addresses.pod_ip.empty() && (run->sandbox || run->finished())) {
      out.set_pod_ip(addresses.pod_ip);
      out.add_pod_ips()->set_ip(addresses.pod_ip);
    }
  }
  AddConditions(pod, now_s, run, &out);
  return out;
}

void AdoptConditions(const Pod& pod, PodRun* run) {
  for (const PodCondition& condition : pod.status().conditions()) {
    for (size_t i = 0; i < 4; ++i) {
      if (condition.type() != kConditions[i]) continue;
      run->marks[i] = {true, condition.status() == "True",
                       condition.last_transition_time().seconds()};
    }
  }
}

bool Differs(const PodStatus& wanted, const PodStatus& written) {
  if (wanted.phase() != written.phase() || wanted.pod_ip() != written.pod_ip()) return true;
  for (const PodCondition& condition : wanted.conditions()) {
    const auto same = [&](const PodCondition& other) {
      return other.type() == condition.type() && other.status() == condition.status();
    };
    if (std::none_of(written.conditions().begin(), written.conditions().end(), same)) return true;
  }
  return false;
}

std::string StatusPatch(absl::string_view uid, const PodStatus& status) {
  std::string out = absl::StrCat("{\"metadata\":{\"uid\":\"", uid, "\"},\"status\":");
  kube::AppendJson(status, &out);
  out.push_back('}');
  return out;
}

}  // namespace meltemi::kubelet
