#include "cli/cluster/containerd_config.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace meltemi::cli {

std::string ContainerdConfig(const NodeFolders& folders, const ContainerdOptions& options) {
  // What is turned off either needs a device or a kernel module that nobody here has, or opens a
  // port.
  return absl::StrCat(R"(version = 2
root = ")",
                      folders.containerd_root(), R"("
state = ")",
                      folders.containerd_state(), R"("
disabled_plugins = [
  "io.containerd.internal.v1.restart",
  "io.containerd.internal.v1.tracing",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp",
]

[grpc]
  address = ")",
                      folders.containerd_socket(), R"("

[debug]
  level = "warn"

[plugins."io.containerd.internal.v1.opt"]
  path = ")",
                      folders.containerd_root(), R"(/opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = ")",
                      options.sandbox_image, R"("
  disable_tcp_service = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  netns_mounts_under_state_dir = true
  restrict_oom_score_adj = )",
                      options.restrict_oom_score_adj ? "true" : "false", R"(

[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = ")",
                      options.snapshotter, R"("
  default_runtime_name = "runc"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  BinaryName = ")",
                      options.runc, R"("
  SystemdCgroup = false

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = ")",
                      options.cni_bin_dir, R"("
  conf_dir = ")",
                      folders.cni_conf_dir(), R"("
  max_conf_num = 1

[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = ")",
                      folders.registry_hosts(), R"("
)");
}

absl::StatusOr<RegistryMirror> ParseRegistryMirror(const std::string& text) {
  RegistryMirror mirror;
  std::string url = text;
  const size_t scheme = text.find("://");
  const size_t equals = text.find('=');
  mirror.folder = "_default";
  if (equals != std::string::npos && (scheme == std::string::npos || equals < scheme)) {
    mirror.folder = text.substr(0, equals);
    url = text.substr(equals + 1);
  }
  const bool http = absl::StartsWith(url, "http://") || absl::StartsWith(url, "https://");
  if (!http || url.find_first_of("\"\\\n ") != std::string::npos || mirror.folder.empty() ||
      mirror.folder.find('/') != std::string::npos || mirror.folder[0] == '.') {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", text, "' is neither URL nor REGISTRY=URL (docker.io=http://10.0.0.1:5000)"));
  }
  mirror.hosts_toml =
      absl::StrCat("[host.\"", url, "\"]\n  capabilities = [\"pull\", \"resolve\"]\n");
  return mirror;
}

}  // namespace meltemi::cli
