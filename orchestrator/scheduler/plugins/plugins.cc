#include "orchestrator/scheduler/plugins/plugins.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "orchestrator/scheduler/plugins/rules.h"

namespace meltemi::scheduler {
namespace {

// In the order in which filters are asked.
std::vector<WeightedPlugin> All(const PluginOptions& options, SelectorsOf selectors_of) {
  std::vector<WeightedPlugin> all;
  const auto add = [&](std::unique_ptr<Plugin> plugin, int64_t weight) {
    all.push_back({std::move(plugin), weight});
  };
  add(NewSchedulingGates(), 1);
  add(NewNodeUnschedulable(), 1);
  add(NewNodeName(), 1);
  add(NewTaintToleration(), 3);
  add(NewNodeAffinity(), 2);
  add(NewNodePorts(), 1);
  add(NewNodeResourcesFit(options.fit, options.fit_resources, options.fit_shape), 1);
  add(NewPodTopologySpread(options.default_spreading ? std::move(selectors_of) : nullptr), 2);
  add(NewInterPodAffinity(options.hard_pod_affinity_weight), 2);
  add(NewBalancedAllocation(options.balanced_resources), 1);
  add(NewImageLocality(), 1);
  return all;
}

absl::Status Invalid(absl::string_view what) { return absl::InvalidArgumentError(what); }

using NamedWeights = std::vector<std::pair<std::string, int64_t>>;

absl::Status CheckResources(absl::string_view field, const NamedWeights& resources) {
  if (resources.empty()) return Invalid(absl::StrCat(field, ": at least one resource is needed"));
  for (const auto& [name, weight] : resources) {
    if (name.empty()) return Invalid(absl::StrCat(field, ": a resource without a name"));
    if (weight >= 1 && weight <= 100) continue;
    return Invalid(
        absl::StrCat(field, ": the weight of ", name, " must be from 1 to 100, not ", weight));
  }
  return absl::OkStatus();
}

absl::Status CheckShape(const std::vector<std::pair<int, int>>& shape) {
  if (shape.empty()) return Invalid("fit_shape: RequestedToCapacityRatio needs at least one point");
  for (size_t i = 0; i < shape.size(); ++i) {
    const auto& [utilization, score] = shape[i];
    if (utilization < 0 || utilization > 100) {
      return Invalid(
          absl::StrCat("fit_shape: utilization must be from 0 to 100, not ", utilization));
    }
    if (score < 0 || score > 10) {
      return Invalid(absl::StrCat("fit_shape: a score must be from 0 to 10, not ", score));
    }
    if (i > 0 && utilization <= shape[i - 1].first) {
      return Invalid("fit_shape: utilization must grow from point to point");
    }
  }
  return absl::OkStatus();
}

absl::Status Check(const PluginOptions& options) {
  absl::Status status = CheckResources("fit_resources", options.fit_resources);
  if (status.ok()) status = CheckResources("balanced_resources", options.balanced_resources);
  if (status.ok() && options.fit == FitStrategy::kRequestedToCapacityRatio) {
    status = CheckShape(options.fit_shape);
  }
  if (!status.ok()) return status;
  if (options.hard_pod_affinity_weight < 0 || options.hard_pod_affinity_weight > 100) {
    return Invalid(absl::StrCat("hard_pod_affinity_weight must be from 0 to 100, not ",
                                options.hard_pod_affinity_weight));
  }
  for (const auto& [name, weight] : options.weights) {
    // 100 plugins of the highest weight still add up in 64 bits.
    if (weight >= 0 && weight <= 1'000'000'000) continue;
    return Invalid(absl::StrCat("the weight of ", name, " must be from 0 to 1000000000"));
  }
  return absl::OkStatus();
}

std::vector<WeightedPlugin>::iterator Find(std::vector<WeightedPlugin>& plugins,
                                           const std::string& name) {
  return std::find_if(plugins.begin(), plugins.end(), [&](const WeightedPlugin& candidate) {
    return candidate.plugin->name() == name;
  });
}

}  // namespace

absl::StatusOr<std::vector<WeightedPlugin>> MakePlugins(const PluginOptions& options,
                                                        SelectorsOf selectors_of) {
  absl::Status status = Check(options);
  if (!status.ok()) return status;
  std::vector<WeightedPlugin> plugins = All(options, std::move(selectors_of));
  for (const auto& [name, weight] : options.weights) {
    const auto found = Find(plugins, name);
    if (found == plugins.end()) {
      return Invalid(absl::StrCat("a weight is given for ", name, ", which is no plugin"));
    }
    if (!found->plugin->scores) {
      return Invalid(absl::StrCat("a weight is given for ", name, ", which does not score"));
    }
    found->weight = weight;
    if (weight == 0) found->plugin->scores = false;
  }
  for (const std::string& name : options.disabled) {
    const auto known = Find(plugins, name);
    if (known == plugins.end()) {
      return Invalid(absl::StrCat(name, " is disabled, but no plugin"));
    }
    plugins.erase(known);
  }
  return plugins;
}

}  // namespace meltemi::scheduler
