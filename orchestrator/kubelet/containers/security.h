// Who containers run as, what they may do and how much they may use, in the runtime's messages.
//
// Threads: pure functions. Source: pkg/securitycontext, pkg/kubelet/kuberuntime (security_context,
// container_linux), pkg/kubelet/qos; the Pod Security documentation.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace meltemi::kube::core::v1 {
class Container;
class Pod;
}  // namespace meltemi::kube::core::v1

namespace runtime::v1 {
class LinuxContainerResources;
class LinuxContainerSecurityContext;
class LinuxSandboxSecurityContext;
class NamespaceOption;
}  // namespace runtime::v1

namespace meltemi::kubelet {

// Who an image says that it runs as.
struct ImageUser {
  std::optional<int64_t> uid;
  std::string name;
};

// "" or why it may not run: "container has runAsNonRoot and image will run as root (pod: …".
std::string CheckNonRoot(const kube::core::v1::Pod& pod, const kube::core::v1::Container& container,
                         const ImageUser& user);

// `profile_root`: where seccomp profiles of the type Localhost lie. False: `*error` says why.
bool ContainerSecurity(const kube::core::v1::Pod& pod, const kube::core::v1::Container& container,
                       const ImageUser& user, const std::string& profile_root,
                       ::runtime::v1::LinuxContainerSecurityContext* out, std::string* error);
void SandboxSecurity(const kube::core::v1::Pod& pod,
                     ::runtime::v1::LinuxSandboxSecurityContext* out);

// `memory_bytes`: of the machine; `hugepage_sizes`: that it has, "2MB".
::runtime::v1::LinuxContainerResources ContainerResources(
    const kube::core::v1::Pod& pod, const kube::core::v1::Container& container,
    int64_t memory_bytes, const std::vector<std::string>& hugepage_sizes);

}  // namespace meltemi::kubelet
