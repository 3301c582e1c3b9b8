// Files and streams that access logs go to. Lines are put into a bounded buffer; one thread for all
// sinks writes them, so that a slow disk never holds a worker up.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace meltemi::proxy {

class LogSinks;

// One file. Thread-safe; may outlive its LogSinks, then it drops.
class LogSink {
 public:
  ~LogSink();
  LogSink(const LogSink&) = delete;
  LogSink& operator=(const LogSink&) = delete;

  // A whole line (or several), with its newline. Whole lines are dropped and counted when the
  // buffer is full.
  void Write(absl::string_view line);
  uint64_t lines_dropped() const { return dropped_.load(std::memory_order_relaxed); }
  const std::string& path() const { return path_; }

 private:
  friend class LogSinks;
  struct Writer;
  LogSink(std::string path, int fd, size_t buffer_bytes_max, std::shared_ptr<Writer> writer);
  void Drain();
  void ReopenFile();

  const std::string path_;
  const size_t buffer_bytes_max_;
  const std::shared_ptr<Writer> writer_;
  std::atomic<uint64_t> dropped_{0};
  std::mutex mutex_;
  std::string buffer_ ABSL_GUARDED_BY(mutex_);
  // The writer thread's alone.
  std::string writing_;
  int fd_;
};

// The sinks of a process by path, and their writer thread (started with the first sink).
// Thread-safe.
class LogSinks {
 public:
  static constexpr size_t kBufferBytesMax = 4 * 1024 * 1024;

  explicit LogSinks(size_t buffer_bytes_max = kBufferBytesMax);
  // Writes what is left.
  ~LogSinks();

  // The sink of a path: the same for all that ask. "/dev/stdout" and "/dev/stderr" are this
  // process's own descriptors. Error: the path and the reason.
  absl::StatusOr<std::shared_ptr<LogSink>> Open(absl::string_view path);
  // Closes and opens all files again, after what is in the buffers has gone to the old ones (log
  // rotation: SIGHUP, /reopen_logs).
  void Reopen();
  // Returns when all that was written before has reached the kernel.
  void Flush();
  uint64_t lines_dropped() const;

 private:
  const size_t buffer_bytes_max_;
  const std::shared_ptr<LogSink::Writer> writer_;
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<LogSink>, std::less<>> sinks_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meltemi::proxy
