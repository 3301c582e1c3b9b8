// A process that runs in the background: a part of the orchestrator, or another program. Started,
// found again, stopped. Its process id, its log and what it says of itself lie in RUN_FOLDER:
// NAME.pid, NAME.log, NAME.url.
//
// One thread.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace meltemi::cli {

class Component {
 public:
  // A part of the orchestrator; `program`: the path of the executable.
  Component(std::string program, std::string run_folder, std::string name);
  // Another program. `mark`: a word of its command line that no other process has.
  static Component Other(std::string run_folder, std::string name, std::string mark);

  // 0: does not run. A process that has taken over the number is not mistaken for it.
  pid_t Running() const;
  // It was started with this word.
  bool HasArgument(const std::string& word) const;
  // Starts `program NAME ARGS…` in a session of its own, its output appended to the log, in the
  // network namespace of that path if one is named. Error: the system's reason.
  absl::Status Start(const std::vector<std::string>& args, const std::string& netns = "");
  // The same with a whole command line.
  absl::Status StartProgram(std::vector<std::string> words, const std::string& netns = "");
  // Waits until the component has written its URL. Error: it ended, with the end of its log, or it
  // takes too long.
  absl::StatusOr<std::string> WaitUntilReady(std::chrono::milliseconds timeout);
  // "" while it has not said so.
  std::string Url() const;
  // The last line of its log; "".
  std::string LastLine() const;
  // SIGTERM, and SIGKILL after `grace`. True when there was something to stop.
  bool Stop(std::chrono::milliseconds grace);

  const std::string& name() const { return name_; }
  std::string pid_path() const { return Path(".pid"); }
  std::string log_path() const { return Path(".log"); }
  std::string url_path() const { return Path(".url"); }

 private:
  std::string Path(absl::string_view suffix) const;
  std::string LogTail() const;
  std::vector<std::string> CommandLine(pid_t pid) const;

  const std::string program_, run_folder_, name_;
  std::string mark_;
  size_t log_began_ = 0;  // what is before is of earlier runs
};

}  // namespace meltemi::cli
