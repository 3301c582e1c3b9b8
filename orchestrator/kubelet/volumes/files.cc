#include "orchestrator/kubelet/volumes/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace meltemi::kubelet {
namespace {

// Deeper trees are nobody's data.
constexpr int kDepthMax = 500;
constexpr int64_t kCountedMax = 200'000;

Fd OpenAt2(const Fd& at, const std::string& path, int flags, uint64_t resolve) {
  struct open_how how = {};
  how.flags = static_cast<uint64_t>(flags) | O_CLOEXEC;
  how.resolve = resolve;
  return Fd(static_cast<int>(syscall(SYS_openat2, at.get(), path.c_str(), &how, sizeof(how))));
}

// A folder that stands in `at` itself: neither a link nor a mount.
Fd OpenOwnFolder(const Fd& at, const std::string& name) {
  return OpenAt2(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW,
                 RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
}

struct Entry {
  std::string name;
  bool is_folder = false;
};

// Reads from the beginning, whatever has been read through `fd` before.
std::vector<Entry> EntriesOf(const Fd& fd) {
  std::vector<Entry> entries;
  const int again = openat(fd.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* const dir = again < 0 ? nullptr : fdopendir(again);
  if (dir == nullptr) {
    if (again >= 0) close(again);
    return entries;
  }
  while (const dirent* const entry = readdir(dir)) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    bool is_folder = entry->d_type == DT_DIR;
    if (entry->d_type == DT_UNKNOWN) {
      struct stat stat = {};
      is_folder = fstatat(fd.get(), entry->d_name, &stat, AT_SYMLINK_NOFOLLOW) == 0 &&
                  S_ISDIR(stat.st_mode);
    }
    entries.push_back({name, is_folder});
  }
  closedir(dir);
  return entries;
}

// Removes what is no folder, and empty folders. The answer: a folder that is not empty; "": none.
absl::StatusOr<std::string> RemoveEntries(const Fd& fd, const std::string& path) {
  std::string full;
  for (const Entry& entry : EntriesOf(fd)) {
    if (unlinkat(fd.get(), entry.name.c_str(), entry.is_folder ? AT_REMOVEDIR : 0) == 0 ||
        errno == ENOENT) {
      continue;
    }
    if (!entry.is_folder || (errno != ENOTEMPTY && errno != EEXIST)) {
      return PathError("unlinkat", absl::StrCat(path, "/", entry.name));
    }
    full = entry.name;
  }
  return full;
}

bool SameFile(const Fd& fd, const struct stat& known) {
  struct stat stat = {};
  return fstat(fd.get(), &stat) == 0 && stat.st_dev == known.st_dev && stat.st_ino == known.st_ino;
}

// Goes down and up with one descriptor, however deep it is: `..` of a folder that was come from is
// looked at before it is trusted.
absl::Status RemoveContents(Fd folder, const std::string& path) {
  struct Above {
    struct stat stat;
    std::string name;  // of the folder below
  };
  std::vector<Above> above;
  for (;;) {
    absl::StatusOr<std::string> full = RemoveEntries(folder, path);
    if (!full.ok()) return full.status();
    if (!full->empty()) {
      Above one{.stat = {}, .name = *full};
      fstat(folder.get(), &one.stat);
      folder = OpenOwnFolder(folder, *full);
      if (!folder.ok()) return PathError("open", absl::StrCat(path, "/…/", *full));
      above.push_back(std::move(one));
      continue;
    }
    if (above.empty()) return absl::OkStatus();
    Fd up(openat(folder.get(), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!up.ok() || !SameFile(up, above.back().stat)) {
      return absl::AbortedError(absl::StrCat(path, ": moved while it was being removed"));
    }
    unlinkat(up.get(), above.back().name.c_str(), AT_REMOVEDIR);
    folder = std::move(up);
    above.pop_back();
  }
}

void CountTree(const Fd& folder, dev_t device, int depth, TreeUse* use) {
  for (const Entry& entry : EntriesOf(folder)) {
    if (use->inodes >= kCountedMax) return;
    struct stat stat = {};
    if (fstatat(folder.get(), entry.name.c_str(), &stat, AT_SYMLINK_NOFOLLOW) != 0 ||
        stat.st_dev != device) {
      continue;
    }
    ++use->inodes;
    use->bytes += stat.st_blocks * 512;
    if (!S_ISDIR(stat.st_mode) || depth >= kDepthMax) continue;
    const Fd below = OpenOwnFolder(folder, entry.name);
    if (below.ok()) CountTree(below, device, depth + 1, use);
  }
}

bool VisitBelow(const Fd& folder, int depth,
                const std::function<void(const Fd& fd, const struct stat& stat)>& visit) {
  if (depth > kDepthMax) return false;
  bool all = true;
  for (const Entry& entry : EntriesOf(folder)) {
    if (entry.is_folder) {
      const Fd below = OpenOwnFolder(folder, entry.name);
      if (below.ok()) all &= VisitBelow(below, depth + 1, visit);
    }
    const Fd fd(openat(folder.get(), entry.name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    struct stat stat = {};
    if (fd.ok() && fstat(fd.get(), &stat) == 0) visit(fd, stat);
  }
  return all;
}

}  // namespace

Fd::~Fd() {
  if (fd_ >= 0) close(fd_);
}

absl::Status PathError(const char* operation, const std::string& path) {
  const int error = errno;
  std::string why = std::strerror(error);
  why[0] = absl::ascii_tolower(static_cast<unsigned char>(why[0]));
  const std::string text = absl::StrCat(operation, " ", path, ": ", why);
  return error == ENOENT ? absl::NotFoundError(text) : absl::InternalError(text);
}

absl::Status MakeFolders(const std::string& path, mode_t mode) {
  for (size_t at = 1; at != std::string::npos && at < path.size();) {
    at = path.find('/', at + 1);
    const std::string part = path.substr(0, at);
    if (mkdir(part.c_str(), mode) == 0) {
      // The umask has had its say.
      if (chmod(part.c_str(), mode) != 0) return PathError("chmod", part);
    } else if (errno != EEXIST) {
      return PathError("mkdir", part);
    }
  }
  if (!IsFolder(path)) {
    errno = ENOTDIR;
    return PathError("mkdir", path);
  }
  return absl::OkStatus();
}

std::optional<struct stat> StatOf(const std::string& path) {
  struct stat out = {};
  if (stat(path.c_str(), &out) != 0) return std::nullopt;
  return out;
}

std::optional<struct stat> LinkStatOf(const std::string& path) {
  struct stat out = {};
  if (lstat(path.c_str(), &out) != 0) return std::nullopt;
  return out;
}

bool IsFolder(const std::string& path) {
  const auto found = StatOf(path);
  return found.has_value() && S_ISDIR(found->st_mode);
}

std::vector<std::string> NamesIn(const std::string& path) {
  std::vector<std::string> names;
  const Fd folder(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.ok()) return names;
  for (Entry& entry : EntriesOf(folder)) names.push_back(std::move(entry.name));
  std::sort(names.begin(), names.end());
  return names;
}

absl::StatusOr<std::string> ReadSmallFile(const std::string& path, size_t bytes_max) {
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.ok()) return PathError("open", path);
  std::string out;
  char piece[16 * 1024];
  for (;;) {
    const ssize_t got = read(fd.get(), piece, sizeof(piece));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return PathError("read", path);
    if (got == 0) return out;
    out.append(piece, static_cast<size_t>(got));
    if (out.size() > bytes_max) return absl::ResourceExhaustedError(path);
  }
}

absl::Status WriteFile(const std::string& path, absl::string_view bytes, mode_t mode) {
  const Fd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.ok()) return PathError("open", path);
  while (!bytes.empty()) {
    const ssize_t wrote = write(fd.get(), bytes.data(), bytes.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return PathError("write", path);
    bytes.remove_prefix(static_cast<size_t>(wrote));
  }
  if (fchmod(fd.get(), mode) != 0) return PathError("chmod", path);
  return absl::OkStatus();
}

Fd OpenBeneath(const Fd& root, const std::string& path, int flags) {
  return OpenAt2(root, path, flags, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
}

absl::Status RemoveTree(const std::string& path) {
  Fd root(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!root.ok()) {
    if (errno == ENOENT) return absl::OkStatus();
    // A link or a file that stands there.
    if (unlink(path.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
    return PathError("unlink", path);
  }
  absl::Status removed = RemoveContents(std::move(root), path);
  if (!removed.ok()) return removed;
  if (rmdir(path.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  return PathError("rmdir", path);
}

TreeUse UseOfTree(const std::string& path) {
  TreeUse use;
  const Fd root(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  struct stat stat = {};
  if (!root.ok() || fstat(root.get(), &stat) != 0) return use;
  use = {stat.st_blocks * 512, 1};
  CountTree(root, stat.st_dev, 0, &use);
  return use;
}

absl::Status VisitTree(const std::string& path,
                       const std::function<void(const Fd& fd, const struct stat& stat)>& visit) {
  const Fd root(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root.ok()) return PathError("open", path);
  if (!VisitBelow(root, 0, visit)) {
    return absl::InternalError(absl::StrCat(path, ": folders are nested too deeply"));
  }
  struct stat stat = {};
  if (fstat(root.get(), &stat) != 0) return PathError("stat", path);
  visit(root, stat);
  return absl::OkStatus();
}

}  // namespace meltemi::kubelet
