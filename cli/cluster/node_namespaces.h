// Nodes on one machine: each a network namespace with a link to a bridge, and the machine as their
// way out.
//
// Threads: functions without state; they block, and need root. Twice does no harm.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace meltemi::cli {

struct NodeNamespaces {
  std::string bridge = "meltemi-nodes";
  std::string cidr = "10.245.0.0/24";
  std::string pod_cidr = "10.244.0.0/16";  // they pass the machine, too
};

// The addresses of the machine (the first) and of node N (1 …: the 11th and so on). Error: the CIDR
// is none, or too small.
absl::StatusOr<std::string> HostAddress(const NodeNamespaces& options);
absl::StatusOr<std::string> NodeAddress(const NodeNamespaces& options, int number);

absl::Status MakeNodeBridge(const NodeNamespaces& options);
// `name`: as `ip netns` calls it.
absl::Status MakeNodeNamespace(const NodeNamespaces& options, const std::string& name, int number);
// With everything in it: links, routes, rules. One that is not there is no error.
absl::Status RemoveNodeNamespace(const std::string& name);
absl::Status RemoveNodeBridge(const NodeNamespaces& options);

// The link of a node, as the machine sees it (at most 15 bytes): "mlt-" and its number.
std::string LinkName(int number);

}  // namespace meltemi::cli
