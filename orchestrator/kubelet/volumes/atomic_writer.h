// Files of a volume that change all at once, in Kubernetes' layout: user-visible names are links to
// ..data/NAME, ..data is a link to the folder of one version, and renaming that one link changes
// all files.
//
//   FOLDER/..2026_11_21_19_00_00.123456/{a,b/c}   FOLDER/..data → ..2026_…   FOLDER/a → ..data/a
//
// It may be killed at any line: what is left over is tidied up by the next call. Threads: one call
// per folder at a time; it blocks on the disk.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "base/clock/clock.h"

namespace meltemi::kubelet {

struct VolumeFile {
  std::string bytes;
  uint32_t mode = 0644;
  std::optional<int64_t> owner;  // a uid
};
// By the path below the volume's root.
using VolumeFiles = std::map<std::string, VolumeFile>;

// The folder is there. `permit` is called before new files are seen, and may be empty. What is
// there already with the same bytes is left alone. Error: a path that leads outside, or the disk's.
absl::Status WriteAtomically(const std::string& folder, const VolumeFiles& files, WallTime now,
                             const std::function<absl::Status()>& permit);

// Whether a version has been written there.
bool HasVersion(const std::string& folder);

}  // namespace meltemi::kubelet
