// The real binary as a child process of a test, with what it logs.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace meltemi::proxy {

inline constexpr char kProxyBinary[] = "proxy/app/meltemi-proxy";

class ProxyProcess {
 public:
  explicit ProxyProcess(std::vector<std::string> args)
      : log_(absl::StrCat(::testing::TempDir(), "/proxy.", getpid(), ".log")) {
    args.insert(args.begin(), kProxyBinary);
    std::vector<char*> argv;
    for (std::string& arg : args) argv.push_back(arg.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 2, log_.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600);
    EXPECT_EQ(posix_spawn(&pid_, kProxyBinary, &actions, nullptr, argv.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
  }
  ~ProxyProcess() {
    if (!Ended()) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    if (::testing::Test::HasFailure()) std::fputs(Log().c_str(), stderr);
  }
  void Signal(int number) { kill(pid_, number); }
  bool Ended() {
    int status = 0;
    if (!exit_code_ && waitpid(pid_, &status, WNOHANG) == pid_) {
      exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    return exit_code_.has_value();
  }
  int exit_code() const { return exit_code_.value_or(-1); }
  std::string Log() const {
    std::ifstream file(log_);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }

 private:
  const std::string log_;
  pid_t pid_ = 0;
  std::optional<int> exit_code_;
};

}  // namespace meltemi::proxy
