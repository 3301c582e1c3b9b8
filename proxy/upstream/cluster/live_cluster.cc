#include "proxy/upstream/cluster/live_cluster.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "base/log/log.h"
#include "proxy/transport/host_transport.h"
#include "proxy/upstream/attempt/http_attempt.h"
#include "proxy/upstream/attempt/socket_attempt.h"
#include "proxy/upstream/outlier/record.h"

namespace meltemi::proxy {
namespace {

// Pools of one host for names that requests chose (auto_sni): who invents names gets no further.
constexpr size_t kPoolsPerHostMax = 64;

http::Protocol UpstreamProtocolOf(const ClusterConfig& config, http::Protocol downstream) {
  switch (config.protocol) {
    case UpstreamProtocol::kHttp2:
      return http::Protocol::kHttp2;
    case UpstreamProtocol::kSameAsDownstream:
      return downstream == http::Protocol::kHttp2 ? downstream : http::Protocol::kHttp11;
    case UpstreamProtocol::kByAlpn:
    case UpstreamProtocol::kHttp1:
      break;
  }
  return http::Protocol::kHttp11;
}

// The host that a request asks for, without its port.
std::string NameOf(const http::HeaderMap& headers, const std::string& header) {
  absl::string_view name = header.empty() ? headers.authority() : headers.Get(header);
  if (absl::StartsWith(name, "[")) {
    name = name.substr(1, name.find(']') - 1);
  } else {
    name = name.substr(0, name.find(':'));
  }
  return absl::AsciiStrToLower(name);
}

bool SameAlpn(const AlpnOverride* a, const AlpnOverride* b) {
  return a == b || (a != nullptr && b != nullptr && *a == *b);
}

}  // namespace

class LiveCluster::Engine final : public AttemptHome {
 public:
  Engine(WorkerResources& resources, std::shared_ptr<const ClusterView> view)
      : resources_(resources),
        view_(std::move(view)),
        stats_(resources.shard, *view_->config),
        pools_{resources.loop, resources.connector, stats_, view_->breakers} {
    SetPicker();
  }
  ~Engine() override {
    while (users_ != nullptr) {
      ClusterUser& user = *users_;
      RemoveUser(user);
      user.OnClusterGone();
    }
  }

  // AttemptHome
  Loop& loop() override { return resources_.loop; }
  ClusterStats& stats() override { return stats_; }
  Breakers& breakers() override { return *view_->breakers; }
  void AddUser(ClusterUser& user) override;
  void RemoveUser(ClusterUser& user) override;
  void ReportOutcome(Host& host, int status, StreamError error) override;

  void Update(std::shared_ptr<const ClusterView> view);
  void Retire(Loop::Callback on_idle);
  void DrainConnections();
  bool idle() const { return users_ == nullptr && slots_.empty() && draining_.empty(); }

  std::unique_ptr<Attempt> Start(const AttemptOptions& options, AttemptEvents& events);
  std::unique_ptr<TcpAttempt> StartTcp(const BalanceContext& context, TcpAttemptEvents& events);

 private:
  struct Slot {
    std::shared_ptr<Host> host;
    std::vector<std::unique_ptr<Pool>> pools;  // mostly one
    bool healthy = true;
    bool tls = false;
    bool named = false;  // requests choose the name
  };
  struct Destination {
    std::shared_ptr<Host> host;
    StreamError error = StreamError::kNone;
    absl::string_view detail;
  };
  class IdleTask final : public TurnEndTask {
   public:
    explicit IdleTask(Engine& owner) : owner_(owner) {}
    void RunAtTurnEnd() override { owner_.TellIdle(); }

   private:
    Engine& owner_;
  };

  void SetPicker() {
    picker_ = view_->hosts == nullptr
                  ? nullptr
                  : std::make_unique<HostPicker>(view_->hosts, view_->config, resources_.random);
  }
  Destination Choose(const BalanceContext& context, const http::HeaderMap* headers);
  Destination ChooseOriginalDst(const BalanceContext& context, const http::HeaderMap* headers);
  bool Dropped();
  Pool& PoolFor(const std::shared_ptr<Host>& host, const AttemptOptions& options);
  Pool& AddPool(Slot& slot, PoolKind kind);
  void DrainPool(std::unique_ptr<Pool> pool);
  void DrainSlot(Slot& slot);
  void OnPoolEmpty(Pool* pool);
  void SweepOriginalDst();
  void TellIdle();

  WorkerResources& resources_;
  std::shared_ptr<const ClusterView> view_;
  ClusterStats stats_;
  PoolContext pools_;
  std::unique_ptr<HostPicker> picker_;
  absl::flat_hash_map<const Host*, Slot> slots_;
  std::vector<std::unique_ptr<Pool>> draining_;
  ClusterUser* users_ = nullptr;
  OriginalDstHosts original_dst_;
  std::unique_ptr<Timer> sweep_timer_;
  Loop::Callback on_idle_;
  IdleTask idle_task_{*this};
};

void LiveCluster::Engine::AddUser(ClusterUser& user) {
  user.prev_user = nullptr;
  user.next_user = users_;
  if (users_ != nullptr) users_->prev_user = &user;
  users_ = &user;
}

void LiveCluster::Engine::RemoveUser(ClusterUser& user) {
  (user.prev_user == nullptr ? users_ : user.prev_user->next_user) = user.next_user;
  if (user.next_user != nullptr) user.next_user->prev_user = user.prev_user;
  user.next_user = user.prev_user = nullptr;
  if (users_ == nullptr && on_idle_) resources_.loop.AtTurnEnd(&idle_task_);
}

void LiveCluster::Engine::ReportOutcome(Host& host, int status, StreamError error) {
  const auto& outlier = view_->config->outlier;
  if (!outlier.has_value() || view_->outlier_alarm == nullptr) return;
  const OutlierAlarms alarms = RecordOutcome(host.outlier, *outlier, status, error);
  const auto raise = [&](OutlierKind kind) {
    view_->outlier_alarm->OnThreshold(host.shared_from_this(), kind);
  };
  if (alarms.consecutive_gateway) raise(OutlierKind::kConsecutiveGateway);
  if (alarms.consecutive_5xx) raise(OutlierKind::kConsecutive5xx);
  if (alarms.consecutive_local_origin) raise(OutlierKind::kConsecutiveLocalOrigin);
}

void LiveCluster::Engine::Update(std::shared_ptr<const ClusterView> view) {
  const bool same_config = view->config == view_->config;
  view_ = std::move(view);
  SetPicker();
  if (!same_config) {
    for (auto& [host, slot] : slots_) DrainSlot(slot);
    slots_.clear();
    return;
  }
  if (view_->hosts == nullptr || slots_.empty()) return;
  absl::flat_hash_set<const Host*> present;
  for (const HostPriority& priority : view_->hosts->priorities) {
    for (const WeightedHost& entry : priority.all->hosts) present.insert(entry.host.get());
  }
  for (auto it = slots_.begin(); it != slots_.end();) {
    Slot& slot = it->second;
    const bool healthy = slot.host->healthy();
    // Connections to a host that has just become unhealthy are not trusted any more either.
    if (!present.contains(it->first) || (slot.healthy && !healthy)) {
      DrainSlot(slot);
      slots_.erase(it++);
      continue;
    }
    slot.healthy = healthy;
    ++it;
  }
}

void LiveCluster::Engine::DrainSlot(Slot& slot) {
  for (std::unique_ptr<Pool>& pool : slot.pools) DrainPool(std::move(pool));
  slot.pools.clear();
}

void LiveCluster::Engine::DrainPool(std::unique_ptr<Pool> pool) {
  pool->StartDrain();
  draining_.push_back(std::move(pool));
}

void LiveCluster::Engine::OnPoolEmpty(Pool* pool) {
  const auto at = std::find_if(draining_.begin(), draining_.end(),
                               [&](const auto& held) { return held.get() == pool; });
  if (at == draining_.end()) return;
  resources_.loop.DeferDelete(std::move(*at));
  draining_.erase(at);
  if (on_idle_) resources_.loop.AtTurnEnd(&idle_task_);
}

void LiveCluster::Engine::DrainConnections() {
  for (auto& [host, slot] : slots_) DrainSlot(slot);
  slots_.clear();
}

void LiveCluster::Engine::Retire(Loop::Callback on_idle) {
  on_idle_ = std::move(on_idle);
  sweep_timer_.reset();
  DrainConnections();
  resources_.loop.AtTurnEnd(&idle_task_);
}

void LiveCluster::Engine::TellIdle() {
  if (on_idle_ && idle()) std::exchange(on_idle_, nullptr)();
}

bool LiveCluster::Engine::Dropped() {
  for (const uint32_t per_million : view_->drop_per_million) {
    if (resources_.random.Below(1000000) < per_million) return true;
  }
  return false;
}

LiveCluster::Engine::Destination LiveCluster::Engine::Choose(const BalanceContext& context,
                                                             const http::HeaderMap* headers) {
  if (!view_->drop_per_million.empty() && Dropped()) {
    stats_.Inc(ClusterCounter::kRqDropOverload);
    return {nullptr, StreamError::kOverflow, "drop_overload"};
  }
  if (view_->config->discovery == Discovery::kOriginalDst) {
    return ChooseOriginalDst(context, headers);
  }
  HostPicker::Choice choice;
  if (picker_ != nullptr) {
    choice = picker_->Pick(context.hash, context.tried, context.host_selection_tries);
  }
  if (choice.panic) stats_.Inc(ClusterCounter::kLbHealthyPanic);
  if (choice.host == nullptr) {
    stats_.Inc(ClusterCounter::kCxNoneHealthy);
    return {nullptr, StreamError::kNoHealthyUpstream, "no healthy upstream"};
  }
  // The picker hands out const pointers to hosts that the set owns as mutable ones.
  return {std::const_pointer_cast<Host>(choice.host->shared_from_this()), StreamError::kNone, ""};
}

LiveCluster::Engine::Destination LiveCluster::Engine::ChooseOriginalDst(
    const BalanceContext& context, const http::HeaderMap* headers) {
  const auto address = OriginalDestinationOf(*view_->config, headers, context.original_dst);
  if (!address.ok()) stats_.Inc(ClusterCounter::kOriginalDstHostInvalid);
  std::shared_ptr<Host> host;
  if (address.ok() && address->set()) host = original_dst_.FindOrAdd(*address, *view_->config);
  if (host == nullptr) {
    stats_.Inc(ClusterCounter::kCxNoneHealthy);
    return {nullptr, StreamError::kNoHealthyUpstream, "no original destination"};
  }
  if (sweep_timer_ == nullptr) {
    sweep_timer_ = resources_.loop.NewTimer([this] { SweepOriginalDst(); });
    sweep_timer_->Arm(view_->config->cleanup_interval);
  }
  return {std::move(host), StreamError::kNone, ""};
}

void LiveCluster::Engine::SweepOriginalDst() {
  for (const std::shared_ptr<Host>& host : original_dst_.Sweep()) {
    const auto at = slots_.find(host.get());
    if (at == slots_.end()) continue;
    DrainSlot(at->second);
    slots_.erase(at);
  }
  sweep_timer_->Arm(view_->config->cleanup_interval);
}

Pool& LiveCluster::Engine::PoolFor(const std::shared_ptr<Host>& host,
                                   const AttemptOptions& options) {
  const ClusterConfig& config = *view_->config;
  Slot& slot = slots_[host.get()];
  if (slot.host == nullptr) {
    slot.host = host;
    slot.healthy = host->healthy();
    slot.tls = TlsSocketFor(config, host->config) != nullptr;
    slot.named = slot.tls && (config.transport->auto_sni || config.transport->auto_san_validation);
  }
  const http::Protocol protocol = UpstreamProtocolOf(config, options.balance.downstream_protocol);
  // A tunnel needs to know beforehand what it will be carried by.
  const bool by_alpn = config.protocol == UpstreamProtocol::kByAlpn && slot.tls && !options.tunnel;
  const AlpnOverride* const alpn =
      slot.tls && options.alpn != nullptr ? options.alpn->get() : nullptr;
  std::string name;
  if (slot.named) name = NameOf(*options.headers, config.transport->auto_sni_header);
  for (const std::unique_ptr<Pool>& pool : slot.pools) {
    const PoolKind& kind = pool->kind();
    if (kind.protocol == protocol && kind.by_alpn == by_alpn && kind.name == name &&
        SameAlpn(kind.alpn.get(), alpn)) {
      return *pool;
    }
  }
  return AddPool(slot,
                 {protocol, by_alpn, std::move(name), alpn == nullptr ? nullptr : *options.alpn});
}

Pool& LiveCluster::Engine::AddPool(Slot& slot, PoolKind kind) {
  if (slot.pools.size() >= kPoolsPerHostMax) {
    DrainPool(std::move(slot.pools.front()));
    slot.pools.erase(slot.pools.begin());
  }
  slot.pools.push_back(std::make_unique<Pool>(pools_, view_->config, slot.host, std::move(kind)));
  Pool& pool = *slot.pools.back();
  pool.SetOnEmpty([this, raw = &pool] { OnPoolEmpty(raw); });
  return pool;
}

std::unique_ptr<Attempt> LiveCluster::Engine::Start(const AttemptOptions& options,
                                                    AttemptEvents& events) {
  auto attempt = std::make_unique<HttpAttempt>(*this, view_->config, options, events);
  Destination to = Choose(options.balance, options.headers);
  if (to.host == nullptr) {
    attempt->BeginFailed(to.error, to.detail);
    return attempt;
  }
  Pool& pool = PoolFor(to.host, options);
  attempt->Begin(std::move(to.host), pool);
  return attempt;
}

std::unique_ptr<TcpAttempt> LiveCluster::Engine::StartTcp(const BalanceContext& context,
                                                          TcpAttemptEvents& events) {
  auto attempt = std::make_unique<SocketAttempt>(*this, view_->config, events);
  if (!view_->breakers->CanAdd(BreakerKind::kConnections, false, *view_->config)) {
    stats_.Inc(ClusterCounter::kCxOverflow);
    attempt->BeginFailed(StreamError::kOverflow, "circuit breaker open");
    return attempt;
  }
  Destination to = Choose(context, nullptr);
  if (to.host == nullptr) {
    attempt->BeginFailed(to.error, to.detail);
  } else {
    attempt->Begin(std::move(to.host), resources_.connector);
  }
  return attempt;
}

LiveCluster::LiveCluster(WorkerResources& resources, std::shared_ptr<const ClusterView> view)
    : resources_(resources), view_(std::move(view)) {}

LiveCluster::~LiveCluster() = default;

LiveCluster::Engine& LiveCluster::engine() {
  if (engine_ == nullptr) engine_ = std::make_unique<Engine>(resources_, view_);
  return *engine_;
}

void LiveCluster::Update(std::shared_ptr<const ClusterView> view) {
  view_ = std::move(view);
  if (engine_ != nullptr) engine_->Update(view_);
}

void LiveCluster::Retire(Loop::Callback on_idle) { engine().Retire(std::move(on_idle)); }

void LiveCluster::DrainConnections() {
  if (engine_ != nullptr) engine_->DrainConnections();
}

bool LiveCluster::idle() const { return engine_ == nullptr || engine_->idle(); }

std::unique_ptr<Attempt> LiveCluster::Start(const AttemptOptions& options, AttemptEvents& events) {
  return engine().Start(options, events);
}

std::unique_ptr<TcpAttempt> LiveCluster::StartTcp(const BalanceContext& context,
                                                  TcpAttemptEvents& events) {
  return engine().StartTcp(context, events);
}

RetryPermit LiveCluster::TryRetry(bool high_priority) {
  if (!view_->breakers->CanAdd(BreakerKind::kRetries, high_priority, *view_->config)) {
    engine().stats().Inc(ClusterCounter::kRqRetryOverflow);
    return nullptr;
  }
  engine().stats().Inc(ClusterCounter::kRqRetry);
  view_->breakers->Add(BreakerKind::kRetries, high_priority);
  Breakers* breakers = view_->breakers.get();
  // The permit may outlive the cluster on this worker: it holds the breakers.
  return RetryPermit(breakers, [held = view_->breakers, high_priority](const void*) {
    held->Remove(BreakerKind::kRetries, high_priority);
  });
}

void LiveCluster::CountRetryLimitExceeded() {
  engine().stats().Inc(ClusterCounter::kRqRetryLimitExceeded);
}

}  // namespace meltemi::proxy
