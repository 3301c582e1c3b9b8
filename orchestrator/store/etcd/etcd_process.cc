#include "orchestrator/store/etcd/etcd_process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/clock/clock.h"

namespace meltemi::store {
namespace {

constexpr char kProgram[] = "/usr/bin/etcd";
constexpr int kAttempts = 3;
constexpr Duration kStartMax = seconds(20);

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// etcd cannot be given port 0: a port that was free a moment ago.
int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof(address);
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  const bool bound = bind(fd, generic, size) == 0 && getsockname(fd, generic, &size) == 0;
  close(fd);
  return bound ? ntohs(address.sin_port) : 0;
}

bool Accepts(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = Loopback(port);
  const bool connected = connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  close(fd);
  return connected;
}

[[noreturn]] void Exec(const std::vector<std::string>& arguments, const char* log) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
  dup2(fd, STDOUT_FILENO);
  dup2(fd, STDERR_FILENO);
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  execv(kProgram, argv.data());
  _exit(127);
}

}  // namespace

absl::StatusOr<std::unique_ptr<EtcdProcess>> EtcdProcess::Start(const EtcdProcessOptions& options) {
  if (access(kProgram, X_OK) != 0) {
    return absl::NotFoundError("there is no /usr/bin/etcd: install the package etcd-server");
  }
  absl::Status status;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    // The ports may be taken by others in between.
    auto process = std::unique_ptr<EtcdProcess>(new EtcdProcess(options, FreePort(), FreePort()));
    status = process->Launch();
    if (status.ok()) return process;
  }
  return status;
}

EtcdProcess::~EtcdProcess() { Kill(); }

std::string EtcdProcess::endpoint() const {
  return absl::StrCat(options_.tls ? "https" : "http", "://127.0.0.1:", client_port_);
}

std::string EtcdProcess::ca_pem() const {
  std::ifstream file(options_.folder + "/data/fixtures/client/cert.pem");
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

void EtcdProcess::Kill() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

absl::Status EtcdProcess::Restart() {
  Kill();
  return Launch();
}

absl::Status EtcdProcess::Launch() {
  const std::string peer = absl::StrCat("http://127.0.0.1:", peer_port_);
  std::vector<std::string> arguments = {
      kProgram, "--name=test", absl::StrCat("--data-dir=", options_.folder, "/data"),
      absl::StrCat("--listen-client-urls=", endpoint()),
      absl::StrCat("--advertise-client-urls=", endpoint()),
      absl::StrCat("--listen-peer-urls=", peer),
      absl::StrCat("--initial-advertise-peer-urls=", peer),
      absl::StrCat("--initial-cluster=test=", peer), "--logger=zap",
      // Ready at once: it has nobody to wait for.
      "--heartbeat-interval=10", "--election-timeout=50"};
  if (options_.tls) arguments.push_back("--auto-tls");
  const std::string log = options_.folder + "/etcd.log";
  pid_ = fork();
  if (pid_ == 0) Exec(arguments, log.c_str());
  if (pid_ < 0) return absl::UnavailableError("cannot fork");
  for (Duration waited{}; waited < kStartMax; waited += milliseconds(10)) {
    if (Accepts(client_port_)) return absl::OkStatus();
    if (waitpid(pid_, nullptr, WNOHANG) == pid_) {
      pid_ = -1;
      return absl::UnavailableError(absl::StrCat("etcd has ended: see ", log));
    }
    std::this_thread::sleep_for(milliseconds(10));
  }
  return absl::DeadlineExceededError(absl::StrCat("etcd does not accept connections: see ", log));
}

}  // namespace meltemi::store
