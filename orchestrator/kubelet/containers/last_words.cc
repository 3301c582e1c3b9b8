#include "orchestrator/kubelet/containers/last_words.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <vector>

#include "absl/strings/str_split.h"
#include "orchestrator/kubelet/volumes/files.h"

namespace meltemi::kubelet {
namespace {

constexpr size_t kMessageBytesMax = 4096;
constexpr size_t kLogTextBytesMax = 2048;
constexpr size_t kLogLinesMax = 80;
// 80 lines with their heads; what is longer would be cut anyway.
constexpr size_t kLogBytesMax = 16 * 1024;

// `*whole`: it began at the file's beginning.
std::string ReadEnd(const std::string& path, size_t bytes_max, bool* whole) {
  *whole = true;
  const Fd fd(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));
  struct stat st {};
  if (!fd.ok() || fstat(fd.get(), &st) != 0 || !S_ISREG(st.st_mode)) return "";
  const auto size = static_cast<size_t>(st.st_size);
  const size_t from = size > bytes_max ? size - bytes_max : 0;
  *whole = from == 0;
  std::string out(std::min(size, bytes_max), '\0');
  size_t got = 0;
  while (got < out.size()) {
    const ssize_t n =
        pread(fd.get(), out.data() + got, out.size() - got, static_cast<off_t>(from + got));
    if (n <= 0) break;
    got += static_cast<size_t>(n);
  }
  out.resize(got);
  return out;
}

}  // namespace

std::string ReadTerminationFile(const std::string& path) {
  bool whole = false;
  return ReadEnd(path, kMessageBytesMax, &whole);
}

std::string LogText(absl::string_view lines) {
  std::string out;
  for (absl::string_view line : absl::StrSplit(lines, '\n')) {
    // TIME STREAM TAG TEXT
    bool partial = false;
    bool good = true;
    for (int i = 0; i < 3 && good; ++i) {
      const size_t space = line.find(' ');
      if (space == absl::string_view::npos) {
        good = i == 2 && !line.empty();
        line = "";
        break;
      }
      if (i == 2) partial = line.substr(0, space) == "P";
      line.remove_prefix(space + 1);
    }
    if (!good) continue;
    out.append(line.data(), line.size());
    if (!partial) out.push_back('\n');
  }
  return out;
}

std::string ReadLogEnd(const std::string& path) {
  bool whole = false;
  const std::string raw = ReadEnd(path, kLogBytesMax, &whole);
  absl::string_view lines = raw;
  if (!whole) {
    const size_t end = lines.find('\n');
    lines = end == absl::string_view::npos ? "" : lines.substr(end + 1);
  }
  std::string text = LogText(lines);
  size_t from = text.size() > kLogTextBytesMax ? text.size() - kLogTextBytesMax : 0;
  size_t seen = 0;
  for (size_t at = text.size(); at > from; --at) {
    // The newline at the very end is of the last line.
    if (text[at - 1] == '\n' && at != text.size() && ++seen == kLogLinesMax) {
      from = at;
      break;
    }
  }
  return text.substr(from);
}

}  // namespace meltemi::kubelet
