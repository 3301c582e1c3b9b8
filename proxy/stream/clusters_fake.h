// Clusters whose attempts the test plays: it sees what was sent and says what comes back.
//
// Loop-owned. The test's calls stand for events from the loop.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/loop/loop.h"
#include "proxy/upstream/attempt/mirror.h"
#include "proxy/upstream/cluster/cluster_config.h"
#include "proxy/upstream/cluster/host.h"
#include "proxy/upstream/upstream.h"

namespace meltemi::proxy {

class FakeAttempt;

// What is known of an attempt; outlives it.
struct AttemptRecord {
  FakeAttempt* attempt = nullptr;  // null once it is deleted
  AttemptEvents* events = nullptr;
  http::HeaderMapPtr headers;  // as they were when it started
  bool headers_end_stream = false;
  bool is_retry = false, tunnel = false, high_priority = false, auto_authority = false;
  BalanceContext balance;
  std::vector<const Host*> tried;
  std::string body;
  bool ended = false;  // the request is complete
  http::HeaderMapPtr trailers;
  bool paused = false;
  int pauses = 0;
  bool cancelled = false;
  StreamError cancel_cause = StreamError::kNone;

  // --- The test's side
  void Chosen(const Host& host) { events->OnAttemptHost(host); }
  void Sent(http::Protocol protocol = http::Protocol::kHttp11) {
    events->OnAttemptSent(net::Address::Loopback4(40000), protocol);
  }
  void Informational(int status) {
    http::HeaderMapPtr headers = http::HeaderMap::New();
    headers->set_status(status);
    events->OnAttemptInformational(std::move(headers));
  }
  void Headers(int status, bool end_stream,
               const std::vector<std::pair<std::string, std::string>>& fields = {}) {
    http::HeaderMapPtr headers = http::HeaderMap::New();
    headers->set_status(status);
    for (const auto& [name, value] : fields) headers->Add(name, value);
    events->OnAttemptHeaders(std::move(headers), end_stream);
  }
  void Data(absl::string_view bytes, bool end_stream) {
    Buffer data(bytes);
    events->OnAttemptData(data, end_stream);
  }
  void Trailers(const std::vector<std::pair<std::string, std::string>>& fields) {
    http::HeaderMapPtr trailers = http::HeaderMap::New();
    for (const auto& [name, value] : fields) trailers->Add(name, value);
    events->OnAttemptTrailers(std::move(trailers));
  }
  void Fail(StreamError error, absl::string_view detail = "") {
    events->OnAttemptFailed(error, detail);
  }
  void Block(bool blocked) { events->OnAttemptWriteBlocked(blocked); }
};

class FakeAttempt final : public Attempt {
 public:
  explicit FakeAttempt(std::shared_ptr<AttemptRecord> record) : record_(std::move(record)) {
    record_->attempt = this;
  }
  ~FakeAttempt() override { record_->attempt = nullptr; }
  void SendData(Buffer& data, bool end_stream) override {
    record_->body += data.ToString();
    data.Clear();
    record_->ended |= end_stream;
  }
  void SendTrailers(const http::HeaderMap& trailers) override {
    record_->trailers = trailers.Clone();
    record_->ended = true;
  }
  void PauseReading(bool paused) override {
    record_->paused = paused;
    ++record_->pauses;
  }
  void Cancel(StreamError cause) override {
    if (record_->cancelled) return;
    record_->cancelled = true;
    record_->cancel_cause = cause;
  }
  const Host* host() const override { return nullptr; }

 private:
  const std::shared_ptr<AttemptRecord> record_;
};

struct TcpRecord {
  TcpAttemptEvents* events = nullptr;
  bool alive = true;
  BalanceContext balance;
  std::vector<const Host*> tried;
  const Host* host = nullptr;
};

class FakeTcpAttempt final : public TcpAttempt {
 public:
  explicit FakeTcpAttempt(std::shared_ptr<TcpRecord> record) : record_(std::move(record)) {}
  ~FakeTcpAttempt() override { record_->alive = false; }
  const Host* host() const override { return record_->host; }

 private:
  const std::shared_ptr<TcpRecord> record_;
};

class FakeCluster final : public WorkerCluster {
 public:
  explicit FakeCluster(const std::string& name) {
    auto config = std::make_shared<ClusterConfig>();
    config->name = name;
    config_ = std::move(config);
  }
  const ClusterConfig& config() const override { return *config_; }
  std::shared_ptr<const ClusterConfig> shared_config() const override { return config_; }
  void set_protocol(UpstreamProtocol protocol) {
    auto config = std::make_shared<ClusterConfig>(*config_);
    config->protocol = protocol;
    config_ = std::move(config);
  }
  std::unique_ptr<Attempt> Start(const AttemptOptions& options, AttemptEvents& events) override {
    auto record = std::make_shared<AttemptRecord>();
    record->events = &events;
    record->headers = options.headers->Clone();
    record->headers_end_stream = record->ended = options.end_stream;
    record->is_retry = options.is_retry;
    record->tunnel = options.tunnel;
    record->high_priority = options.high_priority;
    record->auto_authority = options.rewrite_authority != nullptr;
    record->balance = options.balance;
    record->tried.assign(options.balance.tried.begin(), options.balance.tried.end());
    attempts.push_back(record);
    return std::make_unique<FakeAttempt>(std::move(record));
  }
  std::unique_ptr<TcpAttempt> StartTcp(const BalanceContext& context,
                                       TcpAttemptEvents& events) override {
    auto record = std::make_shared<TcpRecord>();
    record->events = &events;
    record->balance = context;
    record->tried.assign(context.tried.begin(), context.tried.end());
    tcp.push_back(record);
    return std::make_unique<FakeTcpAttempt>(std::move(record));
  }
  RetryPermit TryRetry(bool) override {
    return retries_allowed ? std::make_shared<const int>(0) : nullptr;
  }
  void CountRetryLimitExceeded() override { ++retry_limit_exceeded; }

  std::vector<std::shared_ptr<AttemptRecord>> attempts;
  std::vector<std::shared_ptr<TcpRecord>> tcp;
  bool retries_allowed = true;
  int retry_limit_exceeded = 0;

 private:
  std::shared_ptr<const ClusterConfig> config_;
};

struct MirrorRecord {
  std::string cluster;
  http::HeaderMapPtr headers;
  bool headers_end_stream = false, append_shadow = false;
  std::string body;
  bool ended = false, alive = true;
};

class FakeMirror final : public Mirror {
 public:
  explicit FakeMirror(std::shared_ptr<MirrorRecord> record) : record_(std::move(record)) {}
  ~FakeMirror() override { record_->alive = false; }
  void SendData(const Buffer& data, bool end_stream) override {
    record_->body += data.ToString();
    record_->ended |= end_stream;
  }
  void SendTrailers(const http::HeaderMap&) override { record_->ended = true; }

 private:
  const std::shared_ptr<MirrorRecord> record_;
};

class FakeClusters final : public WorkerClusters {
 public:
  FakeCluster& Add(const std::string& name) {
    clusters[name] = std::make_unique<FakeCluster>(name);
    return *clusters[name];
  }
  WorkerCluster* Find(absl::string_view name) override {
    const auto found = clusters.find(std::string(name));
    return found == clusters.end() ? nullptr : found->second.get();
  }
  std::unique_ptr<Mirror> StartMirror(absl::string_view cluster,
                                      const MirrorOptions& options) override {
    if (Find(cluster) == nullptr) return nullptr;
    auto record = std::make_shared<MirrorRecord>();
    record->cluster = std::string(cluster);
    record->headers = options.headers->Clone();
    record->headers_end_stream = options.end_stream;
    record->append_shadow = options.append_shadow;
    mirrors.push_back(record);
    return std::make_unique<FakeMirror>(std::move(record));
  }
  void Drain() override {}

  std::map<std::string, std::unique_ptr<FakeCluster>> clusters;
  std::vector<std::shared_ptr<MirrorRecord>> mirrors;
};

}  // namespace meltemi::proxy
