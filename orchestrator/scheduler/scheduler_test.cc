// Stories of the whole scheduler against an API server in memory.
#include "orchestrator/scheduler/scheduler.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kube/core/v1/node.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/policy/v1/policy.pb.h"
#include "orchestrator/scheduler/testing/world.h"

namespace meltemi::scheduler {
namespace {

using apiserver::Fate;
using testing::ElementsAre;
using testing::IsEmpty;
using CorePod = kube::core::v1::Pod;
using CoreNode = kube::core::v1::Node;

TEST(SchedulerTest, APodGetsANode) {
  SchedulerWorld world;
  world.Node("a");
  world.Pod("before");
  world.Run();
  world.Pod("after");
  world.Settle();
  EXPECT_EQ(world.Where(), "after=a before=a");
  EXPECT_EQ(world.Condition("after"), "True");
  EXPECT_THAT(world.Events(),
              ElementsAre("Normal Scheduled Successfully assigned default/before to a",
                          "Normal Scheduled Successfully assigned default/after to a"));
  EXPECT_EQ(world.pending(), 0u);
  EXPECT_EQ(world.metrics().Sum("scheduler_schedule_attempts_total", {{"result", "scheduled"}}), 2);
}

TEST(SchedulerTest, SaysWhyAPodHasNoNodeOnceAndPlacesItWhenItCan) {
  SchedulerWorld world;
  world.Node("a", "cpu: '1', memory: 8Gi, pods: '110'");
  world.Node("b", "", "", "taints: [{key: x, value: y, effect: NoSchedule}]");
  world.Run();
  world.Pod("big", "cpu: 3");
  world.Settle();
  const std::string why =
      "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint {x: y}. "
      "preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod, 1 "
      "Preemption is not helpful for scheduling.";
  EXPECT_EQ(world.Condition("big"), absl::StrCat("Unschedulable: ", why));
  EXPECT_THAT(world.Events(), ElementsAre(absl::StrCat("Warning FailedScheduling ", why)));

  const size_t writes = world.world().Writes();
  world.Advance(minutes(12));  // it is tried again in between
  EXPECT_GE(world.metrics().Sum("scheduler_schedule_attempts_total"), 3);
  EXPECT_EQ(world.world().Writes(), writes);
  EXPECT_THAT(world.Events(), IsEmpty());

  world.Node("c");
  world.Settle();
  EXPECT_EQ(world.Where(), "big=c");
  EXPECT_EQ(world.metrics().Sum("scheduler_pending_pods"), 0);
}

TEST(SchedulerTest, WithoutNodesItWaitsForOne) {
  SchedulerWorld world;
  world.Run();
  world.Pod("p");
  world.Settle();
  EXPECT_EQ(world.Condition("p"), "Unschedulable: no nodes available to schedule pods");
  world.Advance(seconds(60));
  EXPECT_EQ(world.metrics().Sum("scheduler_schedule_attempts_total"), 1);
  world.Node("a");
  world.Settle();
  EXPECT_EQ(world.Where(), "p=a");
}

TEST(SchedulerTest, GatesHoldAPod) {
  SchedulerWorld world;
  world.Node("a");
  world.Run();
  world.Pod("p", "", "schedulingGates: [{name: example.com/wait}]");
  world.Settle();
  EXPECT_EQ(world.Where(), "p=");
  EXPECT_EQ(world.Condition("p"),
            "SchedulingGated: Scheduling is blocked due to non-empty scheduling gates");
  EXPECT_EQ(world.metrics().Sum("scheduler_pending_pods", {{"queue", "gated"}}), 1);
  EXPECT_THAT(world.Events(), IsEmpty());
  world.world().Patch<CorePod>("p", "{spec: {schedulingGates: null}}");
  world.Settle();
  EXPECT_EQ(world.Where(), "p=a");
}

TEST(SchedulerTest, LeavesAloneWhatIsNotItsOwn) {
  SchedulerOptions options;
  options.profiles.push_back({.scheduler_name = "second", .plugins = {}});
  SchedulerWorld world(options);
  world.Node("a");
  world.Run();
  world.Pod("mine");
  world.Pod("mine-too", "", "schedulerName: second");
  world.Pod("theirs", "", "schedulerName: other");
  world.Settle();
  EXPECT_EQ(world.Where(), "mine=a mine-too=a theirs=");
  EXPECT_EQ(world.Condition("theirs"), "");
}

TEST(SchedulerTest, RoomThatBecomesFreeIsUsed) {
  SchedulerWorld world;
  world.Node("a", "cpu: '2', memory: 8Gi, pods: '110'");
  world.Run();
  world.Pod("first", "cpu: 2");
  world.Settle();
  world.Pod("second", "cpu: 2");
  world.Settle();
  EXPECT_EQ(world.Where(), "first=a second=");
  world.world().FinishPod("first", "Succeeded");
  world.Settle();
  EXPECT_EQ(world.Where(), "first=a second=");  // it backs off
  world.Advance(seconds(1));
  EXPECT_EQ(world.Where(), "first=a second=a");
}

TEST(SchedulerTest, AssumedPodsCountBeforeTheyAreSeen) {
  SchedulerWorld world;
  world.Node("a", "cpu: '2', memory: 8Gi, pods: '110'");
  world.Node("b", "cpu: '2', memory: 8Gi, pods: '110'");
  world.Run();
  for (const char* name : {"p", "q", "r"}) world.Pod(name, "cpu: 2");
  world.Settle();
  std::map<std::string, int> pods;
  for (const CorePod& pod : world.world().List<CorePod>()) ++pods[pod.spec().node_name()];
  EXPECT_EQ(pods, (std::map<std::string, int>{{"", 1}, {"a", 1}, {"b", 1}}));
}

// ---- bindings that fail ----

bool IsBinding(const kube::ApiCall& call) { return absl::EndsWith(call.path, "/binding"); }

TEST(SchedulerTest, ARefusedBindingIsTriedAgain) {
  SchedulerWorld world;
  world.Node("a");
  world.Run();
  int refused = 0;
  world.world().process().SetFate([&](const kube::ApiCall& call) {
    return IsBinding(call) && refused++ == 0 ? Fate::kRefuse : Fate::kPass;
  });
  world.Pod("p");
  world.Settle();
  EXPECT_EQ(world.Where(), "p=");
  EXPECT_TRUE(absl::StartsWith(world.Condition("p"), "SchedulerError: binding rejected: "));
  world.Advance(seconds(1));
  EXPECT_EQ(world.Where(), "p=a");
  EXPECT_EQ(world.metrics().Sum("scheduler_schedule_attempts_total", {{"result", "error"}}), 1);
}

TEST(SchedulerTest, ALostAnswerIsAskedAfter) {
  SchedulerWorld world;
  world.Node("a", "cpu: '2', memory: 8Gi, pods: '110'");
  world.Run();
  bool lost = false;
  int silent = 3;
  world.world().process().SetFate([&](const kube::ApiCall& call) {
    if (IsBinding(call) && !lost) {
      lost = true;
      return Fate::kLoseAnswer;
    }
    return lost && silent-- > 0 ? Fate::kLoseCall : Fate::kPass;
  });
  world.Pod("p", "cpu: 2");
  world.Settle();
  world.Pod("q", "cpu: 2");
  world.Advance(seconds(60));
  EXPECT_EQ(world.Where(), "p=a q=");
  const std::vector<std::string> events = world.Events();
  EXPECT_EQ(std::count(events.begin(), events.end(),
                       "Normal Scheduled Successfully assigned default/p to a"),
            1);
}

TEST(SchedulerTest, SomebodyElseBindsThePodMeanwhile) {
  SchedulerWorld world;
  world.Node("a");
  world.Node("b", "", "", "unschedulable: true");
  world.Run();
  world.world().process().SetFate([&](const kube::ApiCall& call) {
    if (IsBinding(call)) {
      const auto answer = world.world().user().Call(
          {.method = "POST",
           .path = call.path,
           .body = R"({"apiVersion":"v1","kind":"Binding","metadata":{"name":"p"},)"
                   R"("target":{"kind":"Node","name":"b"}})"});
      EXPECT_TRUE(answer.ok());
    }
    return Fate::kPass;
  });
  world.Pod("p");
  world.Settle();
  world.Advance(seconds(60));
  EXPECT_EQ(world.Where(), "p=b");
  EXPECT_EQ(world.pending(), 0u);
  EXPECT_THAT(world.Events(), IsEmpty());
}

TEST(SchedulerTest, ThePodIsDeletedMeanwhile) {
  SchedulerWorld world;
  world.Node("a", "cpu: '2', memory: 8Gi, pods: '110'");
  world.Run();
  bool once = true;
  world.world().process().SetFate([&](const kube::ApiCall& call) {
    if (IsBinding(call) && std::exchange(once, false)) world.world().Delete<CorePod>("p");
    return Fate::kPass;
  });
  world.Pod("p", "cpu: 2");
  world.Settle();
  world.Pod("q", "cpu: 2");
  world.Advance(seconds(2));
  EXPECT_EQ(world.Where(), "q=a");
}

// ---- restarts, nodes that go ----

TEST(SchedulerTest, ANewSchedulerGoesOnWhereTheOldOneWasKilled) {
  SchedulerWorld world;
  for (const char* name : {"a", "b", "c"}) world.Node(name, "cpu: '2', memory: 8Gi, pods: '110'");
  world.Run();
  // Killed in the midst of bindings: some have taken place.
  int bindings = 0;
  world.world().process().SetFate([&](const kube::ApiCall& call) {
    if (IsBinding(call) && ++bindings == 2) world.world().process().Disconnect();
    return Fate::kPass;
  });
  for (const char* name : {"p", "q", "r", "s"}) world.Pod(name, "cpu: 2");
  world.Settle();
  world.Restart();
  world.Advance(seconds(2));
  std::map<std::string, int> pods;
  for (const CorePod& pod : world.world().List<CorePod>()) ++pods[pod.spec().node_name()];
  EXPECT_EQ(pods, (std::map<std::string, int>{{"", 1}, {"a", 1}, {"b", 1}, {"c", 1}}));
}

TEST(SchedulerTest, ADeletedNodeGetsNoPods) {
  SchedulerWorld world;
  world.Node("a");
  world.Node("b");
  world.Run();
  world.world().Delete<CoreNode>("a");
  world.Settle();
  for (int i = 0; i < 4; ++i) world.Pod(absl::StrCat("p", i));
  world.Settle();
  EXPECT_EQ(world.Where(), "p0=b p1=b p2=b p3=b");
}

// ---- preemption ----

class PreemptionTest : public testing::Test {
 protected:
  void SetUp() override {
    world_.PriorityClass("high", 1000);
    world_.PriorityClass("polite", 1000, /*never_preempts=*/true);
    world_.Node("a", "cpu: '2', memory: 8Gi, pods: '110'");
    world_.Run();
    world_.Pod("low", "cpu: 2", "", "app: low");
    world_.Settle();
    world_.Events();
  }

  SchedulerWorld world_;
};

TEST_F(PreemptionTest, MakesRoomForWhoIsMoreImportant) {
  world_.Pod("vip", "cpu: 1", "priorityClassName: high");
  world_.Settle();
  const std::string uid = world_.Get("vip").metadata().uid();
  EXPECT_EQ(world_.Where(), "vip=");
  EXPECT_EQ(world_.Get("vip").status().nominated_node_name(), "a");
  EXPECT_THAT(world_.Events(),
              ElementsAre("Warning FailedScheduling 0/1 nodes are available: 1 Insufficient cpu.",
                          absl::StrCat("Normal Preempted Preempted by pod ", uid, " on node a")));
  EXPECT_EQ(world_.metrics().Sum("scheduler_preemption_attempts_total"), 1);
  world_.Advance(seconds(1));
  EXPECT_EQ(world_.Where(), "vip=a");
}

TEST_F(PreemptionTest, MarksWhomItPreempts) {
  world_.world().Patch<CorePod>("low", "{metadata: {finalizers: [example.com/look]}}");
  world_.Pod("vip", "cpu: 1", "priorityClassName: high");
  world_.Settle();
  const CorePod low = world_.Get("low");
  EXPECT_TRUE(low.metadata().has_deletion_timestamp());
  bool marked = false;
  for (const kube::core::v1::PodCondition& condition : low.status().conditions()) {
    if (condition.type() != "DisruptionTarget") continue;
    marked = true;
    EXPECT_EQ(condition.reason(), "PreemptionByScheduler");
    EXPECT_EQ(condition.message(),
              "default-scheduler: preempting to accommodate a higher priority pod");
  }
  EXPECT_TRUE(marked);
  // Its room is not given to others, nor is anybody else preempted while it goes.
  world_.Node("b", "cpu: '1', memory: 8Gi, pods: '110'", "",
              "taints: [{key: x, effect: NoSchedule}]");
  world_.Advance(minutes(6));
  EXPECT_EQ(world_.metrics().Sum("scheduler_preemption_victims"), 1);
  EXPECT_EQ(world_.Get("vip").status().nominated_node_name(), "a");
  world_.world().Patch<CorePod>("low", "{metadata: {finalizers: null}}");
  world_.Advance(seconds(11));
  EXPECT_EQ(world_.Where(), "vip=a");
}

TEST_F(PreemptionTest, WhoIsPoliteWaits) {
  world_.Pod("vip", "cpu: 1", "priorityClassName: polite");
  world_.Advance(minutes(6));
  EXPECT_EQ(world_.Where(), "low=a vip=");
  EXPECT_EQ(world_.Condition("vip"),
            "Unschedulable: 0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible "
            "due to preemptionPolicy=Never.");
}

TEST_F(PreemptionTest, SparesWhatABudgetProtectsWhereItCan) {
  world_.Node("b", "cpu: '2', memory: 8Gi, pods: '110'");
  world_.Pod("other", "cpu: 2");
  world_.Settle();
  ASSERT_EQ(world_.Where(), "low=a other=b");
  world_.world().Create<kube::policy::v1::PodDisruptionBudget>(
      "{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: low}, "
      "spec: {minAvailable: 1, selector: {matchLabels: {app: low}}}}");
  for (int i = 0; i < 2; ++i) {
    world_.Pod(absl::StrCat("vip", i), "cpu: 2", "priorityClassName: high");
    world_.Advance(seconds(2));
    EXPECT_EQ(world_.Where(), i == 0 ? "low=a vip0=b" : "vip0=b vip1=a");
  }
}

TEST_F(PreemptionTest, TheRoomIsKeptForWhomItWasMade) {
  world_.world().Patch<CorePod>("low", "{metadata: {finalizers: [example.com/wait]}}");
  world_.Pod("vip", "cpu: 2", "priorityClassName: high");
  world_.Settle();
  world_.Pod("sneaky", "cpu: 1");
  world_.Settle();
  world_.world().Patch<CorePod>("low", "{metadata: {finalizers: null}}");
  world_.Advance(seconds(20));
  EXPECT_EQ(world_.Where(), "sneaky= vip=a");
}

TEST_F(PreemptionTest, ANewSchedulerKnowsForWhomRoomWasMade) {
  world_.world().Patch<CorePod>("low", "{metadata: {finalizers: [example.com/wait]}}");
  world_.Pod("vip", "cpu: 2", "priorityClassName: high");
  world_.Settle();
  world_.Restart();
  world_.Pod("sneaky", "cpu: 1");
  world_.Settle();
  world_.world().Patch<CorePod>("low", "{metadata: {finalizers: null}}");
  world_.Advance(seconds(20));
  EXPECT_EQ(world_.Where(), "sneaky= vip=a");
}

TEST_F(PreemptionTest, AMoreImportantPodTakesTheNomination) {
  world_.PriorityClass("highest", 2000);
  world_.world().Patch<CorePod>("low", "{metadata: {finalizers: [example.com/wait]}}");
  world_.Pod("vip", "cpu: 2", "priorityClassName: high");
  world_.Settle();
  ASSERT_EQ(world_.Get("vip").status().nominated_node_name(), "a");
  world_.Pod("boss", "cpu: 2", "priorityClassName: highest");
  world_.Settle();
  EXPECT_EQ(world_.Get("boss").status().nominated_node_name(), "a");
  EXPECT_EQ(world_.Get("vip").status().nominated_node_name(), "");
  world_.world().Patch<CorePod>("low", "{metadata: {finalizers: null}}");
  world_.Advance(seconds(20));
  EXPECT_EQ(world_.Where(), "boss=a vip=");
}

TEST_F(PreemptionTest, AFailedPreemptionIsTriedAgain) {
  bool once = true;
  world_.world().process().SetFate([&](const kube::ApiCall& call) {
    return call.method == "DELETE" && std::exchange(once, false) ? Fate::kRefuse : Fate::kPass;
  });
  world_.Pod("vip", "cpu: 1", "priorityClassName: high");
  world_.Advance(seconds(30));
  EXPECT_EQ(world_.Where(), "vip=a");
}

}  // namespace
}  // namespace meltemi::scheduler
