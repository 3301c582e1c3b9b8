#include "orchestrator/kubelet/pods/pods_world.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "kube/core/v1/node.pb.h"
#include "orchestrator/controllers/runtime/pods.h"

namespace meltemi::kubelet {
namespace {

using kube::core::v1::Container;
using kube::core::v1::Pod;
using PodPtr = std::shared_ptr<const Pod>;

constexpr char kNode[] = "node-1";

class ImagesFake final : public Images {
 public:
  explicit ImagesFake(PartsFake& fake) : fake_(fake) {}
  ImageState Want(const PodPtr& pod, const Container& container, uint32_t attempt,
                  const std::vector<PullAuth>&, const cri::PodSandboxConfig&) override {
    const auto at = fake_.images.find(container.image());
    if (at != fake_.images.end()) return at->second;
    return {.kind = ImageState::Kind::kPresent, .ref = container.image()};
  }
  void Forget(const std::string&) override {}
  void OnChange(std::function<void(const std::string&)> on_change) override {
    fake_.touch = std::move(on_change);
  }

 private:
  PartsFake& fake_;
};

class VolumesFake final : public Volumes {
 public:
  explicit VolumesFake(PartsFake& fake) : fake_(fake) {}
  void Start() override {}
  absl::StatusOr<PodMounts> Prepare(const PodPtr& pod) override {
    if (!fake_.volumes_error.ok()) return fake_.volumes_error;
    fake_.log.push_back(absl::StrCat("volumes+ ", pod->metadata().name()));
    return PodMounts();
  }
  absl::StatusOr<std::string> SubPath(const std::string&, const PodMount&,
                                      const std::string&) override {
    return absl::UnimplementedError("");
  }
  absl::Status Remove(const std::string& uid) override {
    if (!fake_.volumes_remove_error.ok()) return fake_.volumes_remove_error;
    fake_.log.push_back("volumes-");
    return absl::OkStatus();
  }
  std::map<std::string, Size> Sizes(const std::string&) override { return {}; }

 private:
  PartsFake& fake_;
};

class ProbesFake final : public Probes {
 public:
  ProbesFake(PartsFake& fake, kube::Executor& executor) : fake_(fake), executor_(executor) {}
  void Sync(const PodPtr& pod, const PodState& state, bool ending) override {
    for (const ContainerState& container : state.containers) {
      if (container.phase != ContainerState::Phase::kRunning) continue;
      fake_.probed.insert(container.id);
      synced_.insert(container.id);
    }
  }
  ProbeResult Get(const Container& container, const ContainerState& state) const override {
    if (fake_.probes_need_sync && synced_.count(state.id) == 0) return {.started = true};
    const auto at = fake_.probes.find(container.name());
    return at != fake_.probes.end() ? at->second : ProbeResult{.started = true, .ready = true};
  }
  void Forget(const std::string&) override {}
  void OnChange(std::function<void(const std::string&)>) override {}
  void RunHook(const PodPtr& pod, const Container& container, const ContainerState& state,
               const std::string& pod_ip, const kube::core::v1::LifecycleHandler& handler,
               Duration timeout, std::function<void(absl::Status)> done) override {
    const auto at = fake_.hooks.find(container.name());
    const auto [takes, status] =
        at == fake_.hooks.end() ? std::pair<Duration, absl::Status>() : at->second;
    fake_.log.push_back(absl::StrCat("hook ", container.name()));
    const Duration bounded = timeout > Duration::zero() ? std::min(takes, timeout) : takes;
    timers_.push_back(executor_.After(bounded, [done, status] { done(status); }));
  }

 private:
  PartsFake& fake_;
  kube::Executor& executor_;
  std::set<std::string> synced_;
  std::vector<std::unique_ptr<kube::Delayed>> timers_;
};

class CgroupsFake final : public PodCgroups {
 public:
  explicit CgroupsFake(PartsFake& fake) : fake_(fake) {}
  absl::StatusOr<std::string> Ensure(const Pod& pod) override {
    if (!fake_.cgroups_error.ok()) return fake_.cgroups_error;
    return absl::StrCat("/kubepods/pod", pod.metadata().uid());
  }
  absl::Status Remove(const std::string&) override {
    fake_.log.push_back("cgroup-");
    return absl::OkStatus();
  }
  absl::StatusOr<Usage> UsageOf(const std::string&) override { return Usage(); }
  absl::StatusOr<Usage> NodeUsage() override { return Usage(); }
  std::vector<int32_t> Processes(const std::string&) override { return {}; }

 private:
  PartsFake& fake_;
};

class ConfigsFake final : public ContainerConfigs {
 public:
  explicit ConfigsFake(PartsFake& fake) : fake_(fake) {}
  absl::StatusOr<cri::PodSandboxConfig> Sandbox(const Pod& pod, uint32_t attempt,
                                                const std::string&) override {
    cri::PodSandboxConfig out;
    out.mutable_metadata()->set_name(pod.metadata().name());
    out.mutable_metadata()->set_namespace_(pod.metadata().namespace_());
    out.mutable_metadata()->set_uid(pod.metadata().uid());
    out.mutable_metadata()->set_attempt(attempt);
    AddLabels(pod, out.mutable_labels());
    return out;
  }
  bool Container(const Pod& pod, const kube::core::v1::Container& container, uint32_t attempt,
                 const std::string& image_ref, const PodMounts&, const std::vector<std::string>&,
                 cri::ContainerConfig* config, ConfigError* error) override {
    const auto at = fake_.config_errors.find(container.name());
    if (at != fake_.config_errors.end()) {
      *error = at->second;
      return false;
    }
    config->mutable_metadata()->set_name(container.name());
    config->mutable_metadata()->set_attempt(attempt);
    config->mutable_image()->set_image(image_ref);
    for (const std::string& word : container.command()) config->add_command(word);
    AddLabels(pod, config->mutable_labels());
    (*config->mutable_labels())["io.kubernetes.container.name"] = container.name();
    auto& annotations = *config->mutable_annotations();
    annotations["io.kubernetes.container.hash"] = absl::StrCat(absl::Hex(SpecHash(container)));
    annotations["io.kubernetes.container.restartCount"] = absl::StrCat(attempt);
    return true;
  }
  std::string TerminationMessage(const Pod&, const kube::core::v1::Container& container,
                                 const ContainerState&) override {
    const auto at = fake_.termination_messages.find(container.name());
    return at == fake_.termination_messages.end() ? "" : at->second;
  }
  std::vector<PullAuth> PullAuths(const Pod&, const std::string&) override { return {}; }
  void Remove(const std::string&) override { fake_.log.push_back("folders-"); }

 private:
  template <typename Map>
  static void AddLabels(const Pod& pod, Map* labels) {
    (*labels)["io.kubernetes.pod.name"] = pod.metadata().name();
    (*labels)["io.kubernetes.pod.namespace"] = pod.metadata().namespace_();
    (*labels)["io.kubernetes.pod.uid"] = pod.metadata().uid();
  }
  PartsFake& fake_;
};

}  // namespace

struct PodsWorld::Parts {
  Parts(PartsFake& fake, kube::Executor& executor)
      : images(fake), volumes(fake), probes(fake, executor), cgroups(fake), configs(fake) {}
  ImagesFake images;
  VolumesFake volumes;
  ProbesFake probes;
  CgroupsFake cgroups;
  ConfigsFake configs;
  std::unique_ptr<Probes> real_probes;
};

PodsWorld::PodsWorld(std::optional<uint64_t> seed) : world(seed), runtime(world.executor()) {
  // Failures are what most stories are about.
  log::SetLevel("*", "error");
  options.node_name = kNode;
  options.node_ips = {"192.168.0.1"};
  world.AddNode(kNode);
}

PodsWorld::~PodsWorld() { Stop(); }

void PodsWorld::Start() {
  Stop();
  process_ = world.api().NewProcess("system:node:node-1");
  informers_ = kube::NewInformers(process_->client(), world.executor());
  client_ = runtime.Connect();
  parts_ = std::make_unique<Parts>(fake, world.executor());
  if (make_probes) parts_->real_probes = make_probes(*client_, recorder_);
  Probes& probes =
      parts_->real_probes != nullptr ? *parts_->real_probes : static_cast<Probes&>(parts_->probes);
  pods_ = NewPods(PodsParts{.client = process_->client(),
                            .informers = *informers_,
                            .executor = world.executor(),
                            .recorder = recorder_,
                            .random = random_,
                            .runtime = *client_,
                            .images = parts_->images,
                            .volumes = parts_->volumes,
                            .probes = probes,
                            .cgroups = parts_->cgroups,
                            .configs = parts_->configs},
                  options);
  informers_->Start([this] { pods_->Start(); });
  world.Settle();
}

void PodsWorld::Stop() {
  if (pods_ == nullptr) return;
  process_->Disconnect();
  informers_->Stop();
  pods_.reset();
  parts_.reset();
  client_.reset();
  informers_.reset();
  process_.reset();
}

Pod PodsWorld::AddPod(absl::string_view name, absl::string_view spec, absl::string_view metadata) {
  const Pod made =
      world.Create<Pod>(absl::StrCat("{metadata: {name: ", name, metadata.empty() ? "" : ", ",
                                     metadata, "}, spec: {nodeName: ", kNode, ", ", spec, "}}"));
  world.Settle();
  return made;
}

void PodsWorld::Delete(absl::string_view name, int64_t grace_s) {
  kube::DeleteOptions how;
  if (grace_s >= 0) how.grace_period_seconds = grace_s;
  world.Delete<Pod>(name, how);
  world.Settle();
}

std::string PodsWorld::PhaseOf(absl::string_view name) {
  const std::optional<Pod> pod = world.Find<Pod>(name);
  if (!pod.has_value()) return "gone";
  return absl::StrCat(pod->status().phase(), controllers::IsReady(*pod) ? " Ready" : "");
}

std::string PodsWorld::StateOf(absl::string_view pod, absl::string_view container) {
  const Pod held = Get(pod);
  for (const auto* all :
       {&held.status().init_container_statuses(), &held.status().container_statuses()}) {
    for (const auto& status : *all) {
      if (status.name() != container) continue;
      const auto& state = status.state();
      if (state.has_running()) return "running";
      if (state.has_waiting()) return absl::StrCat("waiting ", state.waiting().reason());
      return absl::StrCat("terminated ", state.terminated().exit_code());
    }
  }
  return "not there";
}

int PodsWorld::WritesOf(absl::string_view name) {
  int writes = 0;
  for (const auto& entry : world.api().history()) {
    writes += entry.resource == "pods" && entry.name == name;
  }
  return writes;
}

}  // namespace meltemi::kubelet
