// A child process of a scenario: started in a namespace, its output in a file, gone with the test.
//
// One thread (the test's) uses all of test/machine.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace meltemi::machine {

struct ProcessOptions {
  std::vector<std::string> argv;  // argv[0] is looked up in PATH
  std::vector<std::string> env;   // "NAME=value", beside PATH, HOME and LANG
  int network_namespace = -1;     // descriptor of one; -1: the test's own
  // Bound over /etc/hosts and /etc/resolv.conf in a mount namespace of its own; both or neither.
  std::string hosts_file, resolv_file;
  uid_t uid = 0;
  gid_t gid = 0;
  std::string output_path;  // stdout and stderr; "" throws them away
};

// Killed, with what it started in its process group, when the object or the test ends.
class Process {
 public:
  Process() = default;
  Process(Process&& other) noexcept;
  Process& operator=(Process&& other) noexcept;
  ~Process() { Kill(); }

  // Error: what could not be done, with the system's reason. A program that can't be executed is
  // told by its exit status 127.
  static absl::StatusOr<Process> Start(const ProcessOptions& options);

  pid_t pid() const { return pid_; }
  bool running();
  const std::string& output_path() const { return output_path_; }
  std::string Output() const;

  void Signal(int signal_number);
  // Exit status (128 + signal when killed by one); kills after `timeout` and returns -1.
  int Wait(std::chrono::milliseconds timeout);
  void Kill();

 private:
  bool Reap(bool block);

  pid_t pid_ = -1;
  bool reaped_ = false;
  int status_ = 0;
  std::string output_path_;
};

struct Finished {
  int exit_status = -1;  // -1: timed out
  std::string output;    // stdout and stderr
};
// Runs to the end and returns what it printed.
Finished RunToEnd(ProcessOptions options, std::chrono::milliseconds timeout);

// Polls `done` every few milliseconds until it is true; false after `timeout`. For effects outside
// of this process that nothing announces.
template <typename F>
bool Eventually(F&& done, std::chrono::milliseconds timeout);

std::string ReadFile(const std::string& path);
void WriteFile(const std::string& path, absl::string_view content);
void PauseBriefly();

template <typename F>
bool Eventually(F&& done, std::chrono::milliseconds timeout) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    PauseBriefly();
  }
  return true;
}

}  // namespace meltemi::machine
