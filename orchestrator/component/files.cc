#include "orchestrator/component/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"

namespace meltemi::orchestrator {
namespace {

absl::Status Failed(const std::string& path, absl::string_view what) {
  return absl::FailedPreconditionError(
      absl::StrCat(path, ": cannot be ", what, ": ", std::strerror(errno)));
}

bool WriteAll(int fd, absl::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    text.remove_prefix(static_cast<size_t>(written));
  }
  return fsync(fd) == 0;
}

}  // namespace

absl::StatusOr<std::string> ReadWholeFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return Failed(path, "read");
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

absl::Status WriteFileAtomically(const std::string& path, absl::string_view text, mode_t mode) {
  const std::string temporary = absl::StrCat(path, ".new");
  const int fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
  if (fd < 0) return Failed(temporary, "written");
  // An older file may have another mode, and the umask may have taken bits away.
  const bool written = fchmod(fd, mode) == 0 && WriteAll(fd, text);
  const int saved = errno;
  close(fd);
  errno = saved;
  if (!written || rename(temporary.c_str(), path.c_str()) != 0) {
    const absl::Status status = Failed(path, "written");
    unlink(temporary.c_str());
    return status;
  }
  return absl::OkStatus();
}

}  // namespace meltemi::orchestrator
