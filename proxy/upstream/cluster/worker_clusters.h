// All clusters of one worker.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "proxy/upstream/attempt/mirror_set.h"
#include "proxy/upstream/cluster/cluster_view.h"
#include "proxy/upstream/cluster/live_cluster.h"
#include "proxy/upstream/upstream.h"

namespace meltemi::proxy {

// Loop-owned. Applies what the directory posts, one update in one turn.
class WorkerClustersImpl final : public WorkerClusters {
 public:
  WorkerClustersImpl(Loop& loop, Random& random, metrics::Shard& shard, const Connector& connector);
  ~WorkerClustersImpl() override;

  void Apply(const ClusterUpdate& update);

  // WorkerClusters
  WorkerCluster* Find(absl::string_view name) override;
  std::unique_ptr<Mirror> StartMirror(absl::string_view cluster,
                                      const MirrorOptions& options) override;
  void Drain() override;

 private:
  void Remove(absl::string_view name);

  WorkerResources resources_;
  absl::flat_hash_map<std::string, std::unique_ptr<LiveCluster>> clusters_;
  // Removed, but still with requests.
  std::vector<std::unique_ptr<LiveCluster>> retired_;
  MirrorSet mirrors_;  // dies first: its attempts use the clusters
};

}  // namespace meltemi::proxy
