// What volumes need of mount(2), as a seam, so that tests need no root.
//
// Threads: thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace meltemi::kubelet {

class Mounter {
 public:
  virtual ~Mounter() = default;
  // A new tmpfs at the folder. 0: as large as the kernel's default.
  virtual absl::Status MountTmpfs(const std::string& folder, int64_t size_bytes) = 0;
  // What the descriptor stands for, at `target`, which is a folder or a file as that is.
  virtual absl::Status Bind(int fd, const std::string& target) = 0;
  // Takes away what is mounted there, also while it is in use. Nothing mounted: fine.
  virtual absl::Status Unmount(const std::string& path) = 0;
  virtual bool IsMountPoint(const std::string& path) = 0;
  // All mount points below the folder, the deepest first.
  virtual std::vector<std::string> MountsBelow(const std::string& folder) = 0;
};

std::unique_ptr<Mounter> NewSystemMounter();

}  // namespace meltemi::kubelet
