// A node with all that runs on it or is about to (assumed), added up.
//
// Threads: a value type; the cache's copies are guarded by its lock, those of a Snapshot belong to
// the scheduling thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "kube/core/v1/node.pb.h"
#include "kube/selector/selector.h"
#include "orchestrator/scheduler/model/pod_info.h"

namespace meltemi::scheduler {

using NodePtr = std::shared_ptr<const kube::core::v1::Node>;

// Host ports in use. A port of 0.0.0.0 conflicts with the same one of every address.
class HostPorts {
 public:
  void Add(const HostPort& port);
  void Remove(const HostPort& port);
  bool Conflicts(const HostPort& port) const;
  bool empty() const { return ports_.empty(); }

 private:
  std::vector<HostPort> ports_;
};

// What is read off the node object, shared by the copies of a NodeInfo.
struct NodeFacts {
  // What every pod asks of every node stands first, together.
  Resources allocatable;
  bool unschedulable = false;
  bool repels = false;       // has taints NoSchedule or NoExecute
  bool discourages = false;  // has taints PreferNoSchedule
  NodePtr node;
  std::string name;
  kube::StringPairs labels;                               // sorted
  absl::flat_hash_map<std::string, int64_t> image_bytes;  // by every name of the image

  // The label's value; empty with `*found` false when there is none.
  absl::string_view Label(absl::string_view key, bool* found = nullptr) const;
};
std::shared_ptr<const NodeFacts> MakeNodeFacts(NodePtr node);

struct NodeInfo {
  // Null while pods are known of a node that is not (any more).
  std::shared_ptr<const NodeFacts> facts;

  // What every pod asks of every node stands first, together.
  std::vector<PodInfoPtr> pods;
  Resources requested;
  int64_t nonzero_milli_cpu = 0;
  int64_t nonzero_memory_bytes = 0;
  int64_t generation = 0;  // grows with every change, over all nodes
  // Where it stands in Snapshot::nodes(), -1 where nobody has said it. A hint, for tables by node.
  int32_t place = -1;

  std::vector<PodInfoPtr> pods_with_affinity;  // any terms
  std::vector<PodInfoPtr> pods_with_required_anti_affinity;
  HostPorts host_ports;

  const std::string& name() const { return facts->name; }
  const kube::core::v1::Node& node() const { return *facts->node; }

  void AddPod(PodInfoPtr pod);
  // By uid; false: it was not there.
  bool RemovePod(const PodInfo& pod);
};

}  // namespace meltemi::scheduler
