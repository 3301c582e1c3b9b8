#include "orchestrator/controllers/daemonset/node_rule.h"

#include <algorithm>

#include "absl/algorithm/container.h"
#include "orchestrator/scheduler/model/selectors.h"

namespace meltemi::controllers::daemonsets {
namespace {

namespace core = kube::core::v1;

void AddToleration(const char* key, const char* effect, core::PodSpec& spec) {
  const bool there = absl::c_any_of(spec.tolerations(), [&](const core::Toleration& toleration) {
    return toleration.key() == key && toleration.effect() == effect &&
           toleration.operator_() == "Exists" && !toleration.has_toleration_seconds();
  });
  if (there) return;
  core::Toleration& toleration = *spec.add_tolerations();
  toleration.set_key(key);
  toleration.set_operator_("Exists");
  toleration.set_effect(effect);
}

core::PodSpec WithTolerations(core::PodSpec spec) {
  AddDaemonTolerations(spec);
  return spec;
}

}  // namespace

void AddDaemonTolerations(core::PodSpec& spec) {
  AddToleration("node.kubernetes.io/not-ready", "NoExecute", spec);
  AddToleration("node.kubernetes.io/unreachable", "NoExecute", spec);
  AddToleration("node.kubernetes.io/disk-pressure", "NoSchedule", spec);
  AddToleration("node.kubernetes.io/memory-pressure", "NoSchedule", spec);
  AddToleration("node.kubernetes.io/pid-pressure", "NoSchedule", spec);
  AddToleration("node.kubernetes.io/unschedulable", "NoSchedule", spec);
  if (spec.host_network()) {
    AddToleration("node.kubernetes.io/network-unavailable", "NoSchedule", spec);
  }
}

NodeRule::NodeRule(const core::PodTemplateSpec& pod_template)
    : spec_(WithTolerations(pod_template.spec())), affinity_(spec_) {}

NodeRule::Answer NodeRule::Ask(const core::Node& node) const {
  if (!spec_.node_name().empty() && spec_.node_name() != node.metadata().name()) return {};
  if (!affinity_.empty()) {
    scheduler::NodeFacts facts;
    facts.name = node.metadata().name();
    facts.labels = scheduler::SortedLabels(node.metadata().labels());
    if (!affinity_.Matches(facts)) return {};
  }
  Answer answer{true, true};
  for (const core::Taint& taint : node.spec().taints()) {
    const bool evicts = taint.effect() == "NoExecute";
    if ((!evicts && taint.effect() != "NoSchedule") || scheduler::Tolerates(spec_, taint)) continue;
    answer.start = false;
    // Only what would evict it ends a pod that is there already.
    if (evicts) answer.stay = false;
  }
  return answer;
}

}  // namespace meltemi::controllers::daemonsets
