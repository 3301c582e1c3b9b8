// What is known of nodes and of the pods on them, with those that are assumed: placed by us, but
// not seen as bound yet. An assumed pod counts until it is seen on its node, is seen to be gone, or
// is forgotten because its binding has failed; it never expires by itself.
//
// Threads: thread-safe; a Snapshot is brought up to date by the scheduling thread. Source:
// kube-scheduler's cache.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "kube/selector/selector.h"
#include "orchestrator/scheduler/model/node_info.h"
#include "orchestrator/scheduler/model/snapshot.h"

namespace meltemi::scheduler {

class Cache {
 public:
  // ---- what informers tell ----

  // The answer: as it was before; null: it is new.
  std::shared_ptr<const NodeFacts> SetNode(std::shared_ptr<const NodeFacts> facts);
  // Pods that are known to be on it stay with its name, for the case that it comes back.
  void RemoveNode(absl::string_view name);
  // An assigned pod as it is now; an assumed one is confirmed by it, wherever it is. The node may
  // be unknown. The answer: as it was before; null: it was not known as assigned.
  PodInfoPtr SetPod(PodInfoPtr pod);
  // Assigned or assumed; null: it was not known.
  PodInfoPtr RemovePod(absl::string_view uid);
  void SetNamespace(absl::string_view name, kube::StringPairs labels);
  void RemoveNamespace(absl::string_view name);

  // ---- what the scheduler does ----

  // False: the pod is known already, as assigned or assumed.
  bool Assume(PodInfoPtr pod, absl::string_view node);
  // False: it is not assumed (any more).
  bool Forget(absl::string_view uid);
  bool IsAssumed(absl::string_view uid) const;
  // Assigned or assumed.
  bool Knows(absl::string_view uid) const;

  // Copies what has changed since the last call. One snapshot per cache.
  void Update(Snapshot& snapshot);

  struct Size {
    size_t nodes = 0, pods = 0, assumed = 0;
  };
  Size size() const;

 private:
  struct Node {
    std::string name;
    NodeInfo info;
    std::string zone;     // as the snapshot orders it
    bool listed = false;  // in order_
    bool dirty = false;
  };
  struct Pod {
    PodInfoPtr info;
    Node* node = nullptr;
    bool assumed = false;
  };

  Node& NodeNamed(absl::string_view name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Touch(Node& node) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  PodInfoPtr Remove(absl::string_view uid) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void UpdateNode(Node& node, Snapshot& snapshot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void UpdateOrder(Snapshot& snapshot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable std::mutex mutex_;
  absl::flat_hash_map<std::string, std::unique_ptr<Node>> nodes_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<std::string, Pod> pods_ ABSL_GUARDED_BY(mutex_);  // by uid
  size_t assumed_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<Node*> order_ ABSL_GUARDED_BY(mutex_);  // those that exist, as they came
  std::vector<Node*> dirty_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::pair<std::string, std::optional<kube::StringPairs>>> dirty_namespaces_
      ABSL_GUARDED_BY(mutex_);
  bool reorder_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t generation_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace meltemi::scheduler
