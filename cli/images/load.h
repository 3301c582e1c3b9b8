// Image archives into the containerds of the cluster's nodes on this machine, through `ctr`.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace meltemi::cli {

struct ImageNode {
  std::string name, socket;
};

// The nodes of this machine: /run/meltemi/NAME/containerd.sock. `wanted` names some of them; empty:
// all. Error: one is not there, or none is.
absl::StatusOr<std::vector<ImageNode>> FindImageNodes(const std::string& run_folder,
                                                      const std::vector<std::string>& wanted);

struct NodeImage {
  std::string digest, size;
};
// By full name. Error: what `ctr` said.
absl::StatusOr<std::map<std::string, NodeImage>> ListImages(const ImageNode& node);

// Into all nodes side by side; those that have the very same image already are left alone.
// `loaded`: how many took it. Error: of the first node that refused it, once all are through.
absl::Status LoadImage(const std::string& archive, const std::vector<ImageNode>& nodes,
                       size_t* loaded);

}  // namespace meltemi::cli
