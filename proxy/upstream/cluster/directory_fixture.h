// A directory with one worker on a fake loop, for tests.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/loop/loop_fake.h"
#include "base/metrics/metrics.h"
#include "base/random/random.h"
#include "gtest/gtest.h"
#include "proxy/upstream/cluster/directory.h"
#include "proxy/upstream/upstream_fake.h"

namespace meltemi::proxy {

inline constexpr char kOk[] = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

// One main loop and one worker on the same fake loop, connections in memory.
class DirectoryTest : public ::testing::Test {
 protected:
  DirectoryTest() {
    auto connector = std::make_unique<FakeConnector>();
    connector_ = connector.get();
    directory_ = std::make_unique<Directory>(loop_, random_, dns_, registry_, std::move(connector));
    worker_ = directory_->NewWorker(loop_, random_, registry_.NewShard());
  }
  ~DirectoryTest() override {
    attempts_.clear();
    worker_.reset();
    loop_.RunPending();
  }

  std::shared_ptr<ClusterConfig> Config(const std::string& name) {
    auto config = std::make_shared<ClusterConfig>();
    config->name = name;
    config->connect_timeout = seconds(1);
    return config;
  }
  // A static cluster, in place and published.
  void AddCluster(std::shared_ptr<ClusterConfig> config, std::vector<EndpointConfig> endpoints) {
    directory_->SetCluster(std::move(config), TestEndpoints(std::move(endpoints)));
    directory_->Publish();
    loop_.RunPending();
  }
  void AddCluster(const std::string& name, std::vector<EndpointConfig> endpoints) {
    AddCluster(Config(name), std::move(endpoints));
  }

  RecordedAttempt& Start(const std::string& cluster = "shop", const std::string& method = "GET",
                         bool end_stream = true) {
    attempts_.push_back(std::make_unique<RecordedAttempt>());
    RecordedAttempt& record = *attempts_.back();
    record.request->set_method(method);
    record.request->set_path("/cart");
    record.request->set_authority("shop");
    record.request->set_scheme("http");
    AttemptOptions options;
    options.headers = record.request.get();
    options.end_stream = end_stream;
    WorkerCluster* found = worker_->Find(cluster);
    EXPECT_NE(found, nullptr);
    record.attempt = found->Start(options, record);
    return record;
  }
  // Starts and lets the turn end.
  RecordedAttempt& Request(const std::string& cluster = "shop", const std::string& method = "GET") {
    RecordedAttempt& record = Start(cluster, method);
    loop_.RunPending();
    return record;
  }
  FakeConnector::Made& Made(size_t i) { return connector_->made().at(i); }
  size_t made() const { return connector_->made().size(); }
  void Connect(size_t i) {
    Made(i).connection->CompleteConnect();
    loop_.RunPending();
  }
  void Answer(size_t i, absl::string_view bytes = kOk) {
    Made(i).connection->Receive(bytes);
    loop_.RunPending();
  }
  int64_t Stat(const std::string& name) {
    return registry_.Sum("envoy_cluster_" + name, {{"cluster_name", "shop"}});
  }

  FakeClock clock_;
  FakeLoop loop_{clock_};
  FastRandom random_{7};
  FakeDnsResolver dns_;
  metrics::Registry registry_;
  const FakeConnector* connector_;
  std::unique_ptr<Directory> directory_;
  std::unique_ptr<WorkerClusters> worker_;
  std::vector<std::unique_ptr<RecordedAttempt>> attempts_;
};

}  // namespace meltemi::proxy
