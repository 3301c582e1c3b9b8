// What `up` and `join` have in common: nodes, from nothing to Ready.
//
// One thread.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/flags/flags.h"
#include "cli/cluster/cluster_api.h"
#include "cli/cluster/node.h"

namespace meltemi::cli {

// Options that both verbs have.
struct NodeSettings {
  std::string runtime_endpoint, proxy_mode = "nftables";
  std::vector<std::string> mirrors, kubelet_args, kube_proxy_args, dns_args;
};
void AddNodeFlags(NodeSettings* settings, Flags& flags);
absl::StatusOr<std::vector<RegistryMirror>> MirrorsOf(const NodeSettings& settings);

// Says what happens, with the time since it began.
class Progress {
 public:
  void Say(const std::string& text) const;
  double seconds() const;

 private:
  const std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
};

// What a node with a containerd of its own is given: the image of sandboxes and, with a mesh, that
// of sidecars and the plugin that redirects to them; images are made when they are not there, or
// older than their programs. Error: a program is not built.
absl::Status AddImages(const ClusterFolders& folders, bool mesh, NodeOptions* node);

// A kubeconfig with the token for a node that has no identity yet, or whose server has moved.
absl::Status WriteBootstrapKubeconfig(const NodeFolders& folders, const std::string& server,
                                      const std::string& ca_pem, const BootstrapToken& token);
bool KnowsServer(const NodeFolders& folders, const std::string& server);

// All processes of all nodes, each step for all of them before the next. Then waits until the API
// server has them as Ready. Error: which node, which part, why.
absl::Status StartNodes(std::vector<Node>& nodes, const Progress& progress);
absl::Status WaitUntilNodesReady(ClusterApi& api, const std::vector<std::string>& names);

absl::StatusOr<std::string> ReadText(const std::string& path);

}  // namespace meltemi::cli
