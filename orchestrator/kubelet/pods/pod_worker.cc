#include "orchestrator/kubelet/pods/pod_worker.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "cri/runtime/v1/sandbox.pb.h"
#include "kube/core/v1/event.pb.h"
#include "orchestrator/kubelet/cgroups/pod_cgroups.h"
#include "orchestrator/kubelet/cri/runtime.h"
#include "orchestrator/kubelet/probes/probes.h"

namespace meltemi::kubelet {
namespace {

using Phase = ContainerState::Phase;

// More than any pod takes to come up; beyond it something feeds itself.
constexpr int kRoundsMax = 64;
constexpr Duration kStatusDelay = milliseconds(300);
constexpr Duration kRetryMax = seconds(10);

bool RunsOrMay(const ContainerState& state) {
  return state.phase == Phase::kRunning || state.phase == Phase::kUnknown;
}

}  // namespace

Duration RetryDelay(int failures, Duration longest) {
  const Duration delay = seconds(int64_t{1} << std::min(std::max(failures - 1, 0), 10));
  return std::min(delay, longest);
}

PodWorker::PodWorker(const WorkerParts& shared, std::string uid)
    : shared_(shared), uid_(std::move(uid)) {}

void PodWorker::Reject(Rejection rejection) {
  const std::lock_guard<std::mutex> lock(mutex_);
  memory_.rejected = std::move(rejection);
}

PodWorker::Result PodWorker::Work() {
  Result result;
  bool read = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    read = std::exchange(stale_, false);
  }
  Done done = Done::kNothing;
  for (int round = 0; round < kRoundsMax; ++round) {
    PodStatePtr state = Read(read);
    if (state == nullptr) {
      result.again = RetryDelay(failures_, kRetryMax);
      return result;
    }
    const PodObject object = shared_.object(uid_);
    if (object.pod != nullptr) pod_ = object.pod;
    state = WithMessages(object, state);
    DropDone(*state);
    // Before what they say is asked for: what an earlier kubelet wrote is what its probes had said,
    // so nothing becomes unready by a new kubelet.
    SyncProbes(object, *state);
    const Plan plan = MakeOne(object, *state);
    TellEvents(plan);
    Show(state, plan);
    result.ended = ended_ = plan.ended;
    result.again.reset();
    if (plan.again.has_value()) result.again = std::max(*plan.again - Now(), Duration(1));
    const bool failed = done == Done::kFailed;
    if (failed) {
      const Duration retry = RetryDelay(failures_, kRetryMax);
      result.again = std::min(result.again.value_or(retry), retry);
    }
    const bool settled = failed || plan.actions.empty();
    if (!settled) {
      // Something better may follow at once.
      Write(object, plan, kStatusDelay);
      wake_at_.reset();
      done = Execute(plan.actions, *state);
      if (forgotten_) break;
      if (wake_at_.has_value()) {
        const Duration wake = std::max(*wake_at_ - Now(), Duration(1));
        result.again = std::min(result.again.value_or(wake), wake);
      }
    }
    if (!failed && done != Done::kFailed) failures_ = 0;
    if (settled || done == Done::kNothing) {
      Write(object, plan, Duration::zero());
      break;
    }
    read = done != Done::kShow;
  }
  result.forgotten = forgotten_;
  return result;
}

PodStatePtr PodWorker::Read(bool fresh) {
  if (!fresh) return shared_.view.Get(uid_);
  absl::StatusOr<PodStatePtr> state = shared_.view.Refresh(uid_);
  if (state.ok()) return *std::move(state);
  Check(state.status(), "reading the pod");
  const std::lock_guard<std::mutex> lock(mutex_);
  stale_ = true;
  return nullptr;
}

Plan PodWorker::MakeOne(const PodObject& object, const PodState& state) {
  PlanOptions options;
  options.runtime_name = shared_.runtime_name;
  options.node_ips = shared_.options.node_ips;
  options.backoff_max = shared_.options.backoff_max;
  options.dead_containers_per_name = shared_.options.dead_containers_per_name;
  options.drain_delay = shared_.options.drain_delay;
  // Copied: probes are asked without the lock.
  PodMemory memory;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!state.sandboxes.empty() && state.sandboxes.front().ready) {
      memory_.ips = state.sandboxes.front().ips;
    }
    memory = memory_;
  }
  const PlanInput input{.pod = pod_.get(),
                        .gone = object.gone,
                        .state = state,
                        .memory = memory,
                        .options = options,
                        .probe =
                            [this](const Container& container, const ContainerState& held) {
                              return shared_.parts.probes.Get(container, held);
                            },
                        .spec_hash = [](const Container& container) { return SpecHash(container); },
                        .qos_class = pod_ == nullptr ? "" : QosClassName(QosClassOf(*pod_)),
                        .now = Now(),
                        .wall = WallNow()};
  Plan plan = MakePlan(input);
  const std::lock_guard<std::mutex> lock(mutex_);
  if (plan.has_status) memory_.status = plan.status;
  if (plan.ending) memory_.ending_by = plan.ending_by;
  if (plan.ending && !memory_.ending_since.has_value()) memory_.ending_since = input.now;
  return plan;
}

void PodWorker::DropDone(const PodState& state) {
  const auto runs = [&state](const std::string& id) {
    const ContainerState* held = state.ById(id);
    return held != nullptr && RunsOrMay(*held);
  };
  const std::lock_guard<std::mutex> lock(mutex_);
  for (auto at = memory_.kills.begin(); at != memory_.kills.end();) {
    at = runs(at->first) ? std::next(at) : memory_.kills.erase(at);
  }
  for (auto& [name, memory] : memory_.containers) {
    if (!memory.hook_of.empty() && !runs(memory.hook_of)) memory.hook_of.clear();
  }
}

PodStatePtr PodWorker::WithMessages(const PodObject& object, const PodStatePtr& state) {
  if (pod_ == nullptr) return state;
  std::map<std::string, std::string> known;
  auto out = std::make_shared<PodState>(*state);
  for (ContainerState& held : out->containers) {
    if (held.phase != Phase::kExited) continue;
    const Container* container = FindContainer(*pod_, held.name);
    if (container == nullptr) continue;
    const auto at = messages_.find(held.id);
    std::string message = at != messages_.end()
                              ? at->second
                              : shared_.parts.configs.TerminationMessage(*pod_, *container, held);
    if (!message.empty()) {
      absl::StrAppend(&held.message, held.message.empty() ? "" : ": ", message);
    }
    known.emplace(held.id, std::move(message));
  }
  messages_ = std::move(known);
  return out;
}

void PodWorker::Show(const PodStatePtr& state, const Plan& plan) {
  if (!plan.has_status) return;
  auto shown = std::make_shared<Pod>(*pod_);
  *shown->mutable_status() = plan.status;
  shown_ = shown;
  auto on_node = std::make_shared<PodOnNode>();
  on_node->pod = shown;
  on_node->state = *state;
  on_node->state.uid = uid_;
  on_node->state.ns = pod_->metadata().namespace_();
  on_node->state.name = pod_->metadata().name();
  shared_.show(uid_, std::move(on_node));
}

void PodWorker::Write(const PodObject& object, const Plan& plan, Duration delay) {
  if (!plan.has_status || object.gone) return;
  shared_.writer.Want(pod_, plan.status, plan.may_delete, delay);
}

// Containers whose postStart handler runs are not probed yet.
void PodWorker::SyncProbes(const PodObject& object, const PodState& state) {
  if (pod_ == nullptr || ended_) return;
  PodState probed = state;
  bool ending = object.gone || pod_->metadata().has_deletion_timestamp();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ending |= memory_.ending_by.has_value();
    for (ContainerState& held : probed.containers) {
      const auto at = memory_.containers.find(held.name);
      if (at != memory_.containers.end() && at->second.hook_of == held.id) {
        held.phase = Phase::kCreated;
      }
    }
  }
  shared_.parts.probes.Sync(shown_ == nullptr ? pod_ : shown_, probed, ending);
}

// What was told of the last plan as well is not told again.
void PodWorker::TellEvents(const Plan& plan) {
  std::set<std::string> told;
  for (const PlannedEvent& event : plan.events) {
    std::string key = absl::StrCat(event.reason, "/", event.container, "/", event.message);
    if (told_.count(key) == 0) Tell(event.type, event.reason, event.message, event.container);
    told.insert(std::move(key));
  }
  told_ = std::move(told);
}

void PodWorker::Tell(absl::string_view type, absl::string_view reason, absl::string_view message,
                     absl::string_view container) {
  if (pod_ == nullptr) return;
  kube::core::v1::ObjectReference reference = kube::ReferenceTo(*pod_);
  if (!container.empty()) {
    const auto& init = pod_->spec().init_containers();
    const bool is_init = std::any_of(init.begin(), init.end(),
                                     [&](const Container& c) { return c.name() == container; });
    reference.set_field_path(
        absl::StrCat(is_init ? "spec.initContainers{" : "spec.containers{", container, "}"));
  }
  shared_.parts.recorder.RecordFor(reference, type, reason, message);
}

PodWorker::Done PodWorker::Execute(const std::vector<Action>& actions, const PodState& state) {
  Done worst = Done::kNothing;
  for (const Action& action : actions) {
    const Done done = ExecuteOne(action, state);
    if (done == Done::kFailed) return done;
    worst = std::max(worst, done);
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto at = memory_.containers.find(action.container);
    // What comes after it waits for its handler.
    if (at != memory_.containers.end() && !at->second.hook_of.empty() &&
        action.kind == Action::Kind::kStart) {
      return worst;
    }
  }
  return worst;
}

PodWorker::Done PodWorker::ExecuteOne(const Action& action, const PodState& state) {
  Runtime& runtime = shared_.parts.runtime;
  switch (action.kind) {
    case Action::Kind::kPrepareVolumes:
      return PrepareVolumes();
    case Action::Kind::kCreateSandbox:
      return CreateSandbox(action.attempt);
    case Action::Kind::kStart:
      return Start(action, state);
    case Action::Kind::kKill:
      return Kill(action, state);
    case Action::Kind::kStopSandbox: {
      const absl::Status stopped = runtime.StopPodSandbox(action.id);
      if (!stopped.ok()) {
        Tell(kube::kWarning, "FailedKillPod",
             absl::StrCat("error killing pod: failed to \"KillPodSandbox\" for \"", uid_,
                          "\" with KillPodSandboxError: \"", RuntimeErrorText(stopped), "\""));
      }
      return Check(stopped, "stopping a sandbox");
    }
    case Action::Kind::kRemoveContainer:
      return Check(runtime.RemoveContainer(action.id), "removing a container");
    case Action::Kind::kRemoveSandbox:
      return Check(runtime.RemovePodSandbox(action.id), "removing a sandbox");
    case Action::Kind::kCleanUp:
      return CleanUp();
    case Action::Kind::kForget:
      shared_.parts.configs.Remove(uid_);
      shared_.writer.Forget(uid_);
      forgotten_ = true;
      return Done::kNothing;
  }
  return Done::kNothing;
}

PodWorker::Done PodWorker::Check(const absl::Status& status, absl::string_view what) {
  if (status.ok() || status.code() == absl::StatusCode::kNotFound) return Done::kAgain;
  ++failures_;
  LOG(kWarn, "kubelet", what, " of ", pod_ == nullptr ? uid_ : PodText(*pod_), ": ",
      status.message());
  return Done::kFailed;
}

PodWorker::Done PodWorker::CleanUp() {
  shared_.parts.probes.Forget(uid_);
  shared_.parts.images.Forget(uid_);
  absl::Status removed = shared_.parts.volumes.Remove(uid_);
  if (removed.ok()) removed = shared_.parts.cgroups.Remove(uid_);
  if (!removed.ok() && removed.code() != absl::StatusCode::kUnavailable) {
    LOG(kWarn, "kubelet", "giving back volumes and groups of ", uid_, ": ", removed.message());
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!removed.ok()) {
    // Mostly something is just about to end.
    const Duration delay = milliseconds(100) * (1 << std::min(clean_failures_++, 7));
    memory_.clean_retry_at = Now() + std::min(delay, kRetryMax);
    return Done::kShow;
  }
  memory_.cleaned = true;
  memory_.volumes_ready = false;
  cgroup_.reset();
  return Done::kShow;
}

}  // namespace meltemi::kubelet
