// What terms of pod affinity of existing pods say of a new one: how many pods (or how much weight)
// per topology value speak of it.
//
// Terms that say the same are counted together, whoever asks: a new pod is held against each
// different term once, however many pods have it.
//
// Threads: ExistingTerms is thread-safe; what it answers is immutable.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "orchestrator/scheduler/plugins/topology_tally.h"

namespace meltemi::scheduler {

class ExistingTerms {
 public:
  using Tell = std::function<void(const AffinityTerm& term, int64_t weight)>;
  // Tells of the terms of a node's pods that are of interest.
  using TermsOn = std::function<void(const NodeInfo& node, const Tell& tell)>;

  // The different terms that speak of a pod.
  class Matched {
   public:
    bool empty() const { return slots_.empty(); }
    // The weights of all that speak of it at the node's topology values.
    int64_t On(const NodeInfo& node) const;

   private:
    friend class ExistingTerms;
    // Where there are many, their sums are added up by key and value.
    struct Sums {
      int slot;  // one of the key
      absl::flat_hash_map<int32_t, int64_t> by_value;
    };

    std::shared_ptr<const TopologyTally> tally_;
    std::vector<std::pair<int32_t, int64_t>> slots_;  // with their weights
    std::vector<Sums> sums_;
  };

  explicit ExistingTerms(TermsOn terms_on) : terms_on_(std::move(terms_on)) {}

  std::shared_ptr<const Matched> Match(const PodInfo& pod, const Snapshot& snapshot) const;

 private:
  struct Known {
    AffinityTerm term;
    int64_t weight = 0;
  };
  struct Kept {
    TopologyTally tally;  // a slot per different term
    std::vector<Known> terms;
    absl::flat_hash_map<std::string, int> slots;  // by text
  };

  void Update(Kept& kept, const Snapshot& snapshot) const;

  const TermsOn terms_on_;
  mutable KeptByText<Kept> kept_;
};

}  // namespace meltemi::scheduler
