#include "cli/cluster/machine.h"

#include <arpa/inet.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/net/interfaces.h"
#include "base/process/run_process.h"

namespace meltemi::cli {
namespace {

namespace fs = std::filesystem;

struct Needed {
  const char* program;
  const char* package;
  bool runtime;  // only for a containerd of our own
};
constexpr Needed kNeeded[] = {
    {"containerd", "containerd", true},
    {"ctr", "containerd", true},
    {"runc", "runc", true},
    {"/usr/lib/cni/bridge", "containernetworking-plugins", true},
    {"ip", "iproute2", false},
    {"nft", "nftables", false},
    {"iptables", "iptables", false},
    {"conntrack", "conntrack", false},
};
// Kubelets of others, and what brings one along.
constexpr const char* kOtherClusters[] = {"kubelet", "k3s-server", "k3s-agent", "k0s", "rke2"};

std::string ReadAll(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

absl::Status CheckNoOtherCluster() {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator("/proc", error)) {
    int pid = 0;
    if (!absl::SimpleAtoi(entry.path().filename().string(), &pid)) continue;
    const std::string name(absl::StripAsciiWhitespace(ReadAll(entry.path() / "comm")));
    for (const char* other : kOtherClusters) {
      if (name != other) continue;
      return absl::FailedPreconditionError(
          absl::StrCat("another Kubernetes runs on this machine (", name, ", process ", pid,
                       "): two of them would fight over its network rules; stop it first, or use "
                       "`up --control-plane-only`"));
    }
  }
  return absl::OkStatus();
}

std::string AddressOfInterface(const std::string& name) {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request{};
  name.copy(request.ifr_name, sizeof(request.ifr_name) - 1);
  const bool known = fd >= 0 && ioctl(fd, SIOCGIFADDR, &request) == 0;
  if (fd >= 0) close(fd);
  if (!known) return "";
  char text[INET_ADDRSTRLEN];
  sockaddr_in address;
  std::memcpy(&address, &request.ifr_addr, sizeof(address));
  return inet_ntop(AF_INET, &address.sin_addr, text, sizeof(text)) == nullptr ? "" : text;
}

bool CanBind(uint16_t port, uint32_t address) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return true;
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(port);
  at.sin_addr.s_addr = htonl(address);
  const bool free =
      bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof(at)) == 0 && listen(fd, 1) == 0;
  const bool taken = !free && errno == EADDRINUSE;
  close(fd);
  return !taken;
}

}  // namespace

bool MayLowerOomScore() {
  constexpr char kPath[] = "/proc/self/oom_score_adj";
  int current = 0;
  if (!absl::SimpleAtoi(absl::StripAsciiWhitespace(ReadAll(kPath)), &current)) return false;
  const auto write = [&kPath](int score) {
    std::ofstream out(kPath);
    out << score << std::flush;
    return out.good();
  };
  if (!write(std::max(current - 1, -1000))) return false;
  write(current);
  return true;
}

absl::Status CheckMachine(bool own_runtime) {
  if (geteuid() != 0) {
    return absl::PermissionDeniedError(
        "nodes that run containers need root (namespaces, mounts, firewall rules): run "
        "`sudo ./meltemi up`; without root there is `up --control-plane-only --data-dir FOLDER`");
  }
  std::set<std::string> programs, packages;
  for (const Needed& needed : kNeeded) {
    if ((needed.runtime && !own_runtime) || !FindProgram(needed.program).empty()) continue;
    programs.insert(needed.program);
    packages.insert(needed.package);
  }
  if (!packages.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        absl::StrJoin(programs, ", "), " not found; install what is missing: ", "apt-get install ",
        absl::StrJoin(packages, " ")));
  }
  return CheckNoOtherCluster();
}

absl::Status CheckPortFree(uint16_t port, const std::string& part, const std::string& remedy) {
  if (port == 0 || (CanBind(port, INADDR_ANY) && CanBind(port, INADDR_LOOPBACK))) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "port ", port, ", which the ", part,
      " needs, is taken by another program (ss -ltnp 'sport = :", port, "' shows it): ", remedy));
}

std::string MachineIp() {
  std::ifstream routes("/proc/self/net/route");
  std::string line;
  while (std::getline(routes, line)) {
    const std::vector<std::string> columns = absl::StrSplit(line, '\t');
    if (columns.size() < 8 || columns[1] != "00000000" || columns[7] != "00000000") continue;
    const std::string address = AddressOfInterface(columns[0]);
    if (!address.empty()) return address;
  }
  return net::FirstGlobalIp();
}

std::string MachineName() {
  char name[HOST_NAME_MAX + 1] = {};
  if (gethostname(name, sizeof(name) - 1) != 0 || name[0] == '\0') return "localhost";
  return absl::AsciiStrToLower(name);
}

bool OnlyLoopbackServers(const std::string& text) {
  bool any = false;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::vector<absl::string_view> words =
        absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    if (words.size() < 2 || words[0] != "nameserver") continue;
    if (!absl::StartsWith(words[1], "127.") && words[1] != "::1") return false;
    any = true;
  }
  return any;
}

std::string ResolvConf(bool loopback_works) {
  constexpr char kUsual[] = "/etc/resolv.conf";
  // Where the stub of systemd-resolved keeps those that it asks itself.
  constexpr char kBehindStub[] = "/run/systemd/resolve/resolv.conf";
  if (loopback_works || !OnlyLoopbackServers(ReadAll(kUsual))) return kUsual;
  return fs::exists(kBehindStub) ? kBehindStub : kUsual;
}

std::string SnapshotterFor(const std::string& folder) {
  std::error_code error;
  const std::string base = folder + "/.overlay-check";
  for (const char* part : {"/lower", "/upper", "/work", "/merged"}) {
    fs::create_directories(base + part, error);
  }
  const std::string options =
      absl::StrCat("lowerdir=", base, "/lower,upperdir=", base, "/upper,workdir=", base, "/work");
  const std::string merged = base + "/merged";
  const bool works = mount("overlay", merged.c_str(), "overlay", 0, options.c_str()) == 0;
  if (works) umount2(merged.c_str(), MNT_DETACH);
  fs::remove_all(base, error);
  return works ? "overlayfs" : "native";
}

}  // namespace meltemi::cli
