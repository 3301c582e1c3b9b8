// Active health checks of a cluster's hosts.
#pragma once

#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "base/loop/loop.h"
#include "base/metrics/metrics.h"
#include "base/random/random.h"
#include "proxy/upstream/cluster/cluster_config.h"
#include "proxy/upstream/cluster/host.h"
#include "proxy/upstream/pool/connector.h"

namespace meltemi::proxy {

class HealthSession;

// Main loop. Sets and clears the hosts' kFailedActiveCheck and kPendingFirstCheck bits. Whoever
// makes a host sets both; its first success then makes it healthy at once, later results count
// against the thresholds (as in Envoy). A host that comes without them (it served before there were
// checks) is healthy until it fails.
class HealthChecker {
 public:
  using Callback = absl::AnyInvocable<void()>;
  // `on_change`: the health of some host has changed, or the last first check is done; at the end
  // of the turn. Never from within a call into this object.
  HealthChecker(Loop& loop, Random& random, const Connector& connector, metrics::Scope& scope,
                std::shared_ptr<const ClusterConfig> config, Callback on_change);
  ~HealthChecker();
  HealthChecker(const HealthChecker&) = delete;
  HealthChecker& operator=(const HealthChecker&) = delete;

  // The hosts of now. Checks of those that stay go on; new ones are checked at once.
  void SetHosts(const std::vector<std::shared_ptr<Host>>& hosts);
  // True once for an ejected host that has passed a check (`on_change` is called for those too).
  bool TakeSuccess(const Host& host);
  // All hosts have had their first check.
  bool first_round_done() const;

 private:
  friend class HealthSession;
  class ChangeTask final : public TurnEndTask {
   public:
    explicit ChangeTask(HealthChecker& owner) : owner_(owner) {}
    void RunAtTurnEnd() override { owner_.on_change_(); }

   private:
    HealthChecker& owner_;
  };
  void OnSessionChanged() { loop_.AtTurnEnd(&change_task_); }
  // From the results of all checks of the host.
  void UpdateBits(Host& host);

  Loop& loop_;
  Random& random_;
  const Connector& connector_;
  metrics::Scope& scope_;
  const std::shared_ptr<const ClusterConfig> config_;
  Callback on_change_;
  ChangeTask change_task_{*this};
  // One for each check of the cluster's configuration.
  absl::flat_hash_map<const Host*, std::vector<std::unique_ptr<HealthSession>>> sessions_;
};

}  // namespace meltemi::proxy
