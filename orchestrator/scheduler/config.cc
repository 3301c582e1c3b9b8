#include "orchestrator/scheduler/config.h"

#include <algorithm>
#include <array>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "base/json/value.h"
#include "base/yaml/parse.h"
#include "orchestrator/scheduler/plugins/plugins.h"

namespace meltemi::scheduler {
namespace {

using json::Value;

constexpr char kGroup[] = "kubescheduler.config.k8s.io/";

// Of Kubernetes' plugins those that are something else than a rule here, or of which there is
// nothing yet: who lists them means what happens anyway.
constexpr std::array kBuiltIn = {"PrioritySort",        "DefaultBinder",    "DefaultPreemption",
                                 "VolumeRestrictions",  "NodeVolumeLimits", "VolumeBinding",
                                 "VolumeZone",          "EBSLimits",        "GCEPDLimits",
                                 "NodeVolumeLimitsCSI", "AzureDiskLimits",  "DynamicResources"};

bool IsBuiltIn(absl::string_view name) {
  return std::find(kBuiltIn.begin(), kBuiltIn.end(), name) != kBuiltIn.end();
}

absl::Status Wrong(const Value& at, absl::string_view path, absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat(at.line() > 0 ? absl::StrCat("line ", at.line(), ": ") : "", path,
                   path.empty() ? "" : ": ", what));
}

// One mapping: its members are asked for by name, and what nobody has asked for is an error.
class Mapping {
 public:
  Mapping(const Value& value, std::string path) : value_(value), path_(std::move(path)) {
    if (!value.is_object()) Fail(value, path_, "a mapping was expected");
  }

  std::string PathOf(absl::string_view key) const {
    return path_.empty() ? std::string(key) : absl::StrCat(path_, ".", key);
  }
  const Value* Take(absl::string_view key) {
    taken_.insert(std::string(key));
    const Value* found = value_.is_object() ? value_.Find(key) : nullptr;
    return found == nullptr || found->is_null() ? nullptr : found;
  }
  std::optional<int64_t> Int(absl::string_view key, int64_t min, int64_t max) {
    const Value* found = Take(key);
    if (found == nullptr) return std::nullopt;
    const std::optional<int64_t> number = found->AsInt64();
    if (!found->is_number() || !number.has_value() || *number < min || *number > max) {
      Fail(*found, PathOf(key), absl::StrCat("a number from ", min, " to ", max, " was expected"));
      return std::nullopt;
    }
    return number;
  }
  std::optional<std::string> Text(absl::string_view key) {
    const Value* found = Take(key);
    if (found == nullptr) return std::nullopt;
    if (!found->is_string()) {
      Fail(*found, PathOf(key), "a string was expected");
      return std::nullopt;
    }
    return found->text();
  }
  // Calls `each` with the items of a list and their paths.
  void Each(absl::string_view key,
            const std::function<absl::Status(const Value&, const std::string& path)>& each) {
    const Value* found = Take(key);
    if (found == nullptr) return;
    if (!found->is_array()) {
      Fail(*found, PathOf(key), "a list was expected");
      return;
    }
    for (size_t i = 0; i < found->items().size() && status_.ok(); ++i) {
      status_ = each(found->items()[i], absl::StrCat(PathOf(key), "[", i, "]"));
    }
  }
  // Calls `inner` with the mapping `key`, if there is one.
  void Inside(absl::string_view key, const std::function<absl::Status(Mapping)>& inner) {
    const Value* found = Take(key);
    if (found != nullptr && status_.ok()) status_ = inner(Mapping(*found, PathOf(key)));
  }

  const Value& value() const { return value_; }
  const std::string& path() const { return path_; }
  void Fail(const Value& at, absl::string_view path, absl::string_view what) {
    if (status_.ok()) status_ = Wrong(at, path, what);
  }
  void Set(absl::Status status) {
    if (status_.ok()) status_ = std::move(status);
  }
  // The first thing that is wrong, if it is only a member that is not known.
  absl::Status End() {
    if (!status_.ok()) return status_;
    for (const json::Member& member : value_.members()) {
      if (!taken_.contains(member.key)) {
        return Wrong(member.value, PathOf(member.key), "no such field");
      }
    }
    return absl::OkStatus();
  }

 private:
  const Value& value_;
  const std::string path_;
  std::set<std::string> taken_;
  absl::Status status_;
};

absl::Status ReadResources(Mapping& args, absl::string_view key,
                           std::vector<std::pair<std::string, int64_t>>& resources) {
  if (args.Take(key) != nullptr) resources.clear();
  args.Each(key, [&](const Value& item, const std::string& path) {
    Mapping resource(item, path);
    const std::string name = resource.Text("name").value_or("");
    const int64_t weight = resource.Int("weight", 1, 100).value_or(1);
    if (name.empty()) resource.Fail(item, path, "a name is needed");
    resources.emplace_back(name, weight);
    return resource.End();
  });
  return absl::OkStatus();
}

absl::Status ReadStrategy(Mapping strategy, PluginOptions& options) {
  const std::string type = strategy.Text("type").value_or("LeastAllocated");
  if (type == "LeastAllocated") {
    options.fit = FitStrategy::kLeastAllocated;
  } else if (type == "MostAllocated") {
    options.fit = FitStrategy::kMostAllocated;
  } else if (type == "RequestedToCapacityRatio") {
    options.fit = FitStrategy::kRequestedToCapacityRatio;
  } else {
    strategy.Fail(strategy.value(), strategy.PathOf("type"),
                  absl::StrCat("\"", type,
                               "\" is none of LeastAllocated, MostAllocated and "
                               "RequestedToCapacityRatio"));
  }
  strategy.Set(ReadResources(strategy, "resources", options.fit_resources));
  strategy.Inside("requestedToCapacityRatio", [&](Mapping ratio) {
    ratio.Each("shape", [&](const Value& item, const std::string& path) {
      Mapping point(item, path);
      const int64_t utilization = point.Int("utilization", 0, 100).value_or(0);
      const int64_t score = point.Int("score", 0, 10).value_or(0);
      options.fit_shape.emplace_back(static_cast<int>(utilization), static_cast<int>(score));
      return point.End();
    });
    return ratio.End();
  });
  return strategy.End();
}

absl::Status ReadArgs(const std::string& plugin, Mapping args, PluginOptions& options) {
  args.Take("apiVersion");
  args.Take("kind");
  if (plugin == "NodeResourcesFit") {
    args.Inside("scoringStrategy",
                [&](Mapping strategy) { return ReadStrategy(std::move(strategy), options); });
  } else if (plugin == "NodeResourcesBalancedAllocation") {
    args.Set(ReadResources(args, "resources", options.balanced_resources));
  } else if (plugin == "InterPodAffinity") {
    const std::optional<int64_t> weight = args.Int("hardPodAffinityWeight", 0, 100);
    if (weight.has_value()) options.hard_pod_affinity_weight = static_cast<int32_t>(*weight);
  } else if (plugin == "PodTopologySpread") {
    const std::string defaulting = args.Text("defaultingType").value_or("System");
    const Value* constraints = args.Take("defaultConstraints");
    if (constraints != nullptr && !constraints->items().empty()) {
      args.Fail(*constraints, args.PathOf("defaultConstraints"),
                "other constraints than Kubernetes' own can't be given");
    }
    options.default_spreading = defaulting == "System";
    if (defaulting != "System" && defaulting != "List") {
      args.Fail(args.value(), args.PathOf("defaultingType"), "System or List was expected");
    }
  } else {
    args.Fail(args.value(), args.path(), absl::StrCat("no arguments of ", plugin, " are known"));
  }
  return args.End();
}

// `scores`: the set has to do with weights, else the whole plugin is meant.
absl::Status ReadPluginSet(Mapping set, bool scores, PluginOptions& options) {
  set.Each("disabled", [&](const Value& item, const std::string& path) {
    Mapping plugin(item, path);
    const std::string name = plugin.Text("name").value_or("");
    plugin.Take("weight");
    if (name == "*") {
      plugin.Fail(item, path, "\"*\" is not possible: name the plugins");
    } else if (IsBuiltIn(name)) {
      plugin.Fail(item, path, absl::StrCat(name, " can't be disabled"));
    } else if (scores) {
      options.weights[name] = 0;
    } else {
      options.disabled.push_back(name);
    }
    return plugin.End();
  });
  set.Each("enabled", [&](const Value& item, const std::string& path) {
    Mapping plugin(item, path);
    const std::string name = plugin.Text("name").value_or("");
    const std::optional<int64_t> weight = plugin.Int("weight", 0, 1'000'000'000);
    if (name.empty()) plugin.Fail(item, path, "a name is needed");
    std::vector<std::string>& disabled = options.disabled;
    disabled.erase(std::remove(disabled.begin(), disabled.end(), name), disabled.end());
    if (weight.value_or(0) != 0) {
      options.weights[name] = *weight;
    } else if (scores) {
      options.weights[name] = 1;
    }
    if (!weight.has_value() && IsBuiltIn(name)) options.weights.erase(name);
    return plugin.End();
  });
  return set.End();
}

absl::Status ReadPlugins(Mapping plugins, PluginOptions& options) {
  for (const char* const key :
       {"multiPoint", "score", "filter", "preFilter", "preScore", "preEnqueue", "queueSort",
        "postFilter", "reserve", "permit", "preBind", "bind", "postBind"}) {
    const bool scores = std::string(key) == "score";
    const bool whole = scores || std::string(key) == "multiPoint";
    const Value* set = plugins.Take(key);
    if (set == nullptr) continue;
    if (!whole) {
      plugins.Fail(*set, plugins.PathOf(key),
                   "plugins are disabled as a whole (multiPoint) or in score");
      continue;
    }
    plugins.Set(ReadPluginSet(Mapping(*set, plugins.PathOf(key)), scores, options));
  }
  return plugins.End();
}

absl::StatusOr<Profile> ReadProfile(const Value& value, const std::string& path) {
  Profile profile;
  Mapping fields(value, path);
  profile.scheduler_name = fields.Text("schedulerName").value_or(profile.scheduler_name);
  fields.Inside("plugins",
                [&](Mapping plugins) { return ReadPlugins(std::move(plugins), profile.plugins); });
  fields.Each("pluginConfig", [&](const Value& item, const std::string& item_path) {
    Mapping config(item, item_path);
    const std::string name = config.Text("name").value_or("");
    config.Inside("args",
                  [&](Mapping args) { return ReadArgs(name, std::move(args), profile.plugins); });
    return config.End();
  });
  absl::Status status = fields.End();
  if (!status.ok()) return status;
  const absl::Status plugins = MakePlugins(profile.plugins, nullptr).status();
  if (!plugins.ok()) return Wrong(value, path, plugins.message());
  return profile;
}

void ReadProfiles(Mapping& top, SchedulerOptions& options) {
  if (top.Take("profiles") != nullptr) options.profiles.clear();
  top.Each("profiles", [&](const Value& item, const std::string& path) {
    absl::StatusOr<Profile> profile = ReadProfile(item, path);
    if (!profile.ok()) return profile.status();
    for (const Profile& other : options.profiles) {
      if (other.scheduler_name != profile->scheduler_name) continue;
      return Wrong(item, path, absl::StrCat("there is another profile for ", other.scheduler_name));
    }
    options.profiles.push_back(*std::move(profile));
    return absl::OkStatus();
  });
  if (options.profiles.empty()) options.profiles.emplace_back();
}

}  // namespace

absl::StatusOr<SchedulerOptions> ParseConfig(absl::string_view text) {
  absl::StatusOr<Value> tree = yaml::Parse(text);
  if (!tree.ok()) return tree.status();
  SchedulerOptions options;
  Mapping top(*tree, "");
  const std::string version = top.Text("apiVersion").value_or("");
  const std::string kind = top.Text("kind").value_or("");
  if (kind != "KubeSchedulerConfiguration" || version != absl::StrCat(kGroup, "v1")) {
    top.Fail(*tree, "",
             absl::StrCat("KubeSchedulerConfiguration of ", kGroup, "v1 was expected, not ", kind,
                          " of ", version));
  }
  if (const auto percentage = top.Int("percentageOfNodesToScore", 0, 100)) {
    options.percentage_of_nodes_to_score = static_cast<int>(*percentage);
  }
  if (const auto initial = top.Int("podInitialBackoffSeconds", 1, 86'400)) {
    options.backoff_initial = seconds(*initial);
  }
  if (const auto max = top.Int("podMaxBackoffSeconds", 1, 86'400)) {
    options.backoff_max = seconds(*max);
  }
  if (options.backoff_max < options.backoff_initial) {
    top.Fail(*tree, "podMaxBackoffSeconds", "must not be less than podInitialBackoffSeconds");
  }
  if (const Value* extenders = top.Take("extenders")) {
    if (!extenders->items().empty()) top.Fail(*extenders, "extenders", "there are none of these");
  }
  for (const char* const harmless :
       {"leaderElection", "clientConnection", "parallelism", "enableProfiling",
        "enableContentionProfiling", "delayCacheUntilActive"}) {
    top.Take(harmless);
  }
  ReadProfiles(top, options);
  absl::Status status = top.End();
  if (!status.ok()) return status;
  return options;
}

}  // namespace meltemi::scheduler
