// What `up`, `join` and `status` ask of the API server and tell it.
//
// One thread; blocks.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock/clock.h"
#include "base/json/value.h"
#include "cli/cluster/node_parts.h"

namespace meltemi::cli {

// With which a node makes itself known: "abcdef.0123456789abcdef".
struct BootstrapToken {
  std::string id, secret;
  std::string text() const { return id + "." + secret; }
};
// Error: it does not look like one.
absl::StatusOr<BootstrapToken> ParseBootstrapToken(const std::string& text);

// What is said of a node: "Ready", or why not.
struct NodeState {
  std::string name;
  bool ready = false;
  std::vector<std::string> troubles;  // conditions as they should not be: "DiskPressure: …"
  std::string not_ready_why;          // of the condition Ready; "" while it is
  std::string address, version;
  bool schedulable = true;
};

class ClusterApi {
 public:
  virtual ~ClusterApi() = default;
  // Error: the kubeconfig can't be read.
  static absl::StatusOr<std::unique_ptr<ClusterApi>> Open(const std::string& kubeconfig);

  // A new token that lasts for `seconds`.
  virtual absl::StatusOr<BootstrapToken> NewToken(const std::string& description,
                                                  int64_t seconds) = 0;
  // kube-public/cluster-info: where the cluster is and who signs for it, for everybody to read.
  virtual absl::Status PublishClusterInfo(const std::string& server, const std::string& ca_pem,
                                          const ClusterNetwork& network) = 0;
  // Sorted by name.
  virtual absl::StatusOr<std::vector<NodeState>> Nodes() = 0;
  // Server-side apply, one after the other, against whoever else wrote the same fields. Error:
  // which object, and why.
  virtual absl::Status Apply(const std::vector<json::Value>& objects) = 0;
};

// What one who joins learns from the cluster, without being known yet.
struct ClusterInfo {
  std::string server, ca_pem;
  ClusterNetwork network;
};
// Asks the server, whoever it says it is, and believes it only when its authority has this hash
// ("sha256:…" of the public key, as kubeadm has it). Error: it can't be reached, or is another one.
absl::StatusOr<ClusterInfo> FetchClusterInfo(const std::string& server, const std::string& ca_hash);
// "sha256:…"
absl::StatusOr<std::string> CaHash(const std::string& ca_pem);

// A kubeconfig for a kubelet that has a token alone.
std::string BootstrapKubeconfig(const std::string& server, const std::string& ca_pem,
                                const BootstrapToken& token);

}  // namespace meltemi::cli
