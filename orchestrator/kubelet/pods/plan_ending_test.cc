// What is planned for a pod that is to end, or has ended.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orchestrator/kubelet/pods/plan.h"
#include "orchestrator/kubelet/pods/plan_fake.h"

namespace meltemi::kubelet {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr char kOne[] = "{containers: [{name: web, image: nginx}]}";

TEST(PlanEnding, ContainersThenSandboxThenTheObject) {
  PlanCase c(kOne);
  c.AddSandbox();
  c.AddRunning("web");
  c.Make();
  c.SetDeleted(30);
  EXPECT_EQ(c.Actions(), "Kill web.0 30s (Stopping container web)");
  c.now += seconds(10);
  EXPECT_EQ(c.Actions(), "Kill web.0 20s (Stopping container web)");
  EXPECT_EQ(c.status().phase(), "Running");
  EXPECT_EQ(c.ConditionOf("Ready"), "True");
  c.Exit("web.0", 0);
  EXPECT_EQ(c.Actions(), "StopSandbox s0");
  c.memory.ips = {"10.244.0.2"};
  c.state.sandboxes[0].ready = false;
  EXPECT_EQ(c.Actions(), "CleanUp");
  EXPECT_EQ(c.status().phase(), "Succeeded");
  EXPECT_EQ(c.status().pod_ip(), "10.244.0.2");
  EXPECT_FALSE(c.plan.may_delete);
  c.memory.cleaned = true;
  EXPECT_EQ(c.Actions(), "");
  EXPECT_TRUE(c.plan.may_delete);
  c.gone = true;
  EXPECT_EQ(c.Actions(), "RemoveContainer web.0");
  c.state.containers.clear();
  EXPECT_EQ(c.Actions(), "RemoveSandbox s0");
  c.state.sandboxes.clear();
  EXPECT_EQ(c.Actions(), "Forget");
}

TEST(PlanEnding, AShorterGracePeriodCounts) {
  PlanCase c(kOne);
  c.AddSandbox();
  c.AddRunning("web");
  c.SetDeleted(30);
  EXPECT_EQ(c.Actions(), "Kill web.0 30s (Stopping container web)");
  c.memory.kills["web.0"].deadline = c.Mono() + seconds(30);
  c.now += seconds(5);
  c.SetDeleted(1);
  EXPECT_EQ(c.Actions(), "Kill web.0 1s (Stopping container web)");
  EXPECT_EQ(c.Again(), 1);
  c.SetDeleted(30);  // and is not made longer again
  EXPECT_EQ(c.Actions(), "Kill web.0 1s (Stopping container web)");
}

TEST(PlanEnding, WhatServesGoesOnUntilNobodyAsksItAnyMore) {
  PlanCase c("{containers: [{name: web, image: nginx, ports: [{containerPort: 80}]}]}");
  c.options.drain_delay = seconds(2);
  c.AddSandbox();
  c.AddRunning("web");
  c.Make();
  c.SetDeleted(30);
  EXPECT_EQ(c.Actions(), "Kill web.0 later 30s (Stopping container web)");
  EXPECT_EQ(c.Again(), 2);
  c.now += seconds(2);
  EXPECT_EQ(c.Actions(), "Kill web.0 28s (Stopping container web)");
  // What is not ready gets no requests.
  PlanCase unready("{containers: [{name: web, image: nginx, ports: [{containerPort: 80}]}]}");
  unready.options.drain_delay = seconds(2);
  unready.AddSandbox();
  unready.AddRunning("web");
  unready.probes["web"] = {.started = true};
  unready.Make();
  unready.SetDeleted(30);
  EXPECT_EQ(unready.Actions(), "Kill web.0 30s (Stopping container web)");
}

TEST(PlanEnding, SidecarsEndLastInReverseOrder) {
  PlanCase c(
      "{initContainers: [{name: a, image: x, restartPolicy: Always}, {name: b, image: x, "
      "restartPolicy: Always}], containers: [{name: web, image: nginx}]}");
  c.AddSandbox();
  c.AddRunning("a");
  c.AddRunning("b");
  c.AddRunning("web");
  c.SetDeleted(30);
  EXPECT_EQ(c.Actions(),
            "Kill web.0 30s (Stopping container web), Kill b.0 later 30s (Stopping container b), "
            "Kill a.0 later 30s (Stopping container a)");
  c.Exit("web.0", 0);
  EXPECT_EQ(c.Actions(),
            "Kill b.0 30s (Stopping container b), Kill a.0 later 30s (Stopping container a)");
  c.Exit("b.0", 0);
  EXPECT_EQ(c.Actions(), "Kill a.0 30s (Stopping container a)");
  c.Exit("a.0", 1);
  c.state.sandboxes[0].ready = false;
  c.Make();
  EXPECT_EQ(c.status().phase(), "Succeeded");  // sidecars do not count
}

TEST(PlanEnding, APodThatNeverBeganFails) {
  PlanCase c(kOne);
  c.SetDeleted(30);
  EXPECT_EQ(c.Actions(), "CleanUp");
  EXPECT_EQ(c.status().phase(), "Failed");
  EXPECT_EQ(c.StateOf("web"), "terminated 137 ContainerStatusUnknown");
  c.memory.cleaned = true;
  c.Make();
  EXPECT_TRUE(c.plan.may_delete);
}

TEST(PlanEnding, TheActiveDeadlinePasses) {
  PlanCase c("{activeDeadlineSeconds: 60, containers: [{name: web, image: nginx}]}");
  c.AddSandbox();
  c.AddRunning("web");
  c.Make();
  EXPECT_EQ(c.Again(), 60);
  c.now += seconds(60);
  EXPECT_EQ(c.Actions(), "Kill web.0 30s (Stopping container web)");
  EXPECT_THAT(c.Events(),
              ElementsAre("Normal DeadlineExceeded: Pod was active on the node longer than the "
                          "specified deadline"));
  EXPECT_EQ(c.status().phase(), "Running");
  EXPECT_EQ(c.status().reason(), "");
  c.Exit("web.0", 0);
  c.state.sandboxes[0].ready = false;
  c.Make();
  EXPECT_EQ(c.status().phase(), "Failed");
  EXPECT_EQ(c.status().reason(), "DeadlineExceeded");
  EXPECT_EQ(c.status().message(), "Pod was active on the node longer than the specified deadline");
}

TEST(PlanEnding, AFinalPhaseOfTheObjectEndsIt) {
  PlanCase c(kOne);
  c.AddSandbox();
  c.AddRunning("web");
  c.pod.mutable_status()->set_phase("Failed");
  c.pod.mutable_status()->set_reason("Evicted");
  EXPECT_EQ(c.Actions(), "Kill web.0 30s (Stopping container web)");
  c.Exit("web.0", 0);
  c.state.sandboxes[0].ready = false;
  c.Make();
  EXPECT_EQ(c.status().phase(), "Failed");
  EXPECT_EQ(c.status().reason(), "Evicted");
}

TEST(PlanEnding, APodThatTheNodeDoesNotTake) {
  PlanCase c(kOne);
  c.memory.rejected = {"OutOfcpu", "Node didn't have enough resource: cpu"};
  EXPECT_EQ(c.Actions(), "CleanUp");
  EXPECT_EQ(c.status().phase(), "Failed");
  EXPECT_EQ(c.status().reason(), "OutOfcpu");
  EXPECT_EQ(c.status().message(), "Pod was rejected: Node didn't have enough resource: cpu");
}

TEST(PlanEnding, WhatIsWrittenOfAPodThatEndedLongAgoStays) {
  PlanCase c(kOne);
  c.pod.mutable_status()->set_phase("Failed");
  c.pod.mutable_status()->set_reason("OutOfcpu");
  EXPECT_EQ(c.Actions(), "CleanUp");
  EXPECT_EQ(c.status().reason(), "OutOfcpu");
  EXPECT_EQ(c.status().container_statuses_size(), 0);
  EXPECT_EQ(c.status().conditions_size(), 0);
}

TEST(PlanEnding, WhatTheRuntimeAloneKnowsIsRemoved) {
  PlanCase c(kOne);
  c.unknown = c.gone = true;
  c.AddSandbox();
  c.AddRunning("web");
  EXPECT_EQ(c.Actions(), "Kill web.0 2s (Stopping container web)");
  EXPECT_FALSE(c.plan.has_status);
  c.Exit("web.0", 137);
  EXPECT_EQ(c.Actions(), "StopSandbox s0");
  c.state.sandboxes[0].ready = false;
  EXPECT_EQ(c.Actions(), "CleanUp");
  c.memory.cleaned = true;
  EXPECT_EQ(c.Actions(), "RemoveContainer web.0");
}

TEST(KillStep, HandlerThenSignalWithinTheGracePeriod) {
  KillMemory kill;
  kill.deadline = MonotonicTime(seconds(30));
  KillStep step = NextKillStep(kill, true, true, MonotonicTime(seconds(0)));
  EXPECT_EQ(step.kind, KillStep::Kind::kRunHook);
  EXPECT_EQ(step.time, Duration(seconds(30)));
  kill.hook = KillMemory::Hook::kRunning;
  step = NextKillStep(kill, true, true, MonotonicTime(seconds(10)));
  EXPECT_EQ(step.kind, KillStep::Kind::kWait);
  EXPECT_EQ(step.until, kill.deadline);
  kill.hook = KillMemory::Hook::kDone;
  step = NextKillStep(kill, true, true, MonotonicTime(seconds(10)));
  EXPECT_EQ(step.kind, KillStep::Kind::kStop);
  EXPECT_EQ(step.time, Duration(seconds(20)));
  // A handler that takes all of it leaves two seconds.
  kill.hook = KillMemory::Hook::kRunning;
  step = NextKillStep(kill, true, true, MonotonicTime(seconds(30)));
  EXPECT_EQ(step.kind, KillStep::Kind::kStop);
  EXPECT_EQ(step.time, kGraceMin);
}

TEST(KillStep, WaitsForItsTurnButNotForEver) {
  KillMemory kill;
  kill.deadline = MonotonicTime(seconds(30));
  EXPECT_EQ(NextKillStep(kill, false, false, MonotonicTime(seconds(1))).kind,
            KillStep::Kind::kWait);
  EXPECT_EQ(NextKillStep(kill, false, false, MonotonicTime(seconds(30))).kind,
            KillStep::Kind::kStop);
}

TEST(KillStep, StopsOnceUnlessThereIsLessTime) {
  KillMemory kill;
  kill.deadline = kill.stopping_by = MonotonicTime(seconds(30));
  kill.stopping = true;
  EXPECT_EQ(NextKillStep(kill, false, true, MonotonicTime(seconds(1))).kind, KillStep::Kind::kWait);
  kill.deadline = MonotonicTime(seconds(5));
  EXPECT_EQ(NextKillStep(kill, false, true, MonotonicTime(seconds(1))).kind, KillStep::Kind::kStop);
  kill.stopping = false;
  kill.retry_at = MonotonicTime(seconds(4));
  EXPECT_EQ(NextKillStep(kill, false, true, MonotonicTime(seconds(1))).kind, KillStep::Kind::kWait);
}

}  // namespace
}  // namespace meltemi::kubelet
