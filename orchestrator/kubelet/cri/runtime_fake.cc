#include "orchestrator/kubelet/cri/runtime_fake.h"

#include <algorithm>
#include <list>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "orchestrator/kubelet/cri/runtime_fake_state.h"

namespace meltemi::kubelet {
namespace {

constexpr char kPodUid[] = "io.kubernetes.pod.uid";
constexpr int32_t kRebooted = 255;

template <typename Map>
bool HasUid(const Map& labels, const std::string& uid) {
  if (uid.empty()) return true;
  const auto it = labels.find(kPodUid);
  return it != labels.end() && it->second == uid;
}

}  // namespace

// One connection to the machine.
class RuntimeFakeClient final : public Runtime {
 public:
  explicit RuntimeFakeClient(RuntimeFake::State& machine, RuntimeFake& owner)
      : machine_(machine), owner_(owner) {}
  ~RuntimeFakeClient() override {
    // Whoever is told may not ask for more.
    while (!waiting_.empty()) {
      const std::function<void(absl::Status)> cancel = waiting_.front()->cancel;
      cancel(absl::CancelledError("the runtime's client is closed"));
    }
  }

  absl::StatusOr<cri::VersionResponse> Version() override {
    return Do("Version", false, [] {
      cri::VersionResponse out;
      out.set_version("0.1.0");
      out.set_runtime_name("containerd");
      out.set_runtime_version("1.6.20~fake");
      out.set_runtime_api_version("v1");
      return absl::StatusOr<cri::VersionResponse>(out);
    });
  }
  absl::StatusOr<cri::RuntimeStatus> Status() override {
    return Do("Status", false, [this] {
      cri::RuntimeStatus out;
      cri::RuntimeCondition& runtime = *out.add_conditions();
      runtime.set_type("RuntimeReady");
      runtime.set_status(owner_.runtime_ready);
      cri::RuntimeCondition& network = *out.add_conditions();
      network.set_type("NetworkReady");
      network.set_status(owner_.network_ready);
      if (!owner_.network_ready) {
        network.set_reason("NetworkPluginNotReady");
        network.set_message("Network plugin returns error: cni plugin not initialized");
      }
      return absl::StatusOr<cri::RuntimeStatus>(out);
    });
  }

  absl::StatusOr<std::string> RunPodSandbox(const cri::PodSandboxConfig& config,
                                            const std::string& handler) override {
    const cri::PodSandboxMetadata& meta = config.metadata();
    return Do(
        absl::StrCat("RunPodSandbox ", meta.namespace_(), "/", meta.name(), "#", meta.attempt()),
        true, [&] { return machine_.RunSandbox(config, handler); });
  }
  absl::Status StopPodSandbox(const std::string& id) override {
    return Do(absl::StrCat("StopPodSandbox ", machine_.SandboxName(id)), true, [&] {
      if (auto* sandbox = machine_.SandboxOf(id)) machine_.StopSandbox(*sandbox);
      return absl::OkStatus();
    });
  }
  absl::Status RemovePodSandbox(const std::string& id) override {
    return Do(absl::StrCat("RemovePodSandbox ", machine_.SandboxName(id)), true, [&] {
      machine_.RemoveSandbox(id);
      return absl::OkStatus();
    });
  }
  absl::StatusOr<cri::PodSandboxStatus> PodSandboxStatus(const std::string& id) override {
    return Do("PodSandboxStatus", false, [&]() -> absl::StatusOr<cri::PodSandboxStatus> {
      auto* sandbox = machine_.SandboxOf(id);
      if (sandbox == nullptr) {
        return absl::NotFoundError("an error occurred when try to find sandbox: not found");
      }
      return sandbox->status;
    });
  }
  absl::StatusOr<std::vector<cri::PodSandbox>> ListPodSandboxes(
      const std::string& pod_uid) override {
    return Do("ListPodSandboxes", false, [&] {
      std::vector<cri::PodSandbox> out;
      for (const auto& [number, sandbox] : machine_.sandboxes) {
        const cri::PodSandboxStatus& status = sandbox->status;
        if (!HasUid(status.labels(), pod_uid)) continue;
        cri::PodSandbox& item = out.emplace_back();
        item.set_id(status.id());
        *item.mutable_metadata() = status.metadata();
        item.set_state(status.state());
        item.set_created_at(status.created_at());
        *item.mutable_labels() = status.labels();
        *item.mutable_annotations() = status.annotations();
        item.set_runtime_handler(sandbox->handler);
      }
      return absl::StatusOr<std::vector<cri::PodSandbox>>(std::move(out));
    });
  }

  absl::StatusOr<std::string> CreateContainer(const std::string& sandbox,
                                              const cri::ContainerConfig& config,
                                              const cri::PodSandboxConfig& pod) override {
    const cri::PodSandboxMetadata& meta = pod.metadata();
    return Do(absl::StrCat("CreateContainer ", meta.namespace_(), "/", meta.name(), "/",
                           config.metadata().name(), "#", config.metadata().attempt()),
              true, [&] { return machine_.Create(sandbox, config); });
  }
  absl::Status StartContainer(const std::string& id) override {
    return Do(absl::StrCat("StartContainer ", machine_.ContainerName(id)), true,
              [&] { return machine_.Start(id); });
  }
  absl::Status RemoveContainer(const std::string& id) override {
    return Do(absl::StrCat("RemoveContainer ", machine_.ContainerName(id)), true, [&] {
      machine_.Remove(id);
      return absl::OkStatus();
    });
  }
  absl::StatusOr<cri::ContainerStatus> ContainerStatus(const std::string& id) override {
    return Do("ContainerStatus", false, [&]() -> absl::StatusOr<cri::ContainerStatus> {
      auto* container = machine_.ContainerOf(id);
      if (container == nullptr) return NoContainer(id);
      return container->status;
    });
  }
  absl::StatusOr<std::vector<cri::Container>> ListContainers(const std::string& pod_uid) override {
    return Do("ListContainers", false, [&] {
      std::vector<cri::Container> out;
      for (const auto& [number, container] : machine_.containers) {
        const cri::ContainerStatus& status = container->status;
        if (!HasUid(status.labels(), pod_uid)) continue;
        cri::Container& item = out.emplace_back();
        item.set_id(status.id());
        item.set_pod_sandbox_id(container->sandbox);
        *item.mutable_metadata() = status.metadata();
        *item.mutable_image() = container->config.image();
        item.set_image_ref(status.image_ref());
        item.set_state(status.state());
        item.set_created_at(status.created_at());
        *item.mutable_labels() = status.labels();
        *item.mutable_annotations() = status.annotations();
      }
      return absl::StatusOr<std::vector<cri::Container>>(std::move(out));
    });
  }
  absl::StatusOr<std::vector<cri::ContainerStats>> ListContainerStats(
      const std::string& pod_uid) override {
    return Do("ListContainerStats", false, [&] {
      std::vector<cri::ContainerStats> out;
      for (const auto& [number, container] : machine_.containers) {
        if (!container->running() || !HasUid(container->status.labels(), pod_uid)) continue;
        out.push_back(machine_.Stats(*container));
      }
      return absl::StatusOr<std::vector<cri::ContainerStats>>(std::move(out));
    });
  }
  absl::Status ReopenContainerLog(const std::string& id) override {
    return Do(absl::StrCat("ReopenContainerLog ", machine_.ContainerName(id)), true, [&] {
      auto* container = machine_.ContainerOf(id);
      if (container == nullptr) return NoContainer(id);
      return container->running() ? absl::OkStatus()
                                  : absl::UnknownError("container is not running");
    });
  }

  void StopContainer(const std::string& id, Duration grace,
                     std::function<void(absl::Status)> done) override {
    DoLater<absl::Status>(absl::StrCat("StopContainer ", machine_.ContainerName(id), " ",
                                       std::chrono::duration_cast<seconds>(grace).count(), "s"),
                          std::move(done),
                          [&](auto end) { machine_.Stop(id, grace, std::move(end)); });
  }
  void ExecSync(const std::string& id, const std::vector<std::string>& command, Duration timeout,
                std::function<void(absl::StatusOr<ExecResult>)> done) override {
    DoLater<absl::StatusOr<ExecResult>>(
        absl::StrCat("ExecSync ", machine_.ContainerName(id), " ", absl::StrJoin(command, " ")),
        std::move(done), [&](auto end) { machine_.Exec(id, command, timeout, std::move(end)); });
  }

  absl::StatusOr<std::string> Exec(const std::string& id, const std::vector<std::string>& command,
                                   const StreamOptions& options) override {
    return Stream("Exec", id);
  }
  absl::StatusOr<std::string> Attach(const std::string& id, const StreamOptions& options) override {
    return Stream("Attach", id);
  }
  absl::StatusOr<std::string> PortForward(const std::string& sandbox,
                                          const std::vector<int32_t>& ports) override {
    return Do(absl::StrCat("PortForward ", machine_.SandboxName(sandbox)), true,
              [&]() -> absl::StatusOr<std::string> {
                auto* record = machine_.SandboxOf(sandbox);
                if (record == nullptr || !record->ready()) {
                  return absl::UnknownError(
                      absl::StrCat("sandbox container \"", sandbox, "\" is not running"));
                }
                return absl::StrCat("http://127.0.0.1:1/portforward/", sandbox);
              });
  }

  void PullImage(const std::string& image, const PullAuth& auth, const cri::PodSandboxConfig*,
                 std::function<void(absl::StatusOr<std::string>)> done) override {
    DoLater<absl::StatusOr<std::string>>(
        absl::StrCat("PullImage ", image), std::move(done),
        [&](auto end) { machine_.Pull(image, auth, std::move(end)); });
  }
  absl::StatusOr<cri::Image> ImageStatus(const std::string& image) override {
    return Do("ImageStatus", false, [&] { return machine_.Image(image); });
  }
  absl::StatusOr<std::vector<cri::Image>> ListImages() override {
    return Do("ListImages", false, [&]() -> absl::StatusOr<std::vector<cri::Image>> {
      std::vector<cri::Image> out;
      for (const auto& [name, script] : machine_.images) {
        if (!script.present) continue;
        absl::StatusOr<cri::Image> image = machine_.Image(name);
        if (image.ok()) out.push_back(*std::move(image));
      }
      return out;
    });
  }
  absl::Status RemoveImage(const std::string& image) override {
    return Do(absl::StrCat("RemoveImage ", image), true, [&] {
      const std::string full = FullImageName(image);
      for (auto& [name, script] : machine_.images) {
        if (name == full || ImageIdOf(name) == image) script.present = false;
      }
      return absl::OkStatus();
    });
  }
  absl::StatusOr<std::vector<cri::FilesystemUsage>> ImageFsInfo() override {
    return Do("ImageFsInfo", false, [this] {
      cri::FilesystemUsage out;
      out.set_timestamp(machine_.NowNs());
      out.mutable_fs_id()->set_mountpoint(owner_.fs_mountpoint);
      uint64_t used = owner_.fs_used_bytes;
      for (const auto& [name, script] : machine_.images) {
        if (script.present) used += script.size_bytes;
      }
      out.mutable_used_bytes()->set_value(used);
      out.mutable_inodes_used()->set_value(machine_.images.size());
      return absl::StatusOr<std::vector<cri::FilesystemUsage>>({out});
    });
  }

 private:
  struct Waiting {
    std::function<void(absl::Status)> cancel;
  };

  template <typename Action>
  auto Do(const std::string& call, bool logged, Action action) -> decltype(action()) {
    const RuntimeFault fault = machine_.Begin(call, logged);
    if (fault.kind == RuntimeFault::Kind::kNotDone) return fault.status;
    auto out = action();
    if (fault.kind == RuntimeFault::Kind::kDone) return fault.status;
    return out;
  }

  // `begin` is given the end to be told, which it may tell at once.
  template <typename Answer, typename Begin>
  void DoLater(const std::string& call, std::function<void(Answer)> done, Begin begin) {
    const RuntimeFault fault = machine_.Begin(call, true);
    auto waiting = std::make_shared<Waiting>();
    waiting_.push_back(waiting);
    // Null once it has been told or cancelled.
    auto once = std::make_shared<std::function<void(Answer)>>(std::move(done));
    std::weak_ptr<Waiting> entry = waiting;
    const auto tell = [this, once, entry](Answer answer) {
      auto tell_now = std::exchange(*once, nullptr);
      if (!tell_now) return;
      waiting_.remove(entry.lock());
      tell_now(std::move(answer));
    };
    waiting->cancel = [tell](absl::Status why) { tell(Answer(std::move(why))); };
    kube::Executor& executor = machine_.executor();
    const auto end = [&executor, once, tell, fault](Answer answer) {
      if (fault.kind == RuntimeFault::Kind::kDone) answer = Answer(fault.status);
      executor.Run([once, tell, answer = std::move(answer)] {
        if (*once) tell(answer);
      });
    };
    if (fault.kind == RuntimeFault::Kind::kNotDone) return end(Answer(fault.status));
    begin(std::function<void(Answer)>(end));
  }

  absl::StatusOr<std::string> Stream(absl::string_view what, const std::string& id) {
    return Do(
        absl::StrCat(what, " ", machine_.ContainerName(id)), true,
        [&]() -> absl::StatusOr<std::string> {
          auto* container = machine_.ContainerOf(id);
          if (container == nullptr) return NoContainer(id);
          if (!container->running()) {
            return absl::UnknownError(absl::StrCat(
                "container is in ", cri::ContainerState_Name(container->status.state()), " state"));
          }
          return absl::StrCat("http://127.0.0.1:1/", what, "/", id);
        });
  }

  static absl::Status NoContainer(const std::string& id) {
    return absl::NotFoundError(
        absl::StrCat("an error occurred when try to find container \"", id, "\": not found"));
  }

  RuntimeFake::State& machine_;
  RuntimeFake& owner_;
  std::list<std::shared_ptr<Waiting>> waiting_;
};

RuntimeFake::RuntimeFake(kube::Executor& executor)
    : state_(std::make_unique<State>(*this, executor)) {}
RuntimeFake::~RuntimeFake() = default;

std::unique_ptr<Runtime> RuntimeFake::Connect() {
  return std::make_unique<RuntimeFakeClient>(*state_, *this);
}

void RuntimeFake::SetContainer(const std::string& key, ContainerScript script) {
  state_->scripts[key] = std::move(script);
}

void RuntimeFake::SetImage(const std::string& name, ImageScript script) {
  state_->images[FullImageName(name)] = std::move(script);
}

bool RuntimeFake::Exit(const std::string& container, int32_t exit_code, const std::string& reason) {
  State::ContainerRecord* record = state_->NewestContainer(container);
  if (record == nullptr || !record->running()) return false;
  state_->End(*record, exit_code, reason, "");
  return true;
}

bool RuntimeFake::KillSandbox(const std::string& pod) {
  State::SandboxRecord* record = state_->NewestSandbox(pod);
  if (record == nullptr || !record->ready()) return false;
  record->status.set_state(cri::SANDBOX_NOTREADY);
  return true;
}

void RuntimeFake::Reboot() {
  for (auto& [number, container] : state_->containers) {
    state_->End(*container, kRebooted, "Unknown", "");
  }
  for (auto& [number, sandbox] : state_->sandboxes) state_->StopSandbox(*sandbox);
}

std::vector<std::string> RuntimeFake::TakeCalls() { return std::exchange(state_->log, {}); }
int64_t RuntimeFake::calls() const { return state_->calls; }

const cri::ContainerStatus* RuntimeFake::Container(const std::string& container) const {
  const State::ContainerRecord* record = state_->NewestContainer(container);
  return record == nullptr ? nullptr : &record->status;
}

const cri::PodSandboxStatus* RuntimeFake::Sandbox(const std::string& pod) const {
  const State::SandboxRecord* record = state_->NewestSandbox(pod);
  return record == nullptr ? nullptr : &record->status;
}

const cri::ContainerConfig* RuntimeFake::ContainerConfig(const std::string& container) const {
  const State::ContainerRecord* record = state_->NewestContainer(container);
  return record == nullptr ? nullptr : &record->config;
}

const cri::PodSandboxConfig* RuntimeFake::SandboxConfig(const std::string& pod) const {
  const State::SandboxRecord* record = state_->NewestSandbox(pod);
  return record == nullptr ? nullptr : &record->config;
}

std::vector<std::string> RuntimeFake::Running() const {
  std::vector<std::string> out;
  for (const auto& [number, container] : state_->containers) {
    if (container->running()) out.push_back(container->name());
  }
  std::sort(out.begin(), out.end());
  return out;
}

size_t RuntimeFake::containers() const { return state_->containers.size(); }
size_t RuntimeFake::sandboxes() const { return state_->sandboxes.size(); }

bool RuntimeFake::HasImage(const std::string& name) const {
  const auto it = state_->images.find(FullImageName(name));
  return it != state_->images.end() && it->second.present;
}

}  // namespace meltemi::kubelet
