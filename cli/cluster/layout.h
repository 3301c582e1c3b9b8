// Where everything of a cluster lies on this machine.
//
//   DATA_DIR/                 pki/, state.db, *.kubeconfig, run/ (the control plane's processes)
//   DATA_DIR/nodes/NAME/      kubelet/ containerd/ cni/net.d/ pods/ (logs) volumes/ run/
//   (processes) RUN_DIR/NAME/             containerd.sock, containerd/ (state), ipam/
//
// A node that is a network namespace has it as /run/netns/meltemi-NAME.
#pragma once

#include <string>
#include <vector>

namespace meltemi::cli {

inline constexpr char kDataDir[] = "/var/lib/meltemi";
inline constexpr char kRunDir[] = "/run/meltemi";

struct ClusterFolders {
  std::string data_dir = kDataDir;
  std::string run_dir = kRunDir;

  std::string pki(const std::string& file) const { return data_dir + "/pki/" + file; }
  std::string kubeconfig(const std::string& user) const {
    return data_dir + "/" + user + ".kubeconfig";
  }
  std::string processes() const { return data_dir + "/run"; }
  std::string pause_archive() const { return data_dir + "/pause.tar"; }
  std::string proxy_archive() const { return data_dir + "/proxy.tar"; }
};

struct NodeFolders {
  std::string name, data, run;
  // Named after RUN_DIR, so that two clusters on one machine do not meet.
  std::string cgroup_root;  // "/meltemi/NAME"
  std::string netns_name;   // "meltemi-NAME", as `ip netns` calls it, if the node has one

  static NodeFolders Of(const ClusterFolders& cluster, const std::string& name) {
    const std::string prefix = cluster.run_dir.substr(cluster.run_dir.rfind('/') + 1);
    return {name, cluster.data_dir + "/nodes/" + name, cluster.run_dir + "/" + name,
            "/" + prefix + "/" + name, prefix + "-" + name};
  }
  std::string kubelet() const { return data + "/kubelet"; }
  std::string certificates() const { return kubelet() + "/pki"; }
  std::string kubeconfig() const { return kubelet() + "/kubeconfig"; }
  std::string bootstrap_kubeconfig() const { return kubelet() + "/bootstrap.kubeconfig"; }
  std::string containerd_root() const { return data + "/containerd"; }
  std::string containerd_config() const { return data + "/containerd.toml"; }
  std::string registry_hosts() const { return data + "/registry"; }
  std::string cni_conf_dir() const { return data + "/cni/net.d"; }
  std::string cni_bin_dir() const { return data + "/cni/bin"; }
  std::string pod_logs() const { return data + "/pods"; }
  std::string volumes() const { return data + "/volumes"; }
  std::string processes() const { return data + "/run"; }
  std::string containerd_state() const { return run + "/containerd"; }
  std::string netns_path() const { return "/run/netns/" + netns_name; }
  std::string containerd_socket() const { return run + "/containerd.sock"; }
  std::string ipam_dir() const { return run + "/ipam"; }
};

// `data_dir` as an absolute path. RUN_DIR of another one than the default has a short name of its
// own: paths of sockets must be short.
ClusterFolders FoldersOf(const std::string& data_dir);

// Nodes that have ever been set up here, and those that have left something in RUN_DIR. Sorted.
std::vector<std::string> KnownNodes(const ClusterFolders& cluster);

}  // namespace meltemi::cli
