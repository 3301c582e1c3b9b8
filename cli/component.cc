#include "cli/component.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace meltemi::cli {
namespace {

constexpr std::chrono::milliseconds kPoll(5);
constexpr size_t kLogTailLines = 10;

std::string ReadAll(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

bool IsAlive(pid_t pid) {
  // A child of this very process that has ended is still there until it is waited for.
  (void)waitpid(pid, nullptr, WNOHANG);
  return kill(pid, 0) == 0 || errno == EPERM;
}

// Never returns. Only what may be called between fork and exec. `failed` closes with exec, or gets
// the system's error number. `netns` -1: that of this process.
[[noreturn]] void Become(char* const* argv, int log, int netns, int failed) {
  setsid();
  if (netns >= 0 && setns(netns, CLONE_NEWNET) != 0) {
    const int refused = errno;
    (void)!write(failed, &refused, sizeof(refused));
    _exit(127);
  }
  const int null = open("/dev/null", O_RDONLY);
  dup2(null, STDIN_FILENO);
  dup2(log, STDOUT_FILENO);
  dup2(log, STDERR_FILENO);
  execv(argv[0], argv);
  const int error = errno;
  (void)!write(failed, &error, sizeof(error));
  _exit(127);
}

}  // namespace

Component::Component(std::string program, std::string run_folder, std::string name)
    : program_(std::move(program)),
      run_folder_(std::move(run_folder)),
      name_(std::move(name)),
      mark_(absl::StrCat("--address-file=", url_path())) {}

Component Component::Other(std::string run_folder, std::string name, std::string mark) {
  Component other("", std::move(run_folder), std::move(name));
  other.mark_ = std::move(mark);
  return other;
}

std::string Component::Path(absl::string_view suffix) const {
  return absl::StrCat(run_folder_, "/", name_, suffix);
}

pid_t Component::Running() const {
  int pid = 0;
  if (!absl::SimpleAtoi(ReadAll(pid_path()), &pid) || pid <= 1 || !IsAlive(pid)) return 0;
  const std::vector<std::string> words = CommandLine(pid);
  return std::find(words.begin(), words.end(), mark_) != words.end() ? pid : 0;
}

std::vector<std::string> Component::CommandLine(pid_t pid) const {
  return absl::StrSplit(ReadAll(absl::StrCat("/proc/", pid, "/cmdline")), '\0');
}

bool Component::HasArgument(const std::string& word) const {
  const pid_t pid = Running();
  if (pid == 0) return false;
  const std::vector<std::string> words = CommandLine(pid);
  return std::find(words.begin(), words.end(), word) != words.end();
}

absl::Status Component::Start(const std::vector<std::string>& args, const std::string& netns) {
  std::vector<std::string> words = {program_, name_};
  words.insert(words.end(), args.begin(), args.end());
  words.push_back(mark_);
  return StartProgram(std::move(words), netns);
}

absl::Status Component::StartProgram(std::vector<std::string> words, const std::string& netns) {
  std::error_code error;
  std::filesystem::create_directories(run_folder_, error);
  if (error) {
    return absl::PermissionDeniedError(absl::StrCat("cannot make the folder ", run_folder_, ": ",
                                                    error.message(),
                                                    "; run as root, or choose one of your own "
                                                    "with --data-dir"));
  }
  std::filesystem::remove(url_path(), error);
  const int log = open(log_path().c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (log < 0) {
    return absl::PermissionDeniedError(
        absl::StrCat(log_path(), ": cannot be written: ", std::strerror(errno)));
  }
  log_began_ = static_cast<size_t>(lseek(log, 0, SEEK_END));
  const int ns = netns.empty() ? -1 : open(netns.c_str(), O_RDONLY | O_CLOEXEC);
  if (!netns.empty() && ns < 0) {
    close(log);
    return absl::NotFoundError(absl::StrCat(netns, ": ", std::strerror(errno)));
  }
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  int failed[2];
  if (pipe2(failed, O_CLOEXEC) != 0) return absl::InternalError(std::strerror(errno));
  const pid_t pid = fork();
  if (pid == 0) Become(argv.data(), log, ns, failed[1]);
  close(log);
  if (ns >= 0) close(ns);
  close(failed[1]);
  // Until it has become the program it can't be told from this one.
  int failure = pid < 0 ? errno : 0;
  if (pid > 0) (void)!read(failed[0], &failure, sizeof(failure));
  close(failed[0]);
  if (failure != 0) {
    return absl::InternalError(
        absl::StrCat("cannot start ", words[0], ": ", std::strerror(failure)));
  }
  std::ofstream(pid_path()) << pid;
  return absl::OkStatus();
}

absl::StatusOr<std::string> Component::WaitUntilReady(std::chrono::milliseconds timeout) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  while (true) {
    if (std::string url = Url(); !url.empty()) return url;
    if (Running() == 0) {
      return absl::UnavailableError(absl::StrCat("the ", name_, " ended; the end of its log (",
                                                 log_path(), "):\n", LogTail()));
    }
    if (std::chrono::steady_clock::now() > end) {
      return absl::DeadlineExceededError(absl::StrCat("the ", name_, " is still not ready after ",
                                                      timeout.count() / 1000, " s; see ",
                                                      log_path()));
    }
    std::this_thread::sleep_for(kPoll);
  }
}

std::string Component::Url() const { return ReadAll(url_path()); }

bool Component::Stop(std::chrono::milliseconds grace) {
  const pid_t pid = Running();
  std::error_code error;
  if (pid != 0) {
    kill(pid, SIGTERM);
    const auto end = std::chrono::steady_clock::now() + grace;
    while (Running() != 0) {
      if (std::chrono::steady_clock::now() > end) kill(pid, SIGKILL);
      std::this_thread::sleep_for(kPoll);
    }
  }
  std::filesystem::remove(pid_path(), error);
  std::filesystem::remove(url_path(), error);
  return pid != 0;
}

std::string Component::LastLine() const {
  const std::string log = ReadAll(log_path());
  const std::vector<std::string> lines = absl::StrSplit(log, '\n', absl::SkipEmpty());
  return lines.empty() ? "" : lines.back();
}

std::string Component::LogTail() const {
  const std::string log = ReadAll(log_path());
  const std::vector<std::string> lines =
      absl::StrSplit(log.substr(std::min(log_began_, log.size())), '\n');
  std::string tail;
  const size_t begin = lines.size() - std::min(lines.size(), kLogTailLines + 1);
  for (size_t i = begin; i < lines.size(); ++i) {
    if (!lines[i].empty()) absl::StrAppend(&tail, "  ", lines[i], "\n");
  }
  return tail;
}

}  // namespace meltemi::cli
