// From a pod's spec to what the runtime is told: sandboxes, containers, environment, security,
// resources, mounts, log paths.
//
// Threads: thread-safe; Environment blocks on API calls. Source: pkg/kubelet/kuberuntime,
// pkg/kubelet/kubelet_pods.go (environment, hosts file, host name, resolv.conf).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kube/client/client.h"
#include "kube/informer/informer.h"
#include "kube/status/status.h"
#include "orchestrator/kubelet/cri/runtime.h"
#include "orchestrator/kubelet/pods/pod_state.h"
#include "orchestrator/kubelet/volumes/volumes.h"

namespace meltemi::kube::core::v1 {
class Container;
class Pod;
}  // namespace meltemi::kube::core::v1

namespace meltemi::kubelet {

struct ContainerConfigsOptions {
  std::string node_name;
  std::string root;      // "/var/lib/…/kubelet": pods/UID/{etc-hosts,containers/NAME/…}
  std::string log_root;  // ".../pods": NS_NAME_UID/CONTAINER/ATTEMPT.log
  std::string cluster_domain = "cluster.local";
  std::vector<std::string> cluster_dns;
  std::string resolv_conf = "/etc/resolv.conf";  // not there: as if it were empty
  std::vector<std::string> node_ips;             // for status.hostIP
  std::string hosts = "/etc/hosts";              // of pods with the host's network
  int64_t memory_bytes = 0;                      // of the machine; 0: asks the kernel
};

// Why a container can't be made, as its waiting reason says it: "CreateContainerConfigError" with
// `secret "x" not found`, `container has runAsNonRoot and image will run as root`, …
struct ConfigError {
  std::string reason, message;
};

class ContainerConfigs {
 public:
  virtual ~ContainerConfigs() = default;

  // `cgroup_parent`: of the pod (cgroups/pod_cgroups.h). Error: in the words of the
  // FailedCreatePodSandBox event.
  virtual absl::StatusOr<cri::PodSandboxConfig> Sandbox(const kube::core::v1::Pod& pod,
                                                        uint32_t attempt,
                                                        const std::string& cgroup_parent) = 0;
  // `image_ref`: what Images gave; `mounts`: what Volumes gave; `pod_ips`: for the downward API and
  // the hosts file. False: `error` says why.
  virtual bool Container(const kube::core::v1::Pod& pod, const kube::core::v1::Container& container,
                         uint32_t attempt, const std::string& image_ref, const PodMounts& mounts,
                         const std::vector<std::string>& pod_ips, cri::ContainerConfig* config,
                         ConfigError* error) = 0;
  // Reads a container's termination message (file, or the end of its log with
  // FallbackToLogsOnError), bounded as Kubernetes bounds it.
  virtual std::string TerminationMessage(const kube::core::v1::Pod& pod,
                                         const kube::core::v1::Container& container,
                                         const ContainerState& state) = 0;
  // Credentials of the pod's imagePullSecrets that fit the image.
  virtual std::vector<PullAuth> PullAuths(const kube::core::v1::Pod& pod,
                                          const std::string& image) = 0;
  // The pod's folders are removed.
  virtual void Remove(const std::string& pod_uid) = 0;
};

// Services (of the pod's namespace and "kubernetes") are read from `informers` for the environment:
// make this before they are started. All outlive it.
std::unique_ptr<ContainerConfigs> NewContainerConfigs(const ContainerConfigsOptions& options,
                                                      kube::Client& client,
                                                      kube::Informers& informers, Runtime& runtime,
                                                      Volumes& volumes, const Clock& clock);

// Of the fields that make a running container another one.
uint64_t SpecHash(const kube::core::v1::Container& container);

// What the runtime's lists say of one sandbox or container, back from its labels and annotations.
// False: it is not a kubelet's.
bool FromSandbox(const cri::PodSandbox& sandbox, PodState* pod, SandboxState* out);
bool FromContainer(const cri::Container& container, PodState* pod, ContainerState* out);
void AddStatus(const cri::ContainerStatus& status, ContainerState* out);

}  // namespace meltemi::kubelet
