#include "test/machine/process.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace meltemi::machine {
namespace {

// Only async-signal-safe calls from here to exec: the parent may have threads.
[[noreturn]] void Fail(const char* what) {
  const char* reason = strerrordesc_np(errno);
  (void)!write(STDERR_FILENO, what, std::strlen(what));
  (void)!write(STDERR_FILENO, ": ", 2);
  (void)!write(STDERR_FILENO, reason, std::strlen(reason));
  (void)!write(STDERR_FILENO, "\n", 1);
  _exit(126);
}

void EnterNamespaces(const ProcessOptions& options) {
  if (options.network_namespace >= 0 && setns(options.network_namespace, CLONE_NEWNET) != 0) {
    Fail("cannot enter the network namespace");
  }
  if (options.hosts_file.empty()) return;
  if (unshare(CLONE_NEWNS) != 0) Fail("cannot make a mount namespace");
  if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) Fail("cannot detach mounts");
  if (mount(options.hosts_file.c_str(), "/etc/hosts", nullptr, MS_BIND, nullptr) != 0) {
    Fail("cannot bind /etc/hosts");
  }
  if (mount(options.resolv_file.c_str(), "/etc/resolv.conf", nullptr, MS_BIND, nullptr) != 0) {
    Fail("cannot bind /etc/resolv.conf");
  }
}

[[noreturn]] void BecomeChild(const ProcessOptions& options, char* const* argv, char* const* env,
                              int program_fd, int output_fd, pid_t parent) {
  setpgid(0, 0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  dup2(output_fd, STDOUT_FILENO);
  dup2(output_fd, STDERR_FILENO);
  const int null = open("/dev/null", O_RDONLY);
  dup2(null, STDIN_FILENO);
  EnterNamespaces(options);
  if (options.gid != 0 && (setgroups(0, nullptr) != 0 || setgid(options.gid) != 0)) Fail("setgid");
  if (options.uid != 0 && setuid(options.uid) != 0) Fail("setuid");
  // After the change of user, which clears it.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(125);
  // By descriptor: the user may not be allowed to walk to the build folder of root.
  fexecve(program_fd, argv, env);
  // A script has no interpreter that could read a close-on-exec descriptor: by path then.
  execve(argv[0], argv, env);
  Fail(argv[0]);
}

std::string FindProgram(const std::string& name) {
  if (name.find('/') != std::string::npos) return name;
  for (const char* folder :
       {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}) {
    const std::string path = absl::StrCat(folder, "/", name);
    if (access(path.c_str(), X_OK) == 0) return path;
  }
  return name;
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& one : strings) pointers.push_back(const_cast<char*>(one.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      reaped_(other.reaped_),
      status_(other.status_),
      output_path_(std::move(other.output_path_)) {}

Process& Process::operator=(Process&& other) noexcept {
  if (this == &other) return *this;
  Kill();
  pid_ = std::exchange(other.pid_, -1);
  reaped_ = other.reaped_;
  status_ = other.status_;
  output_path_ = std::move(other.output_path_);
  return *this;
}

absl::StatusOr<Process> Process::Start(const ProcessOptions& options) {
  std::vector<std::string> args = options.argv;
  args[0] = FindProgram(args[0]);
  std::vector<std::string> env = options.env;
  env.push_back("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
  env.push_back("HOME=/tmp");
  env.push_back("LANG=C.UTF-8");
  const std::vector<char*> argv = Pointers(args);
  const std::vector<char*> envp = Pointers(env);

  const int program_fd = open(args[0].c_str(), O_RDONLY | O_CLOEXEC);
  if (program_fd < 0) {
    return absl::NotFoundError(absl::StrCat(args[0], ": ", std::strerror(errno)));
  }
  const std::string output = options.output_path.empty() ? "/dev/null" : options.output_path;
  const int output_fd = open(output.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (output_fd < 0) {
    close(program_fd);
    return absl::UnavailableError(absl::StrCat(output, ": ", std::strerror(errno)));
  }
  // Also for a sidecar of another user that opens /dev/stdout by its name.
  fchmod(output_fd, 0666);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) BecomeChild(options, argv.data(), envp.data(), program_fd, output_fd, parent);
  close(program_fd);
  close(output_fd);
  if (pid < 0) return absl::UnavailableError(absl::StrCat("fork: ", std::strerror(errno)));
  setpgid(pid, pid);
  Process process;
  process.pid_ = pid;
  process.output_path_ = options.output_path;
  return process;
}

bool Process::Reap(bool block) {
  if (pid_ < 0 || reaped_) return true;
  int status = 0;
  const pid_t got = waitpid(pid_, &status, block ? 0 : WNOHANG);
  if (got != pid_) return false;
  reaped_ = true;
  status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return true;
}

bool Process::running() { return pid_ > 0 && !Reap(false); }

std::string Process::Output() const { return ReadFile(output_path_); }

void Process::Signal(int signal_number) {
  if (running()) kill(pid_, signal_number);
}

int Process::Wait(std::chrono::milliseconds timeout) {
  if (!Eventually([this] { return Reap(false); }, timeout)) {
    Kill();
    return -1;
  }
  return status_;
}

void Process::Kill() {
  if (pid_ < 0) return;
  kill(-pid_, SIGKILL);
  kill(pid_, SIGKILL);
  Reap(true);
  pid_ = -1;
}

Finished RunToEnd(ProcessOptions options, std::chrono::milliseconds timeout) {
  static std::atomic<int> sequence{0};
  const char* folder = getenv("TEST_TMPDIR");
  options.output_path =
      absl::StrCat(folder == nullptr ? "/tmp" : folder, "/meltemi-run-", getpid(), "-", sequence++);
  Finished finished;
  absl::StatusOr<Process> process = Process::Start(options);
  if (!process.ok()) {
    finished.exit_status = 127;
    finished.output = std::string(process.status().message());
    return finished;
  }
  finished.exit_status = process->Wait(timeout);
  finished.output = ReadFile(options.output_path);
  unlink(options.output_path.c_str());
  return finished;
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

void WriteFile(const std::string& path, absl::string_view content) {
  // Renamed into place: whoever watches the folder never sees half a file.
  const std::string next = absl::StrCat(path, ".part");
  std::ofstream file(next, std::ios::binary | std::ios::trunc);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  file.close();
  rename(next.c_str(), path.c_str());
}

void PauseBriefly() { poll(nullptr, 0, 5); }

}  // namespace meltemi::machine
