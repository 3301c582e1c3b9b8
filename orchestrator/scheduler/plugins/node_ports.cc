// NodePorts: a host port is one pod's on a node.
#include <algorithm>

#include "orchestrator/scheduler/plugins/rules.h"

namespace meltemi::scheduler {
namespace {

bool Conflict(const PodInfo& pod, const HostPorts& ports) {
  return std::any_of(pod.host_ports.begin(), pod.host_ports.end(),
                     [&](const HostPort& port) { return ports.Conflicts(port); });
}

class NodePorts final : public Plugin {
 public:
  NodePorts() { filters = true; }
  absl::string_view name() const override { return "NodePorts"; }

  Verdict PreFilter(const PodInfo& pod, const Snapshot& snapshot,
                    std::unique_ptr<PluginState>* state) const override {
    return pod.host_ports.empty() ? Verdict::Skip() : Verdict::Ok();
  }

  Verdict Filter(const PodInfo& pod, const NodeInfo& node,
                 const PluginState* state) const override {
    if (!Conflict(pod, node.host_ports)) return Verdict::Ok();
    return Verdict::Unschedulable("node(s) didn't have free ports for the requested pod ports");
  }

  bool MayHelp(const PodInfo& refused, const ClusterEvent& event) const override {
    if (event.type == ClusterEvent::Type::kNodeAdded) return true;
    if (event.type != ClusterEvent::Type::kPodDeleted || event.pod_before == nullptr) return false;
    HostPorts freed;
    for (const HostPort& port : event.pod_before->host_ports) freed.Add(port);
    return Conflict(refused, freed);
  }
};

}  // namespace

std::unique_ptr<Plugin> NewNodePorts() { return std::make_unique<NodePorts>(); }

}  // namespace meltemi::scheduler
