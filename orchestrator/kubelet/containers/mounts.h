// What is mounted into a container: its volumes, /etc/hosts and the file for its last words.
//
// Threads: thread-safe as long as one container of a pod is made at a time; blocks on the disk.
// Source: pkg/kubelet/kubelet_pods.go (makeMounts, hosts file), kuberuntime (termination log).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "orchestrator/kubelet/containers/environment.h"
#include "orchestrator/kubelet/volumes/volumes.h"

namespace runtime::v1 {
class ContainerConfig;
class Mount;
}  // namespace runtime::v1

namespace meltemi::kubelet {

// The pod's folder: ROOT/pods/UID.
std::string PodFolder(const std::string& root, const std::string& pod_uid);
// The file that a run of the container writes its last words into.
std::string TerminationFile(const std::string& root, const std::string& pod_uid,
                            const std::string& container, uint32_t attempt);

// Adds the container's volume mounts. Error: in the words of CreateContainerConfigError.
absl::Status AddVolumeMounts(const kube::core::v1::Pod& pod,
                             const kube::core::v1::Container& container, const PodMounts& mounts,
                             const Environment& environment, Volumes& volumes,
                             ::runtime::v1::ContainerConfig* config);

// Writes the pod's hosts file and adds it, but where the container mounts one itself. `node_hosts`:
// the node's file, for pods with its network.
absl::Status AddHostsFile(const kube::core::v1::Pod& pod,
                          const kube::core::v1::Container& container, const std::string& folder,
                          const std::string& node_hosts, const std::string& host_name,
                          const std::string& host_domain, const std::vector<std::string>& pod_ips,
                          ::runtime::v1::ContainerConfig* config);
std::string HostsFileText(const kube::core::v1::Pod& pod, absl::string_view node_hosts,
                          const std::string& host_name, const std::string& host_domain,
                          const std::vector<std::string>& pod_ips);

// Makes the (empty) file and adds it.
absl::Status AddTerminationFile(const kube::core::v1::Pod& pod,
                                const kube::core::v1::Container& container, uint32_t attempt,
                                const std::string& root, ::runtime::v1::ContainerConfig* config);

}  // namespace meltemi::kubelet
