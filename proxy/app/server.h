// The whole proxy: builds the object graph, runs the main loop, drains and ends.
//
//   PRE_INITIALIZING -> INITIALIZING -> LIVE -> DRAINING -> end
//     (construction)    (workers run,    (first configuration is on all workers)
//                        ADS connects)       and there is a certificate)
//
// Main thread. One object per process, though nothing in it is global.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/clock/clock.h"
#include "base/loop/loop.h"
#include "base/metrics/metrics.h"
#include "base/net/dns.h"
#include "base/random/random.h"
#include "proxy/app/admin/admin.h"
#include "proxy/app/admin/admin_servers.h"
#include "proxy/app/compilers.h"
#include "proxy/app/drain.h"
#include "proxy/app/options.h"
#include "proxy/app/worker.h"
#include "proxy/config/bootstrap/bootstrap.h"
#include "proxy/config/secrets/ca_client.h"
#include "proxy/config/secrets/files.h"
#include "proxy/config/secrets/secret_loader.h"
#include "proxy/config/secrets/secrets.h"
#include "proxy/config/snapshot.h"
#include "proxy/config/store/config_store.h"
#include "proxy/config/xds/ads_transport.h"
#include "proxy/config/xds/intake.h"
#include "proxy/config/xds/xds_client.h"
#include "proxy/upstream/upstream.h"

namespace meltemi::proxy {

class ProbeServer;

class Server final : private SnapshotSink, private AdminActions, private Drainable {
 public:
  // Everything but running. Error: what is wrong with the bootstrap or a port, in one sentence.
  static absl::StatusOr<std::unique_ptr<Server>> New(const Options& options, Bootstrap bootstrap);
  ~Server() override;

  // Until a signal or /quitquitquit; the exit code.
  int Run();

 private:
  Server(const Options& options, Bootstrap bootstrap, const Clock& clock);
  absl::Status Init();
  absl::Status ListenAdmin();
  absl::Status ListenProbes();
  void StartWorkers();
  void MakeCaClient();
  void StartAds();
  void WatchSignals();
  void OnEndSignal(absl::string_view name);
  void OnConfigured();
  void GoLive();
  void CountListeners(const Snapshot& next);

  // --- SnapshotSink
  void Apply(std::shared_ptr<const Snapshot> snapshot, absl::AnyInvocable<void()> applied) override;
  void OnApplied(size_t worker, uint64_t sequence, ApplyReport report);

  // --- AdminActions
  ServerState state() const override { return state_; }
  bool ready() const override { return state_ == ServerState::kLive && !healthcheck_failed_; }
  Duration uptime() const override;
  uint32_t workers() const override { return static_cast<uint32_t>(workers_.size()); }
  const std::map<std::string, net::Address>& bound_listeners() const override { return bound_; }
  void FailHealthcheck(bool fail) override { healthcheck_failed_ = fail; }
  void DrainListeners() override;
  void Quit() override;
  void UpdateServerStats() override;

  // --- Drainable
  void AnnounceEnd() override;
  void StopAccepting() override;
  void CountConnections(absl::AnyInvocable<void(size_t)> done) override;
  void Drained() override { loop_->Exit(); }

  // Constant after construction.
  const Options options_;
  const Bootstrap bootstrap_;
  const Clock& clock_;
  const MonotonicTime started_;
  const WallTime started_wall_;

  // In the order in which they need each other; destroyed the other way round.
  FastRandom random_;
  metrics::Registry registry_;
  metrics::Shard& shard_;
  std::unique_ptr<Loop> loop_;
  Secrets secrets_;
  FileWatcher watcher_;
  SecretLoader secret_loader_;
  std::unique_ptr<net::DnsResolver> dns_;
  std::unique_ptr<ClusterDirectory> clusters_;
  std::unique_ptr<Compilers> compilers_;
  std::unique_ptr<ConfigStore> store_;
  std::unique_ptr<Intake> intake_;
  std::unique_ptr<XdsClient> xds_;
  std::unique_ptr<AdsTransport> ads_;
  std::unique_ptr<CaClient> ca_;  // null: no certificate of our own
  std::vector<std::unique_ptr<Worker>> workers_;
  std::unique_ptr<Admin> admin_;
  std::unique_ptr<AdminServers> admin_servers_;
  std::unique_ptr<ProbeServer> probe_server_;
  std::unique_ptr<Drain> drain_;
  std::vector<std::unique_ptr<FdWatch>> signals_;
  std::unique_ptr<Timer> trim_timer_;

  ServerState state_ = ServerState::kPreInitializing;
  bool configured_ = false;  // the first configuration is on all workers
  bool healthcheck_failed_ = false;
  std::shared_ptr<const Snapshot> snapshot_;        // the last one that was sent to the workers
  std::map<std::string, net::Address> bound_;       // as the first worker reported last
  std::map<std::string, std::string> bind_errors_;  // by listener, to log each once
};

}  // namespace meltemi::proxy
