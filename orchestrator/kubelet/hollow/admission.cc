#include "orchestrator/kubelet/hollow/admission.h"

#include "absl/strings/str_cat.h"

namespace meltemi::kubelet {
namespace {

std::optional<Refusal> OutOf(absl::string_view resource, int64_t requested, int64_t used,
                             int64_t capacity) {
  return Refusal{absl::StrCat("OutOf", resource),
                 absl::StrCat("Node didn't have enough resource: ", resource, ", requested: ",
                              requested, ", used: ", used, ", capacity: ", capacity)};
}

}  // namespace

std::optional<Refusal> CheckAdmission(const scheduler::PodInfo& pod,
                                      const scheduler::NodeFacts& node, const NodeUse& use) {
  const scheduler::Resources& asked = pod.request;
  const scheduler::Resources& used = use.requested;
  const scheduler::Resources& has = node.allocatable;
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

}  // namespace meltemi::kubelet
