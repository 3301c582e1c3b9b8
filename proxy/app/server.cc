#include "proxy/app/server.h"

#include <malloc.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "proxy/app/probes/probe_server.h"
#include "proxy/config/bootstrap/user_agent.h"
#include "proxy/observe/mesh_stats.h"

namespace meltemi::proxy {
namespace {

// The workers have let go of the old snapshot by then.
constexpr Duration kTrimDelay = seconds(2);

// Resident pages of this process: proc(5), statm.
int64_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  int64_t pages_total = 0;
  int64_t pages_resident = 0;
  file >> pages_total >> pages_resident;
  return pages_resident * sysconf(_SC_PAGESIZE);
}

const SystemClock& TheSystemClock() {
  static const SystemClock clock;
  return clock;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::New(const Options& options, Bootstrap bootstrap) {
  auto server =
      std::unique_ptr<Server>(new Server(options, std::move(bootstrap), TheSystemClock()));
  if (absl::Status status = server->Init(); !status.ok()) return status;
  return server;
}

Server::Server(const Options& options, Bootstrap bootstrap, const Clock& clock)
    : options_(options),
      bootstrap_(std::move(bootstrap)),
      clock_(clock),
      started_(clock.Now()),
      started_wall_(clock.WallNow()),
      shard_(registry_.NewShard()),
      loop_(NewEventLoop(clock)),
      secrets_(clock),
      watcher_(*loop_),
      secret_loader_(watcher_, secrets_),
      // What parsing and compiling needed once is given back.
      trim_timer_(loop_->NewTimer([] { malloc_trim(0); })),
      snapshot_(std::make_shared<const Snapshot>()) {}

Server::~Server() {
  // Workers end first: what they hold points into the rest.
  for (const std::unique_ptr<Worker>& worker : workers_) worker->Stop();
}

absl::Status Server::Init() {
  absl::StatusOr<std::unique_ptr<net::DnsResolver>> dns = net::NewDnsResolver(*loop_, {});
  if (!dns.ok()) return dns.status();
  dns_ = *std::move(dns);
  clusters_ = NewClusterDirectory(*loop_, random_, *dns_, registry_);
  compilers_ = std::make_unique<Compilers>(bootstrap_.node().id(), secrets_);
  store_ = std::make_unique<ConfigStore>(
      *clusters_, static_cast<SnapshotSink&>(*this),
      ConfigStoreOptions{.initial_fetch_timeout = bootstrap_.initial_fetch_timeout});
  intake_ = std::make_unique<Intake>(*compilers_, *store_, clock_, &secret_loader_);
  xds_ =
      std::make_unique<XdsClient>(*loop_, *intake_, *store_, bootstrap_.node(), shard_.root(),
                                  [this](std::string request) { ads_->Send(std::move(request)); });
  if (bootstrap_.ads && bootstrap_.ads->delta) xds_->SetProtocol(XdsProtocol::kDelta);
  xds_->SetDynamic(bootstrap_.clusters_over_ads, bootstrap_.listeners_over_ads);
  xds_->OnConfigured([this] { OnConfigured(); });
  const auto advance = [this] {
    store_->OnClusterWarm();
    xds_->Advance();
  };
  clusters_->OnWarm(advance);
  compilers_->OnSecretsReady(advance);
  admin_ = std::make_unique<Admin>(Admin::Sources{.options = options_,
                                                  .bootstrap = bootstrap_,
                                                  .intake = *intake_,
                                                  .store = *store_,
                                                  .xds = *xds_,
                                                  .secrets = secrets_,
                                                  .clock = clock_,
                                                  .clusters = *clusters_,
                                                  .registry = registry_,
                                                  .actions = *this,
                                                  .started = started_wall_});
  drain_ = std::make_unique<Drain>(
      *loop_, static_cast<Drainable&>(*this),
      DrainTimes{.grace = options_.drain_grace, .time_max = options_.drain_time});
  MakeCaClient();
  return intake_->AddStatic(*bootstrap_.proto, loop_->Now());
}

absl::Status Server::ListenAdmin() {
  admin_servers_ = std::make_unique<AdminServers>(*loop_, *admin_);
  absl::Status status;
  if (bootstrap_.admin_address) status = admin_servers_->ListenAdmin(*bootstrap_.admin_address);
  if (status.ok() && options_.status_port) {
    status = admin_servers_->ListenStatus(net::Address::Any4(*options_.status_port));
  }
  if (status.ok() && options_.stats_port) {
    status = admin_servers_->ListenStats(net::Address::Any4(*options_.stats_port));
  }
  if (status.ok()) status = ListenProbes();
  if (!status.ok()) return status;
  if (!options_.admin_address_path.empty()) {
    std::ofstream file(options_.admin_address_path);
    file << admin_servers_->admin_address().ToString();
    if (!file.flush()) {
      return absl::UnavailableError(
          absl::StrCat("--admin-address-path: ", options_.admin_address_path, " can't be written"));
    }
  }
  if (bootstrap_.admin_address) {
    LOG(kInfo, "main", "admin on ", admin_servers_->admin_address().ToString());
  }
  return absl::OkStatus();
}

absl::Status Server::ListenProbes() {
  if (!options_.probes_port) return absl::OkStatus();
  absl::StatusOr<AppProbes> probes =
      ParseAppProbes(options_.probes.empty() ? "{}" : options_.probes);
  if (!probes.ok()) return probes.status();
  ProbeServerOptions server;
  server.address = net::Address::Any4(*options_.probes_port);
  server.pod_ip = options_.sidecar.ip;
  server.probes = *std::move(probes);
  server.ready = [this] { return ready(); };
  server.stats = [this] {
    return admin_->HandleStats(ParseAdminTarget("GET", "/stats/prometheus")).body;
  };
  server.drain = [this] { DrainListeners(); };
  server.quit = [this] { Quit(); };
  absl::StatusOr<std::unique_ptr<ProbeServer>> listening =
      ProbeServer::Listen(*loop_, std::move(server));
  if (!listening.ok()) return listening.status();
  probe_server_ = *std::move(listening);
  LOG(kInfo, "main", "probes on ", probe_server_->address().ToString());
  return absl::OkStatus();
}

int Server::Run() {
  WatchSignals();
  if (absl::Status status = ListenAdmin(); !status.ok()) {
    LOG(kError, "main", status.message());
    return 1;
  }
  state_ = ServerState::kInitializing;
  StartWorkers();
  if (ca_ != nullptr) ca_->Start();
  StartAds();
  xds_->Advance();
  loop_->Run();
  ads_.reset();
  for (const std::unique_ptr<Worker>& worker : workers_) worker->Stop();
  LOG(kInfo, "main", "ended");
  return 0;
}

void Server::StartWorkers() {
  const uint32_t count = WorkerCount(options_);
  const std::shared_ptr<const Workload> self = WorkloadOf(bootstrap_.node());
  for (uint32_t i = 0; i < count; ++i) {
    WorkerOptions worker;
    worker.index = i;
    worker.connections_max = (options_.connections_max + count - 1) / count;
    worker.drain_time = options_.drain_time;
    workers_.push_back(
        std::make_unique<Worker>(*loop_, clock_, *clusters_, registry_, self, worker));
  }
  for (const std::unique_ptr<Worker>& worker : workers_) worker->Start();
  LOG(kInfo, "main", kUserAgent, "/", kVersion, " ", bootstrap_.node().id(), ": ", count,
      " workers");
}

void Server::MakeCaClient() {
  if (!bootstrap_.ca) return;
  const CaTarget& target = *bootstrap_.ca;
  CaOptions options;
  options.host = target.endpoint.host;
  options.port = target.endpoint.port;
  options.files = target.credentials;
  options.identity = target.identity;
  options.cluster_id = target.cluster_id;
  options.times.validity = target.validity;
  ca_ = std::make_unique<CaClient>(*loop_, random_, *dns_, watcher_, secrets_, shard_.root(),
                                   options);
  ca_->OnReady([this] { GoLive(); });
}

void Server::StartAds() {
  if (!bootstrap_.ads) return;
  ads_ = std::make_unique<AdsTransport>(*loop_, random_, *dns_, *bootstrap_.ads, *xds_);
  ads_->Start();
}

// ---- Configuration
// -----------------------------------------------------------------------------------

void Server::Apply(std::shared_ptr<const Snapshot> snapshot, absl::AnyInvocable<void()> applied) {
  CountListeners(*snapshot);
  snapshot_ = snapshot;
  trim_timer_->Arm(kTrimDelay);
  struct Pending {
    size_t workers_left;
    absl::AnyInvocable<void()> applied;
  };
  auto pending = std::make_shared<Pending>(Pending{workers_.size(), std::move(applied)});
  for (size_t i = 0; i < workers_.size(); ++i) {
    workers_[i]->Apply(snapshot,
                       [this, i, sequence = snapshot->sequence, pending](ApplyReport report) {
                         OnApplied(i, sequence, std::move(report));
                         if (--pending->workers_left == 0) pending->applied();
                       });
  }
}

void Server::CountListeners(const Snapshot& next) {
  uint64_t added = 0, modified = 0, removed = 0;
  for (const auto& [name, listener] : next.listeners) {
    auto before = snapshot_->listeners.find(name);
    if (before == snapshot_->listeners.end()) {
      ++added;
    } else if (before->second != listener) {
      ++modified;
    }
  }
  for (const auto& [name, listener] : snapshot_->listeners) {
    removed += next.listeners.contains(name) ? 0 : 1;
  }
  metrics::Scope& scope = shard_.root();
  scope.GetCounter("envoy_listener_manager_listener_added").Add(added);
  scope.GetCounter("envoy_listener_manager_listener_modified").Add(modified);
  scope.GetCounter("envoy_listener_manager_listener_removed").Add(removed);
}

void Server::OnApplied(size_t worker, uint64_t sequence, ApplyReport report) {
  std::map<std::string, std::string> errors;
  for (const ApplyReport::Failure& failure : report.failures) {
    std::string why(failure.status.message());
    auto known = bind_errors_.find(failure.listener);
    if (known == bind_errors_.end() || known->second != why) {
      LOG(kError, "listener", "listener ", failure.listener, ": ", why, "; trying again");
      shard_.root().GetCounter("envoy_listener_manager_listener_create_failure").Inc();
    }
    errors[failure.listener] = std::move(why);
  }
  if (worker != 0) return;
  bind_errors_ = std::move(errors);
  bound_ = std::move(report.bound);
}

void Server::OnConfigured() {
  // The workers get what was published last before they get this.
  auto left = std::make_shared<size_t>(workers_.size());
  for (const std::unique_ptr<Worker>& worker : workers_) {
    worker->CountConnections([this, left](size_t) {
      if (--*left > 0) return;
      configured_ = true;
      GoLive();
    });
  }
}

void Server::GoLive() {
  if (state_ != ServerState::kInitializing || !configured_) return;
  // Without a certificate peers would refuse what is sent here.
  if (ca_ != nullptr && !ca_->ready()) return;
  state_ = ServerState::kLive;
  LOG(kInfo, "main", "ready after ", ToMillis(uptime()), " ms");
}

// ---- The end
// -----------------------------------------------------------------------------------------

void Server::WatchSignals() {
  signal(SIGPIPE, SIG_IGN);
  for (const auto& [number, name] :
       {std::pair<int, const char*>{SIGTERM, "SIGTERM"}, {SIGINT, "SIGINT"}}) {
    signals_.push_back(loop_->WatchSignal(number, [this, name = name] { OnEndSignal(name); }));
  }
  for (int number : {SIGHUP, SIGUSR1}) {
    signals_.push_back(loop_->WatchSignal(number, [this] { compilers_->ReopenLogs(); }));
  }
}

void Server::OnEndSignal(absl::string_view name) {
  if (drain_->begun()) {
    LOG(kWarn, "main", "second signal: ending at once");
    _exit(1);
  }
  LOG(kInfo, "main", name, ": draining");
  drain_->Begin();
}

void Server::AnnounceEnd() {
  state_ = ServerState::kDraining;
  for (const std::unique_ptr<Worker>& worker : workers_) worker->Drain();
}

void Server::StopAccepting() {
  for (const std::unique_ptr<Worker>& worker : workers_) worker->StopAccepting();
}

void Server::CountConnections(absl::AnyInvocable<void(size_t)> done) {
  struct Count {
    size_t workers_left;
    size_t connections = 0;
    absl::AnyInvocable<void(size_t)> done;
  };
  auto count = std::make_shared<Count>(Count{workers_.size(), 0, std::move(done)});
  for (const std::unique_ptr<Worker>& worker : workers_) {
    worker->CountConnections([count](size_t connections) {
      count->connections += connections;
      if (--count->workers_left == 0) count->done(count->connections);
    });
  }
}

// ---- Admin
// -------------------------------------------------------------------------------------------

Duration Server::uptime() const { return clock_.Now() - started_; }

void Server::DrainListeners() {
  for (const std::unique_ptr<Worker>& worker : workers_) worker->Drain();
}

void Server::Quit() {
  LOG(kInfo, "main", "/quitquitquit: draining");
  drain_->Begin();
}

void Server::UpdateServerStats() {
  // What follows renders thousands of lines: that is given back, too.
  trim_timer_->Arm(kTrimDelay);
  clusters_->RefreshStats();
  if (ca_ != nullptr) ca_->UpdateStats();
  metrics::Scope& scope = shard_.root();
  const struct mallinfo2 info = mallinfo2();
  scope.GetGauge("envoy_server_live").Set(state_ == ServerState::kLive ? 1 : 0);
  scope.GetGauge("envoy_server_state").Set(static_cast<int64_t>(state_));
  scope.GetGauge("envoy_server_uptime").Set(ToMillis(uptime()) / 1000);
  scope.GetGauge("envoy_server_concurrency").Set(static_cast<int64_t>(workers_.size()));
  scope.GetGauge("envoy_server_memory_allocated")
      .Set(static_cast<int64_t>(info.uordblks + info.hblkhd));
  scope.GetGauge("envoy_server_memory_heap_size")
      .Set(static_cast<int64_t>(info.arena + info.hblkhd));
  scope.GetGauge("envoy_server_memory_physical_size").Set(ResidentBytes());
  scope.GetGauge("envoy_server_hot_restart_epoch").Set(0);
  int64_t listeners = 0;
  for (const auto& [name, address] : bound_) listeners += address.set() ? 1 : 0;
  scope.GetGauge("envoy_listener_manager_total_listeners_active")
      .Set(static_cast<int64_t>(bound_.size()));
  scope.GetGauge("envoy_listener_manager_listeners_bound").Set(listeners);
  scope.GetGauge("envoy_listener_manager_total_listeners_warming")
      .Set(static_cast<int64_t>(store_->warming_listeners()));
  scope.GetGauge("envoy_listener_manager_workers_started").Set(workers_.empty() ? 0 : 1);
  scope.GetGauge("envoy_config_snapshot_sequence").Set(static_cast<int64_t>(store_->sequence()));
}

}  // namespace meltemi::proxy
