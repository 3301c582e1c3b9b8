// join: makes this machine a node of a cluster that `meltemi up` has begun on another one.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cli/cluster/bring_up.h"
#include "cli/cluster/control_plane.h"
#include "cli/cluster/machine.h"
#include "cli/verbs.h"

namespace meltemi::cli {
namespace {

constexpr int64_t kTokenSeconds = 24 * 3600;

struct JoinOptions {
  std::string data_dir = kDataDir, server, token, ca_hash, node_name, node_ip;
  bool print = false;
  NodeSettings node;
};

int Fail(const absl::Status& status) {
  PrintError(absl::StrCat("join: ", status.message()));
  return 1;
}

int WrongCall(absl::string_view what) {
  PrintError(absl::StrCat("join: ", what, "; see meltemi help join"));
  return 2;
}

// Where other machines find the API server of this one.
absl::StatusOr<std::string> ServerOf(const ClusterFolders& folders) {
  const Component apiserver("", folders.processes(), "apiserver");
  const std::string url = apiserver.Url();
  if (apiserver.Running() == 0 || url.empty()) {
    return absl::FailedPreconditionError(
        "the API server does not run on this machine: `meltemi up` starts it");
  }
  const std::string ip = MachineIp();
  if (ip.empty()) {
    return absl::FailedPreconditionError(
        "this machine has no address that another one could reach");
  }
  return absl::StrCat("https://", ip, url.substr(url.rfind(':')));
}

int Print(const JoinOptions& options) {
  const ClusterFolders folders = FoldersOf(options.data_dir);
  const absl::StatusOr<std::string> server =
      options.server.empty() ? ServerOf(folders) : absl::StatusOr<std::string>(options.server);
  if (!server.ok()) return Fail(server.status());
  const absl::StatusOr<std::string> ca_pem = ReadText(folders.pki("ca.crt"));
  if (!ca_pem.ok()) return Fail(ca_pem.status());
  const absl::StatusOr<std::string> hash = CaHash(*ca_pem);
  if (!hash.ok()) return Fail(hash.status());
  const absl::StatusOr<std::unique_ptr<ClusterApi>> api =
      ClusterApi::Open(folders.kubeconfig("admin"));
  if (!api.ok()) return Fail(api.status());
  // One that was begun without nodes has not said it yet.
  const absl::StatusOr<ClusterInfo> known = FetchClusterInfo(*server, *hash);
  if (!known.ok()) {
    const absl::Status said = (*api)->PublishClusterInfo(*server, *ca_pem, {});
    if (!said.ok()) return Fail(said);
  }
  const absl::StatusOr<BootstrapToken> token = (*api)->NewToken("of meltemi join", kTokenSeconds);
  if (!token.ok()) return Fail(token.status());
  std::printf("meltemi join --server=%s --token=%s --ca-hash=%s\n", server->c_str(),
              token->text().c_str(), hash->c_str());
  return 0;
}

absl::Status WriteAuthority(const ClusterFolders& folders, const std::string& ca_pem) {
  std::error_code error;
  std::filesystem::create_directories(folders.data_dir + "/pki", error);
  std::ofstream out(folders.pki("ca.crt"), std::ios::trunc);
  out << ca_pem << std::flush;
  return out ? absl::OkStatus()
             : absl::PermissionDeniedError(folders.pki("ca.crt") + ": cannot be written");
}

absl::StatusOr<Node> MakeNode(const JoinOptions& options, const ClusterFolders& folders,
                              const ClusterNetwork& network, const std::string& program) {
  absl::StatusOr<std::vector<RegistryMirror>> mirrors = MirrorsOf(options.node);
  if (!mirrors.ok()) return mirrors.status();
  NodeOptions node;
  if (options.node.runtime_endpoint.empty()) {
    absl::Status status = AddImages(folders, network.mesh, &node);
    if (!status.ok()) return status;
  }
  node.spec.name = options.node_name.empty() ? MachineName() : options.node_name;
  node.spec.ip = options.node_ip.empty() ? MachineIp() : options.node_ip;
  if (node.spec.ip.empty()) {
    return absl::FailedPreconditionError(
        "this machine has no address but loopback; give one with --node-ip");
  }
  node.spec.runtime_endpoint = options.node.runtime_endpoint;
  node.spec.resolv_conf = ResolvConf(/*loopback_works=*/true);
  node.spec.kubelet_args = options.node.kubelet_args;
  node.spec.kube_proxy_args = options.node.kube_proxy_args;
  node.spec.dns_args = options.node.dns_args;
  node.folders = NodeFolders::Of(folders, node.spec.name);
  node.network = network;
  node.mirrors = *std::move(mirrors);
  node.orchestrator = program;
  node.client_ca_file = folders.pki("ca.crt");
  return Node(std::move(node));
}

absl::Status Join(const JoinOptions& options, const BootstrapToken& token) {
  const Progress progress;
  const ClusterFolders folders = FoldersOf(options.data_dir);
  if (absl::Status status = CheckMachine(options.node.runtime_endpoint.empty()); !status.ok()) {
    return status;
  }
  if (std::filesystem::exists(folders.pki("ca.key"))) {
    return absl::FailedPreconditionError(absl::StrCat(
        folders.data_dir, " holds a cluster of this machine's own; `down --purge` removes it"));
  }
  const absl::StatusOr<std::string> program = OrchestratorPath();
  if (!program.ok()) return program.status();
  absl::StatusOr<ClusterInfo> info = FetchClusterInfo(options.server, options.ca_hash);
  if (!info.ok()) return info.status();
  if (absl::Status status = WriteAuthority(folders, info->ca_pem); !status.ok()) return status;
  absl::StatusOr<Node> node = MakeNode(options, folders, info->network, *program);
  if (!node.ok()) return node.status();
  const NodeFolders& own = node->options().folders;
  if (node->NeedsToken() || !KnowsServer(own, options.server)) {
    // By the address that this machine has just reached it by.
    absl::Status status = WriteBootstrapKubeconfig(own, options.server, info->ca_pem, token);
    if (!status.ok()) return status;
  }
  std::vector<Node> nodes = {*std::move(node)};
  if (absl::Status status = StartNodes(nodes, progress); !status.ok()) return status;
  const absl::StatusOr<std::unique_ptr<ClusterApi>> api = ClusterApi::Open(own.kubeconfig());
  if (!api.ok()) return api.status();
  const std::string name = nodes[0].options().spec.name;
  if (absl::Status status = WaitUntilNodesReady(**api, {name}); !status.ok()) return status;
  std::printf("node %s is Ready in the cluster at %s (%.1f s)\n", name.c_str(),
              options.server.c_str(), progress.seconds());
  return absl::OkStatus();
}

int Run(const JoinOptions& options, const std::vector<std::string>& rest) {
  if (!rest.empty()) return WrongCall(absl::StrCat("unexpected argument '", rest[0], "'"));
  if (options.print) return Print(options);
  if (options.server.empty() || options.token.empty() || options.ca_hash.empty()) {
    return WrongCall(
        "--server, --token and --ca-hash are needed; `meltemi join --print` on the machine with "
        "the control plane prints them");
  }
  if (!absl::StartsWith(options.server, "https://")) {
    return WrongCall("--server is an https:// URL");
  }
  const absl::StatusOr<BootstrapToken> token = ParseBootstrapToken(options.token);
  if (!token.ok()) return WrongCall(token.status().message());
  const absl::Status status = Join(options, *token);
  return status.ok() ? 0 : Fail(status);
}

}  // namespace

Verb JoinVerb() {
  return {"join", "", "makes this machine a node of a cluster that runs on another one",
          "`meltemi join --print` on the machine with the control plane prints the line to run on "
          "this one.",
          [](Flags& flags) -> std::function<int(const std::vector<std::string>&)> {
            auto options = std::make_shared<JoinOptions>();
            flags.Switch("print", {}, &options->print, "print what another machine has to run");
            flags.Text("server", {}, &options->server, "URL", "of the API server");
            flags.Text("token", {}, &options->token, "TOKEN", "as --print shows it");
            flags.Text("ca-hash", {}, &options->ca_hash, "sha256:HEX", "as --print shows it");
            flags.Text("data-dir", {}, &options->data_dir, "FOLDER", "where everything is kept");
            flags.Text("node-name", {}, &options->node_name, "NAME",
                       "of this node; default: the machine's");
            flags.Text("node-ip", {}, &options->node_ip, "IP",
                       "of this node; default: of the interface of the default route");
            AddNodeFlags(&options->node, flags);
            return [options](const std::vector<std::string>& rest) { return Run(*options, rest); };
          }};
}

}  // namespace meltemi::cli
