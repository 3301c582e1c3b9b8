// One process per store: an advisory lock on a file beside it, which the kernel lets go when the
// process ends, however it ends.
//
// Threads: taken and released by whoever owns the store.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/clock/clock.h"

namespace meltemi::store {

class FileLock {
 public:
  // Tries for `wait`: a process that was just killed holds its lock until the kernel has cleaned
  // up. Error: FailedPrecondition when another process holds it, with its number.
  static absl::StatusOr<std::unique_ptr<FileLock>> Take(const std::string& path, Duration wait);
  ~FileLock();

 private:
  explicit FileLock(int fd) : fd_(fd) {}
  const int fd_;
};

}  // namespace meltemi::store
