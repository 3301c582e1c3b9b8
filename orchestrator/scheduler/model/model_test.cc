// What is read off pods and nodes, and how nodes add up what runs on them.
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "orchestrator/scheduler/model/node_info.h"
#include "orchestrator/scheduler/model/pod_info.h"
#include "orchestrator/scheduler/model/snapshot_builder.h"

namespace meltemi::scheduler {
namespace {

constexpr int64_t kMebibyte = 1024 * 1024;

// "cpu memory (cpu memory)": asked for, and with what stands for what is not asked for.
std::string Asks(const std::string& yaml) {
  const PodInfoPtr pod = MakePodInfo(MakePod("p", yaml));
  return absl::StrCat(pod->request.milli_cpu, " ", pod->request.memory_bytes / kMebibyte, " (",
                      pod->nonzero_milli_cpu, " ", pod->nonzero_memory_bytes / kMebibyte, ")");
}

TEST(PodInfoTest, AddsUpWhatContainersAskFor) {
  EXPECT_EQ(Asks(""), "0 0 (100 200)");
  EXPECT_EQ(Asks("requests: {cpu: 250m}"), "250 0 (250 200)");
  EXPECT_EQ(Asks("requests: {cpu: 0, memory: 64Mi}"), "0 64 (0 64)");
  EXPECT_EQ(Asks("containers: [{name: a, resources: {requests: {cpu: 1}}}, "
                 "{name: b, resources: {requests: {memory: 1Gi}}}, {name: c}]"),
            "1000 1024 (1200 1424)");
  EXPECT_EQ(Asks("{requests: {cpu: 100m, memory: 10Mi}, overhead: {cpu: 50m, memory: 5Mi}}"),
            "150 15 (150 15)");
  // A fraction of a thousandth is rounded up.
  EXPECT_EQ(Asks("requests: {cpu: 1500u}"), "2 0 (2 200)");
}

TEST(PodInfoTest, InitContainersRunBeforeAndSidecarsBeside) {
  const auto init = [](const std::string& containers) {
    return Asks("{requests: {cpu: 100m, memory: 100Mi}, initContainers: [" + containers + "]}");
  };
  const std::string large = "{name: large, resources: {requests: {cpu: 500m, memory: 10Mi}}}";
  const std::string sidecar =
      "{name: side, restartPolicy: Always, resources: {requests: {cpu: 200m, memory: 20Mi}}}";
  EXPECT_EQ(init(large), "500 100 (500 100)");
  EXPECT_EQ(init(sidecar), "300 120 (300 120)");
  EXPECT_EQ(init(sidecar + ", " + large), "700 120 (700 120)");
  EXPECT_EQ(init(large + ", " + sidecar), "500 120 (500 120)");
}

TEST(PodInfoTest, ExtendedResourcesByNumber) {
  const PodInfoPtr pod = MakePodInfo(
      MakePod("p", "requests: {example.com/gpu: 2, hugepages-2Mi: 4Mi, ephemeral-storage: 1Gi}"));
  EXPECT_EQ(pod->request.Extended(ResourceNumber("example.com/gpu")), 2);
  EXPECT_EQ(pod->request.Extended(ResourceNumber("hugepages-2Mi")), 4 * kMebibyte);
  EXPECT_EQ(pod->request.Extended(ResourceNumber("example.com/other")), 0);
  EXPECT_EQ(pod->request.ephemeral_bytes, 1024 * kMebibyte);
  EXPECT_EQ(ResourceName(ResourceNumber("example.com/gpu")), "example.com/gpu");
}

TEST(PodInfoTest, AffinityTermsTakeInTheirOwnNamespace) {
  const auto term = [](const std::string& more) {
    const PodInfoPtr pod =
        MakePodInfo(MakePod("p",
                            "{namespace: home, labels: {rev: one}, affinity: {podAntiAffinity: "
                            "{requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: zone, "
                            "labelSelector: {matchLabels: {app: db}}" +
                                more + "}]}}}"));
    EXPECT_TRUE(pod->has_affinity());
    EXPECT_EQ(pod->required_anti_affinity.size(), 1u);
    return pod->required_anti_affinity[0];
  };
  EXPECT_EQ(term("").namespaces, std::vector<std::string>{"home"});
  EXPECT_EQ(term(", namespaces: [b, a]").namespaces, (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(term(", namespaceSelector: {}").namespaces.empty());
  EXPECT_EQ(term(", matchLabelKeys: [rev]").selector.ToString(), "app=db,rev in (one)");
  EXPECT_EQ(term(", mismatchLabelKeys: [rev, gone]").selector.ToString(), "app=db,rev notin (one)");
  const PodInfoPtr other = MakePodInfo(MakePod("o", "{namespace: away, labels: {app: db}}"));
  const auto matches = [&](const AffinityTerm& asked, const kube::StringPairs& namespace_labels) {
    return asked.Matches(*other->pod, other->labels, namespace_labels);
  };
  EXPECT_FALSE(matches(term(""), {}));
  EXPECT_TRUE(matches(term(", namespaces: [away]"), {}));
  const AffinityTerm red = term(", namespaceSelector: {matchLabels: {team: red}}");
  EXPECT_TRUE(matches(red, {{"team", "red"}}));
  EXPECT_FALSE(matches(red, {{"team", "blue"}}));
}

TEST(NodeFactsTest, WhatIsReadOffTheNode) {
  const auto facts = MakeNodeFacts(
      MakeNode("a",
               "{labels: {zone: z1, empty: ''}, cpu: 3500m, memory: 1Gi, pods: 7, "
               "example.com/gpu: 4, images: {'nginx:1': 5}, taints: ['k:NoExecute']}"));
  EXPECT_EQ(facts->name, "a");
  EXPECT_EQ(facts->allocatable.milli_cpu, 3500);
  EXPECT_EQ(facts->allocatable.pods, 7);
  EXPECT_EQ(facts->allocatable.Extended(ResourceNumber("example.com/gpu")), 4);
  EXPECT_EQ(facts->image_bytes.at("nginx:1"), 5);
  bool found = false;
  EXPECT_EQ(facts->Label("zone", &found), "z1");
  EXPECT_TRUE(found);
  EXPECT_EQ(facts->Label("empty", &found), "");
  EXPECT_TRUE(found);
  EXPECT_EQ(facts->Label("none", &found), "");
  EXPECT_FALSE(found);
  EXPECT_TRUE(facts->repels);
  EXPECT_FALSE(facts->discourages);
  EXPECT_FALSE(facts->unschedulable);
  EXPECT_TRUE(MakeNodeFacts(MakeNode("b", "taints: ['k:PreferNoSchedule']"))->discourages);
  EXPECT_TRUE(MakeNodeFacts(MakeNode("c", "unschedulable: true"))->unschedulable);
}

TEST(NodeInfoTest, PodsComeAndGo) {
  NodeInfo node;
  node.facts = MakeNodeFacts(MakeNode("a"));
  const PodInfoPtr plain = MakePodInfo(MakePod("plain", "{requests: {cpu: 1}, hostPort: 80}"));
  const PodInfoPtr shy = MakePodInfo(
      MakePod("shy",
              "{requests: {example.com/gpu: 1}, affinity: {podAntiAffinity: "
              "{requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: zone}]}}}"));
  node.AddPod(plain);
  node.AddPod(shy);
  EXPECT_EQ(node.requested.milli_cpu, 1000);
  EXPECT_EQ(node.nonzero_milli_cpu, 1100);
  EXPECT_EQ(node.requested.Extended(ResourceNumber("example.com/gpu")), 1);
  EXPECT_EQ(node.pods_with_affinity.size(), 1u);
  EXPECT_EQ(node.pods_with_required_anti_affinity.size(), 1u);
  EXPECT_TRUE(node.host_ports.Conflicts({"10.0.0.1", "TCP", 80}));
  EXPECT_FALSE(node.host_ports.Conflicts({"10.0.0.1", "UDP", 80}));

  EXPECT_TRUE(node.RemovePod(*plain));
  EXPECT_FALSE(node.RemovePod(*plain));
  EXPECT_TRUE(node.RemovePod(*shy));
  EXPECT_EQ(node.requested.milli_cpu, 0);
  EXPECT_EQ(node.nonzero_memory_bytes, 0);
  EXPECT_EQ(node.requested.Extended(ResourceNumber("example.com/gpu")), 0);
  EXPECT_TRUE(node.pods.empty() && node.pods_with_affinity.empty() &&
              node.pods_with_required_anti_affinity.empty() && node.host_ports.empty());
}

TEST(SnapshotTest, TellsWhichNodesHaveChanged) {
  SnapshotBuilder cluster;
  cluster.Nodes("{a: {}, b: {}, c: {}}");
  const Snapshot& snapshot = cluster.Build();
  const int64_t order = snapshot.order();
  EXPECT_EQ(snapshot.changes(), 0);
  EXPECT_EQ(snapshot.ChangedPlace(0), -1);
  cluster.Pod("p", "", "c").Pod("q", "", "a");
  cluster.Build();
  EXPECT_EQ(snapshot.order(), order);
  EXPECT_EQ(snapshot.changes(), 2);
  EXPECT_EQ(snapshot.ChangedPlace(0), 2);
  EXPECT_EQ(snapshot.ChangedPlace(1), 0);
  for (int i = 0; i < 5000; ++i) cluster.Replace(MakeNode("b"));
  EXPECT_EQ(snapshot.ChangedPlace(1), -1);  // too long ago
  EXPECT_EQ(snapshot.ChangedPlace(5001), 1);
  cluster.Node("d").Build();
  EXPECT_NE(snapshot.order(), order);
  EXPECT_EQ(snapshot.changes(), 0);
  EXPECT_EQ(cluster.At("d").place, 3);
}

}  // namespace
}  // namespace meltemi::scheduler
