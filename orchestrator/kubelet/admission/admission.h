// What a node looks at once more before it runs a pod: the scheduler may have been wrong, absent,
// or told lies about the node.
//
// Threads: functions without state. Source: the kubelet's admission (general predicates).
#pragma once

#include <optional>
#include <string>

#include "orchestrator/scheduler/model/node_info.h"
#include "orchestrator/scheduler/model/pod_info.h"

namespace meltemi::kubelet {

// What the pods of a node that have not ended ask for.
struct NodeUse {
  scheduler::Resources requested;
  scheduler::HostPorts ports;
  int pods = 0;
};

struct Refusal {
  std::string reason, message;
};

// nullopt: welcome. `able`: what the node can do, whatever its object says. `shown`: its labels and
// taints as the API server has them; null: not known yet. Extended resources that the node does not
// have are somebody else's matter.
std::optional<Refusal> CheckAdmission(const scheduler::PodInfo& pod,
                                      const scheduler::NodeFacts& able,
                                      const scheduler::NodeFacts* shown, const NodeUse& use);

}  // namespace meltemi::kubelet
