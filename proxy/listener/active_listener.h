// A listener and its filter chains as one worker runs them.
//
// Loop-owned. A chain lives on after its listener has changed or gone, until its last connection
// ends.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/metrics/metrics.h"
#include "base/net/address.h"
#include "base/net/connection.h"
#include "proxy/connection/downstream_connection.h"
#include "proxy/connection/tls_handshake.h"
#include "proxy/connection/worker_context.h"
#include "proxy/listener/listener_config.h"
#include "proxy/observe/http_stats.h"

namespace meltemi::proxy {

class HttpRuntime;
class NetworkFilter;
class StreamPool;
struct SniffResult;
struct TcpRuntime;

// One filter chain: what it needs at run time is made when the first connection comes, so that a
// thousand listeners that nobody uses cost next to nothing.
class ActiveChain {
 public:
  // `config` is part of `*owner`.
  ActiveChain(WorkerContext& worker, StreamPool& streams,
              std::shared_ptr<const ListenerConfig> owner, const FilterChain& config);
  ~ActiveChain();

  struct Accepted {
    std::unique_ptr<net::Connection> connection;
    net::Address local;  // the original destination when redirected
    const SniffResult* sniffed = nullptr;
    bool end_of_stream = false;  // the client has said all it will say
    std::shared_ptr<ListenerStats> stats;
    // Of the handshake, once it is over; then `sniffed` is null.
    std::shared_ptr<const TlsInfo> tls;
    std::string client_cert;  // what x-forwarded-client-cert gets

    absl::string_view server_name() const;
  };
  void Take(Accepted accepted);
  // No new connections will come: asks those there are to end.
  void Drain();
  void CloseAll();

  const FilterChain& config() const { return config_; }
  ConnectionSet& connections() { return connections_; }
  size_t connection_count() const { return connections_.size(); }

 private:
  void Secure(Accepted accepted);
  void OnSecured(Accepted accepted, TlsHandshake::Result result, net::Address remote);
  void TakeReady(Accepted accepted);
  // What the network filters say: "" or why the connection must not be taken.
  absl::string_view Judge(const Accepted& accepted, uint64_t id);
  void Refuse(Accepted accepted);
  void TakeHttp(Accepted accepted, uint64_t id);
  void TakeTcp(Accepted accepted, uint64_t id, absl::string_view refused);

  WorkerContext& worker_;
  StreamPool& streams_;
  const std::shared_ptr<const ListenerConfig> owner_;
  const FilterChain& config_;
  // Made when the first connection comes; the filters' counters live in the scope.
  std::unique_ptr<metrics::Scope> filter_scope_;
  std::vector<std::unique_ptr<NetworkFilter>> network_filters_;
  std::shared_ptr<HttpRuntime> http_;
  std::shared_ptr<TcpRuntime> tcp_;
  ConnectionSet connections_;
};

class ActiveListener {
 public:
  ActiveListener(WorkerContext& worker, StreamPool& streams,
                 std::shared_ptr<const ListenerConfig> config);
  ~ActiveListener();

  const ListenerConfig& config() const { return *config_; }
  const std::shared_ptr<const ListenerConfig>& shared_config() const { return config_; }
  // Takes the new configuration on. Chains that did not change (equal fingerprints) stay, with
  // their connections; the others are returned.
  std::vector<std::unique_ptr<ActiveChain>> Update(std::shared_ptr<const ListenerConfig> config);
  std::vector<std::unique_ptr<ActiveChain>> TakeChains();

  // The running form of a chain of config(); null is null.
  ActiveChain* Find(const FilterChain* chain);
  const std::shared_ptr<ListenerStats>& stats();
  size_t connections() const;

 private:
  void AddChains();

  WorkerContext& worker_;
  StreamPool& streams_;
  std::shared_ptr<const ListenerConfig> config_;
  // In the order of the configuration, the default chain last.
  std::vector<std::unique_ptr<ActiveChain>> chains_;
  std::shared_ptr<ListenerStats> stats_;
};

}  // namespace meltemi::proxy
