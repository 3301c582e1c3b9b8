#include "orchestrator/kubelet/pods/plan_fake.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/json/write.h"
#include "base/yaml/parse.h"
#include "gtest/gtest.h"
#include "kube/codec/codec.h"

namespace meltemi::kubelet {
namespace {

using Phase = ContainerState::Phase;

const char* Name(Action::Kind kind) {
  switch (kind) {
    case Action::Kind::kPrepareVolumes:
      return "PrepareVolumes";
    case Action::Kind::kCreateSandbox:
      return "CreateSandbox";
    case Action::Kind::kStart:
      return "Start";
    case Action::Kind::kKill:
      return "Kill";
    case Action::Kind::kStopSandbox:
      return "StopSandbox";
    case Action::Kind::kRemoveContainer:
      return "RemoveContainer";
    case Action::Kind::kRemoveSandbox:
      return "RemoveSandbox";
    case Action::Kind::kCleanUp:
      return "CleanUp";
    case Action::Kind::kForget:
      return "Forget";
  }
  return "?";
}

int64_t Seconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::seconds>(duration).count();
}

}  // namespace

PlanCase::PlanCase(absl::string_view spec) {
  const absl::StatusOr<json::Value> tree = yaml::Parse(
      absl::StrCat("{metadata: {name: web, namespace: default, uid: u-1}, spec: ", spec, "}"));
  EXPECT_TRUE(tree.ok()) << tree.status();
  EXPECT_TRUE(kube::FromJson(json::ToString(*tree), &pod).ok());
  state.uid = "u-1";
  state.ns = "default";
  state.name = "web";
  memory.volumes_ready = true;
  options.node_ips = {"192.168.0.1"};
}

SandboxState& PlanCase::AddSandbox(bool ready) {
  SandboxState sandbox;
  sandbox.attempt = static_cast<uint32_t>(state.sandboxes.size());
  sandbox.id = absl::StrCat("s", sandbox.attempt);
  sandbox.ready = ready;
  sandbox.ips = {absl::StrCat("10.244.0.", sandbox.attempt + 2)};
  sandbox.created_at = Wall();
  return *state.sandboxes.insert(state.sandboxes.begin(), std::move(sandbox));
}

ContainerState& PlanCase::AddContainer(const std::string& name, Phase phase) {
  ContainerState container;
  const ContainerState* newest = state.Newest(name);
  container.attempt = newest == nullptr ? 0 : newest->attempt + 1;
  container.name = name;
  container.id = absl::StrCat(name, ".", container.attempt);
  container.phase = phase;
  container.image = "docker.io/library/nginx:1";
  container.image_ref = "sha256:1";
  container.sandbox = state.sandboxes.front().id;
  container.created_at = container.started_at = Wall();
  return *state.containers.insert(state.containers.begin(), std::move(container));
}

ContainerState& PlanCase::AddRunning(const std::string& name) {
  return AddContainer(name, Phase::kRunning);
}

ContainerState& PlanCase::AddExited(const std::string& name, int code) {
  ContainerState& container = AddContainer(name, Phase::kRunning);
  container.started_at = Wall() - seconds(1);
  const std::string id = container.id;
  Exit(id, code);
  return Container(id);
}

ContainerState& PlanCase::Container(const std::string& id) {
  const auto at = std::find_if(state.containers.begin(), state.containers.end(),
                               [&](const ContainerState& c) { return c.id == id; });
  EXPECT_TRUE(at != state.containers.end()) << id;
  return *at;
}

void PlanCase::Exit(const std::string& id, int code) {
  ContainerState& container = Container(id);
  container.phase = Phase::kExited;
  container.exit_code = code;
  container.finished_at = Wall();
  container.reason = code == 0 ? "Completed" : "Error";
}

void PlanCase::SetDeleted(int64_t grace_s) {
  pod.mutable_metadata()->mutable_deletion_timestamp()->set_seconds(1);
  pod.mutable_metadata()->set_deletion_grace_period_seconds(grace_s);
}

Plan PlanCase::Make() {
  const PlanInput input{
      .pod = unknown ? nullptr : &pod,
      .gone = gone,
      .state = state,
      .memory = memory,
      .options = options,
      .probe =
          [this](const kube::core::v1::Container& container, const ContainerState&) {
            const auto at = probes.find(container.name());
            return at == probes.end() ? ProbeResult{.started = true, .ready = true} : at->second;
          },
      .spec_hash =
          [](const kube::core::v1::Container& container) {
            return static_cast<uint64_t>(container.image().size());
          },
      .qos_class = "BestEffort",
      .now = Mono(),
      .wall = Wall()};
  plan = MakePlan(input);
  if (plan.has_status) memory.status = plan.status;
  if (plan.ending) memory.ending_by = plan.ending_by;
  if (plan.ending && !memory.ending_since.has_value()) memory.ending_since = Mono();
  return plan;
}

std::string PlanCase::Actions() {
  Make();
  std::vector<std::string> out;
  for (const Action& action : plan.actions) {
    std::string text = Name(action.kind);
    if (action.kind == Action::Kind::kStart) {
      absl::StrAppend(&text, " ", action.container, " ", action.attempt);
    } else if (action.kind == Action::Kind::kCreateSandbox) {
      absl::StrAppend(&text, " ", action.attempt);
    } else if (!action.id.empty()) {
      absl::StrAppend(&text, " ", action.id);
    }
    if (action.kind == Action::Kind::kKill) {
      absl::StrAppend(&text, action.turn ? " " : " later ", Seconds(action.by - Mono()), "s (",
                      action.message, ")");
    }
    out.push_back(text);
  }
  return absl::StrJoin(out, ", ");
}

std::vector<std::string> PlanCase::Events() const {
  std::vector<std::string> out;
  for (const PlannedEvent& event : plan.events) {
    out.push_back(absl::StrCat(event.type, " ", event.reason, event.container.empty() ? "" : " ",
                               event.container, ": ", event.message));
  }
  return out;
}

std::string PlanCase::StateOf(const std::string& container) const {
  const auto text = [](const kube::core::v1::ContainerState& state) {
    if (state.has_running()) return std::string("running");
    if (state.has_waiting()) return absl::StrCat("waiting ", state.waiting().reason());
    if (!state.has_terminated()) return std::string("none");
    return absl::StrCat("terminated ", state.terminated().exit_code(), " ",
                        state.terminated().reason());
  };
  for (const auto* all : {&status().init_container_statuses(), &status().container_statuses()}) {
    for (const auto& held : *all) {
      if (held.name() != container) continue;
      std::string out = text(held.state());
      if (held.last_state().has_terminated()) {
        absl::StrAppend(&out, ", last ", text(held.last_state()));
      }
      if (held.ready()) absl::StrAppend(&out, ", ready");
      if (held.restart_count() > 0) absl::StrAppend(&out, ", ", held.restart_count(), " restarts");
      return out;
    }
  }
  return "not there";
}

std::string PlanCase::ConditionOf(absl::string_view type) const {
  for (const auto& condition : status().conditions()) {
    if (condition.type() != type) continue;
    std::string out = condition.status();
    if (!condition.reason().empty()) absl::StrAppend(&out, " ", condition.reason());
    if (!condition.message().empty()) absl::StrAppend(&out, ": ", condition.message());
    return out;
  }
  return "none";
}

int64_t PlanCase::Again() const {
  return plan.again.has_value() ? Seconds(*plan.again - Mono()) : -1;
}

}  // namespace meltemi::kubelet
