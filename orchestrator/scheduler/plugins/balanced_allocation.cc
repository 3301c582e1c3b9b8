// NodeResourcesBalancedAllocation: prefers nodes whose resources would be used up evenly.
#include <algorithm>
#include <cmath>

#include "orchestrator/scheduler/plugins/resource_scores.h"
#include "orchestrator/scheduler/plugins/rules.h"

namespace meltemi::scheduler {
namespace {

using Fractions = absl::InlinedVector<double, 4>;

double Deviation(const Fractions& fractions) {
  if (fractions.size() < 2) return 0;
  if (fractions.size() == 2) return std::fabs((fractions[0] - fractions[1]) / 2);
  double total = 0;
  for (double fraction : fractions) total += fraction;
  const double mean = total / static_cast<double>(fractions.size());
  double squares = 0;
  for (double fraction : fractions) squares += (fraction - mean) * (fraction - mean);
  return std::sqrt(squares / static_cast<double>(fractions.size()));
}

class State final : public PluginState {
 public:
  std::unique_ptr<PluginState> Clone() const override { return std::make_unique<State>(*this); }
  absl::InlinedVector<int64_t, 4> asked;  // by the resources that are scored
};

class BalancedAllocation final : public Plugin {
 public:
  explicit BalancedAllocation(std::vector<ScoredResource> resources)
      : resources_(std::move(resources)) {
    scores = true;
  }
  absl::string_view name() const override { return "NodeResourcesBalancedAllocation"; }

  Verdict PreScore(const PodInfo& pod, const Snapshot& snapshot,
                   const std::vector<const NodeInfo*>& feasible,
                   std::unique_ptr<PluginState>* state) const override {
    auto made = std::make_unique<State>();
    for (const ScoredResource& resource : resources_) {
      made->asked.push_back(resource.Asked(pod, /*nonzero=*/false));
    }
    *state = std::move(made);
    return Verdict::Ok();
  }

  int64_t Score(const PodInfo& pod, const NodeInfo& node, const PluginState* state) const override {
    const auto& asked = static_cast<const State*>(state)->asked;
    Fractions fractions;
    for (size_t i = 0; i < resources_.size(); ++i) {
      const auto [requested, allocatable] = resources_[i].On(node, asked[i], /*nonzero=*/false);
      if (allocatable == 0) continue;
      const double fraction = static_cast<double>(requested) / static_cast<double>(allocatable);
      fractions.push_back(std::min(fraction, 1.0));
    }
    return static_cast<int64_t>((1 - Deviation(fractions)) * static_cast<double>(kScoreMax));
  }

 private:
  const std::vector<ScoredResource> resources_;
};

}  // namespace

std::unique_ptr<Plugin> NewBalancedAllocation(
    const std::vector<std::pair<std::string, int64_t>>& resources) {
  return std::make_unique<BalancedAllocation>(ScoredResources(resources));
}

}  // namespace meltemi::scheduler
