// The pilot under test in a process of its own, fed with manifests through a pipe: what is measured
// is pilot, not a file system.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace meltemi::bench {

// The child's side: serves until the pipe ends. Prints "PORT DEBUGPORT\n" once it serves.
int ServePilot();

// The parent's side.
class PilotProcess {
 public:
  // Starts `program --serve`. Ends the program with a message when it cannot.
  explicit PilotProcess(const std::string& program);
  ~PilotProcess();
  PilotProcess(const PilotProcess&) = delete;
  PilotProcess& operator=(const PilotProcess&) = delete;

  void Apply(absl::string_view manifests);
  uint16_t port() const { return port_; }
  uint16_t debug_port() const { return debug_port_; }
  double CpuSeconds() const;
  // "VmRSS:", "VmHWM:" …
  int64_t StatusKb(absl::string_view name) const;
  // From now on "VmHWM:" says what comes.
  void ForgetPeak() const;
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = 0;
  int to_child_ = -1;
  uint16_t port_ = 0;
  uint16_t debug_port_ = 0;
};

}  // namespace meltemi::bench
