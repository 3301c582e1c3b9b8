#include "orchestrator/scheduler/plugins/resource_scores.h"

namespace meltemi::scheduler {

ScoredResource::ScoredResource(const std::string& name, int64_t weight) : weight_(weight) {
  if (name == "cpu") {
    kind_ = Kind::kCpu;
  } else if (name == "memory") {
    kind_ = Kind::kMemory;
  } else if (name == "ephemeral-storage") {
    kind_ = Kind::kEphemeral;
  } else {
    number_ = ResourceNumber(name);
  }
}

int64_t ScoredResource::Asked(const PodInfo& pod, bool nonzero) const {
  switch (kind_) {
    case Kind::kCpu:
      return nonzero ? pod.nonzero_milli_cpu : pod.request.milli_cpu;
    case Kind::kMemory:
      return nonzero ? pod.nonzero_memory_bytes : pod.request.memory_bytes;
    case Kind::kEphemeral:
      return pod.request.ephemeral_bytes;
    case Kind::kExtended:
      return pod.request.Extended(number_);
  }
  return 0;
}

std::pair<int64_t, int64_t> ScoredResource::On(const NodeInfo& node, int64_t asked,
                                               bool nonzero) const {
  const Resources& allocatable = node.facts->allocatable;
  switch (kind_) {
    case Kind::kCpu:
      return {(nonzero ? node.nonzero_milli_cpu : node.requested.milli_cpu) + asked,
              allocatable.milli_cpu};
    case Kind::kMemory:
      return {(nonzero ? node.nonzero_memory_bytes : node.requested.memory_bytes) + asked,
              allocatable.memory_bytes};
    case Kind::kEphemeral:
      return {node.requested.ephemeral_bytes + asked, allocatable.ephemeral_bytes};
    case Kind::kExtended:
      // Who does not ask for it does not care how much of it is left.
      if (asked == 0) return {0, 0};
      return {node.requested.Extended(number_) + asked, allocatable.Extended(number_)};
  }
  return {0, 0};
}

std::vector<ScoredResource> ScoredResources(
    const std::vector<std::pair<std::string, int64_t>>& resources) {
  std::vector<ScoredResource> scored;
  for (const auto& [name, weight] : resources) scored.emplace_back(name, weight);
  return scored;
}

}  // namespace meltemi::scheduler
