// A task that a thread repeats: until it succeeds, or for ever at an interval.
//
// Threads: made and destroyed on one thread; the task runs on its own.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "base/clock/clock.h"

namespace meltemi::orchestrator {

class Background {
 public:
  struct Options {
    std::string name;  // for the log
    Duration interval = seconds(1);
    bool until_ok = false;  // ends with the first success; else it repeats
    bool at_once = true;    // the first run does not wait
  };
  Background(Options options, std::function<absl::Status()> task);
  // Waits for a run that is under way.
  ~Background();
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  // Of the last run; Unavailable before the first has ended.
  absl::Status last() const;

 private:
  void Run();

  const Options options_;
  const std::function<absl::Status()> task_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  absl::Status last_;
  std::thread thread_;
};

}  // namespace meltemi::orchestrator
