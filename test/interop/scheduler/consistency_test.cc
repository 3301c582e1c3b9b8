// Rules agree with themselves: what they have kept from earlier cycles and what AddPod and
// RemovePod have changed equals what they would find out anew.
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/json/write.h"
#include "gtest/gtest.h"
#include "orchestrator/scheduler/model/snapshot_builder.h"
#include "orchestrator/scheduler/plugins/plugins.h"
#include "test/interop/scheduler/random_clusters.h"

namespace meltemi::interop {
namespace {

using scheduler::NodeInfo;
using scheduler::Plugin;
using scheduler::PluginState;
using scheduler::PodInfo;
using scheduler::PodInfoPtr;
using scheduler::Snapshot;
using scheduler::Verdict;
using scheduler::WeightedPlugin;

std::vector<WeightedPlugin> Rules() {
  auto rules = scheduler::MakePlugins({}, [](const PodInfo& pod) {
    return *kube::LabelSelector::Parse(pod.labels.empty() ? "" : "app");
  });
  EXPECT_TRUE(rules.ok()) << rules.status();
  return *std::move(rules);
}

std::string Text(const Verdict& verdict) {
  return absl::StrCat(static_cast<int>(verdict.code), absl::StrJoin(verdict.reasons, ","));
}

// A cluster that changes, beside a list of what is in it.
class ChangingCluster {
 public:
  explicit ChangingCluster(uint32_t seed) : random_(seed), dice_(seed) {
    for (int i = 0; i < 6; ++i) AddNode();
    for (int i = 0; i < 20; ++i) AddPod();
  }

  // One thing changes.
  void Step() {
    const int what = Below(20);
    if (what < 8) {
      AddPod();
    } else if (what < 14) {
      RemovePod();
    } else if (what < 18) {
      const std::string name = AnyNode();
      cluster_.Replace(scheduler::NodeFromJson(json::ToString(random_.Node(name))));
    } else if (what == 18) {
      cluster_.Namespace(Below(2) == 0 ? "default" : "other",
                         {{"team", Below(2) == 0 ? "red" : "blue"}});
    } else if (Below(2) == 0) {
      AddNode();
    } else if (nodes_.size() > 3) {
      RemoveNode();
    }
  }

  PodInfoPtr WaitingPod() {
    return scheduler::MakePodInfo(scheduler::PodFromJson(json::ToString(random_.WaitingPod())));
  }
  PodInfoPtr NewPod(const std::string& node) {
    ++last_;
    return scheduler::MakePodInfo(scheduler::PodFromJson(
        json::ToString(random_.RunningPod(absl::StrCat("p", last_), 8080 + last_ % 1000, node))));
  }
  int Below(int bound) { return static_cast<int>(dice_() % static_cast<uint32_t>(bound)); }
  std::string AnyNode() {
    return nodes_[static_cast<size_t>(Below(static_cast<int>(nodes_.size())))];
  }
  const Snapshot& snapshot() { return cluster_.Build(); }
  scheduler::SnapshotBuilder& builder() { return cluster_; }

 private:
  void AddNode() {
    nodes_.push_back(absl::StrCat("n", ++last_));
    cluster_.Add(scheduler::NodeFromJson(json::ToString(random_.Node(nodes_.back()))));
  }
  void RemoveNode() {
    cluster_.RemoveNode(nodes_.front());
    pods_.erase(nodes_.front());
    nodes_.erase(nodes_.begin());
  }
  void AddPod() {
    const std::string node = AnyNode();
    pods_[node].push_back(NewPod(node));
    cluster_.AddInfo(pods_[node].back(), node);
  }
  void RemovePod() {
    const std::string node = AnyNode();
    if (pods_[node].empty()) return;
    EXPECT_TRUE(cluster_.Remove(*pods_[node].front(), node));
    pods_[node].erase(pods_[node].begin());
  }

  RandomClusters random_;
  std::mt19937 dice_;
  scheduler::SnapshotBuilder cluster_;
  std::vector<std::string> nodes_;
  std::map<std::string, std::vector<PodInfoPtr>> pods_;
  int last_ = 0;
};

// A line per node. `copy` stands for the node of its name.
std::string Filtered(const Plugin& rule, const PodInfo& pod, const Snapshot& snapshot,
                     const PluginState* state, const NodeInfo* copy) {
  std::string text;
  for (const NodeInfo* node : snapshot.nodes()) {
    const NodeInfo& asked = copy != nullptr && copy->name() == node->name() ? *copy : *node;
    absl::StrAppend(&text, node->name(), ": ", Text(rule.Filter(pod, asked, state)), "\n");
  }
  return text;
}

std::string Filtered(const Plugin& rule, const PodInfo& pod, const Snapshot& snapshot) {
  std::unique_ptr<PluginState> state;
  const Verdict before = rule.PreFilter(pod, snapshot, &state);
  // Left out, it refuses nothing.
  if (before.code == Verdict::Code::kSkip) {
    std::string text;
    for (const NodeInfo* node : snapshot.nodes()) absl::StrAppend(&text, node->name(), ": 0\n");
    return text;
  }
  return before.ok() ? Filtered(rule, pod, snapshot, state.get(), nullptr) : Text(before);
}

std::string Scored(const Plugin& rule, const PodInfo& pod, const Snapshot& snapshot) {
  const std::vector<const NodeInfo*> nodes(snapshot.nodes().begin(), snapshot.nodes().end());
  std::unique_ptr<PluginState> state;
  const Verdict before = rule.PreScore(pod, snapshot, nodes, &state);
  std::vector<int64_t> scores(nodes.size(), 0);
  if (!before.ok()) return absl::StrJoin(scores, " ");
  for (size_t i = 0; i < nodes.size(); ++i) scores[i] = rule.Score(pod, *nodes[i], state.get());
  rule.Normalize(pod, nodes, state.get(), scores);
  return absl::StrJoin(scores, " ");
}

TEST(ConsistencyTest, WhatIsKeptFromCycleToCycle) {
  for (uint32_t seed = 1; seed <= 12; ++seed) {
    ChangingCluster cluster(seed);
    const std::vector<WeightedPlugin> old_rules = Rules();
    std::vector<PodInfoPtr> pods;
    for (int i = 0; i < 8; ++i) pods.push_back(cluster.WaitingPod());
    for (int step = 0; step < 60; ++step) {
      cluster.Step();
      const Snapshot& snapshot = cluster.snapshot();
      const PodInfo& pod = *pods[static_cast<size_t>(cluster.Below(8))];
      const std::vector<WeightedPlugin> new_rules = Rules();
      for (size_t i = 0; i < new_rules.size(); ++i) {
        const Plugin& kept = *old_rules[i].plugin;
        const Plugin& fresh = *new_rules[i].plugin;
        ASSERT_EQ(Filtered(kept, pod, snapshot), Filtered(fresh, pod, snapshot))
            << kept.name() << " of seed " << seed << ", step " << step;
        ASSERT_EQ(Scored(kept, pod, snapshot), Scored(fresh, pod, snapshot))
            << kept.name() << " of seed " << seed << ", step " << step;
      }
    }
  }
}

// Three pods come to a node; then they go again.
TEST(ConsistencyTest, AddPodAndRemovePod) {
  for (uint32_t seed = 100; seed < 180; ++seed) {
    ChangingCluster cluster(seed);
    const PodInfoPtr pod = cluster.WaitingPod();
    const std::string name = cluster.AnyNode();
    const std::vector<WeightedPlugin> rules = Rules();
    std::vector<PodInfoPtr> others;
    for (int i = 0; i < 3; ++i) others.push_back(cluster.NewPod(name));
    struct Tried {
      const Plugin* rule;
      std::string without, with;
    };
    std::vector<Tried> tried;
    for (const WeightedPlugin& each : rules) {
      const Plugin& rule = *each.plugin;
      const Snapshot& snapshot = cluster.snapshot();
      std::unique_ptr<PluginState> made;
      if (!rule.PreFilter(*pod, snapshot, &made).ok()) continue;
      const std::string without = Filtered(rule, *pod, snapshot, made.get(), nullptr);
      const std::unique_ptr<PluginState> state = made == nullptr ? nullptr : made->Clone();
      NodeInfo copy = cluster.builder().At(name);
      for (const PodInfoPtr& other : others) {
        copy.AddPod(other);
        rule.AddPod(*pod, *other, copy, state.get());
      }
      tried.push_back({&rule, without, Filtered(rule, *pod, snapshot, state.get(), &copy)});
      for (const PodInfoPtr& other : others) {
        ASSERT_TRUE(copy.RemovePod(*other));
        rule.RemovePod(*pod, *other, copy, state.get());
      }
      EXPECT_EQ(Filtered(rule, *pod, snapshot, state.get(), &copy), without) << rule.name();
      EXPECT_EQ(Filtered(rule, *pod, snapshot, made.get(), nullptr), without)
          << "the clone changed the state of " << rule.name();
    }
    for (const PodInfoPtr& other : others) cluster.builder().AddInfo(other, name);
    for (const Tried& each : tried) {
      EXPECT_EQ(each.with, Filtered(*each.rule, *pod, cluster.snapshot()))
          << each.rule->name() << " of seed " << seed;
    }
    // And the other way round.
    for (const WeightedPlugin& each : rules) {
      const Plugin& rule = *each.plugin;
      std::unique_ptr<PluginState> state;
      if (!rule.PreFilter(*pod, cluster.snapshot(), &state).ok()) continue;
      NodeInfo copy = cluster.builder().At(name);
      for (const PodInfoPtr& other : others) {
        ASSERT_TRUE(copy.RemovePod(*other));
        rule.RemovePod(*pod, *other, copy, state.get());
      }
      for (const Tried& before : tried) {
        if (before.rule != &rule) continue;
        EXPECT_EQ(Filtered(rule, *pod, cluster.snapshot(), state.get(), &copy), before.without)
            << rule.name() << " of seed " << seed;
      }
    }
  }
}

}  // namespace
}  // namespace meltemi::interop
