#include "orchestrator/kubelet/volumes/paths.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace meltemi::kubelet {
namespace {

absl::Status MakeHostFile(const std::string& path) {
  const Fd fd(open(path.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC, 0644));
  return fd.ok() ? absl::OkStatus() : PathError("open", path);
}

absl::Status Outside(const std::string& volume, const std::string& sub_path) {
  return absl::PermissionDeniedError(absl::StrCat("subpath \"", volume, "/", sub_path,
                                                  "\" not within volume path \"", volume, "\""));
}

// The folder NAME in PARENT (paths below the root), or what stands there already.
Fd MakeBeneath(const Fd& root, const std::string& parent, const std::string& name, mode_t mode) {
  const Fd folder = OpenBeneath(root, parent, O_RDONLY | O_DIRECTORY);
  if (!folder.ok()) return Fd();
  if (mkdirat(folder.get(), name.c_str(), mode) == 0) {
    const Fd made(
        openat(folder.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    // The umask has had its say; the group that was handed down stays.
    struct stat stat = {};
    if (made.ok() && fstat(made.get(), &stat) == 0) {
      (void)fchmod(made.get(), mode | (stat.st_mode & S_ISGID));
    }
  } else if (errno != EEXIST) {
    return Fd();
  }
  return OpenBeneath(root, absl::StrCat(parent, "/", name), O_PATH);
}

}  // namespace

absl::Status CheckHostPath(const std::string& path, absl::string_view type) {
  if (type.empty()) return absl::OkStatus();
  std::optional<struct stat> found = StatOf(path);
  if (!found.has_value() && (type == "DirectoryOrCreate" || type == "FileOrCreate")) {
    return type == "FileOrCreate" ? MakeHostFile(path) : MakeFolders(path, 0755);
  }
  const mode_t mode = found.has_value() ? found->st_mode : 0;
  struct Kind {
    const char *type, *or_create, *words;
    bool is;
  };
  const Kind kinds[] = {
      {"Directory", "DirectoryOrCreate", "a directory", S_ISDIR(mode)},
      {"File", "FileOrCreate", "a file", S_ISREG(mode)},
      {"Socket", "", "a socket file", S_ISSOCK(mode)},
      {"CharDevice", "", "a character device", S_ISCHR(mode)},
      {"BlockDevice", "", "a block device", S_ISBLK(mode)},
  };
  for (const Kind& kind : kinds) {
    if (type != kind.type && type != kind.or_create) continue;
    if (kind.is) return absl::OkStatus();
    return absl::FailedPreconditionError(
        absl::StrCat("hostPath type check failed: ", path, " is not ", kind.words));
  }
  return absl::InvalidArgumentError(absl::StrCat(type, " is an invalid volume type"));
}

absl::StatusOr<Fd> OpenSubPath(const std::string& volume, const std::string& sub_path) {
  std::vector<std::string> parts;
  for (const absl::string_view part : absl::StrSplit(sub_path, '/')) {
    if (part == "..") return Outside(volume, sub_path);
    if (!part.empty() && part != ".") parts.emplace_back(part);
  }
  if (sub_path.empty() || sub_path[0] == '/') return Outside(volume, sub_path);
  const Fd root(open(volume.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  struct stat stat = {};
  if (!root.ok() || fstat(root.get(), &stat) != 0) return PathError("open", volume);
  std::string path = ".";
  Fd found = OpenBeneath(root, path, O_PATH);
  for (const std::string& part : parts) {
    Fd next = OpenBeneath(root, absl::StrCat(path, "/", part), O_PATH);
    if (!next.ok() && errno == ENOENT) next = MakeBeneath(root, path, part, stat.st_mode & 0777);
    if (!next.ok()) {
      if (errno == EXDEV || errno == ELOOP) return Outside(volume, sub_path);
      return PathError("open", absl::StrCat(volume, "/", sub_path));
    }
    absl::StrAppend(&path, "/", part);
    found = std::move(next);
  }
  return found;
}

}  // namespace meltemi::kubelet
