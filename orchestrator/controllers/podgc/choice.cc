#include "orchestrator/controllers/podgc/choice.h"

#include <algorithm>
#include <functional>
#include <tuple>

namespace meltemi::controllers {
namespace {

using kube::core::v1::Node;
using kube::core::v1::Pod;

constexpr char kOutOfService[] = "node.kubernetes.io/out-of-service";

bool IsTerminated(const Pod& pod) {
  const std::string& phase = pod.status().phase();
  return phase != "Pending" && phase != "Running" && phase != "Unknown" && !phase.empty();
}

bool GoesFirst(const PodPtr& a, const PodPtr& b) {
  const auto rank = [](const Pod& pod) {
    const bool evicted = pod.status().phase() == "Failed" && pod.status().reason() == "Evicted";
    return std::make_tuple(!evicted, pod.metadata().creation_timestamp().seconds(),
                           std::cref(pod.metadata().name()));
  };
  return rank(*a) < rank(*b);
}

bool IsOutOfService(const Node& node) {
  const auto& conditions = node.status().conditions();
  const bool ready = std::any_of(conditions.begin(), conditions.end(), [](const auto& condition) {
    return condition.type() == "Ready" && condition.status() == "True";
  });
  const auto& taints = node.spec().taints();
  return !ready && std::any_of(taints.begin(), taints.end(),
                               [](const auto& taint) { return taint.key() == kOutOfService; });
}

}  // namespace

bool HasEnded(const Pod& pod) {
  return IsTerminated(pod) || pod.metadata().has_deletion_timestamp();
}

Choice Choose(const std::vector<PodPtr>& pods, const std::map<std::string, NodePtr>& nodes,
              int terminated_pods_max) {
  Choice out;
  for (const PodPtr& pod : pods) {
    const std::string& name = pod->spec().node_name();
    const bool terminating = pod->metadata().has_deletion_timestamp();
    if (terminated_pods_max > 0 && IsTerminated(*pod)) out.terminated.push_back(pod);
    if (name.empty()) {
      if (terminating) out.unscheduled.push_back(pod);
      continue;
    }
    const auto node = nodes.find(name);
    if (node == nodes.end()) {
      out.orphaned[name].push_back(pod);
    } else if (terminating && IsOutOfService(*node->second)) {
      out.out_of_service.push_back(pod);
    }
  }
  const size_t kept = static_cast<size_t>(std::max(0, terminated_pods_max));
  if (out.terminated.size() <= kept) {
    out.terminated.clear();
  } else {
    std::sort(out.terminated.begin(), out.terminated.end(), GoesFirst);
    out.terminated.resize(out.terminated.size() - kept);
  }
  std::sort(out.out_of_service.begin(), out.out_of_service.end(), GoesFirst);
  return out;
}

}  // namespace meltemi::controllers
