// The control plane's processes: API server, controller manager, scheduler, and the hollow kubelet.
//
// One thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/cluster/layout.h"
#include "cli/component.h"

namespace meltemi::cli {

struct ControlPlaneOptions {
  ClusterFolders folders;
  uint32_t port = 6443;
  std::string advertise_address;  // "": the API server's choice
  std::string machine_address;    // by which other machines reach it, if it is another one
  std::string pod_cidr = "10.244.0.0/16";
  uint32_t hollow_nodes = 0;
  std::vector<std::string> apiserver_args, controller_manager_args, scheduler_args, kubelet_args;
};

struct ControlPlane {
  std::string url;
  int started = 0;  // parts that did not run before
};

// Starts what does not run, and begins anew what runs with another address. Error: which part, and
// why.
absl::StatusOr<ControlPlane> StartControlPlane(const ControlPlaneOptions& options,
                                               const std::string& program);

// In the order in which they are started.
std::vector<Component> ControlPlaneParts(const ClusterFolders& folders, const std::string& program);

// Of the program that is beside this one, or where the build puts it. Error: it is not built.
absl::StatusOr<std::string> OrchestratorPath();
// The same for any program: `places` are relative to this one's folder.
absl::StatusOr<std::string> ProgramBeside(const std::vector<std::string>& places);

}  // namespace meltemi::cli
