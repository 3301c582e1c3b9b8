// What is planned for a pod that is to run.
#include "orchestrator/kubelet/pods/plan.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orchestrator/kubelet/pods/plan_fake.h"

namespace meltemi::kubelet {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr char kOne[] = "{containers: [{name: web, image: nginx}]}";
constexpr char kJob[] = "{restartPolicy: Never, containers: [{name: web, image: nginx}]}";
constexpr char kOnFailure[] = "{restartPolicy: OnFailure, containers: [{name: web, image: nginx}]}";
constexpr char kInit[] =
    "{initContainers: [{name: one, image: a}, {name: two, image: a}], "
    "containers: [{name: web, image: nginx}]}";
constexpr char kSidecar[] =
    "{restartPolicy: Never, initContainers: [{name: proxy, image: a, restartPolicy: Always}, "
    "{name: setup, image: a}], containers: [{name: web, image: nginx}]}";

TEST(Plan, FromNothingToReady) {
  PlanCase c(kOne);
  c.memory.volumes_ready = false;
  EXPECT_EQ(c.Actions(), "PrepareVolumes, CreateSandbox 0");
  EXPECT_EQ(c.status().phase(), "Pending");
  EXPECT_EQ(c.StateOf("web"), "waiting ContainerCreating");
  EXPECT_EQ(c.ConditionOf("PodReadyToStartContainers"), "False");
  c.memory.volumes_ready = true;
  c.AddSandbox();
  EXPECT_EQ(c.Actions(), "Start web 0");
  EXPECT_EQ(c.ConditionOf("PodReadyToStartContainers"), "True");
  EXPECT_EQ(c.ConditionOf("Ready"),
            "False ContainersNotReady: containers with unready status: [web]");
  c.AddRunning("web");
  EXPECT_EQ(c.Actions(), "");
  EXPECT_EQ(c.status().phase(), "Running");
  EXPECT_EQ(c.StateOf("web"), "running, ready");
  EXPECT_EQ(c.ConditionOf("Ready"), "True");
  EXPECT_EQ(c.ConditionOf("ContainersReady"), "True");
  EXPECT_EQ(c.ConditionOf("Initialized"), "True");
  EXPECT_EQ(c.ConditionOf("PodScheduled"), "True");
  EXPECT_EQ(c.status().pod_ip(), "10.244.0.2");
  EXPECT_EQ(c.status().host_ip(), "192.168.0.1");
  EXPECT_EQ(c.status().qos_class(), "BestEffort");
  EXPECT_EQ(c.status().container_statuses(0).container_id(), "containerd://web.0");
  EXPECT_EQ(c.Again(), -1);
}

TEST(Plan, NothingIsMadeWhileVolumesAreMissing) {
  PlanCase c(kOne);
  c.memory.volumes_ready = false;
  c.memory.volumes_retry_at = c.Mono() + seconds(3);
  EXPECT_EQ(c.Actions(), "");
  EXPECT_EQ(c.Again(), 3);
}

TEST(Plan, CrashesAreRestartedWithBackOff) {
  PlanCase c(kOne);
  c.AddSandbox();
  c.AddExited("web", 1);
  EXPECT_EQ(c.Actions(), "Start web 1");  // the first time at once
  EXPECT_EQ(c.StateOf("web"), "terminated 1 Error");
  EXPECT_EQ(c.status().phase(), "Running");
  c.memory.containers["web"].crash = NextBackOff({}, c.Wall(), c.Wall(), seconds(10), minutes(5));
  c.AddExited("web", 2);
  EXPECT_EQ(c.Actions(), "RemoveContainer web.0");
  c.state.containers.pop_back();
  EXPECT_EQ(c.StateOf("web"), "waiting CrashLoopBackOff, last terminated 2 Error, 1 restarts");
  EXPECT_EQ(c.status().container_statuses(0).state().waiting().message(),
            "back-off 10s restarting failed container=web pod=web_default(u-1)");
  EXPECT_THAT(c.Events(),
              ElementsAre("Warning BackOff web: Back-off restarting failed container web in pod "
                          "web_default(u-1)"));
  EXPECT_EQ(c.Again(), 10);
  c.now += seconds(10);
  EXPECT_EQ(c.Actions(), "Start web 2");
}

TEST(Plan, BackOffDoublesUpToItsBoundAndIsForgivenAfterTenMinutes) {
  const WallTime begin(seconds(1000));
  CrashBackOff backoff;
  std::vector<int64_t> delays;
  for (int i = 0; i < 7; ++i) {
    backoff = NextBackOff(backoff, begin, begin, seconds(10), minutes(5));
    delays.push_back(std::chrono::duration_cast<seconds>(backoff.delay).count());
  }
  EXPECT_THAT(delays, ElementsAre(10, 20, 40, 80, 160, 300, 300));
  EXPECT_FALSE(BackOffUntil(backoff, begin + minutes(11), minutes(5), begin + minutes(11)));
  EXPECT_EQ(NextBackOff(backoff, begin + minutes(11), begin, seconds(10), minutes(5)).delay,
            Duration(seconds(10)));
  EXPECT_EQ(GoSeconds(seconds(300)), "5m0s");
  EXPECT_EQ(GoSeconds(seconds(80)), "1m20s");
}

TEST(Plan, OnFailureRestartsWhatFailedOnly) {
  PlanCase c(kOnFailure);
  c.AddSandbox();
  c.AddExited("web", 3);
  EXPECT_EQ(c.Actions(), "Start web 1");
  c.AddExited("web", 0);
  EXPECT_EQ(c.Actions(), "StopSandbox s0");
  EXPECT_EQ(c.status().phase(), "Running");  // held back until nothing is left
  c.state.sandboxes[0].ready = false;
  EXPECT_EQ(c.Actions(), "CleanUp");
  EXPECT_EQ(c.status().phase(), "Succeeded");
  EXPECT_EQ(c.ConditionOf("Ready"), "False PodCompleted");
  EXPECT_EQ(c.ConditionOf("Initialized"), "True PodCompleted");
}

TEST(Plan, AJobsPodFails) {
  PlanCase c(kJob);
  c.AddSandbox();
  c.AddExited("web", 7);
  EXPECT_EQ(c.Actions(), "StopSandbox s0");
  c.state.sandboxes[0].ready = false;
  EXPECT_EQ(c.Actions(), "CleanUp");
  EXPECT_EQ(c.status().phase(), "Failed");
  EXPECT_EQ(c.ConditionOf("Ready"), "False PodFailed");
  c.memory.cleaned = true;
  EXPECT_EQ(c.Actions(), "");
  EXPECT_FALSE(c.plan.may_delete);
  EXPECT_EQ(c.StateOf("web"), "terminated 7 Error");
}

TEST(Plan, InitContainersComeOneAfterTheOther) {
  PlanCase c(kInit);
  c.AddSandbox();
  EXPECT_EQ(c.Actions(), "Start one 0");
  EXPECT_EQ(c.StateOf("web"), "waiting PodInitializing");
  EXPECT_EQ(c.ConditionOf("Initialized"),
            "False ContainersNotInitialized: containers with incomplete status: [one two]");
  c.AddRunning("one");
  EXPECT_EQ(c.Actions(), "");
  c.Exit("one.0", 0);
  EXPECT_EQ(c.Actions(), "Start two 0");
  EXPECT_EQ(c.StateOf("one"), "terminated 0 Completed, ready");
  c.AddExited("two", 1);
  EXPECT_EQ(c.Actions(), "Start two 1");
  EXPECT_EQ(c.status().phase(), "Pending");
  c.AddExited("two", 0);
  EXPECT_EQ(c.Actions(), "RemoveContainer two.0, Start web 0");
  EXPECT_EQ(c.ConditionOf("Initialized"), "True");
  c.AddRunning("web");
  c.state.containers.erase(c.state.containers.begin() + 1, c.state.containers.end());
  EXPECT_EQ(c.Actions(), "");  // what is known of init containers may be lost by now
  EXPECT_EQ(c.status().phase(), "Running");
}

TEST(Plan, AFailedInitContainerFailsAPodThatIsNotRestarted) {
  PlanCase c(
      "{restartPolicy: Never, initContainers: [{name: one, image: a}], containers: [{name: web, "
      "image: nginx}]}");
  c.AddSandbox();
  c.AddExited("one", 1);
  EXPECT_EQ(c.Actions(), "StopSandbox s0");
  c.state.sandboxes[0].ready = false;
  EXPECT_EQ(c.Actions(), "CleanUp");
  EXPECT_EQ(c.status().phase(), "Failed");
  EXPECT_EQ(c.StateOf("web"), "waiting PodInitializing");  // it never had its turn
}

TEST(Plan, SidecarsStartInOrderAndComeBack) {
  PlanCase c(kSidecar);
  c.AddSandbox();
  EXPECT_EQ(c.Actions(), "Start proxy 0");
  c.AddRunning("proxy");
  c.probes["proxy"] = {.started = false};
  EXPECT_EQ(c.Actions(), "");  // the next waits for its startup probe
  EXPECT_EQ(c.StateOf("proxy"), "running");
  c.probes.clear();
  EXPECT_EQ(c.Actions(), "Start setup 0");
  EXPECT_EQ(c.StateOf("proxy"), "running, ready");
  c.AddExited("setup", 0);
  EXPECT_EQ(c.Actions(), "Start web 0");
  c.AddRunning("web");
  EXPECT_EQ(c.Actions(), "");
  c.Exit("proxy.0", 0);
  EXPECT_EQ(c.Actions(), "Start proxy 1");
  EXPECT_EQ(c.status().phase(), "Running");
  EXPECT_EQ(c.ConditionOf("Ready"),
            "False ContainersNotReady: containers with unready status: [proxy]");
}

TEST(Plan, SidecarsDoNotKeepAJobAlive) {
  PlanCase c(kSidecar);
  c.AddSandbox();
  c.AddRunning("proxy");
  c.AddExited("setup", 0);
  c.AddExited("web", 0);
  EXPECT_EQ(c.Actions(), "Kill proxy.0 30s (Stopping container proxy)");
  c.Exit("proxy.0", 137);
  EXPECT_EQ(c.Actions(), "StopSandbox s0");
  c.state.sandboxes[0].ready = false;
  EXPECT_EQ(c.Actions(), "CleanUp");
  EXPECT_EQ(c.status().phase(), "Succeeded");
}

TEST(Plan, UnhealthyContainersAreKilledAndComeBack) {
  PlanCase c(
      "{terminationGracePeriodSeconds: 20, containers: [{name: web, image: nginx, livenessProbe: "
      "{terminationGracePeriodSeconds: 5, tcpSocket: {port: 80}}, startupProbe: {tcpSocket: {port: "
      "80}}}]}");
  c.AddSandbox();
  c.AddRunning("web").spec_hash = 5;
  c.probes["web"] = {.started = true, .ready = true, .unhealthy = true};
  EXPECT_EQ(c.Actions(), "Kill web.0 5s (Container web failed liveness probe, will be restarted)");
  c.probes["web"] = {.unhealthy = true};
  EXPECT_EQ(c.Actions(), "Kill web.0 20s (Container web failed startup probe, will be restarted)");
  // What has begun goes on, whatever the probe says now.
  c.probes.clear();
  c.memory.kills["web.0"].deadline = c.Mono() + seconds(4);
  c.memory.kills["web.0"].message = "because";
  EXPECT_EQ(c.Actions(), "Kill web.0 4s (because)");
  c.Exit("web.0", 137);
  EXPECT_EQ(c.Actions(), "Start web 1");
}

TEST(Plan, AnotherImageMakesAnotherContainer) {
  PlanCase c(kOne);
  c.AddSandbox();
  c.AddRunning("web").spec_hash = 99;
  EXPECT_EQ(c.Actions(), "Kill web.0 30s (Container web definition changed, will be restarted)");
}

TEST(Plan, ALostSandboxIsMadeAgainWithAllThatWasInIt) {
  PlanCase c(kInit);
  c.AddSandbox();
  c.AddExited("one", 0);
  c.AddExited("two", 0);
  c.AddRunning("web");
  c.state.sandboxes[0].ready = false;
  EXPECT_EQ(c.Actions(), "Kill web.0 30s (Stopping container web)");
  EXPECT_THAT(c.Events(), ElementsAre("Normal SandboxChanged: Pod sandbox changed, it will be "
                                      "killed and re-created."));
  c.Exit("web.0", 137);
  EXPECT_EQ(c.Actions(), "CreateSandbox 1");
  c.AddSandbox();
  EXPECT_EQ(c.Actions(), "Start one 1");  // from the first init container on
  c.AddExited("one", 0);
  EXPECT_EQ(c.Actions(), "RemoveContainer one.0, Start two 1");
  c.AddExited("two", 0);
  EXPECT_EQ(c.Actions(), "RemoveContainer two.0, RemoveContainer one.0, Start web 1");
  EXPECT_EQ(c.status().pod_ip(), "10.244.0.3");
}

TEST(Plan, ASandboxWithoutAddressIsNoSandbox) {
  PlanCase c(kOne);
  c.AddSandbox().ips.clear();
  EXPECT_EQ(c.Actions(), "StopSandbox s0");
  c.pod.mutable_spec()->set_host_network(true);
  EXPECT_EQ(c.Actions(), "Start web 0");
  EXPECT_EQ(c.status().pod_ip(), "192.168.0.1");
}

TEST(Plan, APodThatIsNotRestartedGetsNoSecondSandbox) {
  PlanCase c(kJob);
  c.AddSandbox(false);
  c.AddExited("web", 137);
  EXPECT_EQ(c.Actions(), "CleanUp");
  EXPECT_EQ(c.status().phase(), "Failed");
  PlanCase fresh(kJob);
  fresh.AddSandbox(false);
  EXPECT_EQ(fresh.Actions(), "CreateSandbox 1");  // nothing of it has run
}

TEST(Plan, WhatCanNotBeStartedSaysWhy) {
  PlanCase c(kOne);
  c.AddSandbox();
  c.memory.containers["web"].failure_reason = "CreateContainerConfigError";
  c.memory.containers["web"].failure_message = "secret \"x\" not found";
  c.memory.containers["web"].retry_at = c.Mono() + seconds(2);
  EXPECT_EQ(c.Actions(), "");
  EXPECT_EQ(c.Again(), 2);
  EXPECT_EQ(c.StateOf("web"), "waiting CreateContainerConfigError");
  c.now += seconds(2);
  EXPECT_EQ(c.Actions(), "Start web 0");
}

TEST(Plan, WhatWasMadeAndNeverStartedIsMadeAgain) {
  PlanCase c(kOne);
  c.AddSandbox();
  c.AddRunning("web").phase = ContainerState::Phase::kCreated;
  EXPECT_EQ(c.Actions(), "RemoveContainer web.0, Start web 0");
}

TEST(Plan, OthersWaitForAPostStartHandler) {
  PlanCase c("{containers: [{name: a, image: x}, {name: b, image: x}]}");
  c.AddSandbox();
  EXPECT_EQ(c.Actions(), "Start a 0, Start b 0");
  c.AddRunning("a");
  c.memory.containers["a"].hook_of = "a.0";
  EXPECT_EQ(c.Actions(), "");
  EXPECT_EQ(c.StateOf("a"), "waiting ContainerCreating");
  c.memory.containers["a"].hook_of.clear();
  EXPECT_EQ(c.Actions(), "Start b 0");
}

TEST(Plan, RestartsAreCountedWhenTheRuntimeHasLostAll) {
  PlanCase c(kOne);
  c.AddSandbox();
  c.AddRunning("web");
  c.Make();
  *c.pod.mutable_status() = c.status();
  c.memory.status.reset();
  c.state.containers.clear();
  c.state.sandboxes.clear();
  EXPECT_EQ(c.Actions(), "CreateSandbox 0");
  EXPECT_EQ(c.StateOf("web"),
            "waiting ContainerCreating, last terminated 137 ContainerStatusUnknown, 1 restarts");
  EXPECT_EQ(c.status().phase(), "Running");
  c.AddSandbox();
  EXPECT_EQ(c.Actions(), "Start web 1");
}

}  // namespace
}  // namespace meltemi::kubelet
