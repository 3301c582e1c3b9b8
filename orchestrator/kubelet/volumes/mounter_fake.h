// Mounts that are only written down: a tmpfs is the folder itself, a bind mount a note of what lies
// there.
//
// Threads: thread-safe.
#pragma once

#include <unistd.h>

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "orchestrator/kubelet/volumes/mounter.h"

namespace meltemi::kubelet {

class MounterFake final : public Mounter {
 public:
  absl::Status MountTmpfs(const std::string& folder, int64_t size_bytes) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!fails.empty()) return absl::InternalError(fails);
    mounts_[folder] = absl::StrCat("tmpfs ", size_bytes);
    return absl::OkStatus();
  }
  absl::Status Bind(int fd, const std::string& target) override {
    char path[4096];
    const ssize_t length = readlink(absl::StrCat("/proc/self/fd/", fd).c_str(), path, sizeof(path));
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!fails.empty()) return absl::InternalError(fails);
    mounts_[target] = std::string(path, static_cast<size_t>(length < 0 ? 0 : length));
    return absl::OkStatus();
  }
  absl::Status Unmount(const std::string& path) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    mounts_.erase(path);
    return absl::OkStatus();
  }
  bool IsMountPoint(const std::string& path) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    return mounts_.count(path) > 0;
  }
  std::vector<std::string> MountsBelow(const std::string& folder) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::vector<std::string> found;
    for (const auto& [path, what] : mounts_) {
      if (absl::StartsWith(path, absl::StrCat(folder, "/"))) found.push_back(path);
    }
    return {found.rbegin(), found.rend()};
  }

  // By mount point: "tmpfs BYTES", or the path that is bound there.
  std::map<std::string, std::string> mounts() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return mounts_;
  }

  std::string fails;  // not empty: what mounting fails with

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::string> mounts_;
};

}  // namespace meltemi::kubelet
