// Which replica of pilot writes (status conditions, ConfigMaps, …): one leads at a time, by a
// Lease. A replica that loses it stays in the race.
//
// Threads: loop-owned.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/clock/clock.h"
#include "base/loop/loop.h"

namespace meltemi::kube {
class Client;
class Executor;
}  // namespace meltemi::kube

namespace meltemi::pilot {

struct LeadershipOptions {
  std::string ns = "istio-system";
  std::string lease = "meltemi-pilot";
  std::string identity;  // unique: the pod's name
  Duration lease_duration = seconds(15);
  Duration renew_deadline = seconds(10);
  Duration retry_period = seconds(2);
};

class Leadership {
 public:
  // Gives the lease back if it is held.
  virtual ~Leadership() = default;
  virtual bool leading() const = 0;
};

// `on_change` tells whenever this replica begins or ceases to lead. What was begun before may end
// after it: writes carry a resourceVersion. `client` and `executor` outlive it.
std::unique_ptr<Leadership> StartLeadership(Loop& loop, kube::Client& client,
                                            kube::Executor& executor, LeadershipOptions options,
                                            std::function<void(bool leading)> on_change);

}  // namespace meltemi::pilot
