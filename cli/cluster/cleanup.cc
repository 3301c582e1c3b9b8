#include "cli/cluster/cleanup.h"

#include <dirent.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <system_error>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/json/parse.h"
#include "base/json/value.h"

namespace meltemi::cli {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kPoll(5), kDeathMax(3000);
constexpr char kCgroups[] = "/sys/fs/cgroup";

// Whether one of its interfaces was in a namespace of the folder.
bool IsCniResultOf(const std::string& text, const std::string& folder) {
  const absl::StatusOr<json::Value> value = json::Parse(text);
  const json::Value* const interfaces = value.ok() ? value->Find("result", "interfaces") : nullptr;
  if (interfaces == nullptr) return false;
  return std::any_of(
      interfaces->items().begin(), interfaces->items().end(), [&](const json::Value& one) {
        return absl::StartsWith(one.FindString("sandbox"), absl::StrCat(folder, "/"));
      });
}

std::string ReadAll(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

std::vector<int> AllProcesses() {
  std::vector<int> out;
  DIR* const folder = opendir("/proc");
  if (folder == nullptr) return out;
  while (const dirent* entry = readdir(folder)) {
    int pid = 0;
    if (absl::SimpleAtoi(entry->d_name, &pid) && pid > 1) out.push_back(pid);
  }
  closedir(folder);
  return out;
}

// 0 when it is gone. The name, in brackets, may hold anything.
int ParentOf(int pid, char* state) {
  const std::string stat = ReadAll(absl::StrCat("/proc/", pid, "/stat"));
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return 0;
  const std::vector<std::string> rest =
      absl::StrSplit(stat.substr(name_end + 1), ' ', absl::SkipEmpty());
  int parent = 0;
  if (rest.size() < 2 || !absl::SimpleAtoi(rest[1], &parent)) return 0;
  *state = rest[0][0];
  return parent;
}

// Those that live (zombies wait for their parents alone), parents before children.
std::vector<int> DescendantsOf(const std::vector<int>& roots) {
  std::map<int, std::vector<int>> children;
  for (const int pid : AllProcesses()) {
    char state = 0;
    const int parent = ParentOf(pid, &state);
    if (parent > 0 && state != 'Z' && state != 'X') children[parent].push_back(pid);
  }
  std::vector<int> out, open = roots;
  while (!open.empty()) {
    const int pid = open.back();
    open.pop_back();
    for (const int child : children[pid]) {
      out.push_back(child);
      open.push_back(child);
    }
  }
  return out;
}

bool Lives(int pid) {
  char state = 0;
  return ParentOf(pid, &state) > 0 && state != 'Z' && state != 'X';
}

void WaitUntilGone(const std::vector<int>& pids, std::chrono::milliseconds timeout) {
  const auto end = Clock::now() + timeout;
  while (std::any_of(pids.begin(), pids.end(), &Lives) && Clock::now() < end) {
    std::this_thread::sleep_for(kPoll);
  }
}

// \040 and its like.
std::string Unescaped(absl::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      out.push_back(static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                      (text[i + 3] - '0')));
      i += 3;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

// Leaves first. True when it is gone.
bool RemoveGroup(const std::string& path) {
  std::error_code error;
  bool all = true;
  for (const fs::directory_entry& entry : fs::directory_iterator(path, error)) {
    std::error_code ignored;
    if (entry.is_directory(ignored)) all &= RemoveGroup(entry.path().string());
  }
  for (const absl::string_view line :
       absl::StrSplit(ReadAll(path + "/cgroup.procs"), '\n', absl::SkipEmpty())) {
    int pid = 0;
    if (absl::SimpleAtoi(line, &pid) && pid > 1) kill(pid, SIGKILL);
  }
  return (rmdir(path.c_str()) == 0 || errno == ENOENT) && all;
}

}  // namespace

std::vector<int> FindShims(const std::string& containerd_socket) {
  std::vector<int> out;
  for (const int pid : AllProcesses()) {
    const std::vector<std::string> words =
        absl::StrSplit(ReadAll(absl::StrCat("/proc/", pid, "/cmdline")), '\0');
    if (words.empty() || !absl::StrContains(words[0], "containerd-shim")) continue;
    const bool ours = std::any_of(words.begin(), words.end(), [&](const std::string& word) {
      return word == containerd_socket;
    });
    if (ours) out.push_back(pid);
  }
  return out;
}

int KillContainers(const std::string& containerd_socket, std::chrono::milliseconds grace) {
  const std::vector<int> shims = FindShims(containerd_socket);
  if (shims.empty()) return 0;
  std::vector<int> processes = DescendantsOf(shims);
  if (grace > std::chrono::milliseconds(0)) {
    // A process group of its own each; the first process of a container gets it alone, as from
    // `kubectl delete`.
    for (const int pid : processes) {
      char state = 0;
      const int parent = ParentOf(pid, &state);
      if (std::find(shims.begin(), shims.end(), parent) != shims.end()) kill(pid, SIGTERM);
    }
    WaitUntilGone(processes, grace);
    processes = DescendantsOf(shims);
  }
  // The shims first: they would tell a containerd that is not there, and wait for it.
  for (const int pid : shims) kill(pid, SIGKILL);
  for (const int pid : processes) kill(pid, SIGKILL);
  WaitUntilGone(processes, kDeathMax);
  WaitUntilGone(shims, kDeathMax);
  return static_cast<int>(shims.size());
}

std::vector<std::string> MountsBelow(absl::string_view mountinfo, const std::string& folder) {
  std::vector<std::string> out;
  for (const absl::string_view line : absl::StrSplit(mountinfo, '\n', absl::SkipEmpty())) {
    const std::vector<absl::string_view> words = absl::StrSplit(line, ' ');
    if (words.size() < 5) continue;
    std::string at = Unescaped(words[4]);
    if (at == folder || absl::StartsWith(at, folder + "/")) out.push_back(std::move(at));
  }
  std::reverse(out.begin(), out.end());
  return out;
}

absl::Status UnmountBelow(const std::string& folder) {
  absl::Status status;
  for (const std::string& at : MountsBelow(ReadAll("/proc/self/mountinfo"), folder)) {
    if (umount2(at.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0 || errno == EINVAL) continue;
    status.Update(absl::FailedPreconditionError(
        absl::StrCat(at, ": cannot be unmounted: ", std::strerror(errno))));
  }
  return status;
}

void RemoveCniResults(const std::string& folder, const std::string& results) {
  std::error_code error;
  std::vector<fs::path> ours;
  for (const fs::directory_entry& entry : fs::directory_iterator(results, error)) {
    std::error_code ignored;
    if (!entry.is_regular_file(ignored)) continue;
    if (IsCniResultOf(ReadAll(entry.path().string()), folder)) ours.push_back(entry.path());
  }
  for (const fs::path& path : ours) fs::remove(path, error);
}

void RemoveControlGroup(const std::string& path) {
  std::vector<std::string> roots = {kCgroups};
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(kCgroups, error)) {
    std::error_code ignored;
    if (entry.is_directory(ignored)) roots.push_back(entry.path().string());
  }
  for (const std::string& root : roots) {
    const std::string group = root + path;
    // Killed processes leave their group a moment later.
    const auto end = Clock::now() + kDeathMax;
    while (fs::exists(group, error) && !RemoveGroup(group) && Clock::now() < end) {
      std::this_thread::sleep_for(kPoll);
    }
    // The folder that all nodes share goes with the last of them.
    rmdir(fs::path(group).parent_path().c_str());
  }
}

absl::Status RemoveTree(const std::string& folder) {
  const std::vector<std::string> mounts = MountsBelow(ReadAll("/proc/self/mountinfo"), folder);
  if (!mounts.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(folder, " is kept: ", mounts[0], " is still mounted"));
  }
  std::error_code error;
  fs::remove_all(folder, error);
  if (!error) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(folder, ": cannot be removed: ", error.message()));
}

}  // namespace meltemi::cli
