// Which objects a node has to do with: those that the pods bound to it mention, and the volumes and
// secrets behind their claims. What a node's pods mention is looked up when the node asks for the
// first time after it got them: most pods are never asked about, and none costs its binding
// anything.
//
// Threads: thread-safe; fed by the watch cache's thread, read by requests.
#pragma once

#include <set>
#include <shared_mutex>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "orchestrator/apiserver/watch/cache.h"

namespace meltemi::apiserver {

class NodeGraph {
 public:
  // `cache` outlives it; pods are read from there.
  explicit NodeGraph(WatchCache& cache) : cache_(cache) {}

  void OnPod(const CacheEvent& event);
  void OnPersistentVolume(const CacheEvent& event);

  // `resource`: "pods" "secrets" "configmaps" "persistentvolumeclaims" "serviceaccounts" or
  // "persistentvolumes".
  bool Related(absl::string_view node, absl::string_view resource, absl::string_view ns,
               absl::string_view name);

 private:
  // How many pods of each node mention it.
  using Vertex = absl::flat_hash_map<std::string, int>;
  struct Pod {
    std::string uid, node;
    std::vector<std::string> vertices;  // empty until it is looked up
  };
  struct Volume {
    std::string claim;                 // key of a vertex
    std::vector<std::string> secrets;  // keys
  };

  void Unlink(const std::string& key, const Pod& pod);
  void LookUpPodsOf(absl::string_view node);
  bool HasNode(const std::string& vertex, absl::string_view node) const;

  WatchCache& cache_;
  mutable std::shared_mutex mutex_;
  // Guarded by mutex_.
  absl::flat_hash_map<std::string, Vertex> vertices_;
  absl::flat_hash_map<std::string, Pod> pods_;
  // By node: keys of pods whose mentions are not known yet.
  absl::flat_hash_map<std::string, absl::flat_hash_set<std::string>> unknown_;
  absl::flat_hash_map<std::string, Volume> volumes_;
  absl::flat_hash_map<std::string, std::set<std::string>> volumes_by_secret_;
};

}  // namespace meltemi::apiserver
