// status: what of the orchestrator runs, what does not and why.
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/cluster/bring_up.h"
#include "cli/cluster/control_plane.h"
#include "cli/cluster/mesh.h"
#include "cli/verbs.h"

namespace meltemi::cli {
namespace {

namespace fs = std::filesystem;

// True when it works.
bool PrintPart(const std::string& label, const Component& component, bool says_when_ready) {
  const pid_t pid = component.Running();
  const std::string url = component.Url();
  const bool ready = pid != 0 && (!says_when_ready || !url.empty());
  if (pid == 0) {
    // `down` takes the file away; who has died leaves it.
    const bool died = fs::exists(component.pid_path());
    std::printf("%-20s not running  %s%s\n", label.c_str(), died ? "it has died: " : "",
                component.log_path().c_str());
    if (!died) return false;
  } else {
    std::printf("%-20s %-11s  pid %d  %s\n", label.c_str(), ready ? "ready" : "starting", pid,
                ready ? url.c_str() : component.log_path().c_str());
  }
  const std::string last = ready ? "" : component.LastLine();
  if (!last.empty()) std::printf("%-20s   its last word: %s\n", "", last.c_str());
  return ready;
}

bool PrintControlPlane(const ClusterFolders& folders, bool joined) {
  bool all = true;
  for (const Component& component : ControlPlaneParts(folders, "")) {
    const bool optional =
        joined || component.name() == "kubelet" || component.name() == "kube-proxy";
    if (optional && !fs::exists(component.pid_path())) continue;
    all &= PrintPart(component.name(), component, true);
  }
  const Component pilot = PilotProcess(folders);
  if (fs::exists(pilot.pid_path())) all &= PrintPart(pilot.name(), pilot, false);
  return all;
}

bool PrintNode(const NodeFolders& folders) {
  bool all = true;
  std::printf("\nnode %s\n", folders.name.c_str());
  for (const Component& component : NodeProcesses(folders, "")) {
    const bool runtime = component.name() == "containerd";
    // Somebody else's, or none because it is down.
    if (runtime && !fs::exists(component.pid_path()) && !fs::exists(folders.containerd_config())) {
      continue;
    }
    all &= PrintPart("  " + component.name(), component, !runtime);
  }
  return all;
}

bool PrintNodeStates(const std::string& kubeconfig) {
  const absl::StatusOr<std::unique_ptr<ClusterApi>> api = ClusterApi::Open(kubeconfig);
  if (!api.ok()) return true;  // a cluster that has never been up
  const absl::StatusOr<std::vector<NodeState>> nodes = (*api)->Nodes();
  if (!nodes.ok()) {
    std::printf("\nthe API server does not answer: %s\n",
                std::string(nodes.status().message()).c_str());
    return false;
  }
  if (!nodes->empty()) std::printf("\n");
  bool all = true;
  for (const NodeState& node : *nodes) {
    all &= node.ready;
    std::printf("%-20s %-11s  %s  %s%s\n", node.name.c_str(), node.ready ? "Ready" : "NotReady",
                node.address.c_str(), node.version.c_str(),
                node.schedulable ? "" : "  (no new pods: cordoned)");
    if (!node.ready) std::printf("%-20s   %s\n", "", node.not_ready_why.c_str());
    for (const std::string& trouble : node.troubles) {
      std::printf("%-20s   %s\n", "", trouble.c_str());
    }
  }
  return all;
}

int Status(const std::string& data_dir) {
  const ClusterFolders folders = FoldersOf(data_dir);
  const std::vector<std::string> nodes = KnownNodes(folders);
  const bool joined = !nodes.empty() && !fs::exists(folders.pki("ca.key"));
  bool all = PrintControlPlane(folders, joined);
  for (const std::string& name : nodes) all &= PrintNode(NodeFolders::Of(folders, name));
  const bool asks = joined || ControlPlaneParts(folders, "")[0].Running() != 0;
  if (asks) {
    all &= PrintNodeStates(joined ? NodeFolders::Of(folders, nodes[0]).kubeconfig()
                                  : folders.kubeconfig("admin"));
  }
  return all ? 0 : 1;
}

}  // namespace

Verb StatusVerb() {
  return {"status", "", "what of the orchestrator runs", "Exit code 1 if something does not.",
          [](Flags& flags) -> std::function<int(const std::vector<std::string>&)> {
            auto data_dir = std::make_shared<std::string>(kDataDir);
            flags.Text("data-dir", {}, data_dir.get(), "FOLDER", "where everything is kept");
            return [data_dir](const std::vector<std::string>&) { return Status(*data_dir); };
          }};
}

}  // namespace meltemi::cli
