#include "orchestrator/kubelet/cgroups/hierarchies.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace meltemi::kubelet {
namespace {

constexpr size_t kFileBytesMax = size_t{1} << 20;
constexpr int kDepthMax = 20;
// Never signalled: the system, and what is in another PID namespace (0).
constexpr pid_t kPidMin = 2;

absl::Status Error(absl::string_view operation, const std::string& path) {
  const int error = errno;
  const std::string text = absl::StrCat(operation, " ", path, ": ", strerror(error));
  if (error == ENOENT || error == ENODEV) return absl::NotFoundError(text);
  return absl::InternalError(text);
}

bool Exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

std::set<std::string> Words(const std::string& text, char separator) {
  return absl::StrSplit(text, separator, absl::SkipEmpty());
}

// The CPUs and memory nodes of a new group of v1 are empty, and nothing can run in it.
absl::Status InheritCpus(const std::string& parent, const std::string& folder) {
  for (const char* file : {"cpuset.cpus", "cpuset.mems"}) {
    const auto own = ReadGroupFile(folder, file);
    if (own.ok() && !own->empty()) continue;
    const auto above = ReadGroupFile(parent, file);
    if (!above.ok()) return above.status();
    const absl::Status status = WriteGroupFile(folder, file, *above);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

// What its groups may use. A controller that the kernel refuses is not there for them: the limits
// that need it say so.
void HandDown(const Hierarchy& hierarchy, const std::string& folder) {
  const auto enabled = ReadGroupFile(folder, "cgroup.subtree_control");
  if (!enabled.ok()) return;
  const std::set<std::string> have = Words(*enabled, ' ');
  for (const std::string& controller : hierarchy.controllers) {
    if (have.count(controller) != 0) continue;
    (void)WriteGroupFile(folder, "cgroup.subtree_control", "+" + controller);
  }
}

void KillAll(const std::string& folder) {
  const auto text = ReadGroupFile(folder, "cgroup.procs");
  if (!text.ok()) return;
  for (const absl::string_view line : absl::StrSplit(*text, '\n', absl::SkipEmpty())) {
    pid_t pid = 0;
    if (absl::SimpleAtoi(line, &pid) && pid >= kPidMin && pid != getpid()) kill(pid, SIGKILL);
  }
}

absl::Status RemoveFolder(const Hierarchy& hierarchy, const std::string& folder, int depth) {
  if (depth > kDepthMax) return absl::InternalError(absl::StrCat(folder, ": too deep"));
  if (!GroupExists(folder)) return absl::OkStatus();
  if (rmdir(folder.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  absl::Status worst;
  for (const std::string& name : GroupsIn(folder)) {
    worst.Update(RemoveFolder(hierarchy, absl::StrCat(folder, "/", name), depth + 1));
  }
  if (!worst.ok()) return worst;
  KillAll(folder);
  if (rmdir(folder.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  if (errno == EBUSY || errno == ENOTEMPTY) {
    return absl::UnavailableError(absl::StrCat(folder, ": its processes are still ending"));
  }
  return Error("rmdir", folder);
}

}  // namespace

absl::StatusOr<std::vector<Hierarchy>> FindHierarchies(const std::string& mount) {
  if (Exists(mount + "/cgroup.controllers")) {
    const auto controllers = ReadGroupFile(mount, "cgroup.controllers");
    if (!controllers.ok()) return controllers.status();
    return std::vector<Hierarchy>{{mount, Words(*controllers, ' '), true}};
  }
  std::vector<Hierarchy> out;
  for (const std::string& name : GroupsIn(mount)) {
    const std::string path = absl::StrCat(mount, "/", name);
    struct stat link {};
    // "cpu" may be a link to "cpu,cpuacct".
    if (lstat(path.c_str(), &link) != 0 || !S_ISDIR(link.st_mode)) continue;
    if (!Exists(path + "/cgroup.procs")) continue;
    const auto controllers = ReadGroupFile(path, "cgroup.controllers");
    if (controllers.ok()) {
      out.push_back({path, Words(*controllers, ' '), true});
    } else if (Exists(path + "/tasks") && name != "systemd") {
      out.push_back({path, Words(name, ','), false});
    } else {
      out.push_back({path, {}, false});
    }
  }
  if (out.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("no control groups are mounted at ", mount,
                     "; mount cgroup2 there (mount -t cgroup2 none ", mount, ")"));
  }
  return out;
}

absl::Status MakeGroup(const Hierarchy& hierarchy, const std::string& group) {
  std::string folder = hierarchy.path;
  for (const absl::string_view part : absl::StrSplit(group, '/', absl::SkipEmpty())) {
    const std::string parent = folder;
    absl::StrAppend(&folder, "/", part);
    if (hierarchy.v2) HandDown(hierarchy, parent);
    if (mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) return Error("mkdir", folder);
    if (hierarchy.v2 || hierarchy.controllers.count("cpuset") == 0) continue;
    const absl::Status status = InheritCpus(parent, folder);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status RemoveGroup(const Hierarchy& hierarchy, const std::string& group) {
  return RemoveFolder(hierarchy, hierarchy.path + group, 0);
}

absl::StatusOr<std::string> ReadGroupFile(const std::string& folder, const std::string& file) {
  const std::string path = absl::StrCat(folder, "/", file);
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return Error("open", path);
  std::string out;
  char piece[4096];
  ssize_t got = 0;
  while (out.size() < kFileBytesMax && (got = read(fd, piece, sizeof piece)) > 0) {
    out.append(piece, static_cast<size_t>(got));
  }
  const absl::Status status = got < 0 ? Error("read", path) : absl::OkStatus();
  close(fd);
  if (!status.ok()) return status;
  return std::string(absl::StripSuffix(out, "\n"));
}

absl::StatusOr<int64_t> ReadGroupNumber(const std::string& folder, const std::string& file) {
  const auto text = ReadGroupFile(folder, file);
  if (!text.ok()) return text.status();
  int64_t out = 0;
  if (!absl::SimpleAtoi(*text, &out)) {
    return absl::InternalError(absl::StrCat(folder, "/", file, ": no number: ", *text));
  }
  return out;
}

absl::Status WriteGroupFile(const std::string& folder, const std::string& file,
                            const std::string& text) {
  const std::string path = absl::StrCat(folder, "/", file);
  const int fd = open(path.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC);
  if (fd < 0) return Error("open", path);
  const ssize_t put = write(fd, text.data(), text.size());
  const absl::Status status =
      put < 0 ? Error(absl::StrCat("write ", text, " to"), path) : absl::OkStatus();
  close(fd);
  return status;
}

std::vector<std::string> GroupsIn(const std::string& folder) {
  std::vector<std::string> out;
  DIR* const dir = opendir(folder.c_str());
  if (dir == nullptr) return out;
  while (const dirent* entry = readdir(dir)) {
    const std::string name = entry->d_name;
    if (name != "." && name != ".." && GroupExists(absl::StrCat(folder, "/", name))) {
      out.push_back(name);
    }
  }
  closedir(dir);
  return out;
}

bool GroupExists(const std::string& folder) {
  struct stat st {};
  return stat(folder.c_str(), &st) == 0 && S_ISDIR(st.st_mode);
}

}  // namespace meltemi::kubelet
