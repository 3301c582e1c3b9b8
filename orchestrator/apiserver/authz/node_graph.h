// Which objects a node has to do with: those that the pods bound to it mention, and the volumes and
// secrets behind their claims.
//
// Threads: thread-safe; fed by the watch cache's thread, read by requests.
#pragma once

#include <set>
#include <shared_mutex>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "orchestrator/apiserver/watch/cache.h"

namespace meltemi::apiserver {

class NodeGraph {
 public:
  void OnPod(const CacheEvent& event);
  void OnPersistentVolume(const CacheEvent& event);

  // `resource`: "pods" "secrets" "configmaps" "persistentvolumeclaims" "serviceaccounts" or
  // "persistentvolumes".
  bool Related(absl::string_view node, absl::string_view resource, absl::string_view ns,
               absl::string_view name) const;

 private:
  // How many pods of each node mention it.
  using Vertex = absl::flat_hash_map<std::string, int>;
  struct Pod {
    std::string uid, node;
    std::vector<std::string> vertices;
  };
  struct Volume {
    std::string claim;                 // key of a vertex
    std::vector<std::string> secrets;  // keys
  };

  void Unlink(const Pod& pod);
  bool HasNode(const std::string& vertex, absl::string_view node) const;

  mutable std::shared_mutex mutex_;
  // Guarded by mutex_.
  absl::flat_hash_map<std::string, Vertex> vertices_;
  absl::flat_hash_map<std::string, Pod> pods_;
  absl::flat_hash_map<std::string, Volume> volumes_;
  absl::flat_hash_map<std::string, std::set<std::string>> volumes_by_secret_;
};

}  // namespace meltemi::apiserver
