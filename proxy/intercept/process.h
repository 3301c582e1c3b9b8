// Runs a program, gives it its input, and waits for it.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace meltemi::proxy {

struct ProcessResult {
  int exit_code = 0;  // 128 + signal when one ended it
  std::string out, err;
};

// `argv[0]` is looked up in PATH and in /usr/sbin and /sbin. Blocks.
// Error: NOT_FOUND when there is no such program; INTERNAL with the system's error otherwise.
absl::StatusOr<ProcessResult> RunProcess(const std::vector<std::string>& argv,
                                         const std::string& input);

}  // namespace meltemi::proxy
