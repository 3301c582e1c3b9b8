// The ClusterDirectory behind NewClusterDirectory; tests give it a connector of their own.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "proxy/upstream/cluster/cluster_view.h"
#include "proxy/upstream/cluster/main_cluster.h"
#include "proxy/upstream/pool/connector.h"
#include "proxy/upstream/upstream.h"

namespace meltemi::proxy {

// Main loop only; its updates travel to the workers by Loop::Post.
class Directory final : public ClusterDirectory, public MainClusterOwner {
 public:
  Directory(Loop& main_loop, Random& random, net::DnsResolver& dns, metrics::Registry& registry,
            std::unique_ptr<const Connector> connector);
  ~Directory() override;

  // ClusterDirectory
  std::unique_ptr<WorkerClusters> NewWorker(Loop& worker_loop, Random& random,
                                            metrics::Shard& shard) override;
  void SetCluster(std::shared_ptr<const ClusterConfig> config,
                  std::shared_ptr<const EndpointsConfig> inline_endpoints) override;
  void SetEndpoints(const std::string& cluster_name,
                    std::shared_ptr<const EndpointsConfig> endpoints) override;
  void RemoveCluster(const std::string& name) override;
  bool Warm(const std::string& name) const override;
  void OnWarm(absl::AnyInvocable<void()> callback) override { on_warm_ = std::move(callback); }
  void Publish() override;
  void RefreshStats() override {
    for (const auto& [name, cluster] : clusters_) cluster->RefreshBreakerGauges();
  }
  std::string DebugText() const override;
  std::string DebugJson() const override;
  std::vector<std::string> names() const override;

 private:
  class WorkerEnd;
  // At turn end: what has changed by itself (health, DNS) goes out; the warm callback is called.
  class NewsTask final : public TurnEndTask {
   public:
    explicit NewsTask(Directory& owner) : owner_(owner) {}
    void RunAtTurnEnd() override { owner_.TellNews(); }

   private:
    Directory& owner_;
  };

  void OnHostsChanged(MainCluster& cluster) override;
  void OnClusterWarm(MainCluster& cluster) override;
  void TellNews();
  void Send(ClusterUpdate update);

  const std::unique_ptr<const Connector> connector_;
  MainResources resources_;
  std::map<std::string, std::unique_ptr<MainCluster>> clusters_;
  std::set<std::string> removed_;  // since the last Publish, and known to the workers
  std::set<std::string> changed_;  // hosts or health, since the last turn
  bool warm_news_ = false;
  absl::AnyInvocable<void()> on_warm_;
  NewsTask news_task_{*this};
  std::vector<std::shared_ptr<WorkerEnd>> workers_;
};

}  // namespace meltemi::proxy
