// File operations that no link leads astray: pods write into their volumes what they like, and the
// kubelet walks there as root.
//
// Threads: functions without state; they block on the disk. Errors are in the words of Go's
// os.PathError ("mkdir /a/b: permission denied"), because events show them.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace meltemi::kubelet {

// A descriptor that closes itself.
class Fd final {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& o) noexcept : fd_(std::exchange(o.fd_, -1)) {}
  Fd& operator=(Fd&& o) noexcept {
    std::swap(fd_, o.fd_);
    return *this;
  }
  ~Fd();

  int get() const { return fd_; }
  bool ok() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// "OPERATION PATH: why", of errno. The code is NotFound for ENOENT, Internal otherwise.
absl::Status PathError(const char* operation, const std::string& path);

// The folder and those above it; new ones get `mode` whatever the umask is.
absl::Status MakeFolders(const std::string& path, mode_t mode);
// Follows links. nullopt: there is nothing.
std::optional<struct stat> StatOf(const std::string& path);
// Does not follow the last link.
std::optional<struct stat> LinkStatOf(const std::string& path);
bool IsFolder(const std::string& path);
// Names in a folder without "." and ".."; empty when it can't be read.
std::vector<std::string> NamesIn(const std::string& path);
absl::StatusOr<std::string> ReadSmallFile(const std::string& path, size_t bytes_max);
absl::Status WriteFile(const std::string& path, absl::string_view bytes, mode_t mode);

// `path` below `root`, following links only as long as they stay there; `flags` as of open(2).
// errno is EXDEV where a link leads outside.
Fd OpenBeneath(const Fd& root, const std::string& path, int flags);

// Removes a folder with all that is in it. Links are removed, not followed; what is mounted below
// it is an error, nothing in it is touched. Not there: fine.
absl::Status RemoveTree(const std::string& path);

// Bytes on disk and inodes of a tree, within its file system; of huge trees what comes first.
struct TreeUse {
  int64_t bytes = 0, inodes = 0;
};
TreeUse UseOfTree(const std::string& path);

// Calls `visit` for everything in the tree, folders after what is in them, the root last, each as
// an O_PATH descriptor of the thing itself (not of what a link points to).
absl::Status VisitTree(const std::string& path,
                       const std::function<void(const Fd& fd, const struct stat& stat)>& visit);

}  // namespace meltemi::kubelet
