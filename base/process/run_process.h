// Runs a program of the system, gives it its input, and waits for it.
//
// Threads: a function without state; it blocks. SIGPIPE need not be ignored.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock/clock.h"

namespace meltemi {

struct ProcessOptions {
  Duration timeout = seconds(30);              // it is killed then, with its process group
  size_t output_bytes_max = 16 * 1024 * 1024;  // of either output; what is beyond is dropped
};

struct ProcessResult {
  int exit_code = 0;  // 128 + signal when one ended it
  std::string out, err;
};

// `argv[0]` is looked up in /usr/sbin, /sbin, /usr/bin, /bin and /usr/local/{s,}bin unless it is a
// path. Error: kNotFound when there is no such program, kDeadlineExceeded, kInternal with the
// system's error otherwise.
absl::StatusOr<ProcessResult> RunProcess(const std::vector<std::string>& argv,
                                         const std::string& input = "",
                                         const ProcessOptions& options = {});

// The same where only success counts. Error: also the program's words, when it has not ended with
// 0.
absl::Status RunToSuccess(const std::vector<std::string>& argv, const std::string& input = "",
                          const ProcessOptions& options = {});

// Where the system has it; "": nowhere.
std::string FindProgram(const std::string& name);

}  // namespace meltemi
