// What the machine of runtime_fake.h has: its sandboxes, containers and images, and what is done to
// them.
//
// Threads: one, the executor's.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "orchestrator/kubelet/cri/runtime_fake.h"

namespace meltemi::kubelet {

class RuntimeFake::State final {
 public:
  struct SandboxRecord {
    cri::PodSandboxStatus status;
    cri::PodSandboxConfig config;
    std::string handler;
    int64_t number = 0;

    std::string pod() const;   // "NS/POD"
    std::string name() const;  // "NS/POD#ATTEMPT"
    bool ready() const { return status.state() == cri::SANDBOX_READY; }
  };
  struct ContainerRecord {
    cri::ContainerStatus status;
    cri::ContainerConfig config;
    std::string sandbox, pod;
    ContainerScript script;
    int64_t number = 0;
    MonotonicTime started{};
    std::unique_ptr<kube::Delayed> exit, kill;
    std::vector<std::function<void(absl::Status)>> waiting;  // for its end

    std::string key() const { return pod + "/" + config.metadata().name(); }
    std::string name() const;  // "NS/POD/CONTAINER#ATTEMPT"
    bool running() const { return status.state() == cri::CONTAINER_RUNNING; }
  };

  State(RuntimeFake& owner, kube::Executor& executor) : owner_(owner), executor_(executor) {}

  // Logs the call and says what is to become of it.
  RuntimeFault Begin(const std::string& call, bool logged);

  absl::StatusOr<std::string> RunSandbox(const cri::PodSandboxConfig& config,
                                         const std::string& handler);
  void StopSandbox(SandboxRecord& sandbox);
  void RemoveSandbox(const std::string& id);
  absl::StatusOr<std::string> Create(const std::string& sandbox,
                                     const cri::ContainerConfig& config);
  absl::Status Start(const std::string& id);
  void Remove(const std::string& id);
  void Stop(const std::string& id, Duration grace, std::function<void(absl::Status)> done);
  void Exec(const std::string& id, const std::vector<std::string>& command, Duration timeout,
            std::function<void(absl::StatusOr<ExecResult>)> done);
  void Pull(const std::string& image, const PullAuth& auth,
            std::function<void(absl::StatusOr<std::string>)> done);
  absl::StatusOr<cri::Image> Image(const std::string& name) const;
  void End(ContainerRecord& container, int32_t exit_code, const std::string& reason,
           const std::string& message);

  SandboxRecord* SandboxOf(const std::string& id);
  ContainerRecord* ContainerOf(const std::string& id);
  // The newest of a name.
  SandboxRecord* NewestSandbox(const std::string& pod);
  ContainerRecord* NewestContainer(const std::string& container);
  // For the log: the name, or the id when there is none.
  std::string SandboxName(const std::string& id);
  std::string ContainerName(const std::string& id);
  cri::ContainerStats Stats(const ContainerRecord& container) const;
  int64_t NowNs() const;
  kube::Executor& executor() { return executor_; }

  std::map<int64_t, std::unique_ptr<SandboxRecord>> sandboxes;
  std::map<int64_t, std::unique_ptr<ContainerRecord>> containers;
  std::map<std::string, ImageScript> images;  // by full name
  std::map<std::string, ContainerScript> scripts;
  std::vector<std::string> log;
  int64_t calls = 0;

 private:
  ContainerScript ScriptOf(const std::string& pod, const cri::ContainerConfig& config) const;
  void EndAfter(ContainerRecord& container, std::unique_ptr<kube::Delayed>& timer, Duration delay,
                int32_t exit_code, std::string reason, std::string message);

  RuntimeFake& owner_;
  kube::Executor& executor_;
  // Pulls and commands that are under way.
  std::map<int64_t, std::unique_ptr<kube::Delayed>> pending_;
  int64_t next_number_ = 1;
  int next_ip_ = 2;
};

// "docker.io/library/nginx:latest" of "nginx"; what is no name is left as it is.
std::string FullImageName(const std::string& name);
std::string ImageIdOf(const std::string& full_name);

}  // namespace meltemi::kubelet
