#include "proxy/listener/active_listener.h"

#include <utility>

#include "proxy/connection/client_cert.h"
#include "proxy/connection/http_connection.h"
#include "proxy/filters/network_filter.h"
#include "proxy/filters/tcp_proxy/tcp_proxy.h"
#include "proxy/listener/sniffer.h"
#include "proxy/observe/access_log.h"
#include "proxy/observe/stream_info.h"
#include "proxy/observe/tls_info.h"
#include "proxy/stream/http_runtime.h"
#include "proxy/transport/tls_socket.h"

namespace meltemi::proxy {
namespace {

// Where the configuration sets none. (Envoy waits for ever.)
constexpr Duration kHandshakeTimeout = seconds(15);

// The metrics of one listener with the scope that they live in.
struct ListenerScope {
  ListenerScope(metrics::Shard& shard, const std::string& address)
      : scope(shard, {}), stats(scope, address) {}
  metrics::Scope scope;
  ListenerStats stats;
};

}  // namespace

// ---- ActiveChain --------------------------------------------------------------------------------

ActiveChain::ActiveChain(WorkerContext& worker, StreamPool& streams,
                         std::shared_ptr<const ListenerConfig> owner, const FilterChain& config)
    : worker_(worker),
      streams_(streams),
      owner_(std::move(owner)),
      config_(config),
      connections_(worker.loop) {}

ActiveChain::~ActiveChain() = default;

absl::string_view ActiveChain::Accepted::server_name() const {
  if (tls != nullptr) return tls->server_name;
  return sniffed != nullptr ? absl::string_view(sniffed->server_name) : absl::string_view();
}

void ActiveChain::Take(Accepted accepted) {
  if (accepted.stats != nullptr) accepted.stats->OnConnection();
  if (config_.tls != nullptr) return Secure(std::move(accepted));
  TakeReady(std::move(accepted));
}

void ActiveChain::Secure(Accepted accepted) {
  net::ConnectionLimits limits;
  limits.read_buffer_bytes_max = owner_->buffer_bytes_max;
  limits.write_buffer_bytes_high = owner_->buffer_bytes_max;
  net::Address remote = accepted.connection->remote_address();
  TlsSocket::Secured secured = config_.tls->Accept(worker_.loop, accepted.connection, limits,
                                                   std::exchange(accepted.end_of_stream, false));
  if (secured.connection == nullptr) {
    if (accepted.stats != nullptr) accepted.stats->tls().OnNotReady();
    return Refuse(std::move(accepted));
  }
  TlsHandshake::Options options;
  options.timeout = config_.transport_connect_timeout > Duration(0)
                        ? config_.transport_connect_timeout
                        : kHandshakeTimeout;
  options.client_pem = config_.http != nullptr && config_.http->client_cert_pem;
  options.client_chain_pem = config_.http != nullptr && config_.http->client_cert_chain;
  // What was sniffed ends with this call; the handshake says it again.
  accepted.sniffed = nullptr;
  auto held = std::make_shared<Accepted>(std::move(accepted));
  connections_.Add(
      std::make_unique<TlsHandshake>(connections_, worker_.loop, options, std::move(secured),
                                     [this, held, remote](TlsHandshake::Result result) {
                                       OnSecured(std::move(*held), std::move(result), remote);
                                     }));
}

void ActiveChain::OnSecured(Accepted accepted, TlsHandshake::Result result, net::Address remote) {
  if (result.connection != nullptr) {
    if (accepted.stats != nullptr) accepted.stats->tls().OnHandshake(*result.info);
    accepted.connection = std::move(result.connection);
    if (config_.http != nullptr) {
      accepted.client_cert =
          ClientCertText(*config_.http, *result.info, result.client_pem, result.client_chain_pem);
    }
    accepted.tls = std::move(result.info);
    return TakeReady(std::move(accepted));
  }
  if (accepted.stats != nullptr) {
    accepted.stats->tls().OnFailure(result.failure);
    accepted.stats->OnConnectionEnd(Duration(0));
  }
  StreamInfo info;
  info.start = info.end = worker_.loop.Now();
  info.start_wall = worker_.loop.WallNow();
  info.downstream_remote = info.downstream_direct_remote = remote;
  info.downstream_local = accepted.local;
  info.downstream_transport_failure = std::move(result.detail);
  for (const auto& log : owner_->access_logs) log->Write(nullptr, nullptr, nullptr, info);
}

void ActiveChain::TakeReady(Accepted accepted) {
  const uint64_t id =
      static_cast<uint64_t>(worker_.worker_index) << 48 | worker_.next_connection_id++;
  const absl::string_view refused =
      config_.network_filters.empty() ? absl::string_view() : Judge(accepted, id);
  if (config_.http == nullptr) return TakeTcp(std::move(accepted), id, refused);
  if (!refused.empty()) return Refuse(std::move(accepted));
  TakeHttp(std::move(accepted), id);
}

absl::string_view ActiveChain::Judge(const Accepted& accepted, uint64_t id) {
  if (network_filters_.empty()) {
    filter_scope_ = std::make_unique<metrics::Scope>(worker_.shard, metrics::Labels{});
    for (const auto& filter : config_.network_filters) {
      network_filters_.push_back(filter->NewFilter(*filter_scope_));
    }
  }
  ConnectionFacts facts{.remote = accepted.connection->remote_address(),
                        .local = accepted.local,
                        .server_name = accepted.server_name(),
                        .tls = accepted.tls.get(),
                        .id = id};
  for (const std::unique_ptr<NetworkFilter>& filter : network_filters_) {
    const absl::string_view refused = filter->Judge(facts);
    if (!refused.empty()) return refused;
  }
  return {};
}

// No request was read, so that there is nothing to log. The connection may stand below us on the
// stack.
void ActiveChain::Refuse(Accepted accepted) {
  if (accepted.stats != nullptr) accepted.stats->OnConnectionEnd(Duration(0));
  worker_.loop.DeferDelete(std::move(accepted.connection));
}

void ActiveChain::TakeHttp(Accepted accepted, uint64_t id) {
  if (http_ == nullptr) {
    http_ = std::make_shared<HttpRuntime>(worker_, streams_, config_.http, owner_->buffer_bytes_max,
                                          accepted.stats);
  }
  DownstreamPeer peer;
  peer.direct_remote = accepted.connection->remote_address();
  peer.local = accepted.local;
  peer.connection_id = id;
  peer.server_name = std::string(accepted.server_name());
  peer.tls = accepted.tls;
  peer.client_cert = std::move(accepted.client_cert);
  auto on_end = [stats = accepted.stats, &loop = worker_.loop, start = worker_.loop.Now()] {
    if (stats != nullptr) stats->OnConnectionEnd(loop.Now() - start);
  };
  connections_
      .Add(std::make_unique<HttpConnection>(connections_, http_, std::move(accepted.connection),
                                            std::move(peer), std::move(on_end)))
      .Start(accepted.end_of_stream);
}

void ActiveChain::TakeTcp(Accepted accepted, uint64_t id, absl::string_view refused) {
  if (tcp_ == nullptr) tcp_ = std::make_shared<TcpRuntime>(worker_, config_.tcp);
  TcpPeer peer;
  peer.direct_remote = accepted.connection->remote_address();
  peer.local = accepted.local;
  peer.connection_id = id;
  peer.server_name = std::string(accepted.server_name());
  peer.tls = accepted.tls;
  peer.refused = std::string(refused);
  auto on_end = [stats = accepted.stats, &loop = worker_.loop, start = worker_.loop.Now()] {
    if (stats != nullptr) stats->OnConnectionEnd(loop.Now() - start);
  };
  connections_
      .Add(std::make_unique<TcpProxy>(connections_, tcp_, std::move(accepted.connection),
                                      std::move(peer), std::move(on_end)))
      .Start(accepted.end_of_stream);
}

void ActiveChain::Drain() {
  connections_.ForEach([](DownstreamConnection& connection) { connection.Drain(); });
}

void ActiveChain::CloseAll() {
  connections_.ForEach([](DownstreamConnection& connection) { connection.CloseNow(); });
}

// ---- ActiveListener -----------------------------------------------------------------------------

ActiveListener::ActiveListener(WorkerContext& worker, StreamPool& streams,
                               std::shared_ptr<const ListenerConfig> config)
    : worker_(worker), streams_(streams), config_(std::move(config)) {
  AddChains();
}

ActiveListener::~ActiveListener() = default;

// Fills chains_ so that it matches config_; what is in it already and is unchanged is used.
void ActiveListener::AddChains() {
  std::vector<std::unique_ptr<ActiveChain>> old = std::move(chains_);
  chains_.clear();
  auto add = [&](const FilterChain& config) {
    for (std::unique_ptr<ActiveChain>& chain : old) {
      if (chain != nullptr && config.fingerprint != 0 &&
          chain->config().fingerprint == config.fingerprint) {
        chains_.push_back(std::move(chain));
        return;
      }
    }
    chains_.push_back(std::make_unique<ActiveChain>(worker_, streams_, config_, config));
  };
  for (const FilterChain& config : config_->filter_chains) add(config);
  if (config_->default_chain.has_value()) add(*config_->default_chain);
  // What is left over goes back to where Update finds it.
  for (std::unique_ptr<ActiveChain>& chain : old) {
    if (chain != nullptr) chains_.push_back(std::move(chain));
  }
}

std::vector<std::unique_ptr<ActiveChain>> ActiveListener::Update(
    std::shared_ptr<const ListenerConfig> config) {
  config_ = std::move(config);
  AddChains();
  const size_t wanted =
      config_->filter_chains.size() + (config_->default_chain.has_value() ? 1 : 0);
  std::vector<std::unique_ptr<ActiveChain>> gone;
  while (chains_.size() > wanted) {
    gone.push_back(std::move(chains_.back()));
    chains_.pop_back();
  }
  return gone;
}

std::vector<std::unique_ptr<ActiveChain>> ActiveListener::TakeChains() {
  return std::move(chains_);
}

ActiveChain* ActiveListener::Find(const FilterChain* chain) {
  if (chain == nullptr) return nullptr;
  for (size_t i = 0; i < config_->filter_chains.size() && i < chains_.size(); ++i) {
    if (&config_->filter_chains[i] == chain) return chains_[i].get();
  }
  return chains_.empty() ? nullptr : chains_.back().get();
}

const std::shared_ptr<ListenerStats>& ActiveListener::stats() {
  if (stats_ == nullptr) {
    auto scope = std::make_shared<ListenerScope>(worker_.shard, config_->address.ToString());
    stats_ = std::shared_ptr<ListenerStats>(scope, &scope->stats);
  }
  return stats_;
}

size_t ActiveListener::connections() const {
  size_t count = 0;
  for (const auto& chain : chains_) count += chain->connections().size();
  return count;
}

}  // namespace meltemi::proxy
