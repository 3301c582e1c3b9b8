// The two ends of the ConfigStore for tests: they note what they are told, in the order in which it
// comes.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "proxy/config/snapshot.h"
#include "proxy/upstream/cluster/cluster_config.h"
#include "proxy/upstream/upstream.h"

namespace meltemi::proxy {

// A cluster is warm once it is set, unless `cold` names it.
class FakeClusterDirectory final : public ClusterDirectory {
 public:
  explicit FakeClusterDirectory(std::vector<std::string>& events) : events_(events) {}

  std::unique_ptr<WorkerClusters> NewWorker(Loop&, Random&, metrics::Shard&) override {
    return nullptr;
  }
  void SetCluster(std::shared_ptr<const ClusterConfig> config,
                  std::shared_ptr<const EndpointsConfig>) override {
    known.insert(config->name);
    events_.push_back("set " + config->name);
  }
  void SetEndpoints(const std::string& name, std::shared_ptr<const EndpointsConfig>) override {
    events_.push_back("endpoints " + name);
  }
  void RemoveCluster(const std::string& name) override {
    known.erase(name);
    events_.push_back("remove " + name);
  }
  bool Warm(const std::string& name) const override {
    return known.contains(name) && !cold.contains(name);
  }
  void OnWarm(absl::AnyInvocable<void()>) override {}
  void Publish() override { events_.push_back("publish"); }
  std::string DebugText() const override { return ""; }
  std::string DebugJson() const override { return ""; }
  std::vector<std::string> names() const override { return {known.begin(), known.end()}; }

  std::set<std::string> known;
  std::set<std::string> cold;

 private:
  std::vector<std::string>& events_;
};

class FakeSnapshotSink final : public SnapshotSink {
 public:
  explicit FakeSnapshotSink(std::vector<std::string>& events) : events_(events) {}
  void Apply(std::shared_ptr<const Snapshot> snapshot, absl::AnyInvocable<void()>) override {
    last = std::move(snapshot);
    events_.push_back("snapshot");
  }
  std::shared_ptr<const Snapshot> last;

 private:
  std::vector<std::string>& events_;
};

}  // namespace meltemi::proxy
