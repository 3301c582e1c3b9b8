// Streams in one process without sockets: a client that speaks raw HTTP/1 into an HttpConnection,
// and clusters that the test plays. Configure, send, expect.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/clock/clock_fake.h"
#include "base/loop/loop_fake.h"
#include "base/metrics/metrics.h"
#include "base/net/connection_fake.h"
#include "base/random/random_fake.h"
#include "proxy/config/snapshot.h"
#include "proxy/connection/http_connection.h"
#include "proxy/connection/worker_context.h"
#include "proxy/observe/access_log.h"
#include "proxy/observe/mesh_stats.h"
#include "proxy/observe/stream_info.h"
#include "proxy/route/route.h"
#include "proxy/stream/clusters_fake.h"
#include "proxy/stream/http_runtime.h"
#include "proxy/stream/stream_pool.h"

namespace meltemi::proxy {

// One line of the access log, as fields.
struct LogLine {
  int status = 0;
  std::string flags, details, route, cluster, authority, path;
  uint32_t attempts = 0;
  uint64_t received = 0, sent = 0;
  int grpc_status = -1;
  Duration took{0};
  std::string remote;
};

class RecordingLog final : public AccessLog {
 public:
  void Write(const http::HeaderMap* request, const http::HeaderMap*, const http::HeaderMap*,
             const StreamInfo& info) const override {
    LogLine line;
    line.status = info.response_code;
    line.flags = ResponseFlagsText(info.response_flags);
    line.details = info.response_code_details;
    line.route = std::string(info.route_name);
    if (info.cluster != nullptr) line.cluster = info.cluster->name;
    if (request != nullptr) {
      line.authority = std::string(request->authority());
      line.path = std::string(request->path());
    }
    line.attempts = info.attempts;
    line.received = info.bytes_received;
    line.sent = info.bytes_sent;
    line.grpc_status = info.grpc_status;
    line.took = info.end - info.start;
    line.remote = info.downstream_remote.ToString();
    lines.push_back(std::move(line));
  }
  mutable std::vector<LogLine> lines;
};

class CountingMeshStats final : public MeshStats {
 public:
  void OnRequestHeaders(http::HeaderMap&, StreamInfo&, bool) override { ++requests; }
  void OnResponseHeaders(http::HeaderMap&, StreamInfo&, bool) override { ++responses; }
  void OnStreamEnd(const http::HeaderMap*, const StreamInfo&, bool) override { ++ends; }
  void OnTcpOpen(const StreamInfo&, bool) override { ++tcp_opens; }
  void OnTcpBytes(const StreamInfo&, bool, uint64_t s, uint64_t r) override {
    tcp_sent += s;
    tcp_received += r;
  }
  void OnTcpClose(const StreamInfo&, bool) override { ++tcp_closes; }
  int requests = 0, responses = 0, ends = 0, tcp_opens = 0, tcp_closes = 0;
  uint64_t tcp_sent = 0, tcp_received = 0;
};

// The far end of a connection to the proxy.
class TestClient {
 public:
  TestClient(FakeLoop& loop, std::shared_ptr<net::FakePeer> peer, net::FakeConnection* connection)
      : loop_(loop), peer_(std::move(peer)), connection_(connection) {}

  void Send(absl::string_view bytes, bool end_of_stream = false) {
    connection_->Receive(bytes, end_of_stream);
    loop_.RunPending();
  }
  void Reset() {
    connection_->Fail(net::CloseCause::kRemoteReset, "Connection reset by peer");
    loop_.RunPending();
  }
  // Reads nothing more (false), or again.
  void Accept(bool accepts) {
    if (accepts)
      connection_->Accept();
    else
      peer_->accepts = false;
    loop_.RunPending();
  }
  // All that has come since the last call.
  std::string Received() {
    std::string text = peer_->sent.ToString();
    peer_->sent.Clear();
    return text;
  }
  bool closed() const { return peer_->closed; }
  bool write_closed() const { return peer_->write_closed; }
  net::FakePeer& peer() { return *peer_; }
  net::FakeConnection& connection() { return *connection_; }

 private:
  FakeLoop& loop_;
  std::shared_ptr<net::FakePeer> peer_;
  net::FakeConnection* connection_;  // valid until closed()
};

class StreamHarness {
 public:
  StreamHarness() {
    log = std::make_shared<RecordingLog>();
    config = std::make_shared<HttpConfig>();
    config->stat_prefix = "test";
    config->server_name = "meltemi";
    config->generate_request_id = false;
    config->access_logs = {log};
    table = std::make_shared<RouteTable>();
    table->name = "table";
    table->virtual_hosts.push_back(std::make_unique<VirtualHost>());
    host().name = "all";
    clusters.Add("c");
  }
  ~StreamHarness() {
    connections.reset();
    loop.RunPending();
  }

  VirtualHost& host() { return *table->virtual_hosts[0]; }
  // A route to cluster `name`; the first that matches wins.
  Route& AddRoute(const std::string& prefix, const std::string& cluster = "c") {
    auto route = std::make_unique<Route>();
    route->name = absl::StrCat("to-", cluster);
    route->match.path = prefix;
    route->timeouts.request = Duration(0);
    WeightedCluster target;
    target.cluster = cluster;
    route->clusters.push_back(std::move(target));
    route->weight_total = 1;
    host().routes.push_back(std::move(route));
    return *host().routes.back();
  }
  FakeCluster& cluster(const std::string& name = "c") { return *clusters.clusters[name]; }
  AttemptRecord& attempt(size_t index = 0) { return *cluster().attempts.at(index); }

  TestClient Connect(const net::ConnectionLimits& limits = {}) {
    if (runtime == nullptr) {
      if (host().routes.empty()) AddRoute("/");
      if (table->BuildIndex({{"*"}}).ok()) config->inline_routes = table;
      pool = std::make_unique<StreamPool>(worker);
      connections = std::make_unique<ConnectionSet>(loop);
      runtime = std::make_shared<HttpRuntime>(worker, *pool, config, buffer_bytes_max, nullptr);
    }
    auto peer = std::make_shared<net::FakePeer>();
    auto connection = std::make_unique<net::FakeConnection>(loop, peer, true, limits);
    connection->remote = remote;
    net::FakeConnection* raw = connection.get();
    DownstreamPeer facts;
    facts.direct_remote = remote;
    facts.local = local;
    facts.connection_id = worker.next_connection_id++;
    connections
        ->Add(std::make_unique<HttpConnection>(*connections, runtime, std::move(connection), facts,
                                               nullptr))
        .Start(false);
    return TestClient(loop, std::move(peer), raw);
  }
  void Run() { loop.RunPending(); }
  int64_t Count(absl::string_view metric) { return registry.Sum(metric); }

  FakeClock clock;
  FakeLoop loop{clock};
  FakeRandom random{7};
  metrics::Registry registry;
  FakeClusters clusters;
  CountingMeshStats mesh;
  WorkerContext worker{loop, random, registry.NewShard(), clusters, mesh, nullptr};
  std::shared_ptr<HttpConfig> config;
  std::shared_ptr<RouteTable> table;
  std::shared_ptr<RecordingLog> log;
  uint32_t buffer_bytes_max = 64 * 1024;
  net::Address remote = *net::Address::Parse("10.1.2.3:5000");
  net::Address local = *net::Address::Parse("10.9.9.9:80");
  std::unique_ptr<StreamPool> pool;
  std::unique_ptr<ConnectionSet> connections;
  std::shared_ptr<HttpRuntime> runtime;
};

}  // namespace meltemi::proxy
