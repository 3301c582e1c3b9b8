// The kubelet of one node that runs containers: its parts made, wired and started in order.
//
// Threads: main's; see the parts.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "orchestrator/component/run.h"
#include "orchestrator/kubelet/bootstrap/bootstrap.h"
#include "orchestrator/kubelet/images/images.h"
#include "orchestrator/kubelet/logs/logs.h"
#include "orchestrator/kubelet/node/node.h"

namespace meltemi::orchestrator {

struct NodeKubeletOptions {
  std::string container_runtime_endpoint = "unix:///run/containerd/containerd.sock";
  std::string root_dir = "/var/lib/kubelet";
  std::string pod_log_dir = "/var/log/pods";
  std::string local_volumes_dir;  // "": below root_dir
  std::string cgroup_root, usage_cgroup;
  std::string cni_conf_dir = "/etc/cni/net.d";
  std::string cni_ipam_dir = "/run/meltemi/ipam";
  std::string cni_chained_plugin = "";
  std::string cluster_cidr = "10.244.0.0/16";
  std::string cluster_domain = "cluster.local";
  std::string resolv_conf = "/etc/resolv.conf";
  std::vector<std::string> cluster_dns;
  std::string bind_address = "0.0.0.0";
  uint16_t port = 10250;
  bool manage_network = true;
  kubelet::BootstrapOptions identity;
  kubelet::NodeOptions node;  // name, ip, port and root are filled in
  kubelet::ImagesOptions images;
  kubelet::RotationOptions logs;
};

// `parts` outlive it. Error: what is missing on this machine.
absl::StatusOr<std::unique_ptr<Work>> NewNodeKubelet(NodeKubeletOptions options, Parts& parts);

}  // namespace meltemi::orchestrator
