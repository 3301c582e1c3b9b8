#include "proxy/listener/active_listener.h"

#include <utility>

#include "proxy/connection/http_connection.h"
#include "proxy/filters/network_filter.h"
#include "proxy/filters/tcp_proxy/tcp_proxy.h"
#include "proxy/listener/sniffer.h"
#include "proxy/stream/http_runtime.h"

namespace meltemi::proxy {
namespace {

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

void ActiveChain::Take(Accepted accepted) {
  const uint64_t id =
      static_cast<uint64_t>(worker_.worker_index) << 48 | worker_.next_connection_id++;
  if (accepted.stats != nullptr) accepted.stats->OnConnection();
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
                        .server_name = {},
                        .id = id};
  if (accepted.sniffed != nullptr) facts.server_name = accepted.sniffed->server_name;
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
  if (accepted.sniffed != nullptr) peer.server_name = accepted.sniffed->server_name;
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
  if (accepted.sniffed != nullptr) peer.server_name = accepted.sniffed->server_name;
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
