// The processes of one node: containerd, kubelet, kube-proxy, dns.
//
// One thread. Every step may be repeated: what runs as it should is left alone, what runs with
// other options or not at all is started.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cli/cluster/containerd_config.h"
#include "cli/cluster/layout.h"
#include "cli/cluster/node_parts.h"
#include "cli/component.h"

namespace meltemi::cli {

struct NodeOptions {
  NodeFolders folders;
  NodeSpec spec;
  ClusterNetwork network;
  NodePorts ports;
  std::vector<RegistryMirror> mirrors;
  std::string orchestrator;    // the program
  std::string client_ca_file;  // who signs the certificates of those who may ask
  std::string pause_archive;   // the image of sandboxes; "": not ours to load
  std::string proxy_archive;   // the image of sidecars; "": none
  std::string cni_plugin;      // the mesh's, a program; "": none
};

// Of a node, running or not, in the order in which they are started.
std::vector<Component> NodeProcesses(const NodeFolders& folders, const std::string& program);

class Node {
 public:
  explicit Node(NodeOptions options) : options_(std::move(options)) {}

  const NodeOptions& options() const { return options_; }
  bool owns_runtime() const { return options_.spec.runtime_endpoint.empty(); }
  // It has no certificate yet.
  bool NeedsToken() const;
  // The API server is at another address than before: whoever was told the old one begins anew.
  void ServerHasMoved() { server_moved_ = true; }

  // Each of them: error: which part, and why.
  absl::Status Prepare();  // folders and configuration files
  absl::Status StartRuntime();
  absl::Status LoadSandboxImage();  // waits for the runtime
  absl::Status StartKubelet();
  absl::Status StartNetwork();  // kube-proxy and dns; waits for the kubelet's certificate
  absl::Status LoadSidecarImage();
  absl::Status WaitUntilReady();

  int started() const { return started_; }

 private:
  absl::Status Ensure(Component component, const std::vector<std::string>& args);
  absl::Status PrepareContainerd();
  absl::Status Load(const std::string& archive) const;
  Component Part(const std::string& name) const {
    return Component(options_.orchestrator, options_.folders.processes(), name);
  }

  const NodeOptions options_;
  bool runtime_changed_ = false, server_moved_ = false;
  int started_ = 0;
};

}  // namespace meltemi::cli
