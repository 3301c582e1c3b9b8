#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "orchestrator/kubelet/cri/runtime.h"
#include "orchestrator/kubelet/pods/pod_worker.h"
#include "orchestrator/kubelet/probes/probes.h"

namespace meltemi::kubelet {
namespace {

constexpr Duration kStopRetryMax = seconds(10);

}  // namespace

PodWorker::Done PodWorker::Kill(const Action& action, const PodState& state) {
  const ContainerState* held = state.ById(action.id);
  if (held == nullptr) return Done::kNothing;
  const Container* container = pod_ == nullptr ? nullptr : FindContainer(*pod_, action.container);
  const bool has_hook = container != nullptr && container->lifecycle().has_pre_stop();
  KillStep step;
  bool told = false, hook_failed = false;
  std::string error;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    KillMemory& kill = memory_.kills.try_emplace(action.id).first->second;
    if (kill.message.empty()) {
      kill.message = action.message;
      kill.deadline = action.by;
    }
    told = std::exchange(kill.told, true);
    hook_failed = std::exchange(kill.hook_failed, false);
    error = std::exchange(kill.error, "");
    kill.deadline = std::min(kill.deadline, action.by);
    step = NextKillStep(kill, has_hook, action.turn, Now());
    if (step.kind == KillStep::Kind::kRunHook) kill.hook = KillMemory::Hook::kRunning;
    if (step.kind == KillStep::Kind::kStop) {
      kill.stopping = true;
      kill.stopping_by = std::max(kill.deadline, Now() + step.time);
    }
  }
  if (step.until.has_value()) wake_at_ = std::min(wake_at_.value_or(*step.until), *step.until);
  if (!told && action.message == kPostStartFailed) {
    Tell(kube::kWarning, "FailedPostStartHook", "PostStartHook failed", action.container);
  }
  if (!told) Tell(kube::kNormal, "Killing", action.message, action.container);
  // What it said may hold secrets.
  if (hook_failed) {
    Tell(kube::kWarning, "FailedPreStopHook", "PreStopHook failed", action.container);
  }
  if (!error.empty()) Tell(kube::kWarning, "FailedKillPod", error);
  if (step.kind == KillStep::Kind::kRunHook) {
    const std::vector<std::string> ips = Ips(state);
    RunPreStop(*container, *held, step.time, ips.empty() ? "" : ips.front());
  } else if (step.kind == KillStep::Kind::kStop) {
    Stop(action.id, step.time);
  }
  return Done::kNothing;
}

void PodWorker::RunPreStop(const Container& container, const ContainerState& state, Duration time,
                           const std::string& ip) {
  const auto done = [weak = weak_from_this(), later = shared_.later, uid = uid_,
                     id = state.id](absl::Status status) {
    later(uid, [&] {
      if (const auto self = weak.lock()) self->EndPreStop(id, status);
    });
  };
  shared_.parts.probes.RunHook(shown_ == nullptr ? pod_ : shown_, container, state, ip,
                               container.lifecycle().pre_stop(), time, done);
}

void PodWorker::Stop(const std::string& id, Duration grace) {
  shared_.parts.runtime.StopContainer(
      id, grace,
      [weak = weak_from_this(), later = shared_.later, uid = uid_, id](absl::Status status) {
        later(uid, [&] {
          if (const auto self = weak.lock()) self->EndStop(id, status);
        });
      });
}

void PodWorker::EndPreStop(const std::string& id, const absl::Status& status) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto at = memory_.kills.find(id);
  if (at == memory_.kills.end()) return;
  at->second.hook = KillMemory::Hook::kDone;
  at->second.hook_failed = !status.ok();
}

void PodWorker::EndStop(const std::string& id, const absl::Status& status) {
  const bool done = status.ok() || status.code() == absl::StatusCode::kNotFound;
  if (!done) LOG(kWarn, "kubelet", "stopping a container of ", uid_, ": ", status.message());
  const std::lock_guard<std::mutex> lock(mutex_);
  stale_ = true;
  const auto at = memory_.kills.find(id);
  if (done || at == memory_.kills.end()) return;
  at->second.stopping = false;
  at->second.retry_at = Now() + RetryDelay(++at->second.failures, kStopRetryMax);
  at->second.error =
      absl::StrCat("error killing pod: failed to \"KillContainer\" with KillContainerError: \"",
                   RuntimeErrorText(status), "\"");
}

}  // namespace meltemi::kubelet
