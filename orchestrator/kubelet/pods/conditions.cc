#include "orchestrator/kubelet/pods/conditions.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kube/status/field_error.h"
#include "orchestrator/kubelet/pods/plan.h"

namespace meltemi::kubelet {
namespace {

using kube::core::v1::Container;
using kube::core::v1::ContainerStatus;
using kube::core::v1::Pod;
using kube::core::v1::PodCondition;
using kube::core::v1::PodStatus;

constexpr absl::string_view kOwned[] = {"PodReadyToStartContainers", "Initialized", "Ready",
                                        "ContainersReady", "PodScheduled"};

struct Verdict {
  bool value = true;
  std::string reason, message;
};

bool IsOwned(const std::string& type) {
  for (const absl::string_view owned : kOwned) {
    if (type == owned) return true;
  }
  return false;
}

const ContainerStatus* Find(const google::protobuf::RepeatedPtrField<ContainerStatus>& all,
                            const std::string& name) {
  for (const ContainerStatus& status : all) {
    if (status.name() == name) return &status;
  }
  return nullptr;
}

const PodCondition* Find(const PodStatus& status, absl::string_view type) {
  for (const PodCondition& condition : status.conditions()) {
    if (condition.type() == type) return &condition;
  }
  return nullptr;
}

// "containers with unready status: [a b]", after what was said before.
void List(absl::string_view what, const std::vector<std::string>& names, std::string* out) {
  if (names.empty()) return;
  absl::StrAppend(out, out->empty() ? "" : ", ", "containers with ", what, " status: [",
                  absl::StrJoin(names, " "), "]");
}

Verdict Initialized(const Pod& pod, const PodStatus& status) {
  std::vector<std::string> unknown, incomplete;
  for (const Container& container : pod.spec().init_containers()) {
    const ContainerStatus* held = Find(status.init_container_statuses(), container.name());
    if (held == nullptr) {
      unknown.push_back(container.name());
    } else if (IsSidecarContainer(container) ? !held->started() : !held->ready()) {
      incomplete.push_back(container.name());
    }
  }
  if (status.phase() == "Succeeded" && unknown.empty()) return {true, "PodCompleted", ""};
  // Sidecars that start again do not undo it.
  if (AnyMainStarted(pod, status)) return {};
  std::string message;
  List("unknown", unknown, &message);
  List("incomplete", incomplete, &message);
  if (message.empty()) return {};
  return {false, "ContainersNotInitialized", std::move(message)};
}

Verdict ContainersReady(const Pod& pod, const PodStatus& status) {
  std::vector<std::string> unknown, unready;
  const auto look = [&](const Container& container, const auto& statuses) {
    const ContainerStatus* held = Find(statuses, container.name());
    if (held == nullptr) {
      unknown.push_back(container.name());
    } else if (!held->ready()) {
      unready.push_back(container.name());
    }
  };
  for (const Container& container : pod.spec().init_containers()) {
    if (IsSidecarContainer(container)) look(container, status.init_container_statuses());
  }
  for (const Container& container : pod.spec().containers()) {
    look(container, status.container_statuses());
  }
  if (status.phase() == "Succeeded" && unknown.empty()) return {false, "PodCompleted", ""};
  if (status.phase() == "Failed") return {false, "PodFailed", ""};
  std::string message;
  List("unknown", unknown, &message);
  List("unready", unready, &message);
  if (message.empty()) return {};
  return {false, "ContainersNotReady", std::move(message)};
}

Verdict Ready(const Pod& pod, const Verdict& containers) {
  if (!containers.value) return containers;
  std::vector<std::string> missing;
  for (const kube::core::v1::PodReadinessGate& gate : pod.spec().readiness_gates()) {
    const PodCondition* found = Find(pod.status(), gate.condition_type());
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

}  // namespace

bool AnyMainStarted(const Pod& pod, const PodStatus& status) {
  for (const Container& container : pod.spec().containers()) {
    const ContainerStatus* held = Find(status.container_statuses(), container.name());
    if (held == nullptr) continue;
    if (held->state().has_running() || held->state().has_terminated()) return true;
    if (held->last_state().has_terminated()) return true;
  }
  return false;
}

void AddConditions(const Pod& pod, const PodStatus& before, bool sandbox_ready, WallTime now,
                   PodStatus* status) {
  for (const PodCondition& condition : pod.status().conditions()) {
    if (!IsOwned(condition.type())) *status->add_conditions() = condition;
  }
  const Verdict containers = ContainersReady(pod, *status);
  const Verdict verdicts[] = {{sandbox_ready, "", ""},
                              Initialized(pod, *status),
                              Ready(pod, containers),
                              containers,
                              Verdict{}};
  const int64_t now_s = std::chrono::duration_cast<seconds>(now.time_since_epoch()).count();
  for (size_t i = 0; i < std::size(kOwned); ++i) {
    PodCondition& condition = *status->add_conditions();
    condition.set_type(std::string(kOwned[i]));
    condition.set_status(verdicts[i].value ? "True" : "False");
    condition.set_reason(verdicts[i].reason);
    condition.set_message(verdicts[i].message);
    const PodCondition* old = Find(before, kOwned[i]);
    if (old != nullptr && old->status() == condition.status() && old->has_last_transition_time()) {
      *condition.mutable_last_transition_time() = old->last_transition_time();
    } else {
      condition.mutable_last_transition_time()->set_seconds(now_s);
    }
  }
}

}  // namespace meltemi::kubelet
