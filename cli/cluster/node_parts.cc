#include "cli/cluster/node_parts.h"

#include "absl/strings/str_cat.h"

namespace meltemi::cli {
namespace {

// What every part that follows the API server is told.
std::vector<std::string> Common(const std::string& kubeconfig, const std::string& client_ca_file,
                                uint16_t pages_port) {
  return {"--kubeconfig=" + kubeconfig, "--client-ca-file=" + client_ca_file,
          absl::StrCat("--secure-port=", pages_port), "--bind-address=127.0.0.1"};
}

void Append(std::vector<std::string>* args, const std::vector<std::string>& more) {
  args->insert(args->end(), more.begin(), more.end());
}

}  // namespace

NodePorts PortsBeside(uint32_t api_server_port) {
  if (api_server_port != 0) return {};
  return {.kubelet = 0, .kubelet_pages = 0, .kube_proxy_pages = 0, .dns = 10053, .dns_pages = 0};
}

std::string RuntimeEndpoint(const NodeFolders& folders, const NodeSpec& node) {
  return node.runtime_endpoint.empty() ? "unix://" + folders.containerd_socket()
                                       : node.runtime_endpoint;
}

std::vector<std::string> KubeletArgs(const NodeFolders& folders, const NodeSpec& node,
                                     const ClusterNetwork& network, const NodePorts& ports,
                                     const std::string& client_ca_file) {
  std::vector<std::string> args = Common(folders.kubeconfig(), client_ca_file, ports.kubelet_pages);
  Append(&args, {
                    "--bootstrap-kubeconfig=" + folders.bootstrap_kubeconfig(),
                    "--cert-dir=" + folders.certificates(),
                    "--root-dir=" + folders.kubelet(),
                    "--pod-log-dir=" + folders.pod_logs(),
                    "--local-volumes-dir=" + folders.volumes(),
                    "--container-runtime-endpoint=" + RuntimeEndpoint(folders, node),
                    "--hostname-override=" + node.name,
                    "--node-ip=" + node.ip,
                    "--cgroup-root=" + folders.cgroup_root,
                    "--cni-conf-dir=" + folders.cni_conf_dir(),
                    "--cni-ipam-dir=" + folders.ipam_dir(),
                    "--cluster-cidr=" + network.pod_cidr,
                    "--cluster-dns=" + network.dns_ip,
                    "--cluster-domain=" + network.domain,
                    "--resolv-conf=" + node.resolv_conf,
                    absl::StrCat("--port=", ports.kubelet),
                });
  if (!node.cni_chained_plugin.empty()) {
    args.push_back("--cni-chained-plugin=" + node.cni_chained_plugin);
  }
  // Alone on the machine, the node is the machine.
  if (node.netns.empty()) args.push_back("--usage-cgroup=/");
  Append(&args, node.kubelet_args);
  return args;
}

std::vector<std::string> KubeProxyArgs(const NodeFolders& folders, const NodeSpec& node,
                                       const ClusterNetwork& network, const NodePorts& ports,
                                       const std::string& client_ca_file) {
  std::vector<std::string> args =
      Common(folders.kubeconfig(), client_ca_file, ports.kube_proxy_pages);
  Append(&args, {"--hostname-override=" + node.name, "--proxy-mode=" + network.proxy_mode,
                 "--cluster-cidr=" + network.pod_cidr});
  Append(&args, node.kube_proxy_args);
  return args;
}

std::vector<std::string> DnsArgs(const NodeFolders& folders, const NodeSpec& node,
                                 const ClusterNetwork& network, const NodePorts& ports,
                                 const std::string& client_ca_file) {
  std::vector<std::string> args = Common(folders.kubeconfig(), client_ca_file, ports.dns_pages);
  Append(&args, {absl::StrCat("--listen=", node.ip, ":", ports.dns),
                 "--cluster-domain=" + network.domain, "--resolv-conf=" + node.resolv_conf});
  Append(&args, node.dns_args);
  return args;
}

std::vector<std::string> HostKubeProxyArgs(const std::string& kubeconfig,
                                           const std::string& host_name,
                                           const ClusterNetwork& network, const NodePorts& ports,
                                           const std::string& client_ca_file) {
  std::vector<std::string> args = Common(kubeconfig, client_ca_file, ports.kube_proxy_pages);
  Append(&args, {"--hostname-override=" + host_name, "--proxy-mode=" + network.proxy_mode,
                 "--cluster-cidr=" + network.pod_cidr, "--pod-routes"});
  return args;
}

}  // namespace meltemi::cli
