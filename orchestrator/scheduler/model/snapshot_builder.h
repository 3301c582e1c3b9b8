// Snapshots for tests, from a few words of YAML per node and pod.
//
//   SnapshotBuilder cluster;
//   cluster.Node("a", "labels: {zone: z1}\ncpu: 4")
//       .Pod("web-1", "labels: {app: web}\nrequests: {cpu: 500m}", "a");
//   const Snapshot& snapshot = cluster.Build();
//
// Threads: not thread-safe.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "orchestrator/scheduler/model/snapshot.h"

namespace meltemi::scheduler {

// YAML: labels, taints (as "key=value:Effect"), unschedulable, images (name: bytes), and
// allocatable amounts: cpu, memory, pods (4, 16Gi and 110 where they are not given) and any other
// name.
NodePtr MakeNode(const std::string& name, absl::string_view yaml = "");
// YAML: namespace ("default" where it is not given), labels, requests (of the one container, with
// image "app"), image, hostPort, priority, terminating; any other member is one of spec.
PodPtr MakePod(const std::string& name, absl::string_view yaml = "",
               const std::string& node_name = "");
// The whole object as JSON.
NodePtr NodeFromJson(absl::string_view json);
PodPtr PodFromJson(absl::string_view json);

class SnapshotBuilder {
 public:
  SnapshotBuilder& Node(const std::string& name, absl::string_view yaml = "") {
    return Add(MakeNode(name, yaml));
  }
  SnapshotBuilder& Pod(const std::string& name, absl::string_view yaml,
                       const std::string& node_name) {
    return Add(MakePod(name, yaml, node_name));
  }
  // Several, by name: "{a: {cpu: 4}, b: {}}". Pods say where they are: "{p: {on: a}}".
  SnapshotBuilder& Nodes(absl::string_view yaml);
  SnapshotBuilder& Pods(absl::string_view yaml);
  // A pod comes onto the node that its spec names.
  SnapshotBuilder& Add(const NodePtr& node);
  SnapshotBuilder& Add(const PodPtr& pod);
  SnapshotBuilder& Namespace(const std::string& name, kube::StringPairs labels);

  // The node's object has changed; the node goes with its pods.
  void Replace(const NodePtr& node);
  void RemoveNode(const std::string& name);
  // Takes a pod away, as the cache would. False: it was not there.
  bool Remove(const PodInfo& pod, const std::string& node_name);
  void AddInfo(const PodInfoPtr& pod, const std::string& node_name);

  // Valid until the builder goes; the next Build() changes it, as the cache changes a snapshot.
  const Snapshot& Build();
  // The node of the snapshot.
  NodeInfo& At(const std::string& name) { return *snapshot_.Find(name); }

 private:
  void Touch(NodeInfo& node);
  void CountImages(const NodeFacts& facts, int by);

  Snapshot snapshot_;
  bool reorder_ = true;
};

}  // namespace meltemi::scheduler
