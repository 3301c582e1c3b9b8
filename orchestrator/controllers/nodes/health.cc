#include "orchestrator/controllers/nodes/health.h"

#include "orchestrator/controllers/nodes/taints.h"

namespace meltemi::controllers {
namespace {

using kube::coordination::v1::Lease;
using kube::core::v1::Node;
using kube::core::v1::NodeCondition;

// NetworkUnavailable is not among them: it is not the kubelet's.
constexpr const char* kOfKubelet[] = {"Ready", "MemoryPressure", "DiskPressure", "PIDPressure"};

template <typename T>
bool SameTime(const T& a, const T& b) {
  return a.seconds() == b.seconds() && a.nanos() == b.nanos();
}

}  // namespace

void NodeHealth::Observe(const Node& node, const Lease* lease, MonotonicTime now) {
  const NodeCondition* const ready = FindCondition(node, "Ready");
  const bool is_new = uid_ != node.metadata().uid();
  if (is_new) {
    *this = NodeHealth();
    uid_ = node.metadata().uid();
  }
  bool heard = is_new || has_ready_ != (ready != nullptr);
  if (ready != nullptr && !SameTime(heartbeat_, ready->last_heartbeat_time())) {
    heartbeat_ = ready->last_heartbeat_time();
    heard = true;
  }
  has_ready_ = ready != nullptr;
  if (lease != nullptr && !SameTime(renewed_, lease->spec().renew_time())) {
    renewed_ = lease->spec().renew_time();
    heard = true;
  }
  if (heard) heard_ = now;
}

bool NodeHealth::IsSilent(const Grace& grace, MonotonicTime now) const {
  return now - heard_ > (has_ready_ ? grace.monitor : grace.startup);
}

bool SetUnknown(const kube::meta::v1::Time& now, Node& node) {
  bool ready_changed = false;
  for (const char* type : kOfKubelet) {
    NodeCondition* condition = nullptr;
    for (NodeCondition& each : *node.mutable_status()->mutable_conditions()) {
      if (each.type() == type) condition = &each;
    }
    if (condition != nullptr && condition->status() == "Unknown") continue;
    if (condition == nullptr) {
      condition = node.mutable_status()->add_conditions();
      condition->set_type(type);
      condition->set_reason("NodeStatusNeverUpdated");
      condition->set_message("Kubelet never posted node status.");
      *condition->mutable_last_heartbeat_time() = node.metadata().creation_timestamp();
    } else {
      condition->set_reason("NodeStatusUnknown");
      condition->set_message("Kubelet stopped posting node status.");
    }
    condition->set_status("Unknown");
    *condition->mutable_last_transition_time() = now;
    ready_changed = ready_changed || condition->type() == "Ready";
  }
  return ready_changed;
}

}  // namespace meltemi::controllers
