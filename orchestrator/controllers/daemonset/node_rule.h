// Whether a DaemonSet's pod is to run on a node: the scheduler's own rules on node names,
// selectors, affinity and taints, with the tolerations that every daemon pod has.
//
// Threads: immutable after construction.
#pragma once

#include <string>

#include "kube/core/v1/node.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "orchestrator/scheduler/plugins/placement.h"

namespace meltemi::controllers::daemonsets {

// Daemon pods stay on nodes that are not ready, out of reach, under pressure or cordoned.
void AddDaemonTolerations(kube::core::v1::PodSpec& spec);

class NodeRule final {
 public:
  explicit NodeRule(const kube::core::v1::PodTemplateSpec& pod_template);

  struct Answer {
    bool start = false;  // a pod is to be there
    bool stay = false;   // one that is there may go on
    bool operator==(const Answer& o) const { return start == o.start && stay == o.stay; }
  };
  Answer Ask(const kube::core::v1::Node& node) const;

 private:
  kube::core::v1::PodSpec spec_;
  const scheduler::RequiredNodeAffinity affinity_;
};

}  // namespace meltemi::controllers::daemonsets
