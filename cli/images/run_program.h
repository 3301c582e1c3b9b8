// A program run to its end, with what it wrote.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace meltemi::cli {

class RunningProgram {
 public:
  // Found in PATH. Error: it could not be started.
  static absl::StatusOr<RunningProgram> Start(const std::vector<std::string>& argv);
  RunningProgram(RunningProgram&& other) noexcept;
  RunningProgram& operator=(RunningProgram&&) = delete;
  ~RunningProgram();

  // Waits; once. What it wrote to both outputs. Error: it failed; the message is the last line that
  // it wrote.
  absl::StatusOr<std::string> Finish();

 private:
  RunningProgram(std::string name, pid_t pid, int output);

  std::string name_;
  pid_t pid_;
  int output_;
};

absl::StatusOr<std::string> RunProgram(const std::vector<std::string>& argv);

}  // namespace meltemi::cli
