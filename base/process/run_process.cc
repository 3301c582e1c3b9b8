#include "base/process/run_process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace meltemi {
namespace {

using Steady = std::chrono::steady_clock;

class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  ~Fd() { Close(); }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  int get() const { return fd_; }
  void Reset(int fd) {
    Close();
    fd_ = fd;
  }
  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
};

struct Pipe {
  Fd read, write;
  bool Open() {
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) return false;
    read.Reset(fds[0]);
    write.Reset(fds[1]);
    return true;
  }
};

absl::Status SystemError(absl::string_view what, int error) {
  return absl::InternalError(absl::StrCat(what, ": ", std::strerror(error)));
}

// A file in memory: whoever reads it can be slow or die, and nobody has to wait or is signalled.
bool OpenInput(const std::string& input, Fd* out) {
  out->Reset(memfd_create("input", MFD_CLOEXEC));
  size_t written = 0;
  while (out->get() >= 0 && written < input.size()) {
    const ssize_t n = write(out->get(), input.data() + written, input.size() - written);
    if (n < 0 && errno != EINTR) return false;
    if (n > 0) written += static_cast<size_t>(n);
  }
  return out->get() >= 0 && lseek(out->get(), 0, SEEK_SET) == 0;
}

absl::StatusOr<pid_t> Spawn(const std::string& program, std::vector<std::string> words, int in,
                            int out, int err) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none, defaults;
  sigemptyset(&none);
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGPIPE);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  pid_t pid = 0;
  const int error =
      posix_spawn(&pid, program.c_str(), &actions, &attributes, pointers.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return SystemError(program, error);
  return pid;
}

// False at the end of the stream.
bool ReadSome(int fd, size_t bytes_max, std::string* text) {
  char buffer[16 * 1024];
  const ssize_t n = read(fd, buffer, sizeof(buffer));
  if (n < 0) return errno == EINTR || errno == EAGAIN;
  const size_t room = bytes_max - std::min(bytes_max, text->size());
  text->append(buffer, std::min(static_cast<size_t>(n), room));
  return n > 0;
}

// Collects both outputs until they are closed. False: it took too long.
bool Collect(Pipe& out, Pipe& err, Steady::time_point end, size_t bytes_max,
             ProcessResult* result) {
  while (out.read.get() >= 0 || err.read.get() >= 0) {
    pollfd fds[2] = {{out.read.get(), POLLIN, 0}, {err.read.get(), POLLIN, 0}};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Steady::now()).count();
    if (left <= 0) return false;
    if (poll(fds, 2, static_cast<int>(std::min<int64_t>(left, 60'000))) < 0) {
      if (errno == EINTR) continue;
      return false;
    }
    if (fds[0].revents != 0 && !ReadSome(out.read.get(), bytes_max, &result->out)) out.read.Close();
    if (fds[1].revents != 0 && !ReadSome(err.read.get(), bytes_max, &result->err)) err.read.Close();
  }
  return true;
}

}  // namespace

std::string FindProgram(const std::string& name) {
  if (name.find('/') != std::string::npos) return access(name.c_str(), X_OK) == 0 ? name : "";
  for (const char* folder :
       {"/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/local/bin"}) {
    std::string path = absl::StrCat(folder, "/", name);
    if (access(path.c_str(), X_OK) == 0) return path;
  }
  return "";
}

absl::StatusOr<ProcessResult> RunProcess(const std::vector<std::string>& argv,
                                         const std::string& input, const ProcessOptions& options) {
  const std::string program = FindProgram(argv[0]);
  if (program.empty()) return absl::NotFoundError(absl::StrCat(argv[0], " was not found"));
  Pipe out, err;
  Fd in;
  if (!out.Open() || !err.Open() || !OpenInput(input, &in)) return SystemError(argv[0], errno);
  const auto end = Steady::now() + options.timeout;
  const absl::StatusOr<pid_t> pid =
      Spawn(program, argv, in.get(), out.write.get(), err.write.get());
  if (!pid.ok()) return pid.status();
  out.write.Close();
  err.write.Close();
  ProcessResult result;
  const bool in_time = Collect(out, err, end, options.output_bytes_max, &result);
  if (!in_time) kill(-*pid, SIGKILL);
  int status = 0;
  while (waitpid(*pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (!in_time) {
    return absl::DeadlineExceededError(absl::StrCat(absl::StrJoin(argv, " "), ": no end after ",
                                                    options.timeout / milliseconds(1), " ms"));
  }
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

absl::Status RunToSuccess(const std::vector<std::string>& argv, const std::string& input,
                          const ProcessOptions& options) {
  const absl::StatusOr<ProcessResult> result = RunProcess(argv, input, options);
  if (!result.ok()) return result.status();
  if (result->exit_code == 0) return absl::OkStatus();
  const std::string words(
      absl::StripAsciiWhitespace(result->err.empty() ? result->out : result->err));
  return absl::InternalError(
      absl::StrCat(absl::StrJoin(argv, " "), ": ",
                   words.empty() ? absl::StrCat("exit code ", result->exit_code) : words));
}

}  // namespace meltemi
