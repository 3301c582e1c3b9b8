// The configuration of a node's containerd.
//
// Threads: functions without state. Source: containerd's configuration version 2 and its registry
// host files (docs/hosts.md), release 1.6.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "cli/cluster/layout.h"

namespace meltemi::cli {

struct ContainerdOptions {
  std::string snapshotter = "overlayfs";
  std::string runc = "/usr/sbin/runc";
  std::string cni_bin_dir = "/usr/lib/cni";
  std::string sandbox_image;
  // Containers are not preferred over others when memory runs out, where that is not allowed.
  bool restrict_oom_score_adj = false;
};

std::string ContainerdConfig(const NodeFolders& folders, const ContainerdOptions& options);

// A mirror for one registry ("docker.io=http://10.0.0.1:5000") or for all ("http://10.0.0.1:5000").
struct RegistryMirror {
  std::string folder;  // below the registry_hosts folder: "docker.io", "_default"
  std::string hosts_toml;
};
// Error: what is wrong with the text.
absl::StatusOr<RegistryMirror> ParseRegistryMirror(const std::string& text);

}  // namespace meltemi::cli
