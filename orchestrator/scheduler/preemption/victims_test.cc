#include "orchestrator/scheduler/preemption/victims.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gtest/gtest.h"
#include "orchestrator/scheduler/cycle/rule_fake.h"
#include "orchestrator/scheduler/model/snapshot_builder.h"

namespace meltemi::scheduler {
namespace {

constexpr WallTime kNow{seconds(1'000'000)};

// Nodes take as many pods as they have "pods".
class VictimsTest : public testing::Test {
 protected:
  VictimsTest() {
    fakes_.Add("Fit").filter = [](const PodInfo&, const NodeInfo& node) {
      return AtMost(static_cast<size_t>(node.facts->allocatable.pods), node);
    };
    rules_ = fakes_.Make();
  }

  // "NAME PRIORITY START app": a pod on a node; start in seconds, 0: not started.
  void Pod(const std::string& node, const std::string& name, int priority, int64_t start = 100,
           const std::string& app = "") {
    kube::core::v1::Pod pod =
        *MakePod(name, absl::StrCat("priority: ", priority, "\nlabels: {app: ", app, "x}"), node);
    if (start > 0) pod.mutable_status()->mutable_start_time()->set_seconds(start);
    cluster_.Add(std::make_shared<const kube::core::v1::Pod>(std::move(pod)));
  }
  void BudgetFor(const std::string& app, int64_t allowed) {
    Budget budget;
    budget.ns = "default";
    budget.selector = *kube::LabelSelector::Parse(absl::StrCat("app=", app, "x"));
    budget.allowed = allowed;
    budgets_.push_back(budget);
  }
  // "NODE: victims (violations)", or why there is none.
  std::string Line(int priority = 100) {
    const PodInfoPtr pod = MakePodInfo(MakePod("vip", absl::StrCat("priority: ", priority)));
    const Snapshot& snapshot = cluster_.Build();
    Filters filters(rules_, *pod, snapshot, nominated_);
    EXPECT_TRUE(filters.Prepare().verdict.ok());
    Reasons reasons;
    const std::vector<const NodeInfo*> nodes(snapshot.nodes().begin(), snapshot.nodes().end());
    const std::vector<Candidate> candidates =
        FindCandidates(nodes, filters, budgets_, kNow, random_, &reasons);
    if (candidates.empty()) return reasons.ToString();
    const Candidate& best = candidates[BestCandidate(candidates, kNow)];
    return absl::StrCat(best.node->name(), ": ",
                        absl::StrJoin(best.victims, " ",
                                      [](std::string* out, const PodInfoPtr& victim) {
                                        absl::StrAppend(out, victim->key.name);
                                      }),
                        " (", best.budget_violations, ")");
  }

  RulesFake fakes_;
  Rules rules_;
  SnapshotBuilder cluster_;
  Nominated nominated_;
  FastRandom random_{3};
  std::vector<Budget> budgets_;
};

TEST_F(VictimsTest, AsFewAsPossibleAndTheLeastImportant) {
  cluster_.Node("a", "pods: 3");
  Pod("a", "high", 50);
  Pod("a", "low", 1);
  Pod("a", "middle", 20);
  EXPECT_EQ(Line(), "a: low (0)");
}

TEST_F(VictimsTest, WhoHasRunForLongerStays) {
  cluster_.Node("a", "pods: 2");
  Pod("a", "young", 1, 900);
  Pod("a", "old", 1, 100);
  EXPECT_EQ(Line(), "a: young (0)");
}

TEST_F(VictimsTest, NobodyOfTheSamePriorityGoes) {
  cluster_.Node("a", "pods: 1");
  cluster_.Node("b", "pods: 0");
  Pod("a", "peer", 100);
  Pod("b", "low", 1);  // would not make room
  EXPECT_EQ(Line(), "1 No preemption victims found for incoming pod, 1 Too many pods");
}

TEST_F(VictimsTest, BudgetsAreKeptWherePossible) {
  cluster_.Node("a", "pods: 2");
  Pod("a", "guarded", 1, 100, "g");
  Pod("a", "free", 50);
  EXPECT_EQ(Line(), "a: guarded (0)");
  BudgetFor("g", 0);
  EXPECT_EQ(Line(), "a: free (0)");
  BudgetFor("", 0);
  EXPECT_EQ(Line(), "a: guarded (1)");  // each violates one: the less important goes
}

TEST_F(VictimsTest, ABudgetCoversSoManyPods) {
  cluster_.Node("a", "pods: 2");
  cluster_.Node("b", "pods: 1");
  for (const char* name : {"a1", "a2"}) Pod("a", name, 1, 100, "g");
  Pod("b", "b1", 1, 100, "g");
  BudgetFor("g", 1);
  EXPECT_EQ(Line().substr(0, 1), "b");
  budgets_[0].allowed = 0;
  budgets_[0].disrupted = {"b1"};
  EXPECT_EQ(Line(), "b: b1 (0)");
}

TEST_F(VictimsTest, TheBestNode) {
  const auto cluster = [&] {
    cluster_ = SnapshotBuilder();
    for (const char* name : {"a", "b"}) cluster_.Node(name, "pods: 1");
  };
  cluster();  // lower highest priority
  Pod("a", "a1", 10);
  Pod("b", "b1", 9);
  EXPECT_EQ(Line(), "b: b1 (0)");

  cluster();  // later start
  Pod("a", "a1", 10, 100);
  Pod("b", "b1", 10, 200);
  EXPECT_EQ(Line(), "b: b1 (0)");
}

TEST(BestCandidateTest, InOrder) {
  const auto pod = [](int priority, int64_t start) {
    kube::core::v1::Pod made = *MakePod("p", absl::StrCat("priority: ", priority));
    made.mutable_status()->mutable_start_time()->set_seconds(start);
    return MakePodInfo(std::make_shared<const kube::core::v1::Pod>(std::move(made)));
  };
  // From worst to best.
  std::vector<Candidate> candidates(7);
  candidates[0] = {nullptr, {pod(1, 900)}, 1};
  candidates[1] = {nullptr, {pod(9, 900)}, 0};
  candidates[2] = {nullptr, {pod(5, 100), pod(4, 100)}, 0};
  candidates[3] = {nullptr, {pod(5, 100), pod(3, 100)}, 0};
  candidates[4] = {nullptr, {pod(5, 100)}, 0};
  candidates[5] = {nullptr, {pod(5, 200)}, 0};
  candidates[6] = {nullptr, {pod(-5, 100), pod(-5, 100), pod(-5, 100)}, 0};
  for (size_t n = candidates.size(); n > 0; --n) {
    const std::vector<Candidate> some(candidates.begin(),
                                      candidates.begin() + static_cast<std::ptrdiff_t>(n));
    EXPECT_EQ(BestCandidate(some, kNow), n - 1);
    std::vector<Candidate> reversed(some.rbegin(), some.rend());
    EXPECT_EQ(BestCandidate(reversed, kNow), 0u);
  }
}

TEST_F(VictimsTest, WhoMayPreempt) {
  const PodInfoPtr never = MakePodInfo(MakePod("p", "priority: 100\npreemptionPolicy: Never"));
  EXPECT_EQ(WhyNotEligible(*never, nullptr, Verdict::Code::kOk),
            "not eligible due to preemptionPolicy=Never.");
  cluster_.Node("a", "pods: 1");
  kube::core::v1::Pod victim = *MakePod("victim", "priority: 1\nterminating: true", "a");
  kube::core::v1::PodCondition& condition = *victim.mutable_status()->add_conditions();
  condition.set_type("DisruptionTarget");
  condition.set_status("True");
  condition.set_reason("PreemptionByScheduler");
  cluster_.Add(std::make_shared<const kube::core::v1::Pod>(std::move(victim)));
  const NodeInfo* node = cluster_.Build().Find("a");
  const PodInfoPtr pod = MakePodInfo(MakePod("p", "priority: 100"));
  EXPECT_EQ(WhyNotEligible(*pod, nullptr, Verdict::Code::kOk), "");
  EXPECT_EQ(WhyNotEligible(*pod, node, Verdict::Code::kUnschedulable),
            "not eligible due to a terminating pod on the nominated node.");
  EXPECT_EQ(WhyNotEligible(*pod, node, Verdict::Code::kUnresolvable), "");
}

}  // namespace
}  // namespace meltemi::scheduler
