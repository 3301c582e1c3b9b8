// What the processes of a node are started with.
//
// Threads: functions without state.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/cluster/layout.h"

namespace meltemi::cli {

// What all nodes of a cluster have in common.
struct ClusterNetwork {
  std::string pod_cidr = "10.244.0.0/16";
  std::string dns_ip = "10.96.0.10";
  std::string domain = "cluster.local";
  std::string proxy_mode = "nftables";
  bool mesh = false;  // pods can have sidecars
};

struct NodeSpec {
  std::string name, ip;
  std::string netns;             // "": the machine's own
  std::string runtime_endpoint;  // "": a containerd of its own
  std::string resolv_conf = "/etc/resolv.conf";
  std::string cni_chained_plugin;                                    // "": none
  std::vector<std::string> kubelet_args, kube_proxy_args, dns_args;  // handed on
};

// Of the kubelet's API and of everybody's pages. Beside an API server whose port the kernel chooses
// these are the kernel's choice too: it is not the one cluster of this machine.
struct NodePorts {
  uint16_t kubelet = 10250, kubelet_pages = 10248, kube_proxy_pages = 10249, dns = 10053,
           dns_pages = 9153;
};
NodePorts PortsBeside(uint32_t api_server_port);

std::string RuntimeEndpoint(const NodeFolders& folders, const NodeSpec& node);

std::vector<std::string> KubeletArgs(const NodeFolders& folders, const NodeSpec& node,
                                     const ClusterNetwork& network, const NodePorts& ports,
                                     const std::string& client_ca_file);
std::vector<std::string> KubeProxyArgs(const NodeFolders& folders, const NodeSpec& node,
                                       const ClusterNetwork& network, const NodePorts& ports,
                                       const std::string& client_ca_file);
std::vector<std::string> DnsArgs(const NodeFolders& folders, const NodeSpec& node,
                                 const ClusterNetwork& network, const NodePorts& ports,
                                 const std::string& client_ca_file);

// Of the machine that nodes in network namespaces stand on: Services work there too, and it knows
// the ways to the nodes' pods.
std::vector<std::string> HostKubeProxyArgs(const std::string& kubeconfig,
                                           const std::string& host_name,
                                           const ClusterNetwork& network, const NodePorts& ports,
                                           const std::string& client_ca_file);

}  // namespace meltemi::cli
