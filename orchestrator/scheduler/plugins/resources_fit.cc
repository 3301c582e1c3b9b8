// NodeResourcesFit: requests fit into what is left of the node; scores by how much would be left.
#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "orchestrator/scheduler/plugins/resource_scores.h"
#include "orchestrator/scheduler/plugins/rules.h"

namespace meltemi::scheduler {
namespace {

// Nodes may claim any capacity: a hundred times that needs more than 64 bits.
__extension__ typedef __int128 Wide;

int64_t Percent(int64_t part, int64_t whole) {
  return static_cast<int64_t>(static_cast<Wide>(part) * kScoreMax / whole);
}

// A function of straight pieces between points; flat before the first and after the last.
class Shape {
 public:
  explicit Shape(std::vector<std::pair<int, int>> points) : points_(std::move(points)) {}

  int64_t At(int64_t utilization) const {
    for (size_t i = 0; i < points_.size(); ++i) {
      const auto& [x, y] = points_[i];
      if (utilization > x) continue;
      if (i == 0) return y * kScale;
      const auto& [x_before, y_before] = points_[i - 1];
      return y_before * kScale +
             (y - y_before) * kScale * (utilization - x_before) / (x - x_before);
    }
    return points_.empty() ? 0 : points_.back().second * kScale;
  }

 private:
  static constexpr int64_t kScale = kScoreMax / 10;  // shapes go from 0 to 10
  std::vector<std::pair<int, int>> points_;
};

// The names of what is missing, for one pod.
class FitState final : public PluginState {
 public:
  std::unique_ptr<PluginState> Clone() const override { return std::make_unique<FitState>(*this); }
  std::vector<std::string> insufficient;  // by the place in request.extended
};

class AskedState final : public PluginState {
 public:
  std::unique_ptr<PluginState> Clone() const override {
    return std::make_unique<AskedState>(*this);
  }
  absl::InlinedVector<int64_t, 4> asked;  // by the resources that are scored
};

bool AsksForNothing(const Resources& request) {
  return request.milli_cpu == 0 && request.memory_bytes == 0 && request.ephemeral_bytes == 0 &&
         request.extended.empty();
}

bool FitsEmpty(const Resources& request, const Resources& allocatable) {
  if (allocatable.pods < 1 || request.milli_cpu > allocatable.milli_cpu ||
      request.memory_bytes > allocatable.memory_bytes ||
      request.ephemeral_bytes > allocatable.ephemeral_bytes) {
    return false;
  }
  return std::all_of(request.extended.begin(), request.extended.end(), [&](const auto& asked) {
    return asked.second == 0 || asked.second <= allocatable.Extended(asked.first);
  });
}

// Whether there is more in `after` of something that is asked for.
bool Grew(const Resources& request, const Resources& before, const Resources& after) {
  if (after.pods > before.pods) return true;
  if ((request.milli_cpu > 0 && after.milli_cpu > before.milli_cpu) ||
      (request.memory_bytes > 0 && after.memory_bytes > before.memory_bytes) ||
      (request.ephemeral_bytes > 0 && after.ephemeral_bytes > before.ephemeral_bytes)) {
    return true;
  }
  return std::any_of(request.extended.begin(), request.extended.end(), [&](const auto& asked) {
    return asked.second > 0 && after.Extended(asked.first) > before.Extended(asked.first);
  });
}

class NodeResourcesFit final : public Plugin {
 public:
  NodeResourcesFit(FitStrategy strategy, std::vector<ScoredResource> resources, Shape shape)
      : strategy_(strategy), resources_(std::move(resources)), shape_(std::move(shape)) {
    filters = scores = true;
  }
  absl::string_view name() const override { return "NodeResourcesFit"; }

  Verdict PreFilter(const PodInfo& pod, const Snapshot& snapshot,
                    std::unique_ptr<PluginState>* state) const override {
    if (pod.request.extended.empty()) return Verdict::Ok();
    auto made = std::make_unique<FitState>();
    for (const auto& [number, amount] : pod.request.extended) {
      made->insufficient.push_back(absl::StrCat("Insufficient ", ResourceName(number)));
    }
    *state = std::move(made);
    return Verdict::Ok();
  }

  Verdict Filter(const PodInfo& pod, const NodeInfo& node,
                 const PluginState* state) const override {
    Verdict verdict;
    const auto lacks = [&](absl::string_view reason) {
      verdict.code = Verdict::Code::kUnschedulable;
      verdict.reasons.push_back(reason);
    };
    const Resources& asked = pod.request;
    const Resources& allocatable = node.facts->allocatable;
    if (static_cast<int64_t>(node.pods.size()) + 1 > allocatable.pods) lacks("Too many pods");
    if (AsksForNothing(asked)) return verdict;
    const auto short_of = [](int64_t wanted, int64_t all, int64_t taken) {
      return wanted > 0 && wanted > all - taken;
    };
    if (short_of(asked.milli_cpu, allocatable.milli_cpu, node.requested.milli_cpu)) {
      lacks("Insufficient cpu");
    }
    if (short_of(asked.memory_bytes, allocatable.memory_bytes, node.requested.memory_bytes)) {
      lacks("Insufficient memory");
    }
    if (short_of(asked.ephemeral_bytes, allocatable.ephemeral_bytes,
                 node.requested.ephemeral_bytes)) {
      lacks("Insufficient ephemeral-storage");
    }
    for (size_t i = 0; i < asked.extended.size(); ++i) {
      const auto& [number, amount] = asked.extended[i];
      if (short_of(amount, allocatable.Extended(number), node.requested.Extended(number))) {
        lacks(static_cast<const FitState*>(state)->insufficient[i]);
      }
    }
    return verdict;
  }

  Verdict PreScore(const PodInfo& pod, const Snapshot& snapshot,
                   const std::vector<const NodeInfo*>& feasible,
                   std::unique_ptr<PluginState>* state) const override {
    auto made = std::make_unique<AskedState>();
    for (const ScoredResource& resource : resources_) {
      made->asked.push_back(resource.Asked(pod, /*nonzero=*/true));
    }
    *state = std::move(made);
    return Verdict::Ok();
  }

  // The mean over the resources, by their weights.
  int64_t Score(const PodInfo& pod, const NodeInfo& node, const PluginState* state) const override {
    const auto& asked = static_cast<const AskedState*>(state)->asked;
    int64_t sum = 0, weights = 0;
    for (size_t i = 0; i < resources_.size(); ++i) {
      const auto [requested, allocatable] = resources_[i].On(node, asked[i], /*nonzero=*/true);
      if (allocatable == 0) continue;
      const int64_t score = ScoreOf(requested, allocatable);
      if (strategy_ == FitStrategy::kRequestedToCapacityRatio && score <= 0) continue;
      sum += score * resources_[i].weight();
      weights += resources_[i].weight();
    }
    if (weights == 0) return 0;
    if (strategy_ != FitStrategy::kRequestedToCapacityRatio) return sum / weights;
    return std::llround(static_cast<double>(sum) / static_cast<double>(weights));
  }

  bool MayHelp(const PodInfo& refused, const ClusterEvent& event) const override {
    switch (event.type) {
      case ClusterEvent::Type::kPodDeleted:
      case ClusterEvent::Type::kPreemptorDone:
        return true;
      case ClusterEvent::Type::kNodeAdded:
        return FitsEmpty(refused.request, event.node_after->allocatable);
      case ClusterEvent::Type::kNodeChanged:
        return FitsEmpty(refused.request, event.node_after->allocatable) &&
               Grew(refused.request, event.node_before->allocatable, event.node_after->allocatable);
      case ClusterEvent::Type::kPodChanged:
      case ClusterEvent::Type::kSelfChanged:
        // Something is freed, or less is asked for.
        return event.pod_before != nullptr && event.pod_after != nullptr &&
               Grew(refused.request, event.pod_after->request, event.pod_before->request);
      default:
        return false;
    }
  }

 private:
  int64_t ScoreOf(int64_t requested, int64_t allocatable) const {
    switch (strategy_) {
      case FitStrategy::kLeastAllocated:
        return requested > allocatable ? 0 : Percent(allocatable - requested, allocatable);
      case FitStrategy::kMostAllocated:
        return Percent(std::min(requested, allocatable), allocatable);
      case FitStrategy::kRequestedToCapacityRatio:
        return shape_.At(requested > allocatable ? kScoreMax : Percent(requested, allocatable));
    }
    return 0;
  }

  const FitStrategy strategy_;
  const std::vector<ScoredResource> resources_;
  const Shape shape_;
};

}  // namespace

std::unique_ptr<Plugin> NewNodeResourcesFit(
    FitStrategy strategy, const std::vector<std::pair<std::string, int64_t>>& resources,
    const std::vector<std::pair<int, int>>& shape) {
  return std::make_unique<NodeResourcesFit>(strategy, ScoredResources(resources), Shape(shape));
}

}  // namespace meltemi::scheduler
