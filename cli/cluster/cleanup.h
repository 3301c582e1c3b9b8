// What is left of a node when its processes are gone, or were killed: containers and their shims,
// mounts, control groups, firewall rules, links.
//
// Threads: functions without state; they block, and need root. What is not there is no error.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "cli/cluster/layout.h"

namespace meltemi::cli {

// Shims that serve the containerd of this socket, whether it lives or not.
std::vector<int> FindShims(const std::string& containerd_socket);
// SIGTERM to the containers, SIGKILL to everything after `grace`. How many shims there were.
int KillContainers(const std::string& containerd_socket, std::chrono::milliseconds grace);

// Of the text of /proc/self/mountinfo: what is mounted in or below `folder`, the last first.
std::vector<std::string> MountsBelow(absl::string_view mountinfo, const std::string& folder);
absl::Status UnmountBelow(const std::string& folder);

// What the CNI library of a runtime remembers of the sandboxes whose network namespaces were in or
// below `folder`; they must be gone. Not those of others.
void RemoveCniResults(const std::string& folder,
                      const std::string& results = "/var/lib/cni/results");

// In every hierarchy; processes that are still in it are killed.
void RemoveControlGroup(const std::string& path);

// Refuses while something is mounted in it: what it holds then may be somebody else's.
absl::Status RemoveTree(const std::string& folder);

}  // namespace meltemi::cli
