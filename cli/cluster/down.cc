// down: stops everything, and leaves nothing behind but the data.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cli/cluster/bring_up.h"
#include "cli/cluster/cleanup.h"
#include "cli/cluster/control_plane.h"
#include "cli/cluster/mesh.h"
#include "cli/cluster/node_namespaces.h"
#include "cli/verbs.h"
#include "orchestrator/kubeproxy/kube_proxy.h"
#include "orchestrator/network/node_network.h"

namespace meltemi::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::seconds kStopGrace(15);

struct DownOptions {
  std::string data_dir = kDataDir;
  bool purge = false;
  Duration grace = seconds(5);
};

// What could not be done does not stop the rest.
class Troubles {
 public:
  void Note(const std::string& where, const absl::Status& status) {
    if (status.ok()) return;
    PrintError(absl::StrCat("down: ", where, ": ", status.message()));
    any_ = true;
  }
  bool any() const { return any_; }

 private:
  bool any_ = false;
};

bool StopProcesses(std::vector<Component> parts) {
  bool stopped = false;
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) stopped |= part->Stop(kStopGrace);
  return stopped;
}

// The processes of a node: those that would start containers anew before those that hold them.
bool StopNode(const NodeFolders& folders, Duration grace) {
  bool stopped = StopProcesses(NodeProcesses(folders, ""));
  const int shims = KillContainers(folders.containerd_socket(),
                                   std::chrono::duration_cast<std::chrono::milliseconds>(grace));
  return stopped || shims > 0;
}

void CleanNode(const NodeFolders& folders, Troubles& troubles) {
  const std::string where = "node " + folders.name;
  troubles.Note(where, UnmountBelow(folders.run));
  troubles.Note(where, UnmountBelow(folders.data));
  RemoveControlGroup(folders.cgroup_root);
  RemoveCniResults(folders.run);
  const bool has_namespace = fs::exists(folders.netns_path());
  if (has_namespace) {
    troubles.Note(where, RemoveNodeNamespace(folders.netns_name));
  }
  network::NodeNetworkOptions network;
  network.cni_conf_dir = folders.cni_conf_dir();
  network.ipam_dir = folders.ipam_dir();
  if (!has_namespace) {
    troubles.Note(where, network::RemoveNodeNetwork(network));
  } else {
    std::error_code error;
    fs::remove_all(network.ipam_dir, error);
  }
  troubles.Note(where, RemoveTree(folders.run));
}

// Rules and routes in the machine's own network.
void CleanMachine(Troubles& troubles) {
  troubles.Note("rules of Services", kubeproxy::RemoveAllRules());
  network::NodeNetworkOptions routes_alone;
  routes_alone.cni_conf_dir.clear();
  routes_alone.bridge.clear();
  troubles.Note("routes", network::RemoveNodeNetwork(routes_alone));
  troubles.Note("bridge", RemoveNodeBridge({}));
}

// What `up` and the API server have put there, and nothing else.
void Purge(const ClusterFolders& folders, Troubles& troubles) {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folders.data_dir, error)) {
    const std::string name = entry.path().filename().string();
    const bool ours = name == "pki" || name == "run" || name == "nodes" || name == "pause.tar" ||
                      name == "pilot" || name == "proxy.tar" ||
                      absl::StartsWith(name, "state.db") || absl::EndsWith(name, ".kubeconfig");
    if (ours) troubles.Note("data", RemoveTree(entry.path().string()));
  }
  fs::remove(folders.data_dir, error);
}

int Down(const DownOptions& options) {
  const ClusterFolders folders = FoldersOf(options.data_dir);
  const std::vector<std::string> nodes = KnownNodes(folders);
  if (!nodes.empty() && geteuid() != 0) {
    PrintError("down: there are nodes that run containers; run as root: sudo ./meltemi down");
    return 1;
  }
  Troubles troubles;
  bool stopped = false;
  for (const std::string& name : nodes) {
    stopped |= StopNode(NodeFolders::Of(folders, name), options.grace);
  }
  stopped |= PilotProcess(folders).Stop(kStopGrace);
  stopped |= StopProcesses(ControlPlaneParts(folders, ""));
  for (const std::string& name : nodes) CleanNode(NodeFolders::Of(folders, name), troubles);
  if (!nodes.empty()) {
    CleanMachine(troubles);
    std::error_code error;
    fs::remove(folders.run_dir, error);  // if it is empty
  }
  if (options.purge) Purge(folders, troubles);
  const char* const data = options.purge ? "%s; the data in %s is removed\n"
                           : stopped     ? "%s; the data stays in %s\n"
                                         : "%s (data: %s)\n";
  std::printf(data, stopped ? "stopped" : "nothing was running", folders.data_dir.c_str());
  return troubles.any() ? 1 : 0;
}

}  // namespace

Verb DownVerb() {
  return {"down", "", "stops the orchestrator",
          "Containers, processes, mounts, namespaces, interfaces and firewall rules are gone then. "
          "The data stays;\n`up` goes on with it.",
          [](Flags& flags) -> std::function<int(const std::vector<std::string>&)> {
            auto options = std::make_shared<DownOptions>();
            flags.Text("data-dir", {}, &options->data_dir, "FOLDER", "where everything is kept");
            flags.Switch("purge", {}, &options->purge, "remove the data, too");
            flags.Time("grace", {}, &options->grace, "how long containers may take to end");
            return [options](const std::vector<std::string>&) { return Down(*options); };
          }};
}

}  // namespace meltemi::cli
