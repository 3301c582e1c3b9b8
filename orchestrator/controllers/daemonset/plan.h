// What is to be done about a DaemonSet: pure functions of it, its pods, the nodes and the time.
//
// Manage brings one pod to each node that should have one and takes the others away; when there is
// nothing of that kind to do, Roll replaces old pods: without surge by deleting them, with surge by
// a new pod beside the old one, which goes when the new one is available.
//
// Threads: functions without state. Source: the behaviour of Kubernetes' pkg/controller/daemon.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock/clock.h"
#include "kube/apps/v1/apps.pb.h"
#include "kube/core/v1/node.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "orchestrator/controllers/daemonset/node_rule.h"
#include "orchestrator/controllers/runtime/pods.h"

namespace meltemi::controllers::daemonsets {

constexpr char kHashLabel[] = "controller-revision-hash";
constexpr char kGenerationLabel[] = "pod-template-generation";
constexpr char kGenerationAnnotation[] = "deprecated.daemonset.template.generation";

using NodePtr = std::shared_ptr<const kube::core::v1::Node>;

// The node that the pod is for: where it is, or where its affinity wants it; empty: none.
std::string TargetNode(const kube::core::v1::Pod& pod);

struct View {
  // `hash`: of the newest revision. Pods that have ended and are being deleted are left out.
  View(const kube::apps::v1::DaemonSet& set, const std::vector<NodePtr>& nodes,
       const std::vector<PodPtr>& pods, std::string hash, WallTime now);

  struct Place {
    NodeRule::Answer answer;
    bool known = false;        // there is such a node
    std::vector<PodPtr> pods;  // on a node before others, then oldest first
  };

  bool IsUpdated(const kube::core::v1::Pod& pod) const;
  bool IsAvailable(const kube::core::v1::Pod& pod) const;

  const kube::apps::v1::DaemonSet& set;
  const std::string hash;
  const WallTime now;
  std::map<std::string, Place> places;  // by node
  int desired = 0;                      // nodes that should have a pod
  int max_surge = 0, max_unavailable = 0;
  // When a pod becomes available by the mere passing of time.
  std::optional<Duration> next_available;
};

struct Removal {
  enum class Why : uint8_t { kSurplus, kFailed, kSucceeded };
  PodPtr pod;
  std::string node;
  Why why = Why::kSurplus;
};

struct Plan {
  std::vector<std::string> create;  // nodes
  std::vector<Removal> remove;
  std::optional<Duration> wait;  // until a failed pod may be replaced
  bool empty() const { return create.empty() && remove.empty(); }
};

// `backoff`: how long failed pods of this node are still to be kept.
Plan Manage(const View& view, const std::function<Duration(const std::string& node)>& backoff);
Plan Roll(const View& view);
kube::apps::v1::DaemonSetStatus StatusOf(const View& view);

kube::core::v1::Pod NewPod(const kube::apps::v1::DaemonSet& set, const std::string& hash,
                           const std::string& node);

}  // namespace meltemi::controllers::daemonsets
