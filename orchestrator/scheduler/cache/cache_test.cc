#include "orchestrator/scheduler/cache/cache.h"

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "base/random/random.h"
#include "gtest/gtest.h"
#include "orchestrator/scheduler/model/snapshot_builder.h"

namespace meltemi::scheduler {
namespace {

std::shared_ptr<const NodeFacts> Node(const std::string& name, absl::string_view yaml = "") {
  return MakeNodeFacts(MakeNode(name, yaml));
}

PodInfoPtr Pod(const std::string& name, absl::string_view yaml = "requests: {cpu: 1}",
               const std::string& node = "") {
  return MakePodInfo(MakePod(name, yaml, node));
}

std::string Names(const std::vector<NodeInfo*>& nodes) {
  return absl::StrJoin(nodes, " ", [](std::string* out, const NodeInfo* node) {
    absl::StrAppend(out, node->name());
  });
}

constexpr char kWithAntiAffinity[] =
    "{labels: {app: a}, affinity: {podAntiAffinity: "
    "{requiredDuringSchedulingIgnoredDuringExecution:"
    " [{topologyKey: host, labelSelector: {matchLabels: {app: a}}}]}}}";

TEST(CacheTest, AnAssumedPodCountsUntilItIsForgotten) {
  Cache cache;
  Snapshot snapshot;
  cache.SetNode(Node("a"));
  const PodInfoPtr pod = Pod("p");
  EXPECT_TRUE(cache.Assume(pod, "a"));
  EXPECT_FALSE(cache.Assume(pod, "a"));
  cache.Update(snapshot);
  EXPECT_EQ(snapshot.Find("a")->requested.milli_cpu, 1000);
  EXPECT_TRUE(cache.IsAssumed(pod->uid));

  EXPECT_TRUE(cache.Forget(pod->uid));
  EXPECT_FALSE(cache.Forget(pod->uid));
  EXPECT_FALSE(cache.Knows(pod->uid));
  EXPECT_EQ(snapshot.Find("a")->requested.milli_cpu, 1000);  // as it was when it was updated
  cache.Update(snapshot);
  EXPECT_EQ(snapshot.Find("a")->requested.milli_cpu, 0);
}

TEST(CacheTest, WhatIsSeenWinsOverWhatWasAssumed) {
  Cache cache;
  Snapshot snapshot;
  cache.SetNode(Node("a"));
  cache.SetNode(Node("b"));
  const PodInfoPtr pod = Pod("p");
  cache.Assume(pod, "a");
  EXPECT_EQ(cache.SetPod(Pod("p", "requests: {cpu: 1}", "b")), nullptr);  // bound by somebody else
  cache.Update(snapshot);
  EXPECT_EQ(snapshot.Find("a")->requested.milli_cpu, 0);
  EXPECT_EQ(snapshot.Find("b")->requested.milli_cpu, 1000);
  EXPECT_FALSE(cache.IsAssumed(pod->uid));
  EXPECT_FALSE(cache.Forget(pod->uid));  // too late
  EXPECT_NE(cache.SetPod(Pod("p", "requests: {cpu: 2}", "b")), nullptr);
  EXPECT_EQ(cache.size().assumed, 0u);
  EXPECT_EQ(cache.size().pods, 1u);
  EXPECT_NE(cache.RemovePod(pod->uid), nullptr);
  EXPECT_EQ(cache.RemovePod(pod->uid), nullptr);
}

TEST(CacheTest, PodsOutliveTheirNode) {
  Cache cache;
  Snapshot snapshot;
  cache.SetNode(Node("a"));
  cache.SetNode(Node("b"));
  cache.SetPod(Pod("p", "requests: {cpu: 1}", "a"));
  cache.Update(snapshot);
  cache.RemoveNode("a");
  cache.RemoveNode("a");
  cache.RemoveNode("nobody");
  cache.Update(snapshot);
  EXPECT_EQ(Names(snapshot.nodes()), "b");
  EXPECT_EQ(snapshot.Find("a"), nullptr);

  cache.SetNode(Node("a"));
  cache.Update(snapshot);
  EXPECT_EQ(Names(snapshot.nodes()), "b a");
  EXPECT_EQ(snapshot.Find("a")->requested.milli_cpu, 1000);
}

TEST(CacheTest, APodMayComeBeforeItsNode) {
  Cache cache;
  Snapshot snapshot;
  cache.SetPod(Pod("p", "requests: {cpu: 1}", "a"));
  cache.Update(snapshot);
  EXPECT_TRUE(snapshot.nodes().empty());
  cache.SetNode(Node("a"));
  cache.Update(snapshot);
  EXPECT_EQ(snapshot.Find("a")->pods.size(), 1u);
}

TEST(CacheTest, ZonesTakeTurns) {
  Cache cache;
  Snapshot snapshot;
  const char* const kZone = "labels: {topology.kubernetes.io/zone: $0}";
  for (const char* name : {"a1", "a2", "a3", "b1", "c1", "c2"}) {
    cache.SetNode(Node(name, absl::StrReplaceAll(kZone, {{"$0", std::string(1, name[0])}})));
  }
  cache.Update(snapshot);
  EXPECT_EQ(Names(snapshot.nodes()), "a1 b1 c1 a2 c2 a3");
  cache.SetNode(Node("a2", "labels: {topology.kubernetes.io/zone: b}"));
  cache.Update(snapshot);
  EXPECT_EQ(Names(snapshot.nodes()), "a1 a2 c1 a3 b1 c2");
}

TEST(CacheTest, KnowsWhereAffinityIs) {
  Cache cache;
  Snapshot snapshot;
  cache.SetNode(Node("a"));
  cache.SetNode(Node("b"));
  cache.SetPod(Pod("p", kWithAntiAffinity, "b"));
  cache.Update(snapshot);
  EXPECT_EQ(Names(snapshot.nodes_with_affinity()), "b");
  EXPECT_EQ(Names(snapshot.nodes_with_required_anti_affinity()), "b");
  cache.RemoveNode("b");
  cache.Update(snapshot);
  EXPECT_EQ(Names(snapshot.nodes_with_affinity()), "");
  cache.SetNode(Node("b"));
  cache.Update(snapshot);
  EXPECT_EQ(Names(snapshot.nodes_with_required_anti_affinity()), "b");
  cache.RemovePod(Pod("p")->uid);
  cache.Update(snapshot);
  EXPECT_EQ(Names(snapshot.nodes_with_required_anti_affinity()), "");
}

TEST(CacheTest, CountsNodesThatHaveAnImage) {
  Cache cache;
  Snapshot snapshot;
  cache.SetNode(Node("a", "images: {nginx: 100}"));
  cache.SetNode(Node("b", "images: {nginx: 100, redis: 50}"));
  cache.Update(snapshot);
  EXPECT_EQ(snapshot.NodesWithImage("nginx"), 2);
  cache.SetNode(Node("b", "images: {redis: 50}"));
  cache.Update(snapshot);
  EXPECT_EQ(snapshot.NodesWithImage("nginx"), 1);
  cache.RemoveNode("a");
  cache.Update(snapshot);
  EXPECT_EQ(snapshot.NodesWithImage("nginx"), 0);
  EXPECT_EQ(snapshot.NodesWithImage("redis"), 1);
}

TEST(CacheTest, KnowsTheLabelsOfNamespaces) {
  Cache cache;
  Snapshot snapshot;
  cache.SetNamespace("x", {{"team", "red"}});
  cache.Update(snapshot);
  EXPECT_EQ(snapshot.NamespaceLabels("x"), (kube::StringPairs{{"team", "red"}}));
  cache.RemoveNamespace("x");
  cache.Update(snapshot);
  EXPECT_TRUE(snapshot.NamespaceLabels("x").empty());
}

// A few words on all that a snapshot says, whatever the order of pods and nodes.
std::set<std::string> Words(const Snapshot& snapshot) {
  std::set<std::string> words;
  for (const NodeInfo* node : snapshot.nodes()) {
    std::set<std::string> pods;
    for (const PodInfoPtr& pod : node->pods) pods.insert(pod->uid);
    words.insert(absl::StrCat(
        node->name(), ": ", absl::StrJoin(pods, " "), " cpu ", node->requested.milli_cpu, "/",
        node->facts->allocatable.milli_cpu, " affinity ", node->pods_with_affinity.size(), " ",
        node->pods_with_required_anti_affinity.size(), " nonzero ", node->nonzero_milli_cpu));
  }
  for (const NodeInfo* node : snapshot.nodes_with_affinity()) words.insert("with " + node->name());
  for (const NodeInfo* node : snapshot.nodes_with_required_anti_affinity()) {
    words.insert("against " + node->name());
  }
  words.insert(absl::StrCat("images ", snapshot.NodesWithImage("nginx")));
  return words;
}

TEST(CacheTest, AnIncrementalSnapshotIsWhatAWholeOneWouldBe) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    FastRandom random(seed);
    Cache cache;
    Snapshot incremental;
    std::map<std::string, std::string> nodes;                        // name → yaml
    std::map<std::string, std::pair<std::string, PodInfoPtr>> pods;  // name → node, pod
    for (int step = 0; step < 120; ++step) {
      const std::string node = absl::StrCat("n", random.Below(6));
      const std::string pod = absl::StrCat("p", random.Below(12));
      const char* const yaml = random.Below(3) == 0 ? kWithAntiAffinity : "requests: {cpu: 1}";
      switch (random.Below(6)) {
        case 0:
          nodes[node] = absl::StrCat("cpu: ", 1 + random.Below(8),
                                     random.Below(2) == 0 ? "\nimages: {nginx: 1}" : "");
          cache.SetNode(Node(node, nodes[node]));
          break;
        case 1:
          nodes.erase(node);
          cache.RemoveNode(node);
          break;
        case 2:
          if (cache.Assume(Pod(pod, yaml), node)) pods[pod] = {node, Pod(pod, yaml)};
          break;
        case 3:
          pods[pod] = {node, Pod(pod, yaml, node)};
          cache.SetPod(pods[pod].second);
          break;
        case 4:
          if (cache.Forget(Pod(pod)->uid)) pods.erase(pod);
          break;
        default:
          if (cache.RemovePod(Pod(pod)->uid) != nullptr) pods.erase(pod);
      }
      if (random.Below(3) != 0) continue;
      cache.Update(incremental);
      Cache whole_cache;
      Snapshot whole;
      for (const auto& [name, text] : nodes) whole_cache.SetNode(Node(name, text));
      for (const auto& [name, placed] : pods) whole_cache.Assume(placed.second, placed.first);
      whole_cache.Update(whole);
      ASSERT_EQ(Words(incremental), Words(whole)) << "seed " << seed << " step " << step;
    }
  }
}

}  // namespace
}  // namespace meltemi::scheduler
