#include "orchestrator/kubelet/cri/runtime_fake_state.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "orchestrator/kubelet/images/image_name.h"

namespace meltemi::kubelet {
namespace {

constexpr int32_t kKilled = 137;
constexpr int32_t kStartFailed = 128;
constexpr Duration kUnkillableWait = minutes(2);

template <typename Record>
Record* Find(std::map<int64_t, std::unique_ptr<Record>>& records, absl::string_view prefix,
             absl::string_view id) {
  int64_t number = 0;
  if (!absl::ConsumePrefix(&id, prefix) || !absl::SimpleAtoi(id, &number)) return nullptr;
  const auto it = records.find(number);
  return it == records.end() ? nullptr : it->second.get();
}

absl::Status NotFound(absl::string_view what, absl::string_view id) {
  return absl::NotFoundError(
      absl::StrCat("an error occurred when try to find ", what, " \"", id, "\": not found"));
}

}  // namespace

std::string FullImageName(const std::string& name) {
  const std::optional<ImageName> parsed = ParseImageName(name);
  return parsed ? parsed->full() : name;
}

std::string ImageIdOf(const std::string& full_name) {
  return absl::StrFormat("sha256:%064x", std::hash<std::string>()(full_name));
}

std::string RuntimeFake::State::SandboxRecord::pod() const {
  return absl::StrCat(config.metadata().namespace_(), "/", config.metadata().name());
}

std::string RuntimeFake::State::SandboxRecord::name() const {
  return absl::StrCat(pod(), "#", config.metadata().attempt());
}

std::string RuntimeFake::State::ContainerRecord::name() const {
  return absl::StrCat(key(), "#", config.metadata().attempt());
}

int64_t RuntimeFake::State::NowNs() const {
  return executor_.clock().WallNow().time_since_epoch().count();
}

RuntimeFault RuntimeFake::State::Begin(const std::string& call, bool logged) {
  ++calls;
  if (logged) log.push_back(call);
  return owner_.on_call ? owner_.on_call(call) : RuntimeFault{};
}

absl::StatusOr<std::string> RuntimeFake::State::RunSandbox(const cri::PodSandboxConfig& config,
                                                           const std::string& handler) {
  for (const auto& [number, other] : sandboxes) {
    if (other->config.metadata().SerializeAsString() == config.metadata().SerializeAsString()) {
      return absl::UnknownError(absl::StrCat("failed to reserve sandbox name \"", other->name(),
                                             "\": name \"", other->name(), "\" is reserved for \"",
                                             other->status.id(), "\""));
    }
  }
  if (!owner_.sandbox_error.ok()) return owner_.sandbox_error;
  auto record = std::make_unique<SandboxRecord>();
  record->number = next_number_++;
  record->config = config;
  record->handler = handler;
  cri::PodSandboxStatus& status = record->status;
  status.set_id(absl::StrCat("sandbox-", record->number));
  *status.mutable_metadata() = config.metadata();
  status.set_state(cri::SANDBOX_READY);
  status.set_created_at(NowNs());
  *status.mutable_labels() = config.labels();
  *status.mutable_annotations() = config.annotations();
  status.set_runtime_handler(handler);
  const cri::NamespaceOption& namespaces = config.linux().security_context().namespace_options();
  *status.mutable_linux()->mutable_namespaces()->mutable_options() = namespaces;
  status.mutable_network();
  if (namespaces.network() != cri::NODE) {
    status.mutable_network()->set_ip(absl::StrCat(owner_.ip_prefix, next_ip_++));
  }
  const std::string id = status.id();
  sandboxes.emplace(record->number, std::move(record));
  return id;
}

void RuntimeFake::State::StopSandbox(SandboxRecord& sandbox) {
  for (auto& [number, container] : containers) {
    if (container->sandbox == sandbox.status.id() && container->running()) {
      End(*container, kKilled, "", "");
    }
  }
  sandbox.status.set_state(cri::SANDBOX_NOTREADY);
  sandbox.status.mutable_network()->clear_ip();
}

void RuntimeFake::State::RemoveSandbox(const std::string& id) {
  SandboxRecord* sandbox = SandboxOf(id);
  if (sandbox == nullptr) return;
  StopSandbox(*sandbox);
  for (auto it = containers.begin(); it != containers.end();) {
    it = it->second->sandbox == id ? containers.erase(it) : std::next(it);
  }
  sandboxes.erase(sandbox->number);
}

ContainerScript RuntimeFake::State::ScriptOf(const std::string& pod,
                                             const cri::ContainerConfig& config) const {
  const std::string& name = config.metadata().name();
  const std::string command = config.command_size() > 0 ? config.command(0) : "";
  for (const std::string& key : {absl::StrCat(pod, "/", name), name, command,
                                 config.image().user_specified_image(), config.image().image()}) {
    const auto it = scripts.find(key);
    if (it != scripts.end()) return it->second;
  }
  return {};
}

absl::StatusOr<std::string> RuntimeFake::State::Create(const std::string& sandbox,
                                                       const cri::ContainerConfig& config) {
  SandboxRecord* in = SandboxOf(sandbox);
  if (in == nullptr) {
    return absl::NotFoundError(
        absl::StrCat("failed to find sandbox id \"", sandbox, "\": not found"));
  }
  if (!in->ready()) {
    return absl::UnknownError(
        "failed to get sandbox container task: no running task found: not found");
  }
  for (const auto& [number, other] : containers) {
    if (other->sandbox == sandbox &&
        other->config.metadata().SerializeAsString() == config.metadata().SerializeAsString()) {
      return absl::UnknownError(absl::StrCat("failed to reserve container name \"", other->name(),
                                             "\": name \"", other->name(), "\" is reserved for \"",
                                             other->status.id(), "\""));
    }
  }
  auto record = std::make_unique<ContainerRecord>();
  record->pod = in->pod();
  record->script = ScriptOf(record->pod, config);
  if (!record->script.create_error.ok()) return record->script.create_error;
  record->number = next_number_++;
  record->config = config;
  record->sandbox = sandbox;
  cri::ContainerStatus& status = record->status;
  status.set_id(absl::StrCat("container-", record->number));
  *status.mutable_metadata() = config.metadata();
  status.set_state(cri::CONTAINER_CREATED);
  status.set_created_at(NowNs());
  *status.mutable_image() = config.image();
  const std::string full = FullImageName(config.image().user_specified_image());
  if (images.count(full) != 0) status.mutable_image()->set_image(full);
  status.set_image_ref(config.image().image());
  *status.mutable_labels() = config.labels();
  *status.mutable_annotations() = config.annotations();
  *status.mutable_mounts() = config.mounts();
  if (!config.log_path().empty()) {
    status.set_log_path(absl::StrCat(in->config.log_directory(), "/", config.log_path()));
  }
  const std::string id = status.id();
  containers.emplace(record->number, std::move(record));
  return id;
}

void RuntimeFake::State::EndAfter(ContainerRecord& container, std::unique_ptr<kube::Delayed>& timer,
                                  Duration delay, int32_t exit_code, std::string reason,
                                  std::string message) {
  timer = executor_.After(delay, [this, number = container.number, exit_code,
                                  reason = std::move(reason), message = std::move(message)] {
    const auto it = containers.find(number);
    if (it != containers.end()) End(*it->second, exit_code, reason, message);
  });
}

absl::Status RuntimeFake::State::Start(const std::string& id) {
  ContainerRecord* container = ContainerOf(id);
  if (container == nullptr) return NotFound("container", id);
  if (container->status.state() != cri::CONTAINER_CREATED) {
    return absl::UnknownError(
        absl::StrCat("failed to set starting state for container \"", id, "\": container is in ",
                     cri::ContainerState_Name(container->status.state()), " state"));
  }
  SandboxRecord* sandbox = SandboxOf(container->sandbox);
  const ContainerScript& script = container->script;
  absl::Status error = script.start_error;
  if (sandbox == nullptr || !sandbox->ready()) {
    error = absl::UnknownError(
        absl::StrCat("sandbox container \"", container->sandbox, "\" is not running"));
  }
  if (!error.ok()) {
    container->status.set_state(cri::CONTAINER_EXITED);
    container->status.set_finished_at(NowNs());
    container->status.set_exit_code(kStartFailed);
    container->status.set_reason("StartError");
    container->status.set_message(std::string(error.message()));
    return error;
  }
  container->status.set_state(cri::CONTAINER_RUNNING);
  container->status.set_started_at(NowNs());
  container->started = executor_.clock().Now();
  if (script.exits_after) {
    EndAfter(*container, container->exit, *script.exits_after, script.exit_code, script.exit_reason,
             script.exit_message);
  }
  return absl::OkStatus();
}

void RuntimeFake::State::End(ContainerRecord& container, int32_t exit_code,
                             const std::string& reason, const std::string& message) {
  if (!container.running()) return;
  container.exit.reset();
  container.kill.reset();
  cri::ContainerStatus& status = container.status;
  status.set_state(cri::CONTAINER_EXITED);
  status.set_finished_at(NowNs());
  status.set_exit_code(exit_code);
  status.set_reason(!reason.empty() ? reason : exit_code == 0 ? "Completed" : "Error");
  status.set_message(message);
  for (auto& done : std::exchange(container.waiting, {})) done(absl::OkStatus());
}

void RuntimeFake::State::Stop(const std::string& id, Duration grace,
                              std::function<void(absl::Status)> done) {
  ContainerRecord* container = ContainerOf(id);
  if (container == nullptr) return done(NotFound("container", id));
  if (!container->running()) return done(absl::OkStatus());
  const ContainerScript& script = container->script;
  if (script.unkillable) {
    const int64_t number = next_number_++;
    pending_[number] = executor_.After(grace + kUnkillableWait, [this, number, id, done] {
      const auto own = pending_.extract(number);
      done(absl::DeadlineExceededError(
          absl::StrCat("an error occurs during waiting for container \"", id,
                       "\" to be killed: wait container \"", id, "\": context deadline exceeded")));
    });
    return;
  }
  container->waiting.push_back(std::move(done));
  if (grace <= Duration(0)) {
    End(*container, kKilled, "", "");
  } else if (!script.ignores_signal && script.stops_after < grace) {
    EndAfter(*container, container->exit, script.stops_after, script.stop_exit_code, "", "");
  } else {
    EndAfter(*container, container->kill, grace, kKilled, "", "");
  }
}

void RuntimeFake::State::Remove(const std::string& id) {
  ContainerRecord* container = ContainerOf(id);
  if (container == nullptr) return;
  End(*container, kKilled, "", "");
  containers.erase(container->number);
}

void RuntimeFake::State::Exec(const std::string& id, const std::vector<std::string>& command,
                              Duration timeout,
                              std::function<void(absl::StatusOr<ExecResult>)> done) {
  ContainerRecord* container = ContainerOf(id);
  if (container == nullptr) {
    return done(
        absl::NotFoundError(absl::StrCat("failed to exec in container: failed to find "
                                         "container \"",
                                         id, "\" in store: not found")));
  }
  if (!container->running()) {
    return done(absl::UnknownError(absl::StrCat("failed to exec in container: container is in ",
                                                cri::ContainerState_Name(container->status.state()),
                                                " state")));
  }
  const cri::PodSandboxMetadata pod = SandboxOf(container->sandbox)->config.metadata();
  ExecAnswer answer;
  if (owner_.on_exec) {
    answer = owner_.on_exec(
        {pod.namespace_(), pod.name(), container->config.metadata().name(), command});
  }
  const bool late = timeout > Duration(0) && answer.takes > timeout;
  const int64_t number = next_number_++;
  pending_[number] =
      executor_.After(late ? timeout : answer.takes, [this, number, late, timeout, answer, done] {
        const auto own = pending_.extract(number);
        if (late) {
          done(absl::DeadlineExceededError(absl::StrCat("failed to exec in container: timeout ",
                                                        ToMillis(timeout),
                                                        "ms exceeded: context deadline exceeded")));
        } else if (!answer.error.ok()) {
          done(answer.error);
        } else {
          done(answer.result);
        }
      });
}

void RuntimeFake::State::Pull(const std::string& image, const PullAuth& auth,
                              std::function<void(absl::StatusOr<std::string>)> done) {
  const std::string full = FullImageName(image);
  const ImageScript script = images[full];
  const int64_t number = next_number_++;
  pending_[number] = executor_.After(script.pull_takes, [this, number, full, user = auth.username,
                                                         script, done] {
    const auto own = pending_.extract(number);
    if (!script.needs_username.empty() && script.needs_username != user) {
      done(absl::UnknownError(absl::StrCat(
          "failed to pull and unpack image \"", full, "\": failed to resolve reference \"", full,
          "\": pull access denied, repository does not exist or may require "
          "authorization: authorization failed: no basic auth credentials")));
    } else if (!script.pull_error.ok()) {
      done(script.pull_error);
    } else {
      images[full].present = true;
      done(ImageIdOf(full));
    }
  });
}

absl::StatusOr<cri::Image> RuntimeFake::State::Image(const std::string& name) const {
  const std::string full = FullImageName(name);
  for (const auto& [key, script] : images) {
    if (key != full && ImageIdOf(key) != name) continue;
    if (!script.inspect_error.ok()) return script.inspect_error;
    if (!script.present) break;
    cri::Image out;
    out.set_id(ImageIdOf(key));
    out.add_repo_tags(key);
    out.set_size(script.size_bytes);
    if (script.uid) out.mutable_uid()->set_value(*script.uid);
    out.set_username(script.username);
    return out;
  }
  return cri::Image();
}

RuntimeFake::State::SandboxRecord* RuntimeFake::State::SandboxOf(const std::string& id) {
  return Find(sandboxes, "sandbox-", id);
}

RuntimeFake::State::ContainerRecord* RuntimeFake::State::ContainerOf(const std::string& id) {
  return Find(containers, "container-", id);
}

RuntimeFake::State::SandboxRecord* RuntimeFake::State::NewestSandbox(const std::string& pod) {
  for (auto it = sandboxes.rbegin(); it != sandboxes.rend(); ++it) {
    if (it->second->pod() == pod) return it->second.get();
  }
  return nullptr;
}

RuntimeFake::State::ContainerRecord* RuntimeFake::State::NewestContainer(
    const std::string& container) {
  for (auto it = containers.rbegin(); it != containers.rend(); ++it) {
    if (it->second->key() == container) return it->second.get();
  }
  return nullptr;
}

std::string RuntimeFake::State::SandboxName(const std::string& id) {
  const SandboxRecord* sandbox = SandboxOf(id);
  return sandbox == nullptr ? id : sandbox->name();
}

std::string RuntimeFake::State::ContainerName(const std::string& id) {
  const ContainerRecord* container = ContainerOf(id);
  return container == nullptr ? id : container->name();
}

cri::ContainerStats RuntimeFake::State::Stats(const ContainerRecord& container) const {
  cri::ContainerStats out;
  cri::ContainerAttributes& attributes = *out.mutable_attributes();
  attributes.set_id(container.status.id());
  *attributes.mutable_metadata() = container.config.metadata();
  *attributes.mutable_labels() = container.config.labels();
  *attributes.mutable_annotations() = container.config.annotations();
  if (container.running()) {
    const double ran_seconds =
        std::chrono::duration<double>(executor_.clock().Now() - container.started).count();
    const auto cpu = static_cast<double>(container.script.cpu_nanocores);
    const auto memory = static_cast<uint64_t>(container.script.memory_bytes);
    out.mutable_cpu()->set_timestamp(NowNs());
    out.mutable_cpu()->mutable_usage_core_nano_seconds()->set_value(
        static_cast<uint64_t>(cpu * ran_seconds));
    out.mutable_memory()->set_timestamp(NowNs());
    out.mutable_memory()->mutable_working_set_bytes()->set_value(memory);
    out.mutable_memory()->mutable_usage_bytes()->set_value(memory);
    out.mutable_memory()->mutable_rss_bytes()->set_value(memory);
  }
  out.mutable_writable_layer()->set_timestamp(NowNs());
  out.mutable_writable_layer()->mutable_fs_id()->set_mountpoint(owner_.fs_mountpoint);
  out.mutable_writable_layer()->mutable_used_bytes()->set_value(0);
  out.mutable_writable_layer()->mutable_inodes_used()->set_value(0);
  return out;
}

}  // namespace meltemi::kubelet
