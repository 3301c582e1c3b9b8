// Small files, read and written whole.
//
// Threads: functions without state.
#pragma once

#include <sys/types.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace meltemi::orchestrator {

// Error: the file and the system's reason.
absl::StatusOr<std::string> ReadWholeFile(const std::string& path);
// Through a file beside it that is synced and renamed: readers see the old text or the new one.
absl::Status WriteFileAtomically(const std::string& path, absl::string_view text, mode_t mode);

}  // namespace meltemi::orchestrator
