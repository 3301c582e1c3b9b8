// A whole worker in one process on one real loop: real sockets on loopback, real clusters and
// pools, origins that the test scripts, clients of both protocols. Configure, start, send, expect.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/clock/clock.h"
#include "base/http/client/client_connection.h"
#include "base/http/server/test_server.h"
#include "base/loop/loop.h"
#include "base/metrics/metrics.h"
#include "base/net/listener.h"
#include "base/random/random.h"
#include "proxy/config/snapshot.h"
#include "proxy/listener/listener_config.h"
#include "proxy/listener/listener_manager.h"
#include "proxy/stream/stream_test_harness.h"
#include "proxy/upstream/upstream.h"
#include "proxy/upstream/upstream_fake.h"

namespace meltemi::proxy {

// Runs the loop until `done`; false when it did not come true in time.
inline bool RunUntil(Loop& loop, const std::function<bool()>& done, Duration limit = seconds(20)) {
  const SystemClock clock;
  const MonotonicTime deadline = clock.Now() + limit;
  while (!done()) {
    if (clock.Now() > deadline) return false;
    loop.RunOnce(milliseconds(20));
  }
  return true;
}
// Runs turns until nothing happens for a moment.
inline void Settle(Loop& loop) {
  for (int i = 0; i < 10; ++i) loop.RunOnce(milliseconds(5));
}

// An HTTP server with a few paths of its own:
//   /echo          the request's body comes back, trailers too
//   /bytes/N       N bytes, at the reader's pace
//   /status/N      that status
//   /hang          no answer
//   /reset         resets the stream
//   /half          begins an answer ("some") and leaves it there
// Everything else: 200 with the authority as the body.
class Origin final : public http::ServerCodecEvents {
 public:
  Origin(Loop& loop, http::Protocol protocol)
      : server(loop, net::Address::Loopback4(0), protocol, *this) {}

  http::StreamReceiver* OnNewStream(http::Stream& stream) override {
    auto exchange = std::make_unique<Exchange>(*this, stream);
    Exchange* raw = exchange.get();
    open[&stream] = std::move(exchange);
    ++requests;
    return raw;
  }
  void OnStreamFinished(http::Stream& stream) override { open.erase(&stream); }
  uint16_t port() const { return server.address().port(); }

  struct Exchange final : public http::StreamReceiver {
    Exchange(Origin& origin, http::Stream& stream) : origin(origin), stream(stream) {}

    void OnHeaders(http::HeaderMapPtr headers, bool end_stream) override {
      path = std::string(headers->path());
      authority = std::string(headers->authority());
      origin.authorities.push_back(authority);
      origin.last = std::move(headers);
      if (path == "/reset") return stream.Reset(http::ResetCause::kLocal);
      if (path == "/echo") SendHeaders(200, end_stream);
      if (path == "/half") {
        SendHeaders(200, false);
        Buffer some("some");
        stream.SendData(some, false);
        return;
      }
      if (end_stream) Answer();
    }
    void OnData(Buffer& data, bool end_stream) override {
      origin.received += data.size();
      if (path == "/echo") {
        stream.SendData(data, end_stream);
      } else if (end_stream) {
        Answer();
      }
    }
    void OnTrailers(http::HeaderMapPtr trailers) override {
      if (path == "/echo") {
        stream.SendTrailers(*trailers);
      } else {
        Answer();
      }
    }
    void OnReset(http::ResetCause, absl::string_view) override {
      ++origin.resets;
      gone = true;
    }
    void OnWriteBlocked(bool is_blocked) override {
      blocked = is_blocked;
      if (!blocked) Pump();
    }

    void SendHeaders(int status, bool end_stream) {
      const http::HeaderMapPtr headers = http::HeaderMap::New();
      headers->set_status(status);
      headers->Add("x-origin", absl::StrCat(origin.name));
      stream.SendHeaders(*headers, end_stream);
    }
    void Answer() {
      absl::string_view rest = path;
      int status = 200;
      if (path == "/hang") return;
      if (absl::ConsumePrefix(&rest, "/bytes/")) {
        (void)absl::SimpleAtoi(rest, &left);
        SendHeaders(200, false);
        return Pump();
      }
      if (absl::ConsumePrefix(&rest, "/status/")) (void)absl::SimpleAtoi(rest, &status);
      const bool bodiless = origin.last->method() == "HEAD" || status == 204;
      SendHeaders(status, bodiless);
      if (bodiless) return;
      Buffer body(authority);
      stream.SendData(body, true);
    }
    // As much as the stream takes; goes on when it is unblocked.
    void Pump() {
      while (left > 0 && !blocked && !gone) {
        const size_t count = std::min<size_t>(left, 16 * 1024);
        left -= count;
        origin.produced += count;
        Buffer chunk(std::string(count, 'x'));
        stream.SendData(chunk, left == 0);
        if (stream.unsent_bytes() > 256 * 1024) break;
      }
      if (left > 0 && !gone) origin.starved.push_back(this);
    }

    Origin& origin;
    http::Stream& stream;
    std::string path, authority;
    uint64_t left = 0;
    bool blocked = false, gone = false;
  };
  // Producers that stopped by themselves go on.
  void PumpAll() {
    for (Exchange* exchange : std::exchange(starved, {})) {
      bool alive = false;
      for (const auto& [stream, held] : open) alive |= held.get() == exchange;
      if (alive && exchange->stream.unsent_bytes() < 128 * 1024) {
        exchange->Pump();
      } else if (alive) {
        starved.push_back(exchange);
      }
    }
  }

  std::string name = "origin";
  int requests = 0, resets = 0;
  uint64_t produced = 0, received = 0;
  http::HeaderMapPtr last;
  std::vector<std::string> authorities;
  std::map<http::Stream*, std::unique_ptr<Exchange>> open;
  std::vector<Exchange*> starved;
  http::TestServer server;  // last: it ends first
};

// A response as a client has it.
struct Reply final : public http::StreamReceiver {
  void OnInformational(http::HeaderMapPtr) override { ++informational; }
  void OnHeaders(http::HeaderMapPtr h, bool end_stream) override {
    headers = std::move(h);
    status = headers->status();
    ended |= end_stream;
  }
  void OnData(Buffer& data, bool end_stream) override {
    size += data.size();
    if (keep) body += data.ToString();
    data.Clear();
    ended |= end_stream;
  }
  void OnTrailers(http::HeaderMapPtr t) override {
    trailers = std::move(t);
    ended = true;
  }
  void OnReset(http::ResetCause cause, absl::string_view) override {
    reset = true;
    reset_cause = cause;
  }
  void OnWriteBlocked(bool b) override { blocked = b; }
  bool done() const { return ended || reset; }

  http::Stream* stream = nullptr;
  http::HeaderMapPtr headers, trailers;
  int status = 0, informational = 0;
  std::string body;
  uint64_t size = 0;
  bool keep = true, ended = false, reset = false, blocked = false;
  http::ResetCause reset_cause{};
};

class HttpClient final : public http::ClientConnectionEvents {
 public:
  HttpClient(Loop& loop, const net::Address& to, http::Protocol protocol)
      : loop_(loop),
        connection_(std::make_unique<http::ClientConnection>(loop, to, protocol, *this)) {}
  ~HttpClient() override {
    connection_->Abandon();
    loop_.DeferDelete(std::move(connection_));
    Settle(loop_);
  }
  void OnDisconnected(absl::string_view) override { disconnected = true; }

  // Opens a stream and sends the request; `body` null: more follows by the caller.
  Reply& Start(const std::string& method, const std::string& path, const std::string* body,
               const std::vector<std::pair<std::string, std::string>>& fields = {}) {
    replies.push_back(std::make_unique<Reply>());
    Reply& reply = *replies.back();
    reply.stream = &connection_->NewStream(&reply);
    const http::HeaderMapPtr headers = http::HeaderMap::New();
    headers->set_method(method);
    headers->set_scheme("http");
    headers->set_authority("shop");
    headers->set_path(path);
    for (const auto& [name, value] : fields) headers->Add(name, value);
    const bool ends = body != nullptr && body->empty();
    reply.stream->SendHeaders(*headers, ends);
    if (body != nullptr && !ends) {
      Buffer data(*body);
      reply.stream->SendData(data, true);
    }
    return reply;
  }
  Reply& Get(const std::string& path) {
    const std::string none;
    Reply& reply = Start("GET", path, &none);
    RunUntil(loop_, [&] { return reply.done(); });
    return reply;
  }
  http::ClientConnection& connection() { return *connection_; }

  bool disconnected = false;
  std::vector<std::unique_ptr<Reply>> replies;

 private:
  Loop& loop_;
  std::unique_ptr<http::ClientConnection> connection_;
};

// A bare TCP connection.
class RawClient final : public net::ConnectionHandler {
 public:
  RawClient(Loop& loop, std::unique_ptr<net::Connection> connection)
      : loop_(loop), connection_(std::move(connection)) {
    connection_->SetHandler(this);
  }
  RawClient(Loop& loop, const net::Address& to)
      : RawClient(loop, net::NewClientConnection(loop, to, {}, {})) {}
  ~RawClient() override {
    connection_->SetHandler(nullptr);
    loop_.DeferDelete(std::move(connection_));
  }
  void Send(absl::string_view bytes) {
    connection_->output().Append(bytes);
    connection_->FlushSoon();
  }
  void OnRead(Buffer& in, bool end_of_stream) override {
    size += in.size();
    if (keep) received += in.ToString();
    in.Clear();
    ended = end_of_stream;
    if (on_read) on_read();
  }
  void OnClosed(net::CloseCause why, absl::string_view) override {
    closed = true;
    cause = why;
  }
  net::Connection& connection() { return *connection_; }

  std::string received;
  uint64_t size = 0;
  bool keep = true, ended = false, closed = false;
  net::CloseCause cause{};
  std::function<void()> on_read;

 private:
  Loop& loop_;
  std::unique_ptr<net::Connection> connection_;
};

class RawServer {
 public:
  explicit RawServer(Loop& loop) : loop_(loop) {
    listener_ = *net::Listen(
        loop, net::Address::Loopback4(0), {}, [this](int fd, const net::Address& from) {
          accepted.push_back(
              std::make_unique<RawClient>(loop_, net::NewServerConnection(loop_, fd, from, {})));
          if (on_accept) on_accept(*accepted.back());
        });
  }
  ~RawServer() { loop_.DeferDelete(std::move(listener_)); }
  uint16_t port() const { return listener_->address().port(); }

  std::vector<std::unique_ptr<RawClient>> accepted;
  std::function<void(RawClient&)> on_accept;

 private:
  Loop& loop_;
  std::unique_ptr<net::Listener> listener_;
};

class ProxyHarness {
 public:
  explicit ProxyHarness(const ListenersOptions& options = {}) {
    directory = NewClusterDirectory(*loop, random, dns, registry);
    metrics::Shard& shard = registry.NewShard();
    clusters = directory->NewWorker(*loop, random, shard);
    worker = std::make_unique<WorkerContext>(
        WorkerContext{*loop, random, shard, *clusters, mesh, nullptr});
    listeners = std::make_unique<WorkerListeners>(*worker, options);
  }
  ~ProxyHarness() {
    listeners.reset();
    Settle(*loop);
    clusters.reset();
    directory.reset();
    Settle(*loop);
  }

  // A static cluster of loopback ports.
  void AddCluster(const std::string& name, const std::vector<uint16_t>& ports,
                  UpstreamProtocol protocol = UpstreamProtocol::kHttp1,
                  const std::function<void(ClusterConfig&)>& change = {}) {
    auto config = std::make_shared<ClusterConfig>();
    config->name = name;
    config->protocol = protocol;
    config->breakers_default = {10000, 10000, 10000, 100, std::nullopt, 3};
    if (change) change(*config);
    auto endpoints = std::make_shared<EndpointsConfig>();
    endpoints->cluster_name = name;
    for (uint16_t port : ports) {
      EndpointConfig endpoint;
      endpoint.address = net::Address::Loopback4(port);
      endpoint.port = port;
      endpoints->endpoints.push_back(std::move(endpoint));
    }
    directory->SetCluster(std::move(config), std::move(endpoints));
    directory->Publish();
    Settle(*loop);
  }

  static std::shared_ptr<RouteTable> TableTo(const std::string& cluster) {
    auto table = std::make_shared<RouteTable>();
    table->virtual_hosts.push_back(std::make_unique<VirtualHost>());
    auto route = std::make_unique<Route>();
    route->timeouts.request = Duration(0);
    WeightedCluster target;
    target.cluster = cluster;
    route->clusters.push_back(std::move(target));
    route->weight_total = 1;
    table->virtual_hosts[0]->routes.push_back(std::move(route));
    (void)table->BuildIndex({{"*"}});
    return table;
  }
  std::shared_ptr<HttpConfig> HttpTo(const std::string& cluster) {
    auto http = std::make_shared<HttpConfig>();
    http->stat_prefix = "http";
    http->inline_routes = TableTo(cluster);
    http->access_logs = {log};
    return http;
  }
  std::shared_ptr<TcpProxyConfig> TcpTo(const std::string& cluster) {
    auto tcp = std::make_shared<TcpProxyConfig>();
    tcp->stat_prefix = "tcp";
    tcp->targets = {{cluster, 1}};
    tcp->access_logs = {log};
    return tcp;
  }
  static FilterChain Chain(std::shared_ptr<const HttpConfig> http, uint64_t fingerprint = 0) {
    FilterChain chain;
    chain.http = std::move(http);
    chain.fingerprint = fingerprint;
    return chain;
  }
  static FilterChain Chain(std::shared_ptr<const TcpProxyConfig> tcp, uint64_t fingerprint = 0) {
    FilterChain chain;
    chain.tcp = std::move(tcp);
    chain.fingerprint = fingerprint;
    return chain;
  }
  static std::shared_ptr<ListenerConfig> ListenerOf(const std::string& name,
                                                    std::vector<FilterChain> chains) {
    auto listener = std::make_shared<ListenerConfig>();
    listener->name = name;
    listener->address = net::Address::Loopback4(0);
    listener->filter_chains = std::move(chains);
    return listener;
  }
  // Makes these the listeners; returns the failures.
  std::vector<WorkerListeners::BindFailure> Apply(
      const std::vector<std::shared_ptr<ListenerConfig>>& all) {
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->sequence = ++sequence;
    for (const auto& listener : all) snapshot->listeners[listener->name] = listener;
    snapshot->routes = routes;
    auto failures = listeners->Apply(std::move(snapshot));
    Settle(*loop);
    return failures;
  }
  net::Address At(const std::string& listener) {
    return net::Address::Loopback4(listeners->BoundAddress(listener).port());
  }
  bool Until(const std::function<bool()>& done, Duration limit = seconds(20)) {
    return RunUntil(*loop, done, limit);
  }

  SystemClock clock;
  std::unique_ptr<Loop> loop = NewEventLoop(clock);
  FastRandom random{42};
  metrics::Registry registry;
  FakeDnsResolver dns;
  CountingMeshStats mesh;
  std::shared_ptr<RecordingLog> log = std::make_shared<RecordingLog>();
  std::unique_ptr<ClusterDirectory> directory;
  std::unique_ptr<WorkerClusters> clusters;
  std::unique_ptr<WorkerContext> worker;
  std::unique_ptr<WorkerListeners> listeners;
  std::map<std::string, std::shared_ptr<const RouteTable>> routes;
  uint64_t sequence = 0;
};

}  // namespace meltemi::proxy
