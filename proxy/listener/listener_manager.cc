#include "proxy/listener/listener_manager.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "proxy/config/snapshot.h"
#include "proxy/listener/chain_match.h"
#include "proxy/observe/access_log.h"
#include "proxy/observe/stream_info.h"
#include "proxy/stream/reply/stream_error.h"

namespace meltemi::proxy {
namespace {

bool InRanges(const std::vector<std::pair<uint16_t, uint16_t>>& ranges, uint16_t port) {
  return std::any_of(ranges.begin(), ranges.end(), [port](const auto& range) {
    return port >= range.first && port < range.second;
  });
}

std::vector<net::Address> AddressesOf(const ListenerConfig& config) {
  std::vector<net::Address> addresses = {config.address};
  addresses.insert(addresses.end(), config.additional_addresses.begin(),
                   config.additional_addresses.end());
  return addresses;
}

net::Address AnyOf(const net::Address& address) {
  if (address.family() == AF_INET6) return *net::Address::FromIp("::", address.port());
  return net::Address::Any4(address.port());
}

}  // namespace

WorkerListeners::WorkerListeners(WorkerContext& worker, const ListenersOptions& options)
    : worker_(worker), options_(options), streams_(worker), pending_(worker.loop) {}

WorkerListeners::~WorkerListeners() = default;

// ---- Configuration ------------------------------------------------------------------------------

std::vector<WorkerListeners::BindFailure> WorkerListeners::Apply(
    std::shared_ptr<const Snapshot> snapshot) {
  worker_.snapshot = std::move(snapshot);
  PlaceListeners(*worker_.snapshot);
  std::vector<BindFailure> failures;
  PlaceSockets(&failures);
  return failures;
}

void WorkerListeners::PlaceListeners(const Snapshot& snapshot) {
  for (auto it = listeners_.begin(); it != listeners_.end();) {
    if (snapshot.listeners.count(it->first) > 0) {
      ++it;
      continue;
    }
    DrainChains(it->second->TakeChains());
    it = listeners_.erase(it);
  }
  for (const auto& [name, config] : snapshot.listeners) {
    std::unique_ptr<ActiveListener>& listener = listeners_[name];
    if (listener == nullptr) {
      listener = std::make_unique<ActiveListener>(worker_, streams_, config);
    } else if (listener->shared_config() != config &&
               (config->fingerprint == 0 ||
                listener->config().fingerprint != config->fingerprint)) {
      DrainChains(listener->Update(config));
    }
  }
  by_address_.clear();
  for (const auto& [name, listener] : listeners_) {
    for (const net::Address& address : AddressesOf(listener->config())) {
      by_address_.try_emplace(address, listener.get());
    }
  }
}

// With port 0 each worker would get a port of its own, and a path can be bound only once.
bool WorkerListeners::BindsHere(const net::Address& address) const {
  return worker_.worker_index == 0 || (address.is_ip() && address.port() != 0);
}

void WorkerListeners::PlaceSockets(std::vector<BindFailure>* failures) {
  if (!accepting_) return;
  absl::flat_hash_map<net::Address, Socket> before = std::move(sockets_);
  sockets_.clear();
  bool failed = false;
  for (const auto& [name, listener] : listeners_) {
    const ListenerConfig& config = listener->config();
    if (!config.bind_to_port) continue;
    for (const net::Address& address : AddressesOf(config)) {
      if (!BindsHere(address) || sockets_.contains(address)) continue;
      Socket socket;
      socket.options.reuse_port = address.is_ip();
      socket.options.transparent = config.transparent;
      socket.options.backlog = static_cast<int>(config.backlog);
      socket.owner = listener.get();
      const auto old = before.find(address);
      if (old != before.end() && old->second.options.transparent == config.transparent) {
        socket.listener = std::move(old->second.listener);
      } else {
        auto made = net::Listen(
            worker_.loop, address, socket.options,
            [this, address](int fd, const net::Address& remote) { OnAccept(address, fd, remote); });
        if (!made.ok()) {
          failed = true;
          if (failures != nullptr) failures->push_back({name, made.status()});
          continue;
        }
        socket.listener = std::move(*made);
      }
      sockets_.emplace(address, std::move(socket));
    }
  }
  // Apply may come from within an accept callback's turn: sockets go as everything does.
  for (auto& [address, socket] : before) {
    if (socket.listener != nullptr) worker_.loop.DeferDelete(std::move(socket.listener));
  }
  if (failed) {
    if (bind_timer_ == nullptr) bind_timer_ = worker_.loop.NewTimer([this] { RetryBinding(); });
    bind_timer_->Arm(options_.bind_retry_interval);
  }
}

void WorkerListeners::RetryBinding() { PlaceSockets(nullptr); }

void WorkerListeners::DrainChains(std::vector<std::unique_ptr<ActiveChain>> chains) {
  const MonotonicTime deadline = worker_.loop.Now() + options_.drain_time;
  for (std::unique_ptr<ActiveChain>& chain : chains) {
    chain->Drain();
    draining_.push_back({std::move(chain), deadline});
  }
  if (draining_.empty()) return;
  worker_.loop.AtTurnEnd(&sweep_);
  if (drain_timer_ == nullptr) drain_timer_ = worker_.loop.NewTimer([this] { OnDrainTime(); });
  if (!drain_timer_->armed()) drain_timer_->Arm(options_.drain_time);
}

void WorkerListeners::OnDrainTime() {
  const MonotonicTime now = worker_.loop.Now();
  for (DrainingChain& entry : draining_) {
    if (entry.deadline <= now) entry.chain->CloseAll();
  }
  SweepDrained();
  if (draining_.empty()) return;
  MonotonicTime next = draining_.front().deadline;
  for (const DrainingChain& entry : draining_) next = std::min(next, entry.deadline);
  drain_timer_->Arm(std::max<Duration>(next - now, milliseconds(1)));
}

void WorkerListeners::SweepDrained() {
  draining_.erase(std::remove_if(draining_.begin(), draining_.end(),
                                 [](const DrainingChain& entry) {
                                   return entry.chain->connections().size() == 0;
                                 }),
                  draining_.end());
}

void WorkerListeners::Drain() {
  worker_.draining = true;
  for (const auto& [name, listener] : listeners_) {
    for (const FilterChain& chain : listener->config().filter_chains) {
      listener->Find(&chain)->Drain();
    }
    if (listener->config().default_chain.has_value()) {
      listener->Find(&*listener->config().default_chain)->Drain();
    }
  }
}

void WorkerListeners::StopAccepting() {
  accepting_ = false;
  for (auto& [address, socket] : sockets_) {
    worker_.loop.DeferDelete(std::move(socket.listener));
  }
  sockets_.clear();
}

size_t WorkerListeners::connections() const {
  size_t count = pending_.size();
  for (const auto& [name, listener] : listeners_) count += listener->connections();
  for (const DrainingChain& entry : draining_) count += entry.chain->connections().size();
  return count;
}

net::Address WorkerListeners::BoundAddress(const std::string& name) const {
  const auto listener = listeners_.find(name);
  if (listener == listeners_.end()) return {};
  const auto socket = sockets_.find(listener->second->config().address);
  return socket == sockets_.end() ? net::Address() : socket->second.listener->address();
}

// ---- Accepting ----------------------------------------------------------------------------------

void WorkerListeners::OnAccept(const net::Address& socket_address, int fd,
                               const net::Address& remote) {
  const auto socket = sockets_.find(socket_address);
  if (socket == sockets_.end()) {
    close(fd);
    return;
  }
  ActiveListener& accepted_by = *socket->second.owner;
  if (options_.connections_max > 0 && connections() >= options_.connections_max) {
    accepted_by.stats()->downstream_global_cx_overflow.Inc();
    close(fd);
    return;
  }
  const ListenerConfig& config = accepted_by.config();
  net::Address destination;
  if (config.original_dst_filter || config.use_original_dst) {
    auto original = options_.original_destination(fd);
    if (original.ok()) destination = *original;
  }
  if (destination.set() && config.use_original_dst) {
    return Dispatch(Target(accepted_by, destination), fd, remote, destination);
  }
  Dispatch(accepted_by, fd, remote, destination);
}

ActiveListener& WorkerListeners::Target(ActiveListener& accepted_by,
                                        const net::Address& destination) {
  for (const net::Address& address : {destination, AnyOf(destination)}) {
    const auto found = by_address_.find(address);
    if (found != by_address_.end() && found->second != &accepted_by) return *found->second;
  }
  return accepted_by;
}

void WorkerListeners::Dispatch(ActiveListener& listener, int fd, const net::Address& remote,
                               const net::Address& original) {
  const ListenerConfig& config = listener.config();
  net::ConnectionLimits limits;
  limits.read_buffer_bytes_max = config.buffer_bytes_max;
  limits.write_buffer_bytes_high = config.buffer_bytes_max;
  std::unique_ptr<net::Connection> connection =
      net::NewServerConnection(worker_.loop, fd, remote, limits);
  const net::Address destination = original.set() ? original : connection->local_address();
  const uint16_t port = destination.port();
  PendingConnection::Options sniff;
  sniff.http = config.http_inspector && !InRanges(config.http_inspector_off, port);
  sniff.tls = config.tls_inspector && !InRanges(config.tls_inspector_off, port);
  sniff.timeout = config.sniff_timeout;
  sniff.continue_on_timeout = config.continue_on_sniff_timeout;
  if ((!sniff.http && !sniff.tls) || !NeedsSniffing(config, destination)) {
    return Match(listener, std::move(connection), destination, nullptr, false);
  }
  listener.stats()->downstream_pre_cx_active.Inc();
  // The listener may have changed, or be gone, when the client has spoken: it is looked up again.
  auto done = [this, name = config.name, stats = listener.stats(), destination](
                  std::unique_ptr<net::Connection> ready, const SniffResult& result,
                  bool end_of_stream, PendingConnection::Outcome outcome) {
    stats->downstream_pre_cx_active.Dec();
    if (ready == nullptr) return;
    const auto found = listeners_.find(name);
    if (outcome == PendingConnection::Outcome::kTimedOut) stats->downstream_pre_cx_timeout.Inc();
    if (outcome == PendingConnection::Outcome::kTimedOut || found == listeners_.end()) {
      worker_.loop.DeferDelete(std::move(ready));
      return;
    }
    Match(*found->second, std::move(ready), destination, &result, end_of_stream);
  };
  pending_.Add(std::make_unique<PendingConnection>(pending_, worker_.loop, sniff,
                                                   std::move(connection), std::move(done)));
}

void WorkerListeners::Match(ActiveListener& listener, std::unique_ptr<net::Connection> connection,
                            const net::Address& destination, const SniffResult* sniffed,
                            bool end_of_stream) {
  ChainQuery query;
  query.destination = destination;
  query.direct_source = query.source = connection->remote_address();
  query.sniffed = sniffed;
  ActiveChain* chain = listener.Find(MatchChain(listener.config(), query));
  if (chain == nullptr) return Refuse(listener, std::move(connection), destination);
  ActiveChain::Accepted accepted;
  accepted.connection = std::move(connection);
  accepted.local = destination;
  accepted.sniffed = sniffed;
  accepted.end_of_stream = end_of_stream;
  accepted.stats = listener.stats();
  chain->Take(std::move(accepted));
}

void WorkerListeners::Refuse(ActiveListener& listener, std::unique_ptr<net::Connection> connection,
                             const net::Address& destination) {
  listener.stats()->no_filter_chain_match.Inc();
  StreamInfo info;
  info.start = info.end = worker_.loop.Now();
  info.start_wall = worker_.loop.WallNow();
  info.downstream_remote = info.downstream_direct_remote = connection->remote_address();
  info.downstream_local = destination;
  info.response_flags = kFlagNoRoute;
  info.response_code_details = "filter_chain_not_found";
  for (const auto& log : listener.config().access_logs) {
    log->Write(nullptr, nullptr, nullptr, info);
  }
  worker_.loop.DeferDelete(std::move(connection));
}

}  // namespace meltemi::proxy
