#include "cli/cluster/bring_up.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cli/cluster/cni_plugins.h"
#include "cli/cluster/control_plane.h"
#include "cli/images/archive.h"
#include "cli/images/mesh_images.h"

namespace meltemi::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::seconds kNodesReadyMax(60);
constexpr std::chrono::milliseconds kPoll(100);

absl::Status Of(const Node& node, const absl::Status& status) {
  return absl::Status(status.code(),
                      absl::StrCat("node ", node.options().spec.name, ": ", status.message()));
}

// The archive with the image of sandboxes.
absl::StatusOr<std::string> EnsurePauseArchive(const ClusterFolders& folders) {
  const std::string path = folders.pause_archive();
  if (fs::exists(path)) return path;
  const absl::StatusOr<std::string> program =
      ProgramBeside({"meltemi-pause", "images/pause/meltemi-pause"});
  if (!program.ok()) {
    return absl::NotFoundError(absl::StrCat(program.status().message(),
                                            "; build it with ./meltemi build //cli/images/pause"));
  }
  if (absl::Status status = WritePauseImage(*program, path); !status.ok()) return status;
  return path;
}

absl::StatusOr<std::string> EnsureProxyArchive(const ClusterFolders& folders) {
  const std::string path = folders.proxy_archive();
  const absl::StatusOr<std::string> program =
      ProgramBeside({"meltemi-proxy", "../proxy/app/meltemi-proxy"});
  if (!program.ok()) {
    return absl::NotFoundError(absl::StrCat(program.status().message(),
                                            "; build it with ./meltemi build //proxy/app:all"));
  }
  std::error_code error;
  const auto written = fs::last_write_time(path, error);
  if (!error && written > fs::last_write_time(*program, error)) return path;
  const absl::StatusOr<WrittenImage> image = WriteProxyImage(*program, kProxyImage, path);
  if (!image.ok()) return image.status();
  return path;
}

}  // namespace

void AddNodeFlags(NodeSettings* settings, Flags& flags) {
  flags.Text("container-runtime-endpoint", {}, &settings->runtime_endpoint, "unix://PATH",
             "a CRI runtime that runs already; default: a containerd of its own");
  flags.Repeated("registry-mirror", {}, &settings->mirrors, "[REGISTRY=]URL",
                 "where images are pulled from instead; may be repeated");
  flags.Choice("proxy-mode", {}, &settings->proxy_mode, {"nftables", "iptables"},
               "how Services are made");
  const auto hand_on = [&flags](const char* name, std::vector<std::string>* args,
                                const char* part) {
    flags.Repeated(name, {}, args, "--OPTION=VALUE",
                   absl::StrCat("handed on (meltemi-orchestrator ", part, " --help)"));
  };
  hand_on("kubelet-arg", &settings->kubelet_args, "kubelet");
  hand_on("kube-proxy-arg", &settings->kube_proxy_args, "kube-proxy");
  hand_on("dns-arg", &settings->dns_args, "dns");
}

absl::StatusOr<std::vector<RegistryMirror>> MirrorsOf(const NodeSettings& settings) {
  std::vector<RegistryMirror> out;
  for (const std::string& text : settings.mirrors) {
    absl::StatusOr<RegistryMirror> mirror = ParseRegistryMirror(text);
    if (!mirror.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--registry-mirror: ", mirror.status().message()));
    }
    out.push_back(*std::move(mirror));
  }
  return out;
}

void Progress::Say(const std::string& text) const {
  std::printf("[%4.1f s] %s\n", seconds(), text.c_str());
  std::fflush(stdout);
}

double Progress::seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count();
}

absl::Status AddImages(const ClusterFolders& folders, bool mesh, NodeOptions* node) {
  absl::StatusOr<std::string> pause = EnsurePauseArchive(folders);
  if (!pause.ok()) return pause.status();
  node->pause_archive = *std::move(pause);
  if (!mesh) return absl::OkStatus();
  absl::StatusOr<std::string> proxy = EnsureProxyArchive(folders);
  if (!proxy.ok()) return proxy.status();
  absl::StatusOr<std::string> plugin = CniPluginPath();
  if (!plugin.ok()) return plugin.status();
  node->proxy_archive = *std::move(proxy);
  node->cni_plugin = *std::move(plugin);
  node->spec.cni_chained_plugin = kMeshCniPlugin;
  return absl::OkStatus();
}

absl::Status WriteBootstrapKubeconfig(const NodeFolders& folders, const std::string& server,
                                      const std::string& ca_pem, const BootstrapToken& token) {
  std::error_code error;
  fs::create_directories(folders.kubelet(), error);
  const std::string path = folders.bootstrap_kubeconfig();
  std::ofstream out(path, std::ios::trunc);
  fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write, error);
  out << BootstrapKubeconfig(server, ca_pem, token) << std::flush;
  if (out) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(path, ": cannot be written"));
}

bool KnowsServer(const NodeFolders& folders, const std::string& server) {
  const absl::StatusOr<std::string> text = ReadText(folders.bootstrap_kubeconfig());
  return text.ok() && absl::StrContains(*text, absl::StrCat("server: ", server, "\n"));
}

absl::Status StartNodes(std::vector<Node>& nodes, const Progress& progress) {
  // Each step begins for all nodes before it is waited for.
  for (absl::Status (Node::*step)() :
       {&Node::Prepare, &Node::StartRuntime, &Node::LoadSandboxImage, &Node::StartKubelet,
        &Node::StartNetwork, &Node::LoadSidecarImage, &Node::WaitUntilReady}) {
    for (Node& node : nodes) {
      const absl::Status status = (node.*step)();
      if (!status.ok()) return Of(node, status);
    }
  }
  for (const Node& node : nodes) {
    if (node.started() == 0) continue;
    progress.Say(absl::StrCat("node ", node.options().spec.name, " (", node.options().spec.ip,
                              "): ", node.owns_runtime() ? "containerd, " : "",
                              "kubelet, kube-proxy, dns"));
  }
  return absl::OkStatus();
}

absl::Status WaitUntilNodesReady(ClusterApi& api, const std::vector<std::string>& names) {
  const auto end = std::chrono::steady_clock::now() + kNodesReadyMax;
  while (true) {
    const absl::StatusOr<std::vector<NodeState>> states = api.Nodes();
    if (!states.ok()) return states.status();
    std::string waiting;
    for (const std::string& name : names) {
      const auto found = std::find_if(states->begin(), states->end(),
                                      [&](const NodeState& state) { return state.name == name; });
      if (found != states->end() && found->ready) continue;
      waiting =
          absl::StrCat("node ", name, ": ",
                       found == states->end() ? "it has not registered yet" : found->not_ready_why);
    }
    if (waiting.empty()) return absl::OkStatus();
    if (std::chrono::steady_clock::now() > end) {
      return absl::DeadlineExceededError(absl::StrCat("not Ready after ", kNodesReadyMax.count(),
                                                      " s: ", waiting,
                                                      "; `meltemi status` says more"));
    }
    std::this_thread::sleep_for(kPoll);
  }
}

absl::StatusOr<std::string> ReadText(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return absl::NotFoundError(absl::StrCat(path, ": cannot be read"));
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

}  // namespace meltemi::cli
