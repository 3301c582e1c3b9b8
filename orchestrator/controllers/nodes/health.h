// Whether a node is heard of: by the heartbeats of its status and by its lease, whichever changes.
// What counts is when a change was seen here, not the times that it tells: nodes' clocks may be
// wrong, and may jump.
//
// Threads: plain values; not thread-safe. Source: the rules of Kubernetes' node lifecycle
// controller.
#pragma once

#include <string>
#include <vector>

#include "base/clock/clock.h"
#include "kube/coordination/v1/coordination.pb.h"
#include "kube/core/v1/node.pb.h"

namespace meltemi::controllers {

class NodeHealth {
 public:
  struct Grace {
    Duration monitor, startup;
  };

  // What the node has shown by now. `lease` may be null.
  void Observe(const kube::core::v1::Node& node, const kube::coordination::v1::Lease* lease,
               MonotonicTime now);
  // Nothing has been heard for the grace period: the longer one before its first status.
  bool IsSilent(const Grace& grace, MonotonicTime now) const;
  // Gives it another grace period.
  void Reset(MonotonicTime now) { heard_ = now; }

  const std::string& uid() const { return uid_; }

 private:
  std::string uid_;
  bool has_ready_ = false;
  kube::meta::v1::Time heartbeat_;
  kube::meta::v1::MicroTime renewed_;
  MonotonicTime heard_;
};

// Sets what a silent kubelet would have kept up to date to Unknown; whether Ready has changed by
// it.
bool SetUnknown(const kube::meta::v1::Time& now, kube::core::v1::Node& node);

}  // namespace meltemi::controllers
