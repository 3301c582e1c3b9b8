// The pod network of a node: the CNI configuration that containerd reads, routes to the pods of
// other nodes, and masquerading of what leaves the cluster.
//
// Threads: made and destroyed on one thread; works on the executor's; runs `ip` and `nft`. Source:
// the CNI specification 1.0 (network configuration lists); bridge, ptp, host-local, portmap
// plugins.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "kube/executor/executor.h"
#include "kube/informer/informer.h"
#include "orchestrator/network/system.h"

namespace meltemi::network {

struct NodeNetworkOptions {
  std::string node_name;
  // A configuration of somebody else's in it wins: then nothing is set up at all. "": routes alone,
  // for a machine that is no node itself.
  std::string cni_conf_dir = "/etc/cni/net.d";
  std::string bridge = "meltemi0";
  std::string cluster_cidr = "10.244.0.0/16";
  int mtu = 0;  // 0: of the default route's interface
  // Where addresses in use are written down; nodes that share a file system must not share it.
  std::string ipam_dir = "/run/meltemi/ipam";
  std::string chained_plugin = "";        // as CniOptions'
  Duration check_interval = seconds(30);  // of what others may have removed
};

class NodeNetwork {
 public:
  // Everything stays: pods go on talking.
  virtual ~NodeNetwork() = default;
  // Writes the configuration, sets up forwarding and masquerading. To be called again with the same
  // CIDR after an error.
  virtual absl::Status SetPodCidr(const std::string& cidr) = 0;
  // Nodes are known: routes follow them from now on.
  virtual void Start() = 0;
};

std::unique_ptr<NodeNetwork> NewNodeNetwork(const NodeNetworkOptions& options,
                                            kube::Informers& informers, kube::Executor& executor);
// `system` outlives it.
std::unique_ptr<NodeNetwork> NewNodeNetwork(const NodeNetworkOptions& options,
                                            kube::Informers& informers, kube::Executor& executor,
                                            System& system);

// Takes away what it set up in this network namespace, and the files; what is not there is no
// error. Kernel settings (ip_forward) stay as they are: others may rely on them by now.
absl::Status RemoveNodeNetwork(const NodeNetworkOptions& options);
absl::Status RemoveNodeNetwork(const NodeNetworkOptions& options, System& system);

}  // namespace meltemi::network
