#include "cli/images/run_program.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

extern char** environ;

namespace meltemi::cli {
namespace {

constexpr size_t kOutputBytesMax = 16 * 1024 * 1024;

}  // namespace

absl::StatusOr<RunningProgram> RunningProgram::Start(const std::vector<std::string>& argv) {
  std::array<int, 2> ends;
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return absl::ResourceExhaustedError("no pipe is left");
  std::vector<char*> words;
  for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
  pid_t pid = 0;
  const int error = posix_spawnp(&pid, words[0], &actions, nullptr, words.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  if (error != 0) {
    close(ends[0]);
    return absl::NotFoundError(absl::StrCat("cannot start ", argv[0], ": ", std::strerror(error)));
  }
  return RunningProgram(argv[0], pid, ends[0]);
}

RunningProgram::RunningProgram(std::string name, pid_t pid, int output)
    : name_(std::move(name)), pid_(pid), output_(output) {}

RunningProgram::RunningProgram(RunningProgram&& other) noexcept
    : name_(std::move(other.name_)),
      pid_(std::exchange(other.pid_, 0)),
      output_(std::exchange(other.output_, -1)) {}

RunningProgram::~RunningProgram() {
  if (pid_ != 0) (void)Finish();
}

absl::StatusOr<std::string> RunningProgram::Finish() {
  std::string text;
  std::array<char, 4096> piece;
  for (;;) {
    const ssize_t n = read(output_, piece.data(), piece.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    if (text.size() < kOutputBytesMax) text.append(piece.data(), static_cast<size_t>(n));
  }
  close(std::exchange(output_, -1));
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = 0;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return text;
  const absl::string_view told = absl::StripAsciiWhitespace(text);
  const size_t line = told.rfind('\n');
  return absl::InternalError(
      absl::StrCat(name_, ": ",
                   told.empty() ? absl::string_view("it failed without a word")
                                : told.substr(line == absl::string_view::npos ? 0 : line + 1)));
}

absl::StatusOr<std::string> RunProgram(const std::vector<std::string>& argv) {
  absl::StatusOr<RunningProgram> program = RunningProgram::Start(argv);
  if (!program.ok()) return program.status();
  return program->Finish();
}

}  // namespace meltemi::cli
