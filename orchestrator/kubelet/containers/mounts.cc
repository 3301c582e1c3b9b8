#include "orchestrator/kubelet/containers/mounts.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <optional>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "cri/runtime/v1/container.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/status/field_error.h"
#include "orchestrator/kubelet/containers/expansion.h"
#include "orchestrator/kubelet/volumes/files.h"

namespace meltemi::kubelet {
namespace {

namespace cri = ::runtime::v1;
using kube::core::v1::Container;
using kube::core::v1::Pod;
using kube::core::v1::VolumeMount;

constexpr char kHostsPath[] = "/etc/hosts";
constexpr size_t kHostsBytesMax = size_t{1} << 20;
// Files of runs whose containers may still be there.
constexpr uint32_t kRunsKept = 3;

std::string Absolute(const std::string& path) {
  return !path.empty() && path[0] == '/' ? path : "/" + path;
}

// "": the whole volume.
absl::StatusOr<std::string> SubPathOf(const VolumeMount& mount, const Environment& environment) {
  std::string path = mount.sub_path();
  if (!mount.sub_path_expr().empty()) {
    std::set<std::string> missing;
    path =
        Expand(mount.sub_path_expr(), [&](const std::string& name) -> std::optional<std::string> {
          const auto it = environment.find(name);
          if (it != environment.end() && !it->second.empty()) return it->second;
          missing.insert(name);
          return "";
        });
    if (!missing.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("missing value for ", absl::StrJoin(missing, ", ")));
    }
  }
  if (!path.empty() && path[0] == '/') {
    return absl::InvalidArgumentError(
        absl::StrCat("error SubPath `", path, "` must not be an absolute path"));
  }
  for (const absl::string_view part : absl::StrSplit(path, '/')) {
    if (part == "..") {
      return absl::InvalidArgumentError(
          absl::StrCat("unable to provision SubPath `", path, "`: must not contain '..'"));
    }
  }
  return path;
}

absl::Status AddVolumeMount(const Pod& pod, const Container& container, const VolumeMount& mount,
                            const PodMounts& mounts, const Environment& environment,
                            Volumes& volumes, cri::ContainerConfig* config) {
  const auto volume = mounts.find(mount.name());
  if (volume == mounts.end()) {
    return absl::NotFoundError(absl::StrCat("cannot find volume ", kube::GoQuote(mount.name()),
                                            " to mount into container ",
                                            kube::GoQuote(container.name())));
  }
  if (mount.recursive_read_only() == "Enabled") {
    return absl::FailedPreconditionError(absl::StrCat(
        "failed to resolve recursive read-only mode: volume ", kube::GoQuote(mount.name()),
        " requested recursive read-only mode, but it is not supported by the runtime"));
  }
  const absl::StatusOr<std::string> sub_path = SubPathOf(mount, environment);
  if (!sub_path.ok()) return sub_path.status();
  std::string host_path = volume->second.host_path;
  if (!sub_path->empty()) {
    auto inner = volumes.SubPath(pod.metadata().uid(), volume->second, *sub_path);
    if (!inner.ok()) {
      // No details: they would tell a pod what lies on the node.
      return absl::InternalError(absl::StrCat("failed to prepare subPath for volumeMount ",
                                              kube::GoQuote(mount.name()), " of container ",
                                              kube::GoQuote(container.name())));
    }
    host_path = *std::move(inner);
  }
  cri::Mount& out = *config->add_mounts();
  out.set_container_path(Absolute(mount.mount_path()));
  out.set_host_path(host_path);
  out.set_readonly(mount.read_only() || volume->second.read_only);
  if (mount.mount_propagation() == "HostToContainer") {
    out.set_propagation(cri::PROPAGATION_HOST_TO_CONTAINER);
  } else if (mount.mount_propagation() == "Bidirectional") {
    out.set_propagation(cri::PROPAGATION_BIDIRECTIONAL);
  }
  return absl::OkStatus();
}

// In place: containers that run have this very file mounted.
absl::Status WriteInPlace(const std::string& path, const std::string& text) {
  const auto before = ReadSmallFile(path, kHostsBytesMax);
  if (before.ok() && *before == text) return absl::OkStatus();
  const Fd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (!fd.ok()) return PathError("open", path);
  if (fchmod(fd.get(), 0644) != 0) return PathError("chmod", path);
  if (write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return PathError("write", path);
  }
  return absl::OkStatus();
}

}  // namespace

std::string PodFolder(const std::string& root, const std::string& pod_uid) {
  return absl::StrCat(root, "/pods/", pod_uid);
}

std::string TerminationFile(const std::string& root, const std::string& pod_uid,
                            const std::string& container, uint32_t attempt) {
  return absl::StrCat(PodFolder(root, pod_uid), "/containers/", container, "/", attempt);
}

absl::Status AddVolumeMounts(const Pod& pod, const Container& container, const PodMounts& mounts,
                             const Environment& environment, Volumes& volumes,
                             cri::ContainerConfig* config) {
  for (const VolumeMount& mount : container.volume_mounts()) {
    absl::Status added =
        AddVolumeMount(pod, container, mount, mounts, environment, volumes, config);
    if (!added.ok()) return added;
  }
  return absl::OkStatus();
}

std::string HostsFileText(const Pod& pod, absl::string_view node_hosts,
                          const std::string& host_name, const std::string& host_domain,
                          const std::vector<std::string>& pod_ips) {
  std::string out;
  if (pod.spec().host_network()) {
    out = absl::StrCat("# Kubernetes-managed hosts file (host network).\n", node_hosts);
  } else {
    out =
        "# Kubernetes-managed hosts file.\n"
        "127.0.0.1\tlocalhost\n"
        "::1\tlocalhost ip6-localhost ip6-loopback\n"
        "fe00::0\tip6-localnet\n"
        "fe00::0\tip6-mcastprefix\n"
        "fe00::1\tip6-allnodes\n"
        "fe00::2\tip6-allrouters\n";
    for (const std::string& ip : pod_ips) {
      absl::StrAppend(&out, ip, "\t");
      if (!host_domain.empty()) absl::StrAppend(&out, host_name, ".", host_domain, "\t");
      absl::StrAppend(&out, host_name, "\n");
    }
  }
  if (pod.spec().host_aliases().empty()) return out;
  absl::StrAppend(&out, "\n# Entries added by HostAliases.\n");
  for (const auto& alias : pod.spec().host_aliases()) {
    absl::StrAppend(&out, alias.ip(), "\t", absl::StrJoin(alias.hostnames(), "\t"), "\n");
  }
  return out;
}

absl::Status AddHostsFile(const Pod& pod, const Container& container, const std::string& folder,
                          const std::string& node_hosts, const std::string& host_name,
                          const std::string& host_domain, const std::vector<std::string>& pod_ips,
                          cri::ContainerConfig* config) {
  if (!pod.spec().host_network() && pod_ips.empty()) return absl::OkStatus();
  for (const VolumeMount& mount : container.volume_mounts()) {
    if (mount.mount_path() == kHostsPath) return absl::OkStatus();
  }
  std::string node_text;
  if (pod.spec().host_network()) {
    const auto text = ReadSmallFile(node_hosts, kHostsBytesMax);
    if (text.ok()) node_text = *text;
  }
  absl::Status status = MakeFolders(folder, 0750);
  if (!status.ok()) return status;
  const std::string path = absl::StrCat(folder, "/etc-hosts");
  status = WriteInPlace(path, HostsFileText(pod, node_text, host_name, host_domain, pod_ips));
  if (!status.ok()) return status;
  cri::Mount& out = *config->add_mounts();
  out.set_container_path(kHostsPath);
  out.set_host_path(path);
  return absl::OkStatus();
}

absl::Status AddTerminationFile(const Pod& pod, const Container& container, uint32_t attempt,
                                const std::string& root, cri::ContainerConfig* config) {
  if (container.termination_message_path().empty()) return absl::OkStatus();
  const std::string path = TerminationFile(root, pod.metadata().uid(), container.name(), attempt);
  const std::string folder = path.substr(0, path.rfind('/'));
  absl::Status status = MakeFolders(folder, 0750);
  if (!status.ok()) return status;
  for (const std::string& name : NamesIn(folder)) {
    uint32_t run = 0;
    if (absl::SimpleAtoi(name, &run) && run + kRunsKept < attempt) {
      unlink(absl::StrCat(folder, "/", name).c_str());
    }
  }
  unlink(path.c_str());
  const Fd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666));
  // Whoever the container runs as may write.
  if (!fd.ok() || fchmod(fd.get(), 0666) != 0) return PathError("open", path);
  cri::Mount& out = *config->add_mounts();
  out.set_container_path(Absolute(container.termination_message_path()));
  out.set_host_path(path);
  return absl::OkStatus();
}

}  // namespace meltemi::kubelet
