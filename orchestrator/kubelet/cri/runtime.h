// A container runtime (CRI v1), as a seam: over gRPC (grpc_runtime.h), or in memory with a
// simulated clock (runtime_fake.h).
//
// What a runtime does at once blocks; what may last (pulling, stopping, running a command) tells
// its end. Threads: thread-safe; ends are told on a thread of the runtime's (in memory: the
// executor's), exactly once; when the destructor returns all have been told (code kCancelled).
// Whoever is told must not block, nor destroy the runtime.
// Errors: absl::Status with the runtime's code and message; kUnavailable when it can't be reached,
// kDeadlineExceeded when it hangs. RuntimeErrorText says them as Kubernetes shows them. Source:
// cri-api/pkg/apis/runtime/v1/api.proto.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock/clock.h"

namespace runtime::v1 {
class Container;
class ContainerConfig;
class ContainerStats;
class ContainerStatus;
class FilesystemUsage;
class Image;
class PodSandbox;
class PodSandboxConfig;
class PodSandboxStatus;
class RuntimeStatus;
class VersionResponse;
}  // namespace runtime::v1

namespace meltemi::kubelet {

namespace cri = ::runtime::v1;

struct ExecResult {
  int32_t exit_code = 0;
  std::string out, err;  // bounded: what is beyond 1 MiB of each is dropped
};

// Who may pull, for registries that ask.
struct PullAuth {
  std::string username, password, auth, server_address, identity_token, registry_token;
};

class Runtime {
 public:
  virtual ~Runtime() = default;

  virtual absl::StatusOr<cri::VersionResponse> Version() = 0;
  virtual absl::StatusOr<cri::RuntimeStatus> Status() = 0;

  // `handler`: of a RuntimeClass, "" mostly. Gives the sandbox's id; its network is up then.
  virtual absl::StatusOr<std::string> RunPodSandbox(const cri::PodSandboxConfig& config,
                                                    const std::string& handler) = 0;
  // Takes its network away; its containers are killed if they run. Twice does no harm.
  virtual absl::Status StopPodSandbox(const std::string& id) = 0;
  virtual absl::Status RemovePodSandbox(const std::string& id) = 0;
  virtual absl::StatusOr<cri::PodSandboxStatus> PodSandboxStatus(const std::string& id) = 0;
  // `pod_uid` "": all.
  virtual absl::StatusOr<std::vector<cri::PodSandbox>> ListPodSandboxes(
      const std::string& pod_uid) = 0;

  virtual absl::StatusOr<std::string> CreateContainer(const std::string& sandbox,
                                                      const cri::ContainerConfig& config,
                                                      const cri::PodSandboxConfig& pod) = 0;
  virtual absl::Status StartContainer(const std::string& id) = 0;
  virtual absl::Status RemoveContainer(const std::string& id) = 0;
  virtual absl::StatusOr<cri::ContainerStatus> ContainerStatus(const std::string& id) = 0;
  virtual absl::StatusOr<std::vector<cri::Container>> ListContainers(
      const std::string& pod_uid) = 0;
  virtual absl::StatusOr<std::vector<cri::ContainerStats>> ListContainerStats(
      const std::string& pod_uid) = 0;
  virtual absl::Status ReopenContainerLog(const std::string& id) = 0;

  // Stops with the image's or config's signal, kills after `grace`; done when it is dead.
  virtual void StopContainer(const std::string& id, Duration grace,
                             std::function<void(absl::Status)> done) = 0;
  virtual void ExecSync(const std::string& id, const std::vector<std::string>& command,
                        Duration timeout, std::function<void(absl::StatusOr<ExecResult>)> done) = 0;

  // Where the streams are served: an http:// URL to be asked for once.
  struct StreamOptions {
    bool in = false, out = false, err = false, tty = false;
  };
  virtual absl::StatusOr<std::string> Exec(const std::string& id,
                                           const std::vector<std::string>& command,
                                           const StreamOptions& options) = 0;
  virtual absl::StatusOr<std::string> Attach(const std::string& id,
                                             const StreamOptions& options) = 0;
  virtual absl::StatusOr<std::string> PortForward(const std::string& sandbox,
                                                  const std::vector<int32_t>& ports) = 0;

  // Gives the image's reference (its id). `sandbox` may be null.
  virtual void PullImage(const std::string& image, const PullAuth& auth,
                         const cri::PodSandboxConfig* sandbox,
                         std::function<void(absl::StatusOr<std::string>)> done) = 0;
  // Its id is "" when it is not there.
  virtual absl::StatusOr<cri::Image> ImageStatus(const std::string& image) = 0;
  // The sandboxes' own image is pinned.
  virtual absl::StatusOr<std::vector<cri::Image>> ListImages() = 0;
  virtual absl::Status RemoveImage(const std::string& image) = 0;
  virtual absl::StatusOr<std::vector<cri::FilesystemUsage>> ImageFsInfo() = 0;
};

// "rpc error: code = NotFound desc = …": an error as events and conditions of Kubernetes have it.
std::string RuntimeErrorText(const absl::Status& status);

}  // namespace meltemi::kubelet
