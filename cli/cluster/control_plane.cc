#include "cli/cluster/control_plane.h"

#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "cli/cluster/machine.h"

namespace meltemi::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::seconds kReadyTimeout(60), kStopGrace(15);

// A part of the orchestrator and how it is started.
struct Part {
  const char* name;
  std::vector<std::string> args;
};

constexpr const char* kPartNames[] = {"apiserver", "controller-manager", "scheduler", "kubelet",
                                      "kube-proxy"};

// What every client of the API server is told. Beside an API server whose port the kernel chooses
// their ports are the kernel's choice too: it is not the one cluster of this machine.
std::vector<std::string> ClientArgs(const ControlPlaneOptions& options, const char* kubeconfig,
                                    uint32_t port) {
  return {"--kubeconfig=" + options.folders.kubeconfig(kubeconfig),
          "--client-ca-file=" + options.folders.pki("ca.crt"),
          absl::StrCat("--secure-port=", options.port == 0 ? 0 : port), "--bind-address=127.0.0.1"};
}

void Append(std::vector<std::string>* args, const std::vector<std::string>& more) {
  args->insert(args->end(), more.begin(), more.end());
}

// The kernel's choice, once made, is kept: who knows the old one need not be told a new one.
uint32_t PortOf(const ControlPlaneOptions& options, const std::string& url_before) {
  uint32_t port = 0;
  if (options.port != 0 || url_before.empty() ||
      !absl::SimpleAtoi(url_before.substr(url_before.rfind(':') + 1), &port) ||
      !CheckPortFree(static_cast<uint16_t>(port), "apiserver", "").ok()) {
    return options.port;
  }
  return port;
}

std::vector<Part> PartsOf(const ControlPlaneOptions& options, const std::string& url_before) {
  std::vector<std::string> apiserver = {
      "--data-dir=" + options.folders.data_dir,
      absl::StrCat("--secure-port=", PortOf(options, url_before))};
  if (!options.advertise_address.empty()) {
    apiserver.push_back("--advertise-address=" + options.advertise_address);
  }
  if (!options.machine_address.empty()) {
    apiserver.push_back("--extra-names=" + options.machine_address);
  }
  Append(&apiserver, options.apiserver_args);
  std::vector<std::string> controller_manager = ClientArgs(options, "controller-manager", 10257);
  Append(&controller_manager, {"--cluster-cidr=" + options.pod_cidr,
                               "--cluster-signing-cert-file=" + options.folders.pki("ca.crt"),
                               "--cluster-signing-key-file=" + options.folders.pki("ca.key")});
  Append(&controller_manager, options.controller_manager_args);
  std::vector<std::string> scheduler = ClientArgs(options, "scheduler", 10259);
  Append(&scheduler, options.scheduler_args);
  std::vector<Part> parts = {{"apiserver", std::move(apiserver)},
                             {"controller-manager", std::move(controller_manager)},
                             {"scheduler", std::move(scheduler)}};
  if (options.hollow_nodes > 0) {
    std::vector<std::string> kubelet = ClientArgs(options, "admin", 10248);
    kubelet.push_back(absl::StrCat("--hollow=", options.hollow_nodes));
    if (options.port == 0) kubelet.push_back("--port=0");
    Append(&kubelet, options.kubelet_args);
    parts.push_back({"kubelet", std::move(kubelet)});
  }
  return parts;
}

// It runs, but pods would be told another address of it than the one that they can reach.
bool IsElsewhere(const Component& apiserver, const ControlPlaneOptions& options) {
  return !options.advertise_address.empty() && apiserver.Running() != 0 &&
         !apiserver.HasArgument("--advertise-address=" + options.advertise_address);
}

}  // namespace

absl::StatusOr<std::string> ProgramBeside(const std::vector<std::string>& places) {
  std::error_code error;
  const fs::path folder = fs::read_symlink("/proc/self/exe", error).parent_path();
  for (const std::string& place : places) {
    const fs::path path = folder / place;
    if (access(path.c_str(), X_OK) == 0) return fs::weakly_canonical(path, error).string();
  }
  return absl::NotFoundError(
      absl::StrCat(places[0], " is not beside ", folder.string(), "/meltemi"));
}

absl::StatusOr<std::string> OrchestratorPath() {
  absl::StatusOr<std::string> path =
      ProgramBeside({"meltemi-orchestrator", "../orchestrator/app/meltemi-orchestrator"});
  if (path.ok()) return path;
  return absl::NotFoundError(absl::StrCat(
      path.status().message(), "; build it with ./meltemi build //orchestrator/app:all"));
}

std::vector<Component> ControlPlaneParts(const ClusterFolders& folders,
                                         const std::string& program) {
  std::vector<Component> parts;
  for (const char* name : kPartNames) parts.emplace_back(program, folders.processes(), name);
  return parts;
}

absl::StatusOr<ControlPlane> StartControlPlane(const ControlPlaneOptions& options,
                                               const std::string& program) {
  ControlPlane out;
  out.url = Component(program, options.folders.processes(), "apiserver").Url();
  const std::string url_before = out.url;
  for (const Part& part : PartsOf(options, url_before)) {
    Component component(program, options.folders.processes(), part.name);
    const bool is_server = part.name == absl::string_view("apiserver");
    if (is_server && IsElsewhere(component, options)) component.Stop(kStopGrace);
    // Who was told of an API server at another port would look for it there.
    if (!is_server && out.url != url_before) component.Stop(kStopGrace);
    if (component.Running() == 0) {
      if (absl::Status status = component.Start(part.args); !status.ok()) return status;
      ++out.started;
    }
    absl::StatusOr<std::string> ready = component.WaitUntilReady(kReadyTimeout);
    if (!ready.ok()) return ready.status();
    if (is_server) out.url = *std::move(ready);
  }
  return out;
}

}  // namespace meltemi::cli
