// How profiles choose rules, and which events wake pods that a rule has refused.
#include "orchestrator/scheduler/plugins/plugins.h"

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orchestrator/scheduler/model/snapshot_builder.h"
#include "orchestrator/scheduler/plugins/rules.h"

namespace meltemi::scheduler {
namespace {

using ::testing::HasSubstr;
using Type = ClusterEvent::Type;

std::string Described(const std::vector<WeightedPlugin>& plugins) {
  std::string text;
  for (const WeightedPlugin& each : plugins) {
    absl::StrAppend(&text, each.plugin->name(), each.plugin->filters ? " filter" : "",
                    each.plugin->scores ? absl::StrCat(" score*", each.weight) : "", "\n");
  }
  return text;
}

TEST(MakePlugins, Defaults) {
  auto plugins = MakePlugins({}, nullptr);
  ASSERT_TRUE(plugins.ok()) << plugins.status();
  EXPECT_EQ(Described(*plugins),
            "SchedulingGates filter\nNodeUnschedulable filter\nNodeName filter\n"
            "TaintToleration filter score*3\nNodeAffinity filter score*2\nNodePorts filter\n"
            "NodeResourcesFit filter score*1\nPodTopologySpread filter score*2\n"
            "InterPodAffinity filter score*2\nNodeResourcesBalancedAllocation score*1\n"
            "ImageLocality score*1\n");
}

TEST(MakePlugins, WeightsAndWhatIsLeftOut) {
  PluginOptions options;
  options.weights = {{"ImageLocality", 7}, {"TaintToleration", 0}};
  options.disabled = {"NodePorts", "InterPodAffinity"};
  auto plugins = MakePlugins(options, nullptr);
  ASSERT_TRUE(plugins.ok()) << plugins.status();
  EXPECT_EQ(Described(*plugins),
            "SchedulingGates filter\nNodeUnschedulable filter\nNodeName filter\n"
            "TaintToleration filter\nNodeAffinity filter score*2\n"
            "NodeResourcesFit filter score*1\nPodTopologySpread filter score*2\n"
            "NodeResourcesBalancedAllocation score*1\nImageLocality score*7\n");
}

std::string ErrorOf(const std::function<void(PluginOptions&)>& change) {
  PluginOptions options;
  change(options);
  auto plugins = MakePlugins(options, nullptr);
  return plugins.ok() ? "none" : std::string(plugins.status().message());
}

TEST(MakePlugins, Mistakes) {
  EXPECT_THAT(ErrorOf([](auto& options) { options.disabled = {"NodePort"}; }),
              HasSubstr("NodePort is disabled, but no plugin"));
  EXPECT_THAT(ErrorOf([](auto& options) { options.weights["Nope"] = 1; }),
              HasSubstr("Nope, which is no plugin"));
  EXPECT_THAT(ErrorOf([](auto& options) { options.weights["NodePorts"] = 1; }),
              HasSubstr("NodePorts, which does not score"));
  EXPECT_THAT(ErrorOf([](auto& options) { options.weights["ImageLocality"] = -1; }),
              HasSubstr("must be from 0"));
  EXPECT_THAT(ErrorOf([](auto& options) { options.fit_resources.clear(); }),
              HasSubstr("fit_resources: at least one"));
  EXPECT_THAT(ErrorOf([](auto& options) {
                options.fit_resources = {{"cpu", 101}};
              }),
              HasSubstr("the weight of cpu must be from 1 to 100, not 101"));
  EXPECT_THAT(ErrorOf([](auto& options) { options.hard_pod_affinity_weight = 101; }),
              HasSubstr("hard_pod_affinity_weight must be from 0 to 100"));
  const auto shape = [](std::vector<std::pair<int, int>> points) {
    return ErrorOf([&](auto& options) {
      options.fit = FitStrategy::kRequestedToCapacityRatio;
      options.fit_shape = points;
    });
  };
  EXPECT_EQ(shape({{0, 10}, {100, 0}}), "none");
  EXPECT_THAT(shape({}), HasSubstr("at least one point"));
  EXPECT_THAT(shape({{0, 11}}), HasSubstr("a score must be from 0 to 10, not 11"));
  EXPECT_THAT(shape({{101, 1}}), HasSubstr("utilization must be from 0 to 100"));
  EXPECT_THAT(shape({{50, 1}, {50, 2}}), HasSubstr("must grow"));
}

std::shared_ptr<const NodeFacts> Facts(absl::string_view yaml) {
  return MakeNodeFacts(MakeNode("a", yaml));
}
PodInfoPtr Info(absl::string_view yaml) { return MakePodInfo(MakePod("p", yaml, "a")); }

ClusterEvent NodeAdded(absl::string_view after) {
  ClusterEvent event;
  event.type = Type::kNodeAdded;
  event.node_after = Facts(after);
  return event;
}
ClusterEvent NodeChanged(absl::string_view before, absl::string_view after) {
  ClusterEvent event = NodeAdded(after);
  event.type = Type::kNodeChanged;
  event.node_before = Facts(before);
  return event;
}
ClusterEvent PodEvent(Type type, absl::string_view before, absl::string_view after) {
  ClusterEvent event;
  event.type = type;
  if (type != Type::kPodAdded) event.pod_before = Info(before);
  if (type != Type::kPodDeleted) event.pod_after = Info(after);
  return event;
}
ClusterEvent PodDeleted(absl::string_view pod) { return PodEvent(Type::kPodDeleted, pod, ""); }
ClusterEvent PodAdded(absl::string_view pod) { return PodEvent(Type::kPodAdded, "", pod); }
ClusterEvent PodChanged(absl::string_view before, absl::string_view after) {
  return PodEvent(Type::kPodChanged, before, after);
}
ClusterEvent SelfChanged(absl::string_view before, absl::string_view after) {
  return PodEvent(Type::kSelfChanged, before, after);
}

bool Wakes(const std::unique_ptr<Plugin>& rule, absl::string_view refused,
           const ClusterEvent& event) {
  return rule->MayHelp(*MakePodInfo(MakePod("refused", refused)), event);
}

TEST(MayHelp, NodesThatComeToSuit) {
  EXPECT_TRUE(Wakes(NewNodeUnschedulable(), "", NodeAdded("")));
  EXPECT_FALSE(Wakes(NewNodeUnschedulable(), "", NodeAdded("unschedulable: true")));
  EXPECT_TRUE(Wakes(NewNodeUnschedulable(), "", NodeChanged("unschedulable: true", "")));
  EXPECT_FALSE(Wakes(NewNodeUnschedulable(), "", NodeChanged("", "")));

  EXPECT_TRUE(Wakes(NewTaintToleration(), "", NodeChanged("taints: ['k:NoSchedule']", "")));
  EXPECT_FALSE(Wakes(NewTaintToleration(), "", NodeChanged("", "")));
  EXPECT_FALSE(Wakes(NewTaintToleration(), "", NodeAdded("taints: ['k:NoSchedule']")));
  EXPECT_FALSE(Wakes(NewTaintToleration(), "", PodDeleted("")));

  constexpr char kWantsZone[] = "nodeSelector: {zone: z1}";
  EXPECT_TRUE(Wakes(NewNodeAffinity(), kWantsZone, NodeAdded("labels: {zone: z1}")));
  EXPECT_FALSE(Wakes(NewNodeAffinity(), kWantsZone, NodeAdded("labels: {zone: z2}")));
  EXPECT_TRUE(Wakes(NewNodeAffinity(), kWantsZone, NodeChanged("", "labels: {zone: z1}")));
  EXPECT_FALSE(Wakes(NewNodeAffinity(), kWantsZone,
                     NodeChanged("labels: {zone: z1}", "labels: {zone: z1, x: y}")));

  EXPECT_TRUE(Wakes(NewNodeName(), "nodeName: a", NodeAdded("")));
  EXPECT_FALSE(Wakes(NewNodeName(), "nodeName: a", NodeChanged("", "")));
}

TEST(MayHelp, ResourcesThatComeFree) {
  const auto fit = [] { return NewNodeResourcesFit(FitStrategy::kLeastAllocated, {}, {}); };
  constexpr char kAsks[] = "requests: {cpu: 2}";
  EXPECT_TRUE(Wakes(fit(), kAsks, PodDeleted("")));
  EXPECT_FALSE(Wakes(fit(), kAsks, PodAdded("")));
  EXPECT_TRUE(Wakes(fit(), kAsks, NodeAdded("cpu: 2")));
  EXPECT_FALSE(Wakes(fit(), kAsks, NodeAdded("cpu: 1")));
  EXPECT_TRUE(Wakes(fit(), kAsks, NodeChanged("cpu: 2", "cpu: 3")));
  EXPECT_FALSE(Wakes(fit(), kAsks, NodeChanged("cpu: 3", "cpu: 2")));
  EXPECT_FALSE(Wakes(fit(), kAsks, NodeChanged("{cpu: 2, memory: 1Gi}", "{cpu: 2, memory: 2Gi}")));
  EXPECT_TRUE(Wakes(fit(), kAsks, PodChanged("requests: {cpu: 2}", "requests: {cpu: 1}")));
  EXPECT_FALSE(Wakes(fit(), kAsks, PodChanged("requests: {cpu: 1}", "requests: {cpu: 2}")));

  EXPECT_TRUE(Wakes(NewNodePorts(), "hostPort: 80", PodDeleted("hostPort: 80")));
  EXPECT_FALSE(Wakes(NewNodePorts(), "hostPort: 80", PodDeleted("hostPort: 81")));
  EXPECT_FALSE(Wakes(NewNodePorts(), "hostPort: 80", PodDeleted("")));
}

constexpr char kSpread[] =
    "labels: {app: web}\ntopologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, "
    "whenUnsatisfiable: DoNotSchedule, nodeTaintsPolicy: Honor, "
    "labelSelector: {matchLabels: {app: web}}}]";

TEST(MayHelp, Spreading) {
  const auto rule = [] { return NewPodTopologySpread(nullptr); };
  EXPECT_TRUE(Wakes(rule(), kSpread, PodAdded("labels: {app: web}")));
  EXPECT_FALSE(Wakes(rule(), kSpread, PodAdded("labels: {app: db}")));
  EXPECT_FALSE(Wakes(rule(), kSpread, PodAdded("{namespace: n, labels: {app: web}}")));
  EXPECT_TRUE(Wakes(rule(), kSpread, PodDeleted("labels: {app: web}")));
  EXPECT_TRUE(Wakes(rule(), kSpread, PodChanged("labels: {app: web}", "labels: {app: db}")));
  EXPECT_FALSE(Wakes(rule(), kSpread, PodChanged("labels: {app: web}", "labels: {app: web}")));
  EXPECT_TRUE(Wakes(rule(), kSpread, NodeAdded("labels: {zone: z1}")));
  EXPECT_FALSE(Wakes(rule(), kSpread, NodeAdded("")));
  EXPECT_TRUE(Wakes(rule(), kSpread, NodeChanged("labels: {zone: z1}", "labels: {zone: z2}")));
  EXPECT_FALSE(Wakes(rule(), kSpread, NodeChanged("labels: {zone: z1}", "labels: {zone: z1}")));
  EXPECT_TRUE(
      Wakes(rule(), kSpread,
            NodeChanged("{labels: {zone: z1}, taints: ['k:NoSchedule']}", "labels: {zone: z1}")));
  EXPECT_TRUE(
      Wakes(rule(), kSpread,
            SelfChanged(kSpread, absl::StrCat(kSpread, "\ntolerations: [{operator: Exists}]"))));
  EXPECT_FALSE(Wakes(rule(), kSpread, SelfChanged(kSpread, kSpread)));
  ClusterEvent gone = NodeChanged("labels: {zone: z1}", "");
  gone.type = Type::kNodeDeleted;
  EXPECT_TRUE(Wakes(rule(), kSpread, gone));
}

std::string Term(absl::string_view kind) {
  return absl::StrCat("affinity: {", kind,
                      ": {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: zone, "
                      "labelSelector: {matchLabels: {app: db}}}]}}");
}

TEST(MayHelp, Company) {
  const auto rule = [] { return NewInterPodAffinity(1); };
  const std::string near = Term("podAffinity"), far = Term("podAntiAffinity");
  constexpr char kDb[] = "labels: {app: db}";
  EXPECT_TRUE(Wakes(rule(), near, PodAdded(kDb)));
  EXPECT_FALSE(Wakes(rule(), near, PodAdded("labels: {app: web}")));
  EXPECT_FALSE(Wakes(rule(), near, PodDeleted(kDb)));
  EXPECT_TRUE(Wakes(rule(), near, PodChanged("", kDb)));
  EXPECT_FALSE(Wakes(rule(), near, PodChanged(kDb, "")));
  EXPECT_TRUE(Wakes(rule(), far, PodDeleted(kDb)));
  EXPECT_FALSE(Wakes(rule(), far, PodAdded(kDb)));
  EXPECT_TRUE(Wakes(rule(), far, PodChanged(kDb, "")));
  // One that wanted it away is gone; the last of its group is.
  EXPECT_TRUE(Wakes(rule(), kDb, PodDeleted(far)));
  EXPECT_FALSE(Wakes(rule(), "", PodDeleted(far)));
  EXPECT_TRUE(Wakes(rule(), absl::StrCat(near, "\n", kDb), PodDeleted(kDb)));
  EXPECT_TRUE(Wakes(rule(), near, NodeAdded("labels: {zone: z1}")));
  EXPECT_FALSE(Wakes(rule(), near, NodeAdded("")));
  EXPECT_TRUE(Wakes(rule(), far, NodeAdded("")));
  EXPECT_TRUE(Wakes(rule(), near, NodeChanged("", "labels: {zone: z1}")));
  EXPECT_FALSE(Wakes(rule(), near, NodeChanged("", "taints: ['k:NoSchedule']")));
}

TEST(MayHelp, Gates) {
  EXPECT_TRUE(Wakes(NewSchedulingGates(), "", SelfChanged("", "")));
  EXPECT_FALSE(Wakes(NewSchedulingGates(), "", NodeAdded("")));
}

}  // namespace
}  // namespace meltemi::scheduler
