// Paths of the node that pods ask for: hostPath volumes, and the subPath of a mount.
//
// Threads: functions without state; they block on the disk.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "orchestrator/kubelet/volumes/files.h"

namespace meltemi::kubelet {

// Whether what a hostPath's `type` asks for is there; made where it says so. Links are followed.
// Error: in Kubernetes' words.
absl::Status CheckHostPath(const std::string& path, absl::string_view type);

// What `sub_path` names in the volume, made as a folder if there is nothing: an O_PATH descriptor,
// which means that very thing whatever becomes of its name. Links are followed within the volume;
// one that leads outside is an error.
absl::StatusOr<Fd> OpenSubPath(const std::string& volume, const std::string& sub_path);

}  // namespace meltemi::kubelet
