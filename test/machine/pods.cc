#include "test/machine/pods.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace meltemi::machine {
namespace {

constexpr std::chrono::milliseconds kCommandTimeout = std::chrono::seconds(20);

std::string HostsPath(const std::string& folder) { return absl::StrCat(folder, "/hosts"); }
std::string ResolvPath(const std::string& folder) { return absl::StrCat(folder, "/resolv.conf"); }

absl::StatusOr<Process*> StartIn(std::map<std::string, Process>& processes,
                                 const std::string& label, const ProcessOptions& options) {
  absl::StatusOr<Process> process = Process::Start(options);
  if (!process.ok()) return process.status();
  Process& slot = processes[label];
  slot = std::move(*process);
  return &slot;
}

}  // namespace

Namespace::Fd::~Fd() {
  if (value >= 0) close(value);
}

Namespace::~Namespace() = default;

absl::StatusOr<Namespace> Namespace::Make() {
  Namespace made;
  // `unshare` makes the namespace, `tail` holds it until it is killed with us.
  absl::StatusOr<Process> holder = Process::Start(
      {.argv = {"unshare", "--net", "--kill-child", "--fork", "tail", "-f", "/dev/null"}});
  if (!holder.ok()) return holder.status();
  made.holder_ = std::move(*holder);
  const std::string own = absl::StrCat("/proc/", getpid(), "/ns/net");
  const std::string theirs = absl::StrCat("/proc/", made.holder_.pid(), "/ns/net");
  struct stat mine {
  }, its{};
  stat(own.c_str(), &mine);
  const bool unshared = Eventually(
      [&] {
        return !made.holder_.running() ||
               (stat(theirs.c_str(), &its) == 0 && its.st_ino != mine.st_ino);
      },
      kCommandTimeout);
  if (!unshared || !made.holder_.running()) {
    return absl::PermissionDeniedError(
        "cannot make a network namespace: run as root, with CAP_SYS_ADMIN");
  }
  made.fd_ = std::make_unique<Fd>();
  made.fd_->value = open(theirs.c_str(), O_RDONLY | O_CLOEXEC);
  if (made.fd_->value < 0)
    return absl::UnavailableError(absl::StrCat(theirs, ": ", std::strerror(errno)));
  if (absl::Status up = made.Run({"ip", "link", "set", "lo", "up"}); !up.ok()) return up;
  return made;
}

absl::Status Namespace::Run(const std::vector<std::string>& argv) const {
  const Finished finished =
      RunToEnd({.argv = argv, .network_namespace = fd_->value}, kCommandTimeout);
  if (finished.exit_status == 0) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("`", absl::StrJoin(argv, " "), "` failed with status ",
                                             finished.exit_status, ": ", finished.output));
}

absl::StatusOr<Process*> Pod::Start(const std::string& label, std::vector<std::string> argv,
                                    std::vector<std::string> env, uid_t uid) {
  return StartIn(processes_, label,
                 {.argv = std::move(argv),
                  .env = std::move(env),
                  .network_namespace = network_.fd(),
                  .hosts_file = hosts_file(),
                  .resolv_file = resolv_file(),
                  .uid = uid,
                  .gid = uid,
                  .output_path = LogPath(label)});
}

Finished Pod::Exec(std::vector<std::string> argv, std::chrono::milliseconds timeout) const {
  return RunToEnd({.argv = std::move(argv),
                   .network_namespace = network_.fd(),
                   .hosts_file = hosts_file(),
                   .resolv_file = resolv_file()},
                  timeout);
}

Process* Pod::process(const std::string& label) {
  const auto found = processes_.find(label);
  return found == processes_.end() ? nullptr : &found->second;
}

std::string Pod::LogPath(const std::string& label) const {
  return absl::StrCat(folder_, "/", name_, ".", label, ".log");
}
std::string Pod::Log(const std::string& label) const { return ReadFile(LogPath(label)); }
std::string Pod::hosts_file() const { return HostsPath(folder_); }
std::string Pod::resolv_file() const { return ResolvPath(folder_); }

void Pod::Stop(const std::string& label) { processes_.erase(label); }

bool Pod::Listening(int port) const {
  // /proc/<pid>/net shows the namespace of that process; the local port is in hexadecimal, 0A is
  // LISTEN.
  const std::string wanted = absl::StrFormat(":%04X", port);
  for (const char* table : {"tcp", "tcp6"}) {
    const std::string text = ReadFile(absl::StrCat("/proc/", network_.holder(), "/net/", table));
    for (absl::string_view line : absl::StrSplit(text, '\n')) {
      const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ', absl::SkipEmpty());
      if (fields.size() > 3 && absl::EndsWith(fields[1], wanted) && fields[3] == "0A") return true;
    }
  }
  return false;
}

absl::StatusOr<std::unique_ptr<Node>> Node::Make(const std::string& folder) {
  absl::StatusOr<Namespace> network = Namespace::Make();
  if (!network.ok()) return network.status();
  const std::vector<std::vector<std::string>> commands = {
      {"ip", "link", "add", "br0", "type", "bridge"},
      {"ip", "address", "add", "10.244.0.1/24", "dev", "br0"},
      {"ip", "link", "set", "br0", "up"},
  };
  for (const auto& command : commands) {
    if (absl::Status status = network->Run(command); !status.ok()) return status;
  }
  auto node = std::unique_ptr<Node>(new Node(std::move(*network), folder));
  node->hosts_["127.0.0.1"] = {"localhost"};
  node->WriteHosts();
  // There is no name server: what is not in the hosts file fails at once, and not after a time-out.
  WriteFile(ResolvPath(folder), "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n");
  return node;
}

absl::StatusOr<Pod*> Node::AddPod(const std::string& name) {
  absl::StatusOr<Namespace> network = Namespace::Make();
  if (!network.ok()) return network.status();
  const size_t index = pods_.size();
  const std::string ip = absl::StrCat("10.244.0.", index + 10);
  const std::string port = absl::StrCat("veth", index);
  if (absl::Status status = network_.Run({"ip", "link", "add", port, "type", "veth", "peer", "name",
                                          "eth0", "netns", absl::StrCat(network->holder())});
      !status.ok()) {
    return status;
  }
  const std::vector<std::vector<std::string>> on_node = {
      {"ip", "link", "set", port, "master", "br0", "up"},
  };
  const std::vector<std::vector<std::string>> in_pod = {
      {"ip", "address", "add", absl::StrCat(ip, "/24"), "dev", "eth0"},
      {"ip", "link", "set", "eth0", "up"},
      {"ip", "route", "add", "default", "via", "10.244.0.1"},
      // As container runtimes set it: applications that are not root may bind any port.
      {"sysctl", "-qw", "net.ipv4.ip_unprivileged_port_start=0"},
  };
  for (const auto& command : on_node) {
    if (absl::Status status = network_.Run(command); !status.ok()) return status;
  }
  for (const auto& command : in_pod) {
    if (absl::Status status = network->Run(command); !status.ok()) return status;
  }
  pods_.push_back(std::unique_ptr<Pod>(new Pod(name, ip, std::move(*network), folder_)));
  return pods_.back().get();
}

void Node::SetHost(const std::string& ip, const std::vector<std::string>& names) {
  hosts_[ip] = names;
  WriteHosts();
}

void Node::WriteHosts() const {
  std::string text;
  for (const auto& [ip, names] : hosts_)
    absl::StrAppend(&text, ip, " ", absl::StrJoin(names, " "), "\n");
  WriteFile(HostsPath(folder_), text);
}

absl::StatusOr<Process*> Node::Start(const std::string& label, std::vector<std::string> argv) {
  return StartIn(processes_, label,
                 {.argv = std::move(argv),
                  .network_namespace = network_.fd(),
                  .output_path = absl::StrCat(folder_, "/", label, ".log")});
}

Finished Node::Exec(std::vector<std::string> argv, std::chrono::milliseconds timeout) const {
  return RunToEnd({.argv = std::move(argv), .network_namespace = network_.fd()}, timeout);
}

std::string Node::Log(const std::string& label) const {
  return ReadFile(absl::StrCat(folder_, "/", label, ".log"));
}

std::string WhyNoNamespaces() {
  if (geteuid() != 0) return "network namespaces need root: run it with sudo";
  const absl::StatusOr<Namespace> trial = Namespace::Make();
  if (!trial.ok()) return std::string(trial.status().message());
  if (RunToEnd({.argv = {"iptables", "--version"}}, kCommandTimeout).exit_status != 0) {
    return "iptables is missing: apt-get install iptables";
  }
  return "";
}

}  // namespace meltemi::machine
