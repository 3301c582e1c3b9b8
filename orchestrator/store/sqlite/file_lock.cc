#include "orchestrator/store/sqlite/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace meltemi::store {
namespace {

constexpr Duration kRetry = milliseconds(10);

std::string HolderOf(int fd) {
  char text[32] = {};
  const ssize_t size = pread(fd, text, sizeof(text) - 1, 0);
  if (size <= 0) return "another process";
  return absl::StrCat("process ", absl::StripSuffix(text, "\n"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<FileLock>> FileLock::Take(const std::string& path, Duration wait) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot make ", path, ": ", std::strerror(errno),
                     "; does the folder exist, and may this user write to it?"));
  }
  auto lock = std::unique_ptr<FileLock>(new FileLock(fd));
  for (Duration waited{}; flock(fd, LOCK_EX | LOCK_NB) != 0; waited += kRetry) {
    if (errno != EWOULDBLOCK && errno != EINTR) {
      return absl::FailedPreconditionError(
          absl::StrCat("cannot lock ", path, ": ", std::strerror(errno)));
    }
    if (waited >= wait) {
      return absl::FailedPreconditionError(absl::StrCat(absl::StripSuffix(path, ".lock"),
                                                        " is open in ", HolderOf(fd),
                                                        ": stop it, or use another data folder"));
    }
    std::this_thread::sleep_for(kRetry);
  }
  const std::string pid = absl::StrCat(getpid(), "\n");
  // For the message above alone.
  if (ftruncate(fd, 0) != 0 || pwrite(fd, pid.data(), pid.size(), 0) < 0) {
    return absl::UnavailableError(absl::StrCat("cannot write ", path, ": ", std::strerror(errno)));
  }
  return lock;
}

FileLock::~FileLock() { close(fd_); }

}  // namespace meltemi::store
