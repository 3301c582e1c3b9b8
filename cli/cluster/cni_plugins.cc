#include "cli/cluster/cni_plugins.h"

#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "cli/cluster/control_plane.h"

namespace meltemi::cli {
namespace {

namespace fs = std::filesystem;

absl::Status Failed(const std::string& path, const std::error_code& error) {
  return absl::FailedPreconditionError(absl::StrCat(path, ": ", error.message()));
}

}  // namespace

absl::StatusOr<std::string> CniPluginPath() {
  absl::StatusOr<std::string> path =
      ProgramBeside({kMeshCniPlugin, "../proxy/intercept/cni/meltemi-cni"});
  if (path.ok()) return path;
  return absl::NotFoundError(absl::StrCat(
      path.status().message(), "; build it with ./meltemi build //proxy/intercept/cni:all"));
}

absl::Status PrepareCniPlugins(const std::string& plugin, const std::string& system_folder,
                               const std::string& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return Failed(folder, error);
  fs::directory_iterator installed(system_folder, error);
  if (error) return Failed(system_folder, error);
  for (const fs::directory_entry& entry : installed) {
    const fs::path link = fs::path(folder) / entry.path().filename();
    if (link.filename() == kMeshCniPlugin || fs::is_symlink(link, error)) continue;
    fs::create_symlink(entry.path(), link, error);
    if (error) return Failed(link, error);
  }
  // Beside it first: a program that runs cannot be written to.
  const fs::path own = fs::path(folder) / kMeshCniPlugin;
  const fs::path fresh = fs::path(folder) / absl::StrCat(".", kMeshCniPlugin);
  fs::copy_file(plugin, fresh, fs::copy_options::overwrite_existing, error);
  if (error) return Failed(plugin, error);
  fs::permissions(fresh, fs::perms(0755), error);
  fs::rename(fresh, own, error);
  if (error) return Failed(own, error);
  return absl::OkStatus();
}

}  // namespace meltemi::cli
