#include "cli/cluster/node.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/process/run_process.h"
#include "cli/cluster/cni_plugins.h"
#include "cli/cluster/machine.h"
#include "cli/images/archive.h"
#include "cli/images/load.h"

namespace meltemi::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::seconds kReadyTimeout(60), kStopGrace(15);
constexpr std::chrono::milliseconds kPoll(10);
constexpr size_t kSocketPathMax = sizeof(sockaddr_un::sun_path) - 1;

std::string ReadAll(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

// True when it was another text before.
absl::StatusOr<bool> WriteIfChanged(const std::string& path, const std::string& text) {
  if (ReadAll(path) == text) return false;
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out << text << std::flush;
  if (!out) return absl::FailedPreconditionError(absl::StrCat(path, ": cannot be written"));
  return true;
}

bool Answers(const std::string& socket_path) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  socket_path.copy(address.sun_path, kSocketPathMax);
  const bool connected = connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  close(fd);
  return connected;
}

// Error: the process ended, or it takes too long.
absl::Status WaitFor(const Component& component, const std::string& what,
                     const std::function<bool()>& done) {
  const auto end = std::chrono::steady_clock::now() + kReadyTimeout;
  while (!done()) {
    if (component.Running() == 0) {
      return absl::UnavailableError(absl::StrCat("the ", component.name(),
                                                 " ended; its last word (", component.log_path(),
                                                 "): ", component.LastLine()));
    }
    if (std::chrono::steady_clock::now() > end) {
      return absl::DeadlineExceededError(absl::StrCat(
          "still no ", what, " after ", kReadyTimeout.count(), " s; the ", component.name(),
          " says (", component.log_path(), "): ", component.LastLine()));
    }
    std::this_thread::sleep_for(kPoll);
  }
  return absl::OkStatus();
}

Component Containerd(const NodeFolders& folders) {
  return Component::Other(folders.processes(), "containerd", folders.containerd_config());
}

}  // namespace

std::vector<Component> NodeProcesses(const NodeFolders& folders, const std::string& program) {
  std::vector<Component> out = {Containerd(folders)};
  for (const char* name : {"kubelet", "kube-proxy", "dns"}) {
    out.emplace_back(program, folders.processes(), name);
  }
  return out;
}

bool Node::NeedsToken() const {
  return !fs::exists(options_.folders.certificates() + "/kubelet-client-current.pem") ||
         !fs::exists(options_.folders.bootstrap_kubeconfig());
}

absl::Status Node::Prepare() {
  const NodeFolders& folders = options_.folders;
  if (owns_runtime() && folders.containerd_socket().size() + 6 > kSocketPathMax) {
    return absl::InvalidArgumentError(absl::StrCat(
        folders.containerd_socket(), ": too long for a socket; choose a shorter --data-dir"));
  }
  std::error_code error;
  for (const std::string& folder :
       {folders.certificates(), folders.containerd_root(), folders.registry_hosts(),
        folders.cni_conf_dir(), folders.pod_logs(), folders.volumes(), folders.processes(),
        folders.run}) {
    fs::create_directories(folder, error);
    if (error) {
      return absl::PermissionDeniedError(
          absl::StrCat("cannot make the folder ", folder, ": ", error.message()));
    }
  }
  // Others of this machine have no business in the secrets that pods mount.
  fs::permissions(folders.kubelet(),
                  fs::perms::owner_all | fs::perms::group_exec | fs::perms::others_exec, error);
  if (!owns_runtime()) return absl::OkStatus();
  for (const RegistryMirror& mirror : options_.mirrors) {
    const std::string folder = folders.registry_hosts() + "/" + mirror.folder;
    fs::create_directories(folder, error);
    const absl::StatusOr<bool> written = WriteIfChanged(folder + "/hosts.toml", mirror.hosts_toml);
    if (!written.ok()) return written.status();
  }
  return PrepareContainerd();
}

absl::Status Node::PrepareContainerd() {
  const NodeFolders& folders = options_.folders;
  ContainerdOptions containerd;
  if (!options_.cni_plugin.empty()) {
    absl::Status status =
        PrepareCniPlugins(options_.cni_plugin, containerd.cni_bin_dir, folders.cni_bin_dir());
    if (!status.ok()) return status;
    containerd.cni_bin_dir = folders.cni_bin_dir();
  }
  containerd.snapshotter = SnapshotterFor(folders.containerd_root());
  containerd.sandbox_image = kPauseImage;
  containerd.restrict_oom_score_adj = !MayLowerOomScore();
  if (const std::string runc = FindProgram("runc"); !runc.empty()) containerd.runc = runc;
  const absl::StatusOr<bool> changed =
      WriteIfChanged(folders.containerd_config(), ContainerdConfig(folders, containerd));
  if (!changed.ok()) return changed.status();
  runtime_changed_ = *changed;
  return absl::OkStatus();
}

absl::Status Node::StartRuntime() {
  if (!owns_runtime()) return absl::OkStatus();
  Component containerd = Containerd(options_.folders);
  // Containers go on without it.
  if (runtime_changed_) containerd.Stop(kStopGrace);
  if (containerd.Running() != 0) return absl::OkStatus();
  ++started_;
  std::error_code error;
  fs::remove(options_.folders.containerd_socket(), error);
  return containerd.StartProgram(
      {FindProgram("containerd"), "--config", options_.folders.containerd_config()},
      options_.spec.netns);
}

absl::Status Node::LoadSandboxImage() {
  if (!owns_runtime()) return absl::OkStatus();
  const std::string socket = options_.folders.containerd_socket();
  absl::Status status =
      WaitFor(Containerd(options_.folders), "containerd", [&socket] { return Answers(socket); });
  if (!status.ok() || options_.pause_archive.empty()) return status;
  return Load(options_.pause_archive);
}

absl::Status Node::LoadSidecarImage() {
  if (!owns_runtime() || options_.proxy_archive.empty() || started_ == 0) return absl::OkStatus();
  return Load(options_.proxy_archive);
}

absl::Status Node::Load(const std::string& archive) const {
  size_t loaded = 0;
  return LoadImage(archive, {{options_.spec.name, options_.folders.containerd_socket()}}, &loaded);
}

absl::Status Node::Ensure(Component component, const std::vector<std::string>& args) {
  const bool as_wanted = std::all_of(args.begin(), args.end(), [&](const std::string& word) {
    return component.HasArgument(word);
  });
  if (as_wanted && !server_moved_) return absl::OkStatus();
  component.Stop(kStopGrace);
  ++started_;
  return component.Start(args, options_.spec.netns);
}

absl::Status Node::StartKubelet() {
  // The kubelet writes it anew; the others wait for it.
  std::error_code error;
  if (server_moved_) fs::remove(options_.folders.kubeconfig(), error);
  return Ensure(Part("kubelet"), KubeletArgs(options_.folders, options_.spec, options_.network,
                                             options_.ports, options_.client_ca_file));
}

absl::Status Node::StartNetwork() {
  const std::string kubeconfig = options_.folders.kubeconfig();
  absl::Status status = WaitFor(Part("kubelet"), "certificate for node " + options_.spec.name,
                                [&kubeconfig] { return fs::exists(kubeconfig); });
  if (!status.ok()) return status;
  status =
      Ensure(Part("kube-proxy"), KubeProxyArgs(options_.folders, options_.spec, options_.network,
                                               options_.ports, options_.client_ca_file));
  if (!status.ok()) return status;
  return Ensure(Part("dns"), DnsArgs(options_.folders, options_.spec, options_.network,
                                     options_.ports, options_.client_ca_file));
}

absl::Status Node::WaitUntilReady() {
  for (const char* name : {"kubelet", "kube-proxy", "dns"}) {
    const absl::StatusOr<std::string> ready = Part(name).WaitUntilReady(kReadyTimeout);
    if (!ready.ok()) return ready.status();
  }
  return absl::OkStatus();
}

}  // namespace meltemi::cli
