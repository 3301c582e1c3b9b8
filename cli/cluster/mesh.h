// The mesh of a cluster: its control plane as one more process beside the orchestrator's, and what
// it needs in the cluster. (On other people's clusters it is a Deployment: `meltemi install`.)
//
// One thread; blocks.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cli/cluster/cluster_api.h"
#include "cli/cluster/layout.h"
#include "cli/component.h"

namespace meltemi::cli {

struct MeshOptions {
  ClusterFolders folders;
  std::string server;                   // of the API server, as everybody reaches it
  std::string address;                  // of this machine, as pods reach it
  std::vector<std::string> pilot_args;  // handed on
};

// The process, to be looked at and stopped.
Component PilotProcess(const ClusterFolders& folders);

// What the cluster must know: kinds, roles, the Service that leads here, webhooks. Written again at
// each start, so that it is this version's.
absl::Status ApplyMesh(const MeshOptions& options, ClusterApi& api);
// Starts pilot unless it runs, and waits until it serves. `*started` grows when it did not run.
absl::Status StartPilot(const MeshOptions& options, int* started);

}  // namespace meltemi::cli
