#include "orchestrator/scheduler/config.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace meltemi::scheduler {
namespace {

constexpr char kHead[] =
    "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";

std::string ErrorOf(const std::string& text) {
  const absl::StatusOr<SchedulerOptions> options = ParseConfig(text);
  return options.ok() ? "fine" : std::string(options.status().message());
}

TEST(ConfigTest, NothingGivenIsTheDefault) {
  const absl::StatusOr<SchedulerOptions> options = ParseConfig(kHead);
  ASSERT_TRUE(options.ok()) << options.status();
  ASSERT_EQ(options->profiles.size(), 1u);
  EXPECT_EQ(options->profiles[0].scheduler_name, "default-scheduler");
  EXPECT_EQ(options->percentage_of_nodes_to_score, 0);
}

TEST(ConfigTest, EverythingThatCanBeSet) {
  const absl::StatusOr<SchedulerOptions> options = ParseConfig(absl::StrCat(kHead, R"(
leaderElection: {leaderElect: true}
clientConnection: {kubeconfig: /etc/x}
percentageOfNodesToScore: 40
podInitialBackoffSeconds: 2
podMaxBackoffSeconds: 20
profiles:
- schedulerName: default-scheduler
- schedulerName: packing
  plugins:
    multiPoint:
      disabled: [{name: ImageLocality}]
    score:
      disabled: [{name: NodeResourcesBalancedAllocation}]
      enabled:
      - {name: NodeResourcesFit, weight: 5}
  pluginConfig:
  - name: NodeResourcesFit
    args:
      apiVersion: kubescheduler.config.k8s.io/v1
      kind: NodeResourcesFitArgs
      scoringStrategy:
        type: RequestedToCapacityRatio
        resources: [{name: cpu, weight: 3}, {name: nvidia.com/gpu, weight: 5}]
        requestedToCapacityRatio:
          shape: [{utilization: 0, score: 0}, {utilization: 100, score: 10}]
  - name: InterPodAffinity
    args: {hardPodAffinityWeight: 7}
  - name: PodTopologySpread
    args: {defaultingType: List}
)"));
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->percentage_of_nodes_to_score, 40);
  EXPECT_EQ(options->backoff_initial, seconds(2));
  EXPECT_EQ(options->backoff_max, seconds(20));
  ASSERT_EQ(options->profiles.size(), 2u);
  const Profile& packing = options->profiles[1];
  EXPECT_EQ(packing.scheduler_name, "packing");
  EXPECT_EQ(packing.plugins.disabled, std::vector<std::string>{"ImageLocality"});
  EXPECT_EQ(packing.plugins.weights.at("NodeResourcesFit"), 5);
  EXPECT_EQ(packing.plugins.weights.at("NodeResourcesBalancedAllocation"), 0);
  EXPECT_EQ(packing.plugins.fit, FitStrategy::kRequestedToCapacityRatio);
  ASSERT_EQ(packing.plugins.fit_resources.size(), 2u);
  EXPECT_EQ(packing.plugins.fit_resources[1].first, "nvidia.com/gpu");
  EXPECT_EQ(packing.plugins.fit_shape.size(), 2u);
  EXPECT_EQ(packing.plugins.hard_pod_affinity_weight, 7);
  EXPECT_FALSE(packing.plugins.default_spreading);
}

TEST(ConfigTest, SaysWhatIsWrongAndWhere) {
  const struct {
    const char* text;
    const char* error;
  } kCases[] = {
      {"percentageOfNodesToScore: 101",
       "line 3: percentageOfNodesToScore: a number from 0 to 100 was expected"},
      {"percentageOfNodesToScore: many",
       "line 3: percentageOfNodesToScore: a number from 0 to 100 was expected"},
      {"percentageOfNodes: 10", "line 3: percentageOfNodes: no such field"},
      {"podInitialBackoffSeconds: 5\npodMaxBackoffSeconds: 4",
       "line 1: podMaxBackoffSeconds: must not be less than podInitialBackoffSeconds"},
      {"extenders: [{urlPrefix: x}]", "line 3: extenders: there are none of these"},
      {"profiles: {}", "line 3: profiles: a list was expected"},
      {"profiles:\n- plugins:\n    score:\n      enabled: [{name: Unknown}]",
       "line 4: profiles[0]: a weight is given for Unknown, which is no plugin"},
      {"profiles:\n- plugins:\n    filter:\n      disabled: [{name: NodeName}]",
       "line 6: profiles[0].plugins.filter: plugins are disabled as a whole (multiPoint) or in "
       "score"},
      {"profiles:\n- plugins:\n    multiPoint:\n      disabled: [{name: '*'}]",
       "line 6: profiles[0].plugins.multiPoint.disabled[0]: \"*\" is not possible: name the "
       "plugins"},
      {"profiles: [{schedulerName: a}, {schedulerName: a}]",
       "line 3: profiles[1]: there is another profile for a"},
      {"profiles:\n- pluginConfig:\n  - name: NodeResourcesFit\n    args: {scoringStrategy: "
       "{type: Best}}",
       "line 6: profiles[0].pluginConfig[0].args.scoringStrategy.type: \"Best\" is none of "
       "LeastAllocated, MostAllocated and RequestedToCapacityRatio"},
      {"profiles:\n- pluginConfig: [{name: VolumeBinding, args: {bindTimeoutSeconds: 3}}]",
       "line 4: profiles[0].pluginConfig[0].args: no arguments of VolumeBinding are known"},
  };
  for (const auto& c : kCases) EXPECT_EQ(ErrorOf(absl::StrCat(kHead, c.text)), c.error);
  EXPECT_EQ(ErrorOf("apiVersion: v1\nkind: Pod"),
            "line 1: KubeSchedulerConfiguration of kubescheduler.config.k8s.io/v1 was expected, "
            "not Pod of v1");
  EXPECT_EQ(ErrorOf("[1, 2]"), "line 1: a mapping was expected");
}

}  // namespace
}  // namespace meltemi::scheduler
