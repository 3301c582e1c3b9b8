#include "orchestrator/kubelet/admission/admission.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "orchestrator/scheduler/plugins/placement.h"

namespace meltemi::kubelet {
namespace {

std::optional<Refusal> OutOf(absl::string_view resource, int64_t requested, int64_t used,
                             int64_t capacity) {
  return Refusal{absl::StrCat("OutOf", resource),
                 absl::StrCat("Node didn't have enough resource: ", resource, ", requested: ",
                              requested, ", used: ", used, ", capacity: ", capacity)};
}

std::optional<Refusal> Predicate(absl::string_view name, absl::string_view why) {
  return Refusal{std::string(name), absl::StrCat("Predicate ", name, " failed: ", why)};
}

std::optional<Refusal> CheckResources(const scheduler::Resources& asked,
                                      const scheduler::Resources& has, const NodeUse& use) {
  const scheduler::Resources& used = use.requested;
  if (use.pods + 1 > has.pods) return OutOf("pods", 1, use.pods, has.pods);
  if (asked.milli_cpu > 0 && asked.milli_cpu > has.milli_cpu - used.milli_cpu) {
    return OutOf("cpu", asked.milli_cpu, used.milli_cpu, has.milli_cpu);
  }
  if (asked.memory_bytes > 0 && asked.memory_bytes > has.memory_bytes - used.memory_bytes) {
    return OutOf("memory", asked.memory_bytes, used.memory_bytes, has.memory_bytes);
  }
  if (asked.ephemeral_bytes > 0 &&
      asked.ephemeral_bytes > has.ephemeral_bytes - used.ephemeral_bytes) {
    return OutOf("ephemeral-storage", asked.ephemeral_bytes, used.ephemeral_bytes,
                 has.ephemeral_bytes);
  }
  for (const auto& [number, amount] : asked.extended) {
    const int64_t capacity = has.Extended(number);
    const int64_t taken = used.Extended(number);
    if (amount == 0 || capacity == 0 || amount <= capacity - taken) continue;
    return OutOf(scheduler::ResourceName(number), amount, taken, capacity);
  }
  return std::nullopt;
}

// Of taints only those matter that would have it evicted.
bool ToleratesAll(const kube::core::v1::PodSpec& spec, const kube::core::v1::Node& node) {
  return std::all_of(node.spec().taints().begin(), node.spec().taints().end(),
                     [&spec](const kube::core::v1::Taint& taint) {
                       return taint.effect() != "NoExecute" || scheduler::Tolerates(spec, taint);
                     });
}

}  // namespace

std::optional<Refusal> CheckAdmission(const scheduler::PodInfo& pod,
                                      const scheduler::NodeFacts& able,
                                      const scheduler::NodeFacts* shown, const NodeUse& use) {
  if (auto refusal = CheckResources(pod.request, able.allocatable, use)) return refusal;
  const kube::core::v1::PodSpec& spec = pod.pod->spec();
  if (shown != nullptr && !scheduler::RequiredNodeAffinity(spec).Matches(*shown)) {
    return Predicate("NodeAffinity", "node(s) didn't match Pod's node affinity/selector");
  }
  for (const scheduler::HostPort& port : pod.host_ports) {
    if (!use.ports.Conflicts(port)) continue;
    return Predicate("NodePorts", "node(s) didn't have free ports for the requested pod ports");
  }
  if (shown != nullptr && !ToleratesAll(spec, *shown->node)) {
    return Predicate("TaintToleration", "node(s) had taints that the pod didn't tolerate");
  }
  return std::nullopt;
}

}  // namespace meltemi::kubelet
