// Leader election by a Lease: any number of candidates, one leads; when it dies another one takes
// over within the lease's duration.
//
// Threads: callbacks come on the executor's threads, one at a time.
// Source: client-go's tools/leaderelection, coordination.k8s.io/v1 Lease.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/clock/clock.h"

namespace meltemi::kube {

class Client;
class Executor;
class Random;

struct LeaderOptions {
  std::string ns = "kube-system";
  std::string lease;     // "kube-controller-manager"
  std::string identity;  // "HOST_UUID"
  Duration lease_duration = seconds(15);
  Duration renew_deadline = seconds(10);  // a leader that can't renew for this long steps down
  Duration retry_period = seconds(2);
  // At the end: give the lease back, so that the next one need not wait.
  bool release_on_end = true;
};

class LeaderElection {
 public:
  // Steps down (and releases); no callback follows.
  virtual ~LeaderElection() = default;
  virtual bool leading() const = 0;
  // Who leads as far as is known; empty at first.
  virtual std::string leader() const = 0;
};

// `on_lost` is called at most once, after `on_leading`: the process is to end then, since nothing
// of what it has under way may be finished.
std::unique_ptr<LeaderElection> StartLeaderElection(Client& client, Executor& executor,
                                                    const LeaderOptions& options,
                                                    std::function<void()> on_leading,
                                                    std::function<void()> on_lost);

}  // namespace meltemi::kube
