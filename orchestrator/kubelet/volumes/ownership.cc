#include "orchestrator/kubelet/volumes/ownership.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "orchestrator/kubelet/volumes/files.h"

namespace meltemi::kubelet {
namespace {

constexpr mode_t kRead = 0440, kReadWrite = 0660, kEnter = 0110;

bool Fits(const struct stat& root, gid_t group, mode_t wanted) {
  return root.st_gid == group && S_ISDIR(root.st_mode) && (root.st_mode & wanted) == wanted;
}

}  // namespace

absl::Status GiveToGroup(const std::string& folder, int64_t group, bool read_only,
                         bool unless_root_fits) {
  const auto gid = static_cast<gid_t>(group);
  const mode_t file_bits = read_only ? kRead : kReadWrite;
  const mode_t folder_bits = file_bits | kEnter | S_ISGID;
  if (unless_root_fits) {
    const auto root = StatOf(folder);
    if (root.has_value() && Fits(*root, gid, folder_bits)) return absl::OkStatus();
  }
  int64_t failed = 0;
  const absl::Status visited = VisitTree(folder, [&](const Fd& fd, const struct stat& stat) {
    // The kernel takes set-id bits away when the owner changes: the mode comes after it. A link's
    // mode is that of what it points to, which is none of ours.
    const int flags = AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW;
    if (fchownat(fd.get(), "", static_cast<uid_t>(-1), gid, flags) != 0) ++failed;
    if (S_ISLNK(stat.st_mode)) return;
    const mode_t mode = (stat.st_mode & 07777) | (S_ISDIR(stat.st_mode) ? folder_bits : file_bits);
    if (chmod(absl::StrCat("/proc/self/fd/", fd.get()).c_str(), mode) != 0) ++failed;
  });
  if (failed > 0) {
    LOG(kWarn, "volumes", folder, ": ", failed, " owners or modes can't be changed");
  }
  return visited;
}

}  // namespace meltemi::kubelet
