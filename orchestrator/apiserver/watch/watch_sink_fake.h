// A client's end of a watch that keeps the lines, for tests.
//
// Threads: Send and End on the loop's thread, everything else on any.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "base/clock/clock.h"
#include "orchestrator/apiserver/watch/watch_stream.h"

namespace meltemi::apiserver {

class CollectingSink final : public WatchSink {
 public:
  bool Send(absl::string_view lines) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const absl::string_view line : absl::StrSplit(lines, '\n', absl::SkipEmpty())) {
      lines_.emplace_back(line);
    }
    changed_.notify_all();
    return lines_.size() <= lines_max_;
  }
  void End() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    ended_ = true;
    changed_.notify_all();
  }

  // `count` lines or more; fewer when they don't come within ten seconds.
  std::vector<std::string> WaitForLines(size_t count) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait_for(lock, seconds(10), [&] { return lines_.size() >= count; });
    return lines_;
  }
  bool WaitForEnd() {
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.wait_for(lock, seconds(10), [&] { return ended_; });
  }
  // A client that is too slow for more than so many lines.
  void set_lines_max(size_t lines_max) { lines_max_ = lines_max; }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> lines_;
  bool ended_ = false;
  size_t lines_max_ = static_cast<size_t>(-1);
};

}  // namespace meltemi::apiserver
