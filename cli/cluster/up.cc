// up: the orchestrator on this machine.
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "cli/cluster/bring_up.h"
#include "cli/cluster/control_plane.h"
#include "cli/cluster/machine.h"
#include "cli/cluster/mesh.h"
#include "cli/cluster/node_namespaces.h"
#include "cli/verbs.h"

namespace meltemi::cli {
namespace {

constexpr int64_t kTokenSeconds = 3600;
constexpr std::chrono::seconds kPortWaitMax(3);

struct UpOptions {
  ControlPlaneOptions control_plane;
  NodeSettings nodes;
  NodeNamespaces namespaces;
  std::string data_dir = kDataDir, node_name, node_ip;
  bool control_plane_only = false;
  bool no_mesh = false;
  std::vector<std::string> pilot_args;
  uint32_t node_count = 0;  // 0: the machine itself is the node
};

int Fail(const absl::Status& status) {
  PrintError(absl::StrCat("up: ", status.message()));
  return 1;
}

void PrintReady(const UpOptions& options, const std::string& url, const Progress& progress,
                int started) {
  if (started == 0) std::printf("it was up already; ");
  std::printf("the cluster is ready at %s", url.c_str());
  if (options.control_plane.hollow_nodes > 0) {
    std::printf(" with %u hollow nodes", options.control_plane.hollow_nodes);
  }
  std::printf("\n  export KUBECONFIG=%s\n",
              options.control_plane.folders.kubeconfig("admin").c_str());
  if (started > 0) {
    std::printf("  (%.1f s; logs: %s)\n", progress.seconds(),
                options.control_plane.folders.processes().c_str());
  }
}

// ---- What the machine gives -------------------------------------------------------------------

// How many namespaces the cluster has had so far; -1: it is a new one; 0: the machine itself.
int RememberedNodes(const ClusterFolders& folders) {
  const absl::StatusOr<std::string> text = ReadText(folders.data_dir + "/nodes/count");
  int count = -1;
  // One that was given up before it had a node binds nobody.
  if (!text.ok() || !absl::SimpleAtoi(*text, &count) || KnownNodes(folders).empty()) return -1;
  return count;
}

// Error: the cluster has other nodes than these.
absl::Status SettleNodeCount(UpOptions& options) {
  const int before = RememberedNodes(options.control_plane.folders);
  const auto wanted = static_cast<int>(options.node_count);
  if (wanted == 0 && before > 0) options.node_count = static_cast<uint32_t>(before);
  if (wanted > 0 && before == 0) {
    return absl::FailedPreconditionError(
        "this cluster has the machine itself as its node; `down --purge` begins a new one");
  }
  if (wanted > 0 && wanted < before) {
    return absl::FailedPreconditionError(absl::StrCat(
        "this cluster has ", before, " nodes; `down --purge` begins a new one with fewer"));
  }
  return absl::OkStatus();
}

absl::Status RememberNodes(const UpOptions& options) {
  const std::string folder = options.control_plane.folders.data_dir + "/nodes";
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  std::ofstream out(folder + "/count", std::ios::trunc);
  out << options.node_count << std::flush;
  return out ? absl::OkStatus() : absl::PermissionDeniedError(folder + ": cannot be written");
}

// Where pods and nodes find the API server.
absl::Status ChooseAddresses(UpOptions& options) {
  std::string& advertise = options.control_plane.advertise_address;
  if (options.node_count > 0) {
    const absl::StatusOr<std::string> host = HostAddress(options.namespaces);
    if (!host.ok()) return host.status();
    advertise = *host;
    options.namespaces.pod_cidr = options.control_plane.pod_cidr;
    options.control_plane.machine_address = MachineIp();
    return MakeNodeBridge(options.namespaces);
  }
  if (options.node_ip.empty()) options.node_ip = MachineIp();
  if (options.node_ip.empty()) {
    return absl::FailedPreconditionError(
        "this machine has no address but loopback; give one that its interfaces have with "
        "--node-ip, or use --nodes 1: a network of its own");
  }
  advertise = options.node_ip;
  if (options.node_name.empty()) options.node_name = MachineName();
  return absl::OkStatus();
}

// Who has just been killed may still hold its port for a moment.
absl::Status WaitForPort(uint16_t number, const Component& part, const char* remedy) {
  const auto end = std::chrono::steady_clock::now() + kPortWaitMax;
  while (true) {
    absl::Status status = CheckPortFree(number, part.name(), remedy);
    const bool died = std::filesystem::exists(part.pid_path());
    if (status.ok() || !died || std::chrono::steady_clock::now() > end) return status;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

absl::Status CheckPorts(const UpOptions& options, const NodePorts& ports) {
  const ClusterFolders& folders = options.control_plane.folders;
  struct Port {
    uint16_t number;
    const char* part;
    std::string folder;
    const char* remedy;
  };
  const char* stop = "stop it first";
  std::vector<Port> wanted = {{static_cast<uint16_t>(options.control_plane.port), "apiserver",
                               folders.processes(), "stop it, or choose another one with --port"}};
  if (options.control_plane.port != 0) {
    wanted.push_back({10257, "controller-manager", folders.processes(), stop});
    wanted.push_back({10259, "scheduler", folders.processes(), stop});
  }
  if (options.node_count == 0) {
    const std::string node = NodeFolders::Of(folders, options.node_name).processes();
    if (!options.no_mesh) {
      for (const uint16_t port : {15010, 15012, 15014, 15017}) {
        wanted.push_back({port, "pilot", folders.processes(), "stop it first, or use --no-mesh"});
      }
    }
    wanted.push_back({ports.kubelet, "kubelet", node, stop});
    wanted.push_back({ports.kubelet_pages, "kubelet", node, stop});
    wanted.push_back({ports.kube_proxy_pages, "kube-proxy", node, stop});
    wanted.push_back({ports.dns, "dns", node, stop});
    wanted.push_back({ports.dns_pages, "dns", node, stop});
  }
  for (const Port& port : wanted) {
    const Component part = port.part == absl::string_view("pilot")
                               ? PilotProcess(folders)
                               : Component("", port.folder, port.part);
    if (part.Running() != 0) continue;
    if (absl::Status status = WaitForPort(port.number, part, port.remedy); !status.ok()) {
      return status;
    }
  }
  return absl::OkStatus();
}

// ---- Nodes
// ----------------------------------------------------------------------------------------

absl::StatusOr<std::vector<Node>> MakeNodes(const UpOptions& options, const std::string& program,
                                            const ClusterNetwork& network, const NodePorts& ports) {
  const ClusterFolders& folders = options.control_plane.folders;
  absl::StatusOr<std::vector<RegistryMirror>> mirrors = MirrorsOf(options.nodes);
  if (!mirrors.ok()) return mirrors.status();
  NodeOptions images;
  if (options.nodes.runtime_endpoint.empty()) {
    absl::Status status = AddImages(folders, !options.no_mesh, &images);
    if (!status.ok()) return status;
  }
  std::vector<Node> nodes;
  const bool namespaces = options.node_count > 0;
  for (int number = 1; number <= (namespaces ? static_cast<int>(options.node_count) : 1);
       ++number) {
    NodeSpec spec = images.spec;
    spec.name = namespaces ? absl::StrCat("node-", number) : options.node_name;
    spec.ip = options.node_ip;
    if (namespaces) {
      const absl::StatusOr<std::string> ip = NodeAddress(options.namespaces, number);
      if (!ip.ok()) return ip.status();
      spec.ip = *ip;
      const NodeFolders node = NodeFolders::Of(folders, spec.name);
      spec.netns = node.netns_path();
      absl::Status made = MakeNodeNamespace(options.namespaces, node.netns_name, number);
      if (!made.ok()) return made;
    }
    spec.runtime_endpoint = options.nodes.runtime_endpoint;
    spec.resolv_conf = ResolvConf(/*loopback_works=*/!namespaces);
    spec.kubelet_args = options.nodes.kubelet_args;
    spec.kube_proxy_args = options.nodes.kube_proxy_args;
    spec.dns_args = options.nodes.dns_args;
    nodes.emplace_back(NodeOptions{.folders = NodeFolders::Of(folders, spec.name),
                                   .spec = spec,
                                   .network = network,
                                   .ports = namespaces ? NodePorts() : ports,
                                   .mirrors = *mirrors,
                                   .orchestrator = program,
                                   .client_ca_file = folders.pki("ca.crt"),
                                   .pause_archive = images.pause_archive,
                                   .proxy_archive = images.proxy_archive,
                                   .cni_plugin = images.cni_plugin});
  }
  return nodes;
}

// Those that need one share a token.
absl::Status GiveTokens(std::vector<Node>& nodes, const std::string& server,
                        const std::string& ca_pem, ClusterApi& api) {
  absl::StatusOr<BootstrapToken> token = absl::NotFoundError("");
  for (Node& node : nodes) {
    const NodeFolders& folders = node.options().folders;
    if (!KnowsServer(folders, server)) node.ServerHasMoved();
    if (!node.NeedsToken() && KnowsServer(folders, server)) continue;
    if (!token.ok()) token = api.NewToken("of meltemi up, for the nodes here", kTokenSeconds);
    if (!token.ok()) return token.status();
    absl::Status status = WriteBootstrapKubeconfig(folders, server, ca_pem, *token);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

// The machine that the namespaces stand on: Services and pods can be reached from it.
absl::Status StartHostNetwork(const UpOptions& options, const std::string& program,
                              const ClusterNetwork& network, const NodePorts& ports, int* started) {
  const ClusterFolders& folders = options.control_plane.folders;
  Component proxy(program, folders.processes(), "kube-proxy");
  if (proxy.Running() == 0) {
    ++*started;
    absl::Status status = proxy.Start(HostKubeProxyArgs(folders.kubeconfig("admin"), MachineName(),
                                                        network, ports, folders.pki("ca.crt")));
    if (!status.ok()) return status;
  }
  return proxy.WaitUntilReady(std::chrono::seconds(60)).status();
}

// Pods that are made before their namespace's webhook answers would have no sidecar: the mesh comes
// before the nodes.
absl::Status StartMesh(const UpOptions& options, const std::string& server, ClusterApi& api,
                       const Progress& progress, int* started) {
  if (options.no_mesh) return absl::OkStatus();
  const MeshOptions mesh{.folders = options.control_plane.folders,
                         .server = server,
                         .address = options.control_plane.advertise_address,
                         .pilot_args = options.pilot_args};
  const int before = *started;
  if (absl::Status status = ApplyMesh(mesh, api); !status.ok()) return status;
  absl::Status status = StartPilot(mesh, started);
  if (status.ok() && *started > before) progress.Say("the mesh's control plane");
  return status;
}

absl::Status BringUp(UpOptions& options, const std::string& program, const Progress& progress,
                     std::string* url, int* started) {
  const NodePorts ports = PortsBeside(options.control_plane.port);
  absl::Status status = CheckMachine(options.nodes.runtime_endpoint.empty());
  if (status.ok()) status = MirrorsOf(options.nodes).status();
  if (status.ok()) status = SettleNodeCount(options);
  if (status.ok()) status = ChooseAddresses(options);
  if (status.ok()) status = CheckPorts(options, ports);
  if (status.ok()) status = RememberNodes(options);
  if (!status.ok()) return status;
  const absl::StatusOr<ControlPlane> control_plane =
      StartControlPlane(options.control_plane, program);
  if (!control_plane.ok()) return control_plane.status();
  *url = control_plane->url;
  *started = control_plane->started;
  if (*started > 0) progress.Say("API server, controller manager, scheduler");

  ClusterNetwork network;
  network.pod_cidr = options.control_plane.pod_cidr;
  network.proxy_mode = options.nodes.proxy_mode;
  network.mesh = !options.no_mesh;
  const ClusterFolders& folders = options.control_plane.folders;
  const absl::StatusOr<std::unique_ptr<ClusterApi>> api =
      ClusterApi::Open(folders.kubeconfig("admin"));
  const absl::StatusOr<std::string> ca_pem = ReadText(folders.pki("ca.crt"));
  if (!api.ok()) return api.status();
  if (!ca_pem.ok()) return ca_pem.status();
  const std::string server = absl::StrCat("https://", options.control_plane.advertise_address,
                                          url->substr(url->rfind(':')));
  absl::StatusOr<std::vector<Node>> nodes = MakeNodes(options, program, network, ports);
  if (!nodes.ok()) return nodes.status();
  status = (*api)->PublishClusterInfo(server, *ca_pem, network);
  if (status.ok()) status = GiveTokens(*nodes, server, *ca_pem, **api);
  if (status.ok()) status = StartMesh(options, server, **api, progress, started);
  if (status.ok()) status = StartNodes(*nodes, progress);
  if (status.ok() && options.node_count > 0) {
    status = StartHostNetwork(options, program, network, ports, started);
  }
  if (!status.ok()) return status;
  std::vector<std::string> names;
  for (const Node& node : *nodes) {
    names.push_back(node.options().spec.name);
    *started += node.started();
  }
  status = WaitUntilNodesReady(**api, names);
  if (status.ok() && *started > 0) progress.Say("all nodes are Ready");
  return status;
}

int Up(UpOptions& options, const std::vector<std::string>& rest) {
  if (!rest.empty()) {
    PrintError(absl::StrCat("up: unexpected argument '", rest[0], "'"));
    return 2;
  }
  options.control_plane.folders = FoldersOf(options.data_dir);
  // Hollow nodes are nodes of a control plane without containers.
  options.control_plane.kubelet_args = options.nodes.kubelet_args;
  if (options.control_plane.hollow_nodes > 0) options.control_plane_only = true;
  const absl::StatusOr<std::string> program = OrchestratorPath();
  if (!program.ok()) return Fail(program.status());
  const Progress progress;
  std::string url;
  int started = 0;
  if (options.control_plane_only) {
    const absl::StatusOr<ControlPlane> control_plane =
        StartControlPlane(options.control_plane, *program);
    if (!control_plane.ok()) return Fail(control_plane.status());
    url = control_plane->url;
    started = control_plane->started;
  } else {
    const absl::Status status = BringUp(options, *program, progress, &url, &started);
    if (!status.ok()) return Fail(status);
  }
  PrintReady(options, url, progress, started);
  return 0;
}

void AddFlags(UpOptions* options, Flags& flags) {
  ControlPlaneOptions& control_plane = options->control_plane;
  flags.Switch("control-plane-only", {}, &options->control_plane_only,
               "no nodes that run containers");
  flags.Switch("no-mesh", {}, &options->no_mesh, "pods get no sidecars");
  flags.Number("nodes", {}, &options->node_count, 0, 100,
               "so many nodes, each a network namespace; 0: the machine itself is the node");
  flags.Number("hollow-nodes", {}, &control_plane.hollow_nodes, 0, 100'000,
               "nodes that run pods in memory (no others)");
  flags.Text("data-dir", {}, &options->data_dir, "FOLDER", "where everything is kept");
  flags.Number("port", {}, &control_plane.port, 0, 65535,
               "of the API server; 0: the kernel chooses");
  flags.Text("node-name", {}, &options->node_name, "NAME", "of the node; default: the machine's");
  flags.Text("node-ip", {}, &options->node_ip, "IP",
             "of the node; default: of the interface of the default route");
  flags.Text("pod-cidr", {}, &control_plane.pod_cidr, "CIDR", "addresses of pods");
  flags.Text("node-cidr", {}, &options->namespaces.cidr, "CIDR", "addresses of --nodes");
  AddNodeFlags(&options->nodes, flags);
  const auto hand_on = [&flags](const char* name, std::vector<std::string>* args,
                                const char* part) {
    flags.Repeated(name, {}, args, "--OPTION=VALUE",
                   absl::StrCat("handed on (meltemi-orchestrator ", part, " --help)"));
  };
  hand_on("apiserver-arg", &control_plane.apiserver_args, "apiserver");
  hand_on("controller-manager-arg", &control_plane.controller_manager_args, "controller-manager");
  hand_on("scheduler-arg", &control_plane.scheduler_args, "scheduler");
  flags.Repeated("pilot-arg", {}, &options->pilot_args, "--OPTION=VALUE",
                 "handed on (meltemi-pilot --help)");
}

}  // namespace

Verb UpVerb() {
  return {"up", "", "starts the orchestrator on this machine",
          "Writes a kubeconfig; ordinary kubectl works with it. Twice does no harm: what runs is "
          "left alone,\nwhat has ended is started again.",
          [](Flags& flags) -> std::function<int(const std::vector<std::string>&)> {
            auto options = std::make_shared<UpOptions>();
            AddFlags(options.get(), flags);
            return [options](const std::vector<std::string>& rest) { return Up(*options, rest); };
          }};
}

}  // namespace meltemi::cli
