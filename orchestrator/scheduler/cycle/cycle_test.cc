#include "orchestrator/scheduler/cycle/cycle.h"

#include <map>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/random/random.h"
#include "gtest/gtest.h"
#include "orchestrator/scheduler/cycle/rule_fake.h"
#include "orchestrator/scheduler/model/snapshot_builder.h"

namespace meltemi::scheduler {
namespace {

TEST(NodesToFindTest, AFallingShareOfLargeClusters) {
  const struct {
    size_t nodes;
    int percentage;
    size_t wanted;
  } kCases[] = {{10, 0, 10},    {99, 0, 99},    {100, 0, 100},    {1000, 0, 420},
                {5000, 0, 500}, {6000, 0, 300}, {20000, 0, 1000}, {1000, 40, 400},
                {5000, 1, 100}, {50, 10, 50},   {5000, 100, 5000}};
  for (const auto& c : kCases) {
    EXPECT_EQ(NodesToFind(c.nodes, c.percentage), c.wanted) << c.nodes << " " << c.percentage;
  }
}

class CycleTest : public testing::Test {
 protected:
  PodInfoPtr Pod(const std::string& name = "p", const std::string& yaml = "") {
    return MakePodInfo(MakePod(name, yaml));
  }
  Placement Place(const Rules& rules, const PodInfo& pod) {
    return cycle_.Place(rules, pod, cluster_.Build(), nominated_);
  }
  // The node's name, or why there is none.
  std::string Line(const Rules& rules, const PodInfo& pod) {
    const Placement placement = Place(rules, pod);
    return placement.node != nullptr ? placement.node->name() : placement.diagnosis.Message("");
  }

  SnapshotBuilder cluster_;
  Nominated nominated_;
  FastRandom random_{7};
  Cycle cycle_{0, random_};
  RulesFake fakes_;
};

TEST_F(CycleTest, TheBestByWeightedScores) {
  cluster_.Node("a").Node("b").Node("c");
  const std::map<std::string, int64_t> first = {{"a", 10}, {"b", 50}, {"c", 0}};
  const std::map<std::string, int64_t> second = {{"a", 30}, {"b", 0}, {"c", 20}};
  fakes_.Add("First").score = [&](const PodInfo&, const NodeInfo& n) { return first.at(n.name()); };
  fakes_.Add("Second", 2).score = [&](const PodInfo&, const NodeInfo& n) {
    return second.at(n.name());
  };
  fakes_.Add("Unused", 0).score = [](const PodInfo&, const NodeInfo& n) {
    return n.name() == "c" ? 1000 : 0;
  };
  EXPECT_EQ(Line(fakes_.Make(), *Pod()), "a");  // 70, 50, 40
}

TEST_F(CycleTest, TiesAreBrokenAtRandom) {
  cluster_.Node("a").Node("b").Node("c");
  fakes_.Add("Score").score = [](const PodInfo&, const NodeInfo& n) {
    return n.name() == "b" ? 0 : 5;
  };
  const Rules rules = fakes_.Make();
  std::map<std::string, int> chosen;
  const PodInfoPtr pod = Pod();
  for (int i = 0; i < 300; ++i) ++chosen[Line(rules, *pod)];
  EXPECT_EQ(chosen.count("b"), 0u);
  EXPECT_GT(chosen["a"], 100);
  EXPECT_GT(chosen["c"], 100);
}

TEST_F(CycleTest, SaysHowManyNodesRefuseForWhichReason) {
  cluster_.Nodes("{a: {}, b: {}, c: {}, d: {}}");
  fakes_.Add("Taint").filter = [](const PodInfo&, const NodeInfo& n) {
    return n.name() < "c" ? Verdict::Unresolvable("node(s) had untolerated taint {x: y}")
                          : Verdict::Ok();
  };
  fakes_.Add("Fit").filter = [](const PodInfo&, const NodeInfo& n) {
    Verdict verdict = Verdict::Unschedulable("Insufficient cpu");
    if (n.name() == "d") verdict.reasons.push_back("Insufficient memory");
    return verdict;
  };
  const Rules rules = fakes_.Make();
  const PodInfoPtr pod = Pod();
  const Placement placement = Place(rules, *pod);
  EXPECT_EQ(placement.node, nullptr);
  EXPECT_EQ(placement.diagnosis.Message(""),
            "0/4 nodes are available: 1 Insufficient memory, 2 Insufficient cpu, 2 node(s) had "
            "untolerated taint {x: y}.");
  EXPECT_EQ(placement.diagnosis.Message("preemption: not now."),
            "0/4 nodes are available: 1 Insufficient memory, 2 Insufficient cpu, 2 node(s) had "
            "untolerated taint {x: y}. preemption: not now.");
  EXPECT_EQ(placement.diagnosis.refused_by, 3u);
  EXPECT_EQ(placement.diagnosis.preemptable.size(), 2u);
}

TEST_F(CycleTest, ARefusalBeforehandIsSaidOnce) {
  cluster_.Nodes("{a: {}, b: {}}");
  RuleFake& rule = fakes_.Add("Gates");
  rule.pre_filter = [](const PodInfo&) { return Verdict::Unresolvable("waiting for gates"); };
  rule.filter = [](const PodInfo&, const NodeInfo&) { return Verdict::Ok(); };
  const Rules rules = fakes_.Make();
  EXPECT_EQ(Line(rules, *Pod()), "0/2 nodes are available: waiting for gates.");
  EXPECT_EQ(rule.filtered, 0);
}

TEST_F(CycleTest, OnlyNodesThatComeIntoQuestionAreAsked) {
  cluster_.Nodes("{a: {}, b: {}, c: {}}");
  RuleFake& affinity = fakes_.Add("NodeAffinity");
  affinity.only_nodes = {"b", "nobody"};
  bool full = false;
  RuleFake& fit = fakes_.Add("Fit");
  fit.filter = [&](const PodInfo&, const NodeInfo&) {
    return full ? Verdict::Unschedulable("Too many pods") : Verdict::Ok();
  };
  const Rules rules = fakes_.Make();
  EXPECT_EQ(Line(rules, *Pod()), "b");
  EXPECT_EQ(fit.filtered, 1);
  full = true;
  EXPECT_EQ(Line(rules, *Pod()),
            "0/3 nodes are available: 1 Too many pods, 2 node(s) didn't satisfy plugin(s) "
            "[NodeAffinity].");
}

TEST_F(CycleTest, PluginsThatAskForDifferentNodesLeaveNone) {
  cluster_.Nodes("{a: {}, b: {}, c: {}}");
  fakes_.Add("NodeName").only_nodes = {"a"};
  fakes_.Add("NodeAffinity").only_nodes = {"b", "c"};
  EXPECT_EQ(Line(fakes_.Make(), *Pod()),
            "0/3 nodes are available: node(s) didn't satisfy plugin(s) [NodeAffinity NodeName] "
            "simultaneously.");
}

TEST_F(CycleTest, ASearchBeginsWhereTheLastOneEnded) {
  for (int i = 0; i < 300; ++i) cluster_.Node(absl::StrCat("n", i));
  std::set<std::string> asked;
  RuleFake& rule = fakes_.Add("Any");
  rule.filter = [&](const PodInfo&, const NodeInfo& node) {
    asked.insert(node.name());
    return Verdict::Ok();
  };
  rule.score = [](const PodInfo&, const NodeInfo&) { return 0; };
  const Rules rules = fakes_.Make();
  const PodInfoPtr pod = Pod();
  EXPECT_EQ(Place(rules, *pod).feasible, 144u);  // 48 %
  EXPECT_EQ(asked.size(), 144u);
  Place(rules, *pod);
  EXPECT_EQ(asked.size(), 288u);
  Place(rules, *pod);
  EXPECT_EQ(asked.size(), 300u);
  EXPECT_EQ(rule.filtered, 3 * 144);
}

TEST_F(CycleTest, WithoutScoresTheFirstNodeWillDo) {
  for (int i = 0; i < 10; ++i) cluster_.Node(absl::StrCat("n", i));
  RuleFake& rule = fakes_.Add("Any");
  rule.filter = [](const PodInfo&, const NodeInfo&) { return Verdict::Ok(); };
  const Rules rules = fakes_.Make();
  EXPECT_EQ(Line(rules, *Pod()), "n0");
  EXPECT_EQ(Line(rules, *Pod()), "n1");
  EXPECT_EQ(rule.filtered, 2);
}

TEST_F(CycleTest, RoomForANominatedPodIsNotTaken) {
  cluster_.Node("a");
  fakes_.Add("Fit").filter = [](const PodInfo&, const NodeInfo& node) { return AtMost(1, node); };
  const Rules rules = fakes_.Make();
  nominated_.Set(Pod("vip", "priority: 10"), "a");
  EXPECT_EQ(Line(rules, *Pod("p", "priority: 5")), "0/1 nodes are available: 1 Too many pods.");
  EXPECT_EQ(Line(rules, *Pod("q", "priority: 10")), "0/1 nodes are available: 1 Too many pods.");
  EXPECT_EQ(Line(rules, *Pod("r", "priority: 11")), "a");
  EXPECT_EQ(Line(rules, *Pod("vip", "priority: 10")), "a");
}

TEST_F(CycleTest, ANominatedPodThatMayGoElsewhereDoesNotHelpOthers) {
  cluster_.Node("a");
  // Wants company.
  fakes_.Add("Affinity").filter = [](const PodInfo&, const NodeInfo& node) {
    return node.pods.empty() ? Verdict::Unschedulable("lonely") : Verdict::Ok();
  };
  nominated_.Set(Pod("vip", "priority: 10"), "a");
  EXPECT_EQ(Line(fakes_.Make(), *Pod()), "0/1 nodes are available: 1 lonely.");
}

TEST_F(CycleTest, ThePodsOwnNominatedNodeIsTriedFirst) {
  cluster_.Nodes("{a: {}, b: {}, c: {}}");
  RuleFake& rule = fakes_.Add("Any");
  rule.filter = [](const PodInfo&, const NodeInfo&) { return Verdict::Ok(); };
  rule.score = [](const PodInfo&, const NodeInfo& n) { return n.name() == "a" ? 100 : 0; };
  const Rules rules = fakes_.Make();
  nominated_.Set(Pod(), "c");
  EXPECT_EQ(Line(rules, *Pod()), "c");
  EXPECT_EQ(rule.filtered, 1);
}

}  // namespace
}  // namespace meltemi::scheduler
