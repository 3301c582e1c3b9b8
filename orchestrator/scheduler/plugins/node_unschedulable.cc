// NodeUnschedulable: keeps pods off cordoned nodes, but those that tolerate the taint of it.
#include "orchestrator/scheduler/plugins/placement.h"
#include "orchestrator/scheduler/plugins/rules.h"

namespace meltemi::scheduler {
namespace {

class NodeUnschedulable final : public Plugin {
 public:
  NodeUnschedulable() {
    filters = true;
    taint_.set_key("node.kubernetes.io/unschedulable");
    taint_.set_effect("NoSchedule");
  }
  absl::string_view name() const override { return "NodeUnschedulable"; }

  Verdict Filter(const PodInfo& pod, const NodeInfo& node,
                 const PluginState* state) const override {
    if (!node.facts->unschedulable || Tolerates(pod.pod->spec(), taint_)) {
      return Verdict::Ok();
    }
    return Verdict::Unresolvable("node(s) were unschedulable");
  }

  bool MayHelp(const PodInfo& refused, const ClusterEvent& event) const override {
    switch (event.type) {
      case ClusterEvent::Type::kNodeAdded:
        return !event.node_after->unschedulable;
      case ClusterEvent::Type::kNodeChanged:
        return event.node_before->unschedulable && !event.node_after->unschedulable;
      case ClusterEvent::Type::kSelfChanged:
        return Tolerates(event.pod_after->pod->spec(), taint_);
      default:
        return false;
    }
  }

 private:
  kube::core::v1::Taint taint_;
};

}  // namespace

std::unique_ptr<Plugin> NewNodeUnschedulable() { return std::make_unique<NodeUnschedulable>(); }

}  // namespace meltemi::scheduler
