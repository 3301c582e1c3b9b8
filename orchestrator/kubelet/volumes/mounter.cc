#include "orchestrator/kubelet/volumes/mounter.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "orchestrator/kubelet/volumes/files.h"

namespace meltemi::kubelet {
namespace {

// mountinfo writes blanks, tabs, newlines and backslashes as \ooo.
std::string Unescaped(absl::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      out.push_back(static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                      text[i + 3] - '0'));
      i += 3;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

class SystemMounter final : public Mounter {
 public:
  absl::Status MountTmpfs(const std::string& folder, int64_t size_bytes) override {
    const std::string data = size_bytes > 0 ? absl::StrCat("size=", size_bytes) : "";
    if (mount("tmpfs", folder.c_str(), "tmpfs", 0, data.c_str()) == 0) return absl::OkStatus();
    return PathError("mount tmpfs", folder);
  }

  absl::Status Bind(int fd, const std::string& target) override {
    const std::string source = absl::StrCat("/proc/self/fd/", fd);
    if (mount(source.c_str(), target.c_str(), nullptr, MS_BIND | MS_REC, nullptr) == 0) {
      return absl::OkStatus();
    }
    return PathError("bind mount", target);
  }

  absl::Status Unmount(const std::string& path) override {
    // Several may lie one on the other.
    for (int i = 0; i < 16; ++i) {
      if (umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) continue;
      if (errno == EINVAL || errno == ENOENT) return absl::OkStatus();
      return PathError("unmount", path);
    }
    return absl::OkStatus();
  }

  bool IsMountPoint(const std::string& path) override {
    struct statx found = {};
    if (statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW, STATX_TYPE, &found) != 0) return false;
    return (found.stx_attributes_mask & found.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
  }

  std::vector<std::string> MountsBelow(const std::string& folder) override {
    std::vector<std::string> found;
    // The table knows no links.
    char real[PATH_MAX];
    if (realpath(folder.c_str(), real) == nullptr) return found;
    const std::string prefix = absl::StrCat(real, "/");
    std::ifstream table("/proc/self/mountinfo");
    for (std::string line; std::getline(table, line);) {
      const std::vector<absl::string_view> words = absl::StrSplit(line, absl::MaxSplits(' ', 5));
      if (words.size() < 5) continue;
      std::string path = Unescaped(words[4]);
      if (absl::StartsWith(path, prefix)) found.push_back(std::move(path));
    }
    std::sort(found.begin(), found.end(),
              [](const std::string& a, const std::string& b) { return a.size() > b.size(); });
    return found;
  }
};

}  // namespace

std::unique_ptr<Mounter> NewSystemMounter() { return std::make_unique<SystemMounter>(); }

}  // namespace meltemi::kubelet
