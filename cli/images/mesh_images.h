// The images of the mesh itself, made of its programs and what they need, and nothing else: no
// shell, no package manager.
//
// Threads: functions without state; they read and write files.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "cli/images/archive.h"

namespace meltemi::cli {

inline constexpr char kProxyImage[] = "meltemi/proxy:0.1.0";
inline constexpr char kPilotImage[] = "meltemi/pilot:0.1.0";

// The sidecar: `program` (meltemi-proxy) as /usr/bin/meltemi-proxy, and this machine's iptables for
// the init container. Runs as 1337 with a root file system that nobody writes to. Error: what is
// missing, with the command that installs it.
absl::StatusOr<WrittenImage> WriteProxyImage(const std::string& program, const std::string& tag,
                                             const std::string& path);
// The control plane: `program` (meltemi-pilot) as /usr/bin/meltemi-pilot.
absl::StatusOr<WrittenImage> WritePilotImage(const std::string& program, const std::string& tag,
                                             const std::string& path);

}  // namespace meltemi::cli
