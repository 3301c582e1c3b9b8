// Taints that follow from what is known of a node, and how they are put on it.
//
// Threads: functions without state; those with a client block.
// Source: Kubernetes' well-known taints.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "kube/client/client.h"
#include "kube/core/v1/node.pb.h"
#include "kube/core/v1/placement.pb.h"
#include "kube/status/status.h"

namespace meltemi::controllers {

inline constexpr char kNotReadyTaint[] = "node.kubernetes.io/not-ready";
inline constexpr char kUnreachableTaint[] = "node.kubernetes.io/unreachable";
inline constexpr char kOutOfServiceTaint[] = "node.kubernetes.io/out-of-service";
inline constexpr char kNoSchedule[] = "NoSchedule";
inline constexpr char kNoExecute[] = "NoExecute";

// Taints are told apart by their key and effect.
struct TaintName {
  std::string key, effect;

  bool operator==(const TaintName& o) const { return key == o.key && effect == o.effect; }
};
struct TaintChange {
  std::vector<TaintName> add, remove;

  bool empty() const { return add.empty() && remove.empty(); }
};

const kube::core::v1::NodeCondition* FindCondition(const kube::core::v1::Node& node,
                                                   absl::string_view type);
// "True", "False", "Unknown"; empty: the node has no such condition.
std::string ReadyStatus(const kube::core::v1::Node& node);
bool HasTaint(const kube::core::v1::Node& node, absl::string_view key, absl::string_view effect);

// What there is to do for the NoSchedule taints to be those of the conditions and of
// spec.unschedulable. Taints of other people stay.
TaintChange NoScheduleChange(const kube::core::v1::Node& node);

// How the NoExecute taint of a node whose Ready condition is `ready` has to change: at once, or
// when its zone's turn comes.
// Nothing changes while nothing is known of it (`ready` is empty).
struct NoExecuteDecision {
  TaintChange now;
  bool wait = false;
};
NoExecuteDecision NoExecuteChange(const kube::core::v1::Node& node, absl::string_view ready);

// Reads the node, and makes the change that `decide` wants for it as it is now; if it is still the
// one with this uid.
kube::Outcome ApplyTaints(
    kube::Client& client, const std::string& node, const std::string& uid,
    const std::function<TaintChange(const kube::core::v1::Node& current)>& decide, WallTime now);

// Labels that older clients know under another name: those to be set.
std::vector<std::pair<std::string, std::string>> MissingLabels(const kube::core::v1::Node& node);

}  // namespace meltemi::controllers
