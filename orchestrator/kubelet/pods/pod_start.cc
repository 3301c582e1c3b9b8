#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "cri/runtime/v1/container.pb.h"
#include "cri/runtime/v1/sandbox.pb.h"
#include "kube/client/typed.h"
#include "kube/node/v1/node.pb.h"
#include "orchestrator/kubelet/cgroups/pod_cgroups.h"
#include "orchestrator/kubelet/cri/runtime.h"
#include "orchestrator/kubelet/pods/pod_worker.h"
#include "orchestrator/kubelet/probes/probes.h"

namespace meltemi::kubelet {
namespace {

using kube::node::v1::RuntimeClass;

constexpr Duration kRetryMax = seconds(10);
// The same failure of a volume is told again so rarely.
constexpr Duration kVolumesToldAgain = minutes(2);
// A postStart handler may take as long as it wants.
constexpr Duration kForEver = Duration::zero();

// Nobody is told of a runtime that can't be reached: the pod is not at fault.
bool IsAbsent(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnavailable ||
         status.code() == absl::StatusCode::kCancelled;
}

// Ids in messages would make every event a new one.
std::string WithoutId(absl::string_view message, const std::string& id, const std::string& name) {
  std::string out(message);
  for (size_t at = out.find(id); !id.empty() && at != std::string::npos;
       at = out.find(id, at + name.size())) {
    out.replace(at, id.size(), name);
  }
  return out;
}

}  // namespace

PodWorker::Done PodWorker::PrepareVolumes() {
  absl::StatusOr<PodMounts> mounts = shared_.parts.volumes.Prepare(pod_);
  if (mounts.ok()) {
    mounts_ = *std::move(mounts);
    volume_failures_ = 0;
    volumes_told_.clear();
    const std::lock_guard<std::mutex> lock(mutex_);
    memory_.volumes_ready = true;
    return Done::kShow;
  }
  const std::string message(mounts.status().message());
  if (message != volumes_told_ || volumes_told_at_ + kVolumesToldAgain <= Now()) {
    Tell(kube::kWarning, "FailedMount", message);
    volumes_told_ = message;
    volumes_told_at_ = Now();
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  memory_.volumes_retry_at = Now() + RetryDelay(++volume_failures_, kRetryMax);
  return Done::kShow;
}

const cri::PodSandboxConfig* PodWorker::SandboxConfig(uint32_t attempt, std::string* error) {
  if (sandbox_config_ != nullptr && sandbox_config_attempt_ == attempt && cgroup_.has_value()) {
    return sandbox_config_.get();
  }
  if (!cgroup_.has_value()) {
    absl::StatusOr<std::string> cgroup = shared_.parts.cgroups.Ensure(*pod_);
    if (!cgroup.ok()) {
      *error = absl::StrCat("unable to ensure pod container exists: ", cgroup.status().message());
      Tell(kube::kWarning, "FailedCreatePodContainer", *error);
      error->clear();
      return nullptr;
    }
    cgroup_ = *std::move(cgroup);
  }
  absl::StatusOr<cri::PodSandboxConfig> config =
      shared_.parts.configs.Sandbox(*pod_, attempt, *cgroup_);
  if (!config.ok()) {
    *error = std::string(config.status().message());
    return nullptr;
  }
  sandbox_config_ = std::make_unique<cri::PodSandboxConfig>(*std::move(config));
  sandbox_config_attempt_ = attempt;
  return sandbox_config_.get();
}

PodWorker::Done PodWorker::CreateSandbox(uint32_t attempt) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!memory_.volumes_ready) return Done::kShow;
  }
  std::string error;
  const cri::PodSandboxConfig* config = SandboxConfig(attempt, &error);
  if (config == nullptr) return FailSandbox(error);
  const absl::StatusOr<std::string> handler = RuntimeHandler();
  if (!handler.ok()) return FailSandbox(std::string(handler.status().message()));
  const absl::StatusOr<std::string> made = shared_.parts.runtime.RunPodSandbox(*config, *handler);
  if (!made.ok()) {
    if (IsAbsent(made.status())) return Check(made.status(), "making a sandbox");
    return FailSandbox(RuntimeErrorText(made.status()));
  }
  sandbox_failures_ = 0;
  return Done::kAgain;
}

absl::StatusOr<std::string> PodWorker::RuntimeHandler() {
  const std::string& name = pod_->spec().runtime_class_name();
  if (name.empty()) return std::string();
  const kube::Result<RuntimeClass> found = kube::Get<RuntimeClass>(shared_.parts.client, "", name);
  if (found.ok()) return found->handler();
  if (kube::IsNotFound(found.status())) {
    return absl::NotFoundError(absl::StrCat("runtimeclass.node.k8s.io \"", name, "\" not found"));
  }
  return absl::UnavailableError(
      absl::StrCat("failed to lookup RuntimeClass ", name, ": ", found.status().message));
}

PodWorker::Done PodWorker::FailSandbox(const std::string& message) {
  if (!message.empty()) {
    Tell(kube::kWarning, "FailedCreatePodSandBox",
         absl::StrCat("Failed to create pod sandbox: ", message));
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  memory_.sandbox_retry_at = Now() + RetryDelay(++sandbox_failures_, kRetryMax);
  // What a half-made sandbox has left is looked at.
  return Done::kAgain;
}

std::vector<std::string> PodWorker::Ips(const PodState& state) const {
  if (pod_ != nullptr && pod_->spec().host_network()) return shared_.options.node_ips;
  return state.sandboxes.empty() ? std::vector<std::string>() : state.sandboxes.front().ips;
}

PodWorker::Done PodWorker::Start(const Action& action, const PodState& state) {
  const Container* container = FindContainer(*pod_, action.container);
  if (container == nullptr || state.sandboxes.empty()) return Done::kNothing;
  std::string error;
  const cri::PodSandboxConfig* config = SandboxConfig(state.sandboxes.front().attempt, &error);
  if (config == nullptr) return FailStart(action.container, "CreateContainerConfigError", error);
  const ImageState image = shared_.parts.images.Want(
      shown_ == nullptr ? pod_ : shown_, *container, action.attempt,
      shared_.parts.configs.PullAuths(*pod_, container->image()), *config);
  if (image.kind == ImageState::Kind::kPulling) return Done::kNothing;
  if (image.kind == ImageState::Kind::kFailed) {
    const std::lock_guard<std::mutex> lock(mutex_);
    ContainerMemory& memory = memory_.containers[action.container];
    if (memory.failure_reason == image.reason && memory.failure_message == image.message) {
      return Done::kNothing;
    }
    memory.failure_reason = image.reason;
    memory.failure_message = image.message;
    return Done::kShow;
  }
  return StartWith(action, state, *container, image.ref);
}

PodWorker::Done PodWorker::StartWith(const Action& action, const PodState& state,
                                     const Container& container, const std::string& image_ref) {
  const std::string& name = container.name();
  cri::ContainerConfig config;
  ConfigError bad;
  if (!shared_.parts.configs.Container(shown_ == nullptr ? *pod_ : *shown_, container,
                                       action.attempt, image_ref, mounts_, Ips(state), &config,
                                       &bad)) {
    return FailStart(name, bad.reason, bad.message);
  }
  Runtime& runtime = shared_.parts.runtime;
  const absl::StatusOr<std::string> id =
      runtime.CreateContainer(action.id, config, *sandbox_config_);
  if (!id.ok()) {
    if (IsAbsent(id.status())) return Check(id.status(), "making a container");
    return FailStart(name, "CreateContainerError", std::string(id.status().message()));
  }
  Tell(kube::kNormal, "Created", absl::StrCat("Created container: ", name), name);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ContainerMemory& memory = memory_.containers[name];
    if (action.finished_at.has_value()) {
      memory.crash = NextBackOff(memory.crash, *action.finished_at, WallNow(),
                                 shared_.options.backoff_min, shared_.options.backoff_max);
    }
  }
  if (const absl::Status started = runtime.StartContainer(*id); !started.ok()) {
    if (IsAbsent(started)) return Check(started, "starting a container");
    return FailStart(name, "RunContainerError", WithoutId(started.message(), *id, name));
  }
  Tell(kube::kNormal, "Started", absl::StrCat("Started container ", name), name);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ContainerMemory& memory = memory_.containers[name];
    memory.failure_reason.clear();
    memory.failure_message.clear();
    memory.failures = 0;
    if (container.lifecycle().has_post_start()) memory.hook_of = *id;
  }
  if (container.lifecycle().has_post_start()) {
    ContainerState started;
    started.id = *id;
    started.name = name;
    started.attempt = action.attempt;
    started.phase = ContainerState::Phase::kRunning;
    started.sandbox = action.id;
    started.started_at = started.created_at = WallNow();
    RunPostStart(container, started);
  }
  return Done::kAgain;
}

PodWorker::Done PodWorker::FailStart(const std::string& container, std::string reason,
                                     std::string message) {
  Tell(kube::kWarning, "Failed", absl::StrCat("Error: ", message), container);
  const std::lock_guard<std::mutex> lock(mutex_);
  ContainerMemory& memory = memory_.containers[container];
  memory.failure_reason = std::move(reason);
  memory.failure_message = std::move(message);
  memory.retry_at = Now() + RetryDelay(++memory.failures, kRetryMax);
  return Done::kAgain;
}

void PodWorker::RunPostStart(const Container& container, const ContainerState& state) {
  std::string ip;
  if (const std::vector<std::string> ips = Ips(*shared_.view.Get(uid_)); !ips.empty()) {
    ip = ips.front();
  }
  // Copied: the spec may be another one when the handler ends.
  const Duration grace = pod_->spec().has_termination_grace_period_seconds()
                             ? seconds(pod_->spec().termination_grace_period_seconds())
                             : seconds(30);
  shared_.parts.probes.RunHook(
      shown_ == nullptr ? pod_ : shown_, container, state, ip, container.lifecycle().post_start(),
      kForEver,
      [weak = weak_from_this(), later = shared_.later, uid = uid_, id = state.id,
       name = container.name(), grace](absl::Status status) {
        later(uid, [&] {
          if (const auto self = weak.lock()) self->EndPostStart(name, id, grace, status);
        });
      });
}

// A container whose handler has failed is killed.
void PodWorker::EndPostStart(const std::string& container, const std::string& id, Duration grace,
                             const absl::Status& status) {
  const std::lock_guard<std::mutex> lock(mutex_);
  ContainerMemory& memory = memory_.containers[container];
  if (memory.hook_of != id) return;
  memory.hook_of.clear();
  if (status.ok()) return;
  memory.failure_reason = "PostStartHookError";
  memory.failure_message = std::string(status.message());
  KillMemory& kill = memory_.kills[id];
  kill.message = kPostStartFailed;
  kill.deadline = Now() + grace;
}

}  // namespace meltemi::kubelet
