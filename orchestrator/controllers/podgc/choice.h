// Which pods nobody else will delete.
//
// Threads: a function without state. Source: the rules of Kubernetes' pod garbage collector.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kube/core/v1/node.pb.h"
#include "kube/core/v1/pod.pb.h"

namespace meltemi::controllers {

using PodPtr = std::shared_ptr<const kube::core::v1::Pod>;
using NodePtr = std::shared_ptr<const kube::core::v1::Node>;

struct Choice {
  std::vector<PodPtr> terminated;      // more than are kept: evicted ones first, then the oldest
  std::vector<PodPtr> out_of_service;  // terminating on nodes that will not come back
  std::vector<PodPtr> unscheduled;     // terminating, on no node
  std::map<std::string, std::vector<PodPtr>> orphaned;  // by the node that is not known
};

// Whether Choose may choose the pod although its node is there: the others need not be shown to it.
bool HasEnded(const kube::core::v1::Pod& pod);

// `terminated_pods_max` 0 or less: all are kept.
Choice Choose(const std::vector<PodPtr>& pods, const std::map<std::string, NodePtr>& nodes,
              int terminated_pods_max);

}  // namespace meltemi::controllers
