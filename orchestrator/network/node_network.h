// The pod network of a node: the CNI configuration that containerd reads, routes to the pods of
// other nodes, and masquerading of what leaves the cluster.
//
// Threads: made and destroyed on one thread; works on the executor's; runs `ip` and `nft`. Source:
// the CNI specification 1.0 (network configuration lists); bridge, host-local, portmap plugins.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "kube/executor/executor.h"
#include "kube/informer/informer.h"

namespace meltemi::network {

struct NodeNetworkOptions {
  std::string node_name;
  std::string cni_conf_dir = "/etc/cni/net.d";  // a configuration of somebody else's wins
  std::string bridge = "meltemi0";
  std::string cluster_cidr = "10.244.0.0/16";
  int mtu = 0;  // 0: of the default route's interface
};

class NodeNetwork {
 public:
  // Everything stays: pods go on talking.
  virtual ~NodeNetwork() = default;
  // Writes the configuration, sets up the bridge and the masquerading.
  virtual absl::Status SetPodCidr(const std::string& cidr) = 0;
  // Nodes are known: routes follow them from now on.
  virtual void Start() = 0;
};

std::unique_ptr<NodeNetwork> NewNodeNetwork(const NodeNetworkOptions& options,
                                            kube::Informers& informers, kube::Executor& executor);

// The text of the configuration list for a node's pod CIDR.
std::string CniConfigList(const std::string& bridge, const std::string& pod_cidr, int mtu);

// Takes away what it set up in this network namespace.
absl::Status RemoveNodeNetwork(const NodeNetworkOptions& options);

}  // namespace meltemi::network
