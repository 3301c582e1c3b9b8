#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "orchestrator/kubelet/logs/log_line.h"
#include "orchestrator/kubelet/logs/logs.h"

namespace meltemi::kubelet {
namespace {

constexpr size_t kPieceBytes = 64 * 1024;
// Runtimes cut at 16 KiB: what is longer is no log line.
constexpr size_t kLineBytesMax = 1024 * 1024;
constexpr size_t kHeadBytes = 128;  // enough for time, stream and tags

class File {
 public:
  explicit File(const std::string& path) : fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~File() {
    if (fd_ >= 0) close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  bool is_open() const { return fd_ >= 0; }
  // Shorter than asked for: the file ends there.
  absl::StatusOr<std::string> ReadAt(int64_t offset, size_t size) const {
    std::string out(size, '\0');
    size_t got = 0;
    while (got < size) {
      const ssize_t n = pread(fd_, &out[got], size - got, offset + static_cast<int64_t>(got));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return absl::ErrnoToStatus(errno, "failed to read log file");
      if (n == 0) break;
      got += static_cast<size_t>(n);
    }
    out.resize(got);
    return out;
  }
  struct stat Stat() const {
    struct stat out {};
    (void)fstat(fd_, &out);
    return out;
  }

 private:
  const int fd_;
};

// Whether the line whose beginning stands in `head` ends what was said.
bool EndsText(absl::string_view head) {
  head = head.substr(0, head.find('\n'));
  const std::optional<LogLine> line = ParseLogLine(head);
  return !line.has_value() || !line->partial;
}

// Where the last `lines` lines begin in the first `size` bytes. Lines that a runtime has cut into
// pieces count once, and begin with their first piece. What stands behind the last end of a line
// does not count.
absl::StatusOr<int64_t> TailStart(const File& file, int64_t size, int64_t lines) {
  // Going back over the beginnings of lines: the one that is `lines` + 1 whole lines before the end
  // is one too many, and what follows it is where the tail begins.
  int64_t whole = 0;
  int64_t begins_next = -1;  // where the line after the current one begins
  for (int64_t right = size; right > 0;) {
    const int64_t left = std::max<int64_t>(0, right - static_cast<int64_t>(kPieceBytes));
    const size_t width = static_cast<size_t>(right - left);
    absl::StatusOr<std::string> piece = file.ReadAt(left, width + kHeadBytes);
    if (!piece.ok()) return piece.status();
    for (size_t i = std::min(width, piece->size()); i-- > 0;) {
      const bool first_of_file = left == 0 && i == 0;
      if ((*piece)[i] != '\n' && !first_of_file) continue;
      const size_t at = (*piece)[i] == '\n' ? i + 1 : 0;
      const int64_t begin = left + static_cast<int64_t>(at);
      if (begins_next < 0) {
        // The last end of a line: what follows it is not whole.
        begins_next = begin;
        if (lines == 0) return begin;
      } else if (EndsText(absl::string_view(*piece).substr(at, kHeadBytes)) && ++whole > lines) {
        return begins_next;
      } else {
        begins_next = begin;
      }
      // A file that begins with an empty line.
      if (first_of_file && at == 1) return 0;
    }
    right = left;
  }
  return 0;
}

class FileLogReader final : public LogReader {
 public:
  FileLogReader(std::string path, std::unique_ptr<File> file, const LogOptions& options,
                int64_t start, int64_t end)
      : path_(std::move(path)),
        options_(options),
        file_(std::move(file)),
        offset_(start),
        end_(end),
        remaining_(options.limit_bytes.value_or(INT64_MAX)) {
    if (remaining_ <= 0 || (!options.follow && options.tail_lines == 0)) done_ = true;
  }

  absl::StatusOr<std::string> Read(size_t max) override;
  bool done() const override { return done_ && out_.empty(); }
  void SetEnded() override { ended_ = true; }

 private:
  // True: there is more to be parsed. False: nothing at the moment, or nothing any more.
  absl::StatusOr<bool> Fill();
  void TakeLines();
  void TakeLine(absl::string_view raw, bool with_end);
  bool MoveToNewFile();

  const std::string path_;
  const LogOptions options_;
  std::unique_ptr<File> file_;
  int64_t offset_;     // of what is read next
  const int64_t end_;  // without `follow`: where it ended when it was opened
  int64_t remaining_;
  std::string in_;           // the beginning of a line
  bool in_garbage_ = false;  // a line that is too long: up to its end
  bool at_line_start_ = true;
  std::string out_;
  bool ended_ = false, done_ = false;
};

absl::StatusOr<std::string> FileLogReader::Read(size_t max) {
  while (out_.size() < max && !done_) {
    const absl::StatusOr<bool> more = Fill();
    if (!more.ok()) return more.status();
    if (!*more) break;
    TakeLines();
  }
  if (out_.size() <= max) return std::exchange(out_, "");
  std::string out = out_.substr(0, max);
  out_.erase(0, max);
  return out;
}

absl::StatusOr<bool> FileLogReader::Fill() {
  size_t wanted = kPieceBytes;
  if (!options_.follow) {
    wanted = static_cast<size_t>(
        std::min<int64_t>(static_cast<int64_t>(wanted), std::max<int64_t>(0, end_ - offset_)));
  } else if (file_->Stat().st_size < offset_) {
    offset_ = 0;  // somebody has emptied it
    in_.clear();
  }
  absl::StatusOr<std::string> piece = file_->ReadAt(offset_, wanted);
  if (!piece.ok()) return piece.status();
  if (!piece->empty()) {
    offset_ += static_cast<int64_t>(piece->size());
    in_ += *piece;
    return true;
  }
  if (options_.follow && MoveToNewFile()) return true;
  if (options_.follow && !ended_) return false;
  if (!in_garbage_) TakeLine(in_, false);
  in_.clear();
  done_ = true;
  return false;
}

// The runtime has reopened its log after a rotation: what it had written before is read by now,
// since it writes to one file at a time.
bool FileLogReader::MoveToNewFile() {
  struct stat now {};
  const struct stat open_one = file_->Stat();
  if (stat(path_.c_str(), &now) != 0) return false;
  if (now.st_ino == open_one.st_ino && now.st_dev == open_one.st_dev) return false;
  if (open_one.st_size > offset_) return true;  // it has grown since it was read
  auto file = std::make_unique<File>(path_);
  if (!file->is_open()) return false;
  file_ = std::move(file);
  offset_ = 0;
  in_.clear();
  in_garbage_ = false;
  return true;
}

void FileLogReader::TakeLines() {
  size_t begin = 0;
  while (!done_) {
    const size_t end = in_.find('\n', begin);
    if (end == std::string::npos) break;
    if (!std::exchange(in_garbage_, false)) {
      TakeLine(absl::string_view(in_).substr(begin, end - begin), true);
    }
    begin = end + 1;
  }
  in_.erase(0, begin);
  if (in_.size() > kLineBytesMax) {
    in_garbage_ = true;
    in_.clear();
  }
}

void FileLogReader::TakeLine(absl::string_view raw, bool with_end) {
  const std::optional<LogLine> line = ParseLogLine(raw);
  if (!line.has_value()) return;
  if (options_.since.has_value() && *ParseLogTime(line->time) < *options_.since) return;
  const bool starts = std::exchange(at_line_start_, !line->partial);
  std::string text;
  if (options_.timestamps && starts) text = absl::StrCat(FixedWidthTime(line->time), " ");
  absl::StrAppend(&text, line->text, with_end && !line->partial ? "\n" : "");
  if (static_cast<int64_t>(text.size()) >= remaining_) {
    text.resize(static_cast<size_t>(remaining_));
    done_ = true;
  }
  remaining_ -= static_cast<int64_t>(text.size());
  out_ += text;
}

// Between renaming a log and the runtime's making a new one there is none for a moment: the newest
// of the renamed ones is meant then. `path` itself when there is none.
std::string PathOrNewestRotated(const std::string& path) {
  struct stat found {};
  if (stat(path.c_str(), &found) == 0 || errno != ENOENT) return path;
  const size_t slash = path.rfind('/') + 1;
  const std::string folder = path.substr(0, slash);
  const std::string prefix = absl::StrCat(path.substr(slash), ".");
  std::string newest;
  DIR* const dir = opendir(folder.c_str());
  while (const dirent* entry = dir == nullptr ? nullptr : readdir(dir)) {
    const absl::string_view name = entry->d_name;
    if (!absl::StartsWith(name, prefix) || absl::EndsWith(name, ".gz") ||
        absl::EndsWith(name, ".tmp")) {
      continue;
    }
    newest = std::max(newest, std::string(name));
  }
  if (dir != nullptr) closedir(dir);
  return newest.empty() ? path : folder + newest;
}

// Go's words.
std::string Why(int error) {
  return error == ENOENT ? "no such file or directory" : absl::AsciiStrToLower(strerror(error));
}

}  // namespace

absl::StatusOr<std::unique_ptr<LogReader>> OpenLog(const std::string& path,
                                                   const LogOptions& options) {
  const std::string opened = PathOrNewestRotated(path);
  struct stat found {};
  if (stat(opened.c_str(), &found) != 0) {
    const std::string text = absl::StrCat("failed to try resolving symlinks in path \"", path,
                                          "\": lstat ", path, ": ", Why(errno));
    return errno == ENOENT ? absl::NotFoundError(text) : absl::UnknownError(text);
  }
  if (!S_ISREG(found.st_mode)) {
    return absl::FailedPreconditionError(
        absl::StrCat("failed to open log file \"", path, "\": not a regular file"));
  }
  auto file = std::make_unique<File>(opened);
  if (!file->is_open()) {
    return absl::UnknownError(
        absl::StrCat("failed to open log file \"", path, "\": open ", path, ": ", Why(errno)));
  }
  const int64_t size = file->Stat().st_size;
  int64_t start = 0;
  if (options.tail_lines.has_value()) {
    const absl::StatusOr<int64_t> tail =
        TailStart(*file, size, std::max<int64_t>(0, *options.tail_lines));
    if (!tail.ok()) return tail.status();
    start = *tail;
  }
  return std::make_unique<FileLogReader>(path, std::move(file), options, start, size);
}

}  // namespace meltemi::kubelet
