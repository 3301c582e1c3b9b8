// What NodeResourcesFit and NodeResourcesBalancedAllocation share: how much of a resource a node
// would have given away with the pod on it.
//
// Threads: immutable after construction.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "orchestrator/scheduler/model/node_info.h"

namespace meltemi::scheduler {

// A resource that counts in a score.
class ScoredResource {
 public:
  ScoredResource(const std::string& name, int64_t weight);

  // What the pod asks for; cpu and memory with the defaults where `nonzero`.
  int64_t Asked(const PodInfo& pod, bool nonzero) const;
  // {requested with the pod, allocatable}; {0, 0} where it does not count on this node.
  std::pair<int64_t, int64_t> On(const NodeInfo& node, int64_t asked, bool nonzero) const;
  int64_t weight() const { return weight_; }

 private:
  enum class Kind : uint8_t { kCpu, kMemory, kEphemeral, kExtended };
  Kind kind_ = Kind::kExtended;
  int32_t number_ = 0;  // of an extended one
  int64_t weight_ = 1;
};

std::vector<ScoredResource> ScoredResources(
    const std::vector<std::pair<std::string, int64_t>>& resources);

}  // namespace meltemi::scheduler
