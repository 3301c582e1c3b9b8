#include "proxy/upstream/cluster/worker_clusters.h"

#include <algorithm>
#include <utility>

namespace meltemi::proxy {

WorkerClustersImpl::WorkerClustersImpl(Loop& loop, Random& random, metrics::Shard& shard,
                                       const Connector& connector)
    : resources_{loop, random, shard, connector}, mirrors_(loop, shard) {}

WorkerClustersImpl::~WorkerClustersImpl() = default;

void WorkerClustersImpl::Apply(const ClusterUpdate& update) {
  for (const auto& [name, view] : update.changes) {
    if (view == nullptr) {
      Remove(name);
      continue;
    }
    std::unique_ptr<LiveCluster>& cluster = clusters_[name];
    if (cluster == nullptr) {
      cluster = std::make_unique<LiveCluster>(resources_, view);
    } else {
      cluster->Update(view);
    }
  }
}

void WorkerClustersImpl::Remove(absl::string_view name) {
  const auto it = clusters_.find(name);
  if (it == clusters_.end()) return;
  std::unique_ptr<LiveCluster> cluster = std::move(it->second);
  clusters_.erase(it);
  if (cluster->idle()) {
    resources_.loop.DeferDelete(std::move(cluster));
    return;
  }
  LiveCluster* raw = cluster.get();
  retired_.push_back(std::move(cluster));
  raw->Retire([this, raw] {
    const auto at = std::find_if(retired_.begin(), retired_.end(),
                                 [&](const auto& held) { return held.get() == raw; });
    if (at == retired_.end()) return;
    resources_.loop.DeferDelete(std::move(*at));
    retired_.erase(at);
  });
}

WorkerCluster* WorkerClustersImpl::Find(absl::string_view name) {
  const auto it = clusters_.find(name);
  return it == clusters_.end() ? nullptr : it->second.get();
}

std::unique_ptr<Mirror> WorkerClustersImpl::StartMirror(absl::string_view cluster,
                                                        const MirrorOptions& options) {
  WorkerCluster* found = Find(cluster);
  return found == nullptr ? nullptr : mirrors_.Start(*found, options);
}

void WorkerClustersImpl::Drain() {
  for (auto& [name, cluster] : clusters_) cluster->DrainConnections();
}

}  // namespace meltemi::proxy
