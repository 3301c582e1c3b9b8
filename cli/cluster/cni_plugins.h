// The folder from which a node's containerd starts CNI plugins: Debian's, and the mesh's own behind
// them. The machine's own folder stays as it is.
//
// One thread; blocks.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace meltemi::cli {

inline constexpr char kMeshCniPlugin[] = "meltemi-cni";  // for kubelets: --cni-chained-plugin

// The plugin that is beside this program. Error: it is not built.
absl::StatusOr<std::string> CniPluginPath();

// Makes `folder` hold a link to each plugin of `system_folder` and a copy of `plugin`; what is
// there already is renewed, what runs goes on. For ContainerdOptions::cni_bin_dir.
absl::Status PrepareCniPlugins(const std::string& plugin, const std::string& system_folder,
                               const std::string& folder);

}  // namespace meltemi::cli
