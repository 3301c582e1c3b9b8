// The cluster at the beginning of a scheduling cycle. Made anew incrementally: only nodes that have
// changed since the last cycle are copied (cache.h).
//
// Threads: the scheduling thread alone; filters and scores may read it from several at once.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "kube/selector/selector.h"
#include "orchestrator/scheduler/model/node_info.h"

namespace meltemi::scheduler {

class Snapshot {
 public:
  // Ordered by zones in turn, so that any run of them is spread.
  const std::vector<NodeInfo*>& nodes() const { return nodes_; }
  const std::vector<NodeInfo*>& nodes_with_affinity() const { return with_affinity_; }
  const std::vector<NodeInfo*>& nodes_with_required_anti_affinity() const {
    return with_required_anti_affinity_;
  }
  // Null: no such node.
  NodeInfo* Find(absl::string_view name) const;
  // On how many nodes the image is.
  int NodesWithImage(absl::string_view image) const;
  // Of a namespace, sorted; empty when it is not known.
  const kube::StringPairs& NamespaceLabels(absl::string_view ns) const;
  int64_t generation() const { return generation_; }

  // ---- for those who keep tables by place in nodes() ----

  // Another number: nodes() is another list.
  int64_t order() const { return order_; }
  // How many times nodes of this list have changed.
  int64_t changes() const { return changes_; }
  // The place of the `number`th node that changed; -1: too long ago to be known.
  int32_t ChangedPlace(int64_t number) const;

 private:
  friend class Cache;
  friend class SnapshotBuilder;  // for tests (snapshot_builder.h)

  absl::flat_hash_map<std::string, std::unique_ptr<NodeInfo>> by_name_;
  std::vector<NodeInfo*> nodes_, with_affinity_, with_required_anti_affinity_;
  absl::flat_hash_map<std::string, int> image_nodes_;
  absl::flat_hash_map<std::string, kube::StringPairs> namespace_labels_;
  int64_t generation_ = 0;

  // The list is another one; a node of it has changed.
  void SetOrder(int64_t order);
  void NoteChange(int32_t place);
  static constexpr int64_t kChangesKept = 4096;
  int64_t order_ = 0, changes_ = 0;
  std::vector<int32_t> changed_places_;  // a ring
};

}  // namespace meltemi::scheduler
