#include "proxy/observe/log_sink.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace meltemi::proxy {
namespace {

// Lines are gathered for this long before they are written together.
constexpr std::chrono::milliseconds kGather{100};
// … or until there is this much.
constexpr size_t kWriteBytes = 64 * 1024;

int OpenForAppend(const std::string& path) {
  return open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

void WriteAll(int fd, absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = write(fd, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return;  // the disk is full, the reader has gone: these lines are lost
    bytes.remove_prefix(static_cast<size_t>(count));
  }
}

}  // namespace

// The thread and what wakes it. Sinks keep it alive, so that a late line finds it (stopped).
struct LogSink::Writer {
  std::mutex mutex;
  std::condition_variable wake;     // of the thread: there is something to do
  std::condition_variable written;  // of those that wait in Flush
  std::vector<LogSink*> sinks ABSL_GUARDED_BY(mutex);
  bool dirty ABSL_GUARDED_BY(mutex) = false;  // some buffer is not empty
  bool hurry ABSL_GUARDED_BY(mutex) = false;  // don't gather
  bool reopen ABSL_GUARDED_BY(mutex) = false;
  bool stop ABSL_GUARDED_BY(mutex) = false;
  uint64_t rounds ABSL_GUARDED_BY(mutex) = 0;  // completed
  std::thread thread;

  void Run();
  void Wake(bool in_a_hurry) {
    std::lock_guard<std::mutex> lock(mutex);
    const bool known = dirty && (hurry || !in_a_hurry);
    dirty = true;
    hurry |= in_a_hurry;
    if (!known) wake.notify_one();
  }
};

void LogSink::Writer::Run() {
  std::unique_lock<std::mutex> lock(mutex);
  while (true) {
    while (!dirty && !stop && !reopen) wake.wait(lock);
    const auto until = std::chrono::steady_clock::now() + kGather;
    while (!hurry && !stop && !reopen) {
      if (wake.wait_until(lock, until) == std::cv_status::timeout) break;
    }
    const bool last = stop, reopen_files = std::exchange(reopen, false);
    dirty = hurry = false;
    // Sinks stay until the thread has been joined.
    const std::vector<LogSink*> all = sinks;
    lock.unlock();
    for (LogSink* sink : all) {
      sink->Drain();
      if (reopen_files) sink->ReopenFile();
    }
    lock.lock();
    ++rounds;
    written.notify_all();
    if (last) return;
  }
}

LogSink::LogSink(std::string path, int fd, size_t buffer_bytes_max, std::shared_ptr<Writer> writer)
    : path_(std::move(path)),
      buffer_bytes_max_(buffer_bytes_max),
      writer_(std::move(writer)),
      fd_(fd) {}

LogSink::~LogSink() {
  if (fd_ > STDERR_FILENO) close(fd_);
}

void LogSink::Write(absl::string_view line) {
  bool was_empty, much;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (buffer_.size() + line.size() > buffer_bytes_max_) {
      dropped_.fetch_add(1, std::memory_order_relaxed);
      return;
    }
    was_empty = buffer_.empty();
    buffer_.append(line.data(), line.size());
    much = buffer_.size() >= kWriteBytes && buffer_.size() - line.size() < kWriteBytes;
  }
  if (was_empty || much) writer_->Wake(much);
}

void LogSink::Drain() {
  writing_.clear();
  {
    std::lock_guard<std::mutex> lock(mutex_);
    std::swap(writing_, buffer_);
  }
  WriteAll(fd_, writing_);
}

void LogSink::ReopenFile() {
  if (fd_ <= STDERR_FILENO) return;
  const int fd = OpenForAppend(path_);
  if (fd < 0) return;  // better the old file than none
  close(fd_);
  fd_ = fd;
}

LogSinks::LogSinks(size_t buffer_bytes_max)
    : buffer_bytes_max_(buffer_bytes_max), writer_(std::make_shared<LogSink::Writer>()) {}

LogSinks::~LogSinks() {
  {
    std::lock_guard<std::mutex> lock(writer_->mutex);
    writer_->stop = true;
    writer_->wake.notify_one();
  }
  if (writer_->thread.joinable()) writer_->thread.join();
  std::lock_guard<std::mutex> lock(writer_->mutex);
  writer_->sinks.clear();
}

absl::StatusOr<std::shared_ptr<LogSink>> LogSinks::Open(absl::string_view path) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (const auto found = sinks_.find(path); found != sinks_.end()) return found->second;
  const std::string name(path);
  int fd;
  if (path == "/dev/stdout") {
    fd = STDOUT_FILENO;
  } else if (path == "/dev/stderr") {
    fd = STDERR_FILENO;
  } else if (fd = OpenForAppend(name); fd < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("access log \"", path, "\" can't be opened: ", strerror(errno)));
  }
  std::shared_ptr<LogSink> sink(new LogSink(name, fd, buffer_bytes_max_, writer_));
  sinks_.emplace(name, sink);
  std::lock_guard<std::mutex> writer_lock(writer_->mutex);
  writer_->sinks.push_back(sink.get());
  if (!writer_->thread.joinable()) {
    writer_->thread = std::thread([writer = writer_.get()] { writer->Run(); });
  }
  return sink;
}

void LogSinks::Reopen() {
  {
    std::lock_guard<std::mutex> lock(writer_->mutex);
    writer_->reopen = true;
  }
  Flush();
}

void LogSinks::Flush() {
  std::unique_lock<std::mutex> lock(writer_->mutex);
  if (!writer_->thread.joinable()) return;
  // A round that was under way may have passed a buffer already: the second one has seen
  // everything.
  for (int i = 0; i < 2; ++i) {
    const uint64_t before = writer_->rounds;
    writer_->dirty = writer_->hurry = true;
    writer_->wake.notify_one();
    while (writer_->rounds == before) writer_->written.wait(lock);
  }
}

uint64_t LogSinks::lines_dropped() const {
  std::lock_guard<std::mutex> lock(mutex_);
  uint64_t sum = 0;
  for (const auto& [path, sink] : sinks_) sum += sink->lines_dropped();
  return sum;
}

}  // namespace meltemi::proxy
