#include "proxy/upstream/cluster/directory.h"

#include <utility>

#include "base/log/log.h"
#include "proxy/upstream/cluster/worker_clusters.h"

namespace meltemi::proxy {

// The way to one worker. Updates are posted to its loop; `clusters` is touched there alone.
class Directory::WorkerEnd final : public std::enable_shared_from_this<WorkerEnd> {
 public:
  explicit WorkerEnd(Loop& loop) : loop_(loop) {}

  void Post(std::shared_ptr<const ClusterUpdate> update) {
    if (closed_.load(std::memory_order_acquire)) return;
    loop_.Post([self = shared_from_this(), update = std::move(update)] {
      if (self->clusters_ != nullptr) self->clusters_->Apply(*update);
    });
  }
  void Open(WorkerClustersImpl& clusters) { clusters_ = &clusters; }
  // On the worker's loop.
  void Close() {
    clusters_ = nullptr;
    closed_.store(true, std::memory_order_release);
  }
  bool closed() const { return closed_.load(std::memory_order_acquire); }

 private:
  Loop& loop_;
  WorkerClustersImpl* clusters_ = nullptr;
  std::atomic<bool> closed_{false};
};

namespace {

// What a worker holds: the clusters, and the end of the way to them.
template <typename End>
class OwnedByWorker final : public WorkerClusters {
 public:
  OwnedByWorker(std::shared_ptr<End> end, Loop& loop, Random& random, metrics::Shard& shard,
                const Connector& connector)
      : end_(std::move(end)), clusters_(loop, random, shard, connector) {
    end_->Open(clusters_);
  }
  ~OwnedByWorker() override { end_->Close(); }

  WorkerCluster* Find(absl::string_view name) override { return clusters_.Find(name); }
  std::unique_ptr<Mirror> StartMirror(absl::string_view cluster,
                                      const MirrorOptions& options) override {
    return clusters_.StartMirror(cluster, options);
  }
  void Drain() override { clusters_.Drain(); }

 private:
  const std::shared_ptr<End> end_;
  WorkerClustersImpl clusters_;
};

}  // namespace

Directory::Directory(Loop& main_loop, Random& random, net::DnsResolver& dns,
                     metrics::Registry& registry, std::unique_ptr<const Connector> connector)
    : connector_(std::move(connector)),
      resources_{main_loop, random, dns, registry.NewShard(), *connector_} {}

Directory::~Directory() = default;

std::unique_ptr<WorkerClusters> Directory::NewWorker(Loop& worker_loop, Random& random,
                                                     metrics::Shard& shard) {
  auto end = std::make_shared<WorkerEnd>(worker_loop);
  auto worker =
      std::make_unique<OwnedByWorker<WorkerEnd>>(end, worker_loop, random, shard, *connector_);
  // A worker that comes late gets all that the others have.
  auto update = std::make_shared<ClusterUpdate>();
  for (const auto& [name, cluster] : clusters_) {
    if (cluster->published()) update->changes.emplace_back(name, cluster->Refresh());
  }
  if (!update->changes.empty()) end->Post(std::move(update));
  workers_.push_back(std::move(end));
  return worker;
}

void Directory::SetCluster(std::shared_ptr<const ClusterConfig> config,
                           std::shared_ptr<const EndpointsConfig> inline_endpoints) {
  const std::string name = config->name;
  std::unique_ptr<MainCluster>& cluster = clusters_[name];
  if (cluster == nullptr) {
    cluster = std::make_unique<MainCluster>(resources_, *this, name);
  }
  cluster->SetConfig(std::move(config), std::move(inline_endpoints));
}

void Directory::SetEndpoints(const std::string& cluster_name,
                             std::shared_ptr<const EndpointsConfig> endpoints) {
  const auto it = clusters_.find(cluster_name);
  if (it != clusters_.end()) it->second->SetEndpoints(std::move(endpoints));
}

void Directory::RemoveCluster(const std::string& name) {
  const auto it = clusters_.find(name);
  if (it == clusters_.end()) return;
  if (it->second->published()) removed_.insert(name);
  changed_.erase(name);
  clusters_.erase(it);
}

bool Directory::Warm(const std::string& name) const {
  const auto it = clusters_.find(name);
  return it != clusters_.end() && it->second->warm();
}

void Directory::Publish() {
  ClusterUpdate update;
  // A cluster that was removed and set again is a change, not a removal.
  for (const std::string& name : removed_) {
    const auto again = clusters_.find(name);
    if (again == clusters_.end() || !again->second->warm())
      update.changes.emplace_back(name, nullptr);
  }
  removed_.clear();
  for (const auto& [name, cluster] : clusters_) {
    if (!cluster->dirty()) continue;
    if (!cluster->published() && !cluster->warm()) continue;
    update.changes.emplace_back(name, cluster->Publish());
    changed_.erase(name);
  }
  Send(std::move(update));
}

void Directory::OnHostsChanged(MainCluster& cluster) {
  changed_.insert(cluster.name());
  resources_.loop.AtTurnEnd(&news_task_);
}

void Directory::OnClusterWarm(MainCluster&) {
  warm_news_ = true;
  resources_.loop.AtTurnEnd(&news_task_);
}

void Directory::TellNews() {
  ClusterUpdate update;
  for (const std::string& name : std::exchange(changed_, {})) {
    const auto it = clusters_.find(name);
    if (it == clusters_.end() || !it->second->published()) continue;
    update.changes.emplace_back(name, it->second->Refresh());
  }
  Send(std::move(update));
  if (std::exchange(warm_news_, false) && on_warm_) on_warm_();
}

void Directory::Send(ClusterUpdate update) {
  if (update.changes.empty()) return;
  std::erase_if(workers_, [](const auto& worker) { return worker->closed(); });
  auto shared = std::make_shared<const ClusterUpdate>(std::move(update));
  for (const auto& worker : workers_) worker->Post(shared);
}

std::vector<std::string> Directory::names() const {
  std::vector<std::string> names;
  for (const auto& [name, cluster] : clusters_) names.push_back(name);
  return names;
}

std::unique_ptr<ClusterDirectory> NewClusterDirectory(Loop& main_loop, Random& random,
                                                      net::DnsResolver& dns,
                                                      metrics::Registry& registry) {
  return std::make_unique<Directory>(main_loop, random, dns, registry,
                                     std::make_unique<SocketConnector>());
}

}  // namespace meltemi::proxy
