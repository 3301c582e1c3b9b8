#include "cli/cluster/node_namespaces.h"

#include <arpa/inet.h>
#include <sys/stat.h>

#include <cstdint>
#include <memory>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/process/run_process.h"
#include "orchestrator/network/forwarding.h"

namespace meltemi::cli {
namespace {

constexpr char kTable[] = "meltemi_nodes";
constexpr int kFirstNode = 11;  // below are the machine and whatever else people put there

struct Range {
  uint32_t base = 0;
  int bits = 0;
};

absl::StatusOr<Range> ParseRange(const std::string& cidr) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(cidr, absl::MaxSplits('/', 1));
  in_addr address{};
  Range range;
  if (inet_pton(AF_INET, parts.first.c_str(), &address) != 1 ||
      !absl::SimpleAtoi(parts.second, &range.bits) || range.bits < 8 || range.bits > 27) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", cidr, "' is no range for nodes: IPv4/8 … IPv4/27 is wanted"));
  }
  range.base = ntohl(address.s_addr) & ~((1U << (32 - range.bits)) - 1);
  return range;
}

absl::StatusOr<std::string> AddressAt(const NodeNamespaces& options, int at) {
  const absl::StatusOr<Range> range = ParseRange(options.cidr);
  if (!range.ok()) return range.status();
  if (at >= (1 << (32 - range->bits)) - 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("the range ", options.cidr, " has no room for so many nodes"));
  }
  in_addr address{};
  address.s_addr = htonl(range->base + static_cast<uint32_t>(at));
  char text[INET_ADDRSTRLEN];
  inet_ntop(AF_INET, &address, text, sizeof(text));
  return std::string(text);
}

std::string BitsOf(const NodeNamespaces& options) {
  return options.cidr.substr(options.cidr.find('/'));
}

bool LinkExists(const std::vector<std::string>& ip, const std::string& name) {
  std::vector<std::string> argv = ip;
  argv.insert(argv.end(), {"link", "show", name});
  return RunToSuccess(argv).ok();
}

bool Exists(const std::string& netns) {
  struct stat info;
  return stat(("/run/netns/" + netns).c_str(), &info) == 0;
}

// Commands in order; the first that fails ends it.
absl::Status RunAll(const std::vector<std::vector<std::string>>& commands) {
  for (const std::vector<std::string>& argv : commands) {
    if (absl::Status status = RunToSuccess(argv); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace

std::string LinkName(int number) { return absl::StrCat("mlt-", number); }

absl::StatusOr<std::string> HostAddress(const NodeNamespaces& options) {
  return AddressAt(options, 1);
}

absl::StatusOr<std::string> NodeAddress(const NodeNamespaces& options, int number) {
  return AddressAt(options, kFirstNode + number - 1);
}

absl::Status MakeNodeBridge(const NodeNamespaces& options) {
  const absl::StatusOr<std::string> host = HostAddress(options);
  if (!host.ok()) return host.status();
  if (!LinkExists({"ip"}, options.bridge)) {
    absl::Status made = RunToSuccess({"ip", "link", "add", options.bridge, "type", "bridge"});
    if (!made.ok()) return made;
  }
  absl::Status status = RunAll({
      {"ip", "addr", "replace", *host + BitsOf(options), "dev", options.bridge},
      {"ip", "link", "set", options.bridge, "up"},
      {"sysctl", "-q", "-w", "net.ipv4.ip_forward=1"},
  });
  const std::unique_ptr<network::System> system = network::NewSystem();
  if (status.ok()) status = network::AcceptForwarding(*system, {options.cidr, options.pod_cidr});
  if (!status.ok()) return status;
  // What comes from a node and leaves the machine gets the machine's address.
  return RunToSuccess(
      {"nft", "-f", "-"},
      absl::StrCat("table ip ", kTable, "\ndelete table ip ", kTable, "\ntable ip ", kTable,
                   " {\n  chain postrouting {\n    type nat hook postrouting priority srcnat;\n",
                   "    ip saddr ", options.cidr, " oifname != \"", options.bridge,
                   "\" ip daddr != 224.0.0.0/4 masquerade\n  }\n}\n"));
}

absl::Status MakeNodeNamespace(const NodeNamespaces& options, const std::string& name, int number) {
  const absl::StatusOr<std::string> host = HostAddress(options);
  const absl::StatusOr<std::string> address = NodeAddress(options, number);
  if (!host.ok()) return host.status();
  if (!address.ok()) return address.status();
  const std::string link = LinkName(number);
  if (!Exists(name)) {
    absl::Status made = RunToSuccess({"ip", "netns", "add", name});
    if (!made.ok()) return made;
  }
  if (!LinkExists({"ip", "-n", name}, "eth0")) {
    // One whose other end is gone with an older namespace, or that was not moved yet.
    if (LinkExists({"ip"}, link)) {
      if (absl::Status gone = RunToSuccess({"ip", "link", "del", link}); !gone.ok()) return gone;
    }
    absl::Status made = RunToSuccess(
        {"ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name});
    if (!made.ok()) return made;
  }
  return RunAll({
      {"ip", "link", "set", link, "master", options.bridge},
      {"ip", "link", "set", link, "up"},
      {"ip", "-n", name, "link", "set", "lo", "up"},
      {"ip", "-n", name, "addr", "replace", *address + BitsOf(options), "dev", "eth0"},
      {"ip", "-n", name, "link", "set", "eth0", "up"},
      {"ip", "-n", name, "route", "replace", "default", "via", *host},
  });
}

absl::Status RemoveNodeNamespace(const std::string& name) {
  if (!Exists(name)) return absl::OkStatus();
  return RunToSuccess({"ip", "netns", "del", name});
}

absl::Status RemoveNodeBridge(const NodeNamespaces& options) {
  absl::Status status;
  if (LinkExists({"ip"}, options.bridge)) {
    status.Update(RunToSuccess({"ip", "link", "del", options.bridge}));
  }
  status.Update(RunToSuccess(
      {"nft", "-f", "-"}, absl::StrCat("table ip ", kTable, "\ndelete table ip ", kTable, "\n")));
  return status;
}

}  // namespace meltemi::cli
