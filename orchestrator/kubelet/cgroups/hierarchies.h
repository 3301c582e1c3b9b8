// The control group hierarchies of a machine: cgroup v1 (one per controller), v2 (one), or both
// (v1 with a v2 hierarchy that has what is left).
//
// Threads: thread-safe; blocks on file operations. Source: the kernel's admin guide.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace meltemi::kubelet {

struct Hierarchy {
  std::string path;                   // "/sys/fs/cgroup/memory"
  std::set<std::string> controllers;  // "memory"; of v2 all that it has; none: for names only
  bool v2 = false;
};

// Error: nothing is mounted at `mount`.
absl::StatusOr<std::vector<Hierarchy>> FindHierarchies(const std::string& mount);

// Makes `group` ("/a/b") and those above it. On v2 it is no inner group yet, which could have no
// processes: who makes groups in it hands the controllers down, as this does for those above.
absl::Status MakeGroup(const Hierarchy& hierarchy, const std::string& group);
// Kills what is in it and below, and removes it. Not there: fine. kUnavailable: what was killed is
// still dying.
absl::Status RemoveGroup(const Hierarchy& hierarchy, const std::string& group);

// Files of a group; a trailing newline is taken away.
absl::StatusOr<std::string> ReadGroupFile(const std::string& folder, const std::string& file);
absl::StatusOr<int64_t> ReadGroupNumber(const std::string& folder, const std::string& file);
absl::Status WriteGroupFile(const std::string& folder, const std::string& file,
                            const std::string& text);
// Groups right below.
std::vector<std::string> GroupsIn(const std::string& folder);
bool GroupExists(const std::string& folder);

}  // namespace meltemi::kubelet
