// NodeName: a pod that names its node goes there or nowhere.
#include "orchestrator/scheduler/plugins/rules.h"

namespace meltemi::scheduler {
namespace {

class NodeName final : public Plugin {
 public:
  NodeName() { filters = true; }
  absl::string_view name() const override { return "NodeName"; }

  Verdict Filter(const PodInfo& pod, const NodeInfo& node,
                 const PluginState* state) const override {
    const std::string& wanted = pod.pod->spec().node_name();
    if (wanted.empty() || wanted == node.name()) return Verdict::Ok();
    return Verdict::Unresolvable("node(s) didn't match the requested node name");
  }

  bool MayHelp(const PodInfo& refused, const ClusterEvent& event) const override {
    return event.type == ClusterEvent::Type::kNodeAdded;
  }
};

}  // namespace

std::unique_ptr<Plugin> NewNodeName() { return std::make_unique<NodeName>(); }

}  // namespace meltemi::scheduler
