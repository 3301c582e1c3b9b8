// Stories of pods on a node: what users of a cluster see of them.
#include "orchestrator/kubelet/pods/pods.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kube/node/v1/node.pb.h"
#include "orchestrator/kubelet/pods/pods_world.h"

namespace meltemi::kubelet {
namespace {

using kube::core::v1::Pod;
using kube::node::v1::RuntimeClass;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::IsSupersetOf;
using testing::Not;

constexpr char kWeb[] = "containers: [{name: web, image: nginx}]";

class PodsTest : public testing::Test {
 protected:
  PodsTest() { w.Start(); }
  PodsWorld w;
};

TEST_F(PodsTest, APodBecomesReadyWithOneWrite) {
  w.AddPod("web", kWeb);
  EXPECT_EQ(w.PhaseOf("web"), "Running Ready");
  EXPECT_EQ(w.WritesOf("web"), 2);  // made, and written by the kubelet
  EXPECT_THAT(w.runtime.TakeCalls(),
              ElementsAre("RunPodSandbox default/web#0", "CreateContainer default/web/web#0",
                          "StartContainer default/web/web#0"));
  EXPECT_THAT(w.Events(), ElementsAre("Normal Created Created container: web",
                                      "Normal Started Started container web"));
  const Pod pod = w.Get("web");
  EXPECT_EQ(pod.status().pod_ip(), "10.244.0.2");
  EXPECT_EQ(pod.status().host_ip(), "192.168.0.1");
  EXPECT_TRUE(absl::StartsWith(pod.status().container_statuses(0).container_id(), "containerd://"));
  w.Advance(minutes(1));
  EXPECT_EQ(w.WritesOf("web"), 2);
  EXPECT_THAT(w.runtime.TakeCalls(), IsEmpty());
  ASSERT_NE(w.pods().Find("default", "web"), nullptr);
  EXPECT_EQ(w.pods().Find("default", "web")->pod->status().pod_ip(), "10.244.0.2");
  EXPECT_EQ(w.pods().List().size(), 1u);
  EXPECT_TRUE(w.pods().healthy());
}

TEST_F(PodsTest, ADeletedPodEndsAndLeavesNothing) {
  w.runtime.SetContainer("web", {.stops_after = seconds(5), .stop_exit_code = 0});
  w.AddPod("web", kWeb);
  w.Events();
  w.Delete("web");
  EXPECT_EQ(w.PhaseOf("web"), "Running Ready");
  EXPECT_THAT(w.Events(), ElementsAre("Normal Killing Stopping container web"));
  w.Advance(seconds(5));
  EXPECT_EQ(w.PhaseOf("web"), "gone");
  EXPECT_THAT(w.runtime.TakeCalls(), Contains("StopContainer default/web/web#0 30s"));
  EXPECT_EQ(w.runtime.containers(), 0u);
  EXPECT_EQ(w.runtime.sandboxes(), 0u);
  EXPECT_EQ(w.pods().Find("default", "web"), nullptr);
  EXPECT_THAT(w.fake.log, ElementsAre("volumes+ web", "volumes-", "cgroup-", "folders-"));
  // The last that was seen of it: ended well.
  std::string last;
  for (const auto& entry : w.world.api().history()) {
    if (entry.name == "web" && entry.type == "MODIFIED") last = entry.json;
  }
  EXPECT_THAT(last, HasSubstr("\"phase\":\"Succeeded\""));
}

TEST_F(PodsTest, ADeletedPodIsKilledWhenItsTimeIsOver) {
  w.runtime.SetContainer("web", {.ignores_signal = true});
  w.AddPod("web", kWeb);
  w.Delete("web", 3);
  w.Advance(milliseconds(2900));
  EXPECT_EQ(w.PhaseOf("web"), "Running Ready");
  w.Advance(milliseconds(200));
  EXPECT_EQ(w.PhaseOf("web"), "gone");
}

TEST_F(PodsTest, WhatServesIsStoppedWhenRequestsGoElsewhere) {
  w.AddPod("web", "containers: [{name: web, image: nginx, ports: [{containerPort: 80}]}]");
  w.runtime.TakeCalls();
  w.Delete("web");
  w.Advance(milliseconds(1900));
  EXPECT_THAT(w.runtime.TakeCalls(), IsEmpty());
  EXPECT_EQ(w.PhaseOf("web"), "Running Ready");
  w.Advance(milliseconds(200));
  EXPECT_THAT(w.runtime.TakeCalls(), Contains("StopContainer default/web/web#0 28s"));
  EXPECT_EQ(w.PhaseOf("web"), "gone");
}

TEST_F(PodsTest, AShorterGracePeriodCounts) {
  w.runtime.SetContainer("web", {.ignores_signal = true});
  w.AddPod("web", kWeb);
  w.Delete("web", 600);
  w.Advance(seconds(5));
  EXPECT_EQ(w.PhaseOf("web"), "Running Ready");
  w.Delete("web", 2);
  w.Advance(seconds(3));
  EXPECT_EQ(w.PhaseOf("web"), "gone");
}

TEST_F(PodsTest, AForcedDeletionEndsItAsWell) {
  w.runtime.SetContainer("web", {.ignores_signal = true});
  w.AddPod("web", absl::StrCat("terminationGracePeriodSeconds: 10, ", kWeb));
  w.Delete("web", 0);
  EXPECT_EQ(w.PhaseOf("web"), "gone");
  EXPECT_EQ(w.runtime.Running().size(), 1u);
  w.Advance(seconds(11));
  EXPECT_THAT(w.runtime.Running(), IsEmpty());
  EXPECT_EQ(w.runtime.containers(), 0u);
  EXPECT_EQ(w.runtime.sandboxes(), 0u);
}

TEST_F(PodsTest, TheSameNameAgainIsAnotherPod) {
  w.runtime.SetContainer("default/web/web", {.stops_after = seconds(20)});
  w.AddPod("web", kWeb);
  w.Delete("web", 0);
  const Pod second = w.AddPod("web", kWeb);
  EXPECT_EQ(w.PhaseOf("web"), "Running Ready");
  EXPECT_EQ(w.runtime.Running().size(), 2u);
  w.Advance(seconds(21));
  EXPECT_EQ(w.runtime.Running().size(), 1u);
  EXPECT_EQ(w.PhaseOf("web"), "Running Ready");
  EXPECT_EQ(w.Get("web").metadata().uid(), second.metadata().uid());
  ASSERT_NE(w.pods().Find("default", "web"), nullptr);
  EXPECT_EQ(w.pods().Find("default", "web")->pod->metadata().uid(), second.metadata().uid());
}

// As a StatefulSet or a test does it that deletes by force and begins again.
TEST_F(PodsTest, WhatIsGoneByForceHoldsNoPortsAnyMore) {
  const char* const spec =
      "containers: [{name: web, image: a, ports: [{containerPort: 80, hostPort: 80}]}]";
  w.runtime.SetContainer("web", {.stops_after = seconds(20)});
  w.AddPod("web", spec);
  w.Delete("web", 0);
  ASSERT_EQ(w.runtime.Running().size(), 1u) << "it takes its time";
  w.AddPod("web", spec);
  w.Advance(seconds(1));
  EXPECT_EQ(w.PhaseOf("web"), "Running Ready");
  w.Advance(minutes(1));
  EXPECT_EQ(w.PhaseOf("web"), "Running Ready");
  w.AddPod("other", spec);
  EXPECT_EQ(w.Get("other").status().reason(), "NodePorts") << "and the new one has them";
}

TEST_F(PodsTest, CrashesBackOff) {
  w.runtime.SetContainer("web", {.exits_after = milliseconds(500), .exit_code = 1});
  w.fake.termination_messages["web"] = "no such table";
  w.AddPod("web", kWeb);
  w.Advance(seconds(5));
  EXPECT_EQ(w.StateOf("web", "web"), "waiting CrashLoopBackOff");
  const Pod pod = w.Get("web");
  EXPECT_EQ(pod.status().phase(), "Running");
  EXPECT_EQ(pod.status().container_statuses(0).restart_count(), 1);
  EXPECT_THAT(pod.status().container_statuses(0).state().waiting().message(),
              HasSubstr("back-off 10s restarting failed container=web pod=web_default("));
  const auto& last = pod.status().container_statuses(0).last_state().terminated();
  EXPECT_EQ(last.exit_code(), 1);
  EXPECT_EQ(last.reason(), "Error");
  EXPECT_EQ(last.message(), "no such table");
  w.Advance(seconds(60));
  EXPECT_EQ(w.Get("web").status().container_statuses(0).restart_count(), 3);
  w.Advance(minutes(10));
  EXPECT_LE(w.Get("web").status().container_statuses(0).restart_count(), 7);
  EXPECT_LE(w.runtime.containers(), 2u);  // the dead ones are removed
}

TEST_F(PodsTest, JobsEnd) {
  w.runtime.SetContainer("ok", {.exits_after = seconds(2)});
  w.runtime.SetContainer("bad", {.exits_after = seconds(2), .exit_code = 3});
  w.AddPod("good", "restartPolicy: Never, containers: [{name: ok, image: a}]");
  w.AddPod("bad", "restartPolicy: Never, containers: [{name: bad, image: a}]");
  w.Advance(seconds(4));
  EXPECT_EQ(w.PhaseOf("good"), "Succeeded");
  EXPECT_EQ(w.PhaseOf("bad"), "Failed");
  EXPECT_EQ(w.StateOf("bad", "bad"), "terminated 3");
  EXPECT_EQ(w.runtime.containers(), 2u);  // for their logs
  w.Delete("bad");
  w.Advance(seconds(1));
  EXPECT_EQ(w.PhaseOf("bad"), "gone");
  EXPECT_EQ(w.runtime.containers(), 1u);
}

TEST_F(PodsTest, InitContainersAndSidecarsInTheirOrder) {
  w.runtime.SetContainer("setup", {.exits_after = seconds(1)});
  w.AddPod("web",
           "initContainers: [{name: proxy, image: a, restartPolicy: Always}, {name: setup, image: "
           "a}], containers: [{name: web, image: nginx}]");
  EXPECT_EQ(w.PhaseOf("web"), "Pending");
  EXPECT_EQ(w.StateOf("web", "web"), "waiting PodInitializing");
  w.Advance(seconds(3));
  EXPECT_EQ(w.PhaseOf("web"), "Running Ready");
  EXPECT_THAT(
      w.runtime.TakeCalls(),
      ElementsAre("RunPodSandbox default/web#0", "CreateContainer default/web/proxy#0",
                  "StartContainer default/web/proxy#0", "CreateContainer default/web/setup#0",
                  "StartContainer default/web/setup#0", "CreateContainer default/web/web#0",
                  "StartContainer default/web/web#0"));
  w.runtime.Exit("default/web/proxy", 1);
  w.Advance(seconds(2));
  EXPECT_THAT(w.runtime.Running(), ElementsAre("default/web/proxy#1", "default/web/web#0"));
  w.runtime.TakeCalls();
  w.Delete("web");
  w.Advance(seconds(1));
  EXPECT_EQ(w.PhaseOf("web"), "gone");
  const std::vector<std::string> calls = w.runtime.TakeCalls();
  ASSERT_GE(calls.size(), 3u);
  EXPECT_EQ(calls[0], "StopContainer default/web/web#0 30s");
  EXPECT_THAT(calls[1], HasSubstr("StopContainer default/web/proxy#1"));
  EXPECT_EQ(calls[2], "StopPodSandbox default/web#0");
}

TEST_F(PodsTest, HandlersRunAfterTheStartAndBeforeTheStop) {
  w.fake.hooks["web"] = {seconds(2), absl::OkStatus()};
  w.AddPod("web",
           "containers: [{name: web, image: nginx, lifecycle: {postStart: {exec: {command: [a]}}, "
           "preStop: {exec: {command: [b]}}}}, {name: other, image: b}]");
  EXPECT_EQ(w.PhaseOf("web"), "Pending");
  EXPECT_EQ(w.StateOf("web", "web"), "waiting ContainerCreating");
  EXPECT_THAT(w.runtime.Running(), ElementsAre("default/web/web#0"));
  EXPECT_THAT(w.fake.probed, IsEmpty());
  w.Advance(seconds(2));
  EXPECT_EQ(w.PhaseOf("web"), "Running Ready");
  w.runtime.TakeCalls();
  w.Delete("web");
  EXPECT_THAT(w.runtime.TakeCalls(), ElementsAre("StopContainer default/web/other#0 30s"));
  w.Advance(seconds(2));
  EXPECT_THAT(w.runtime.TakeCalls(), Contains("StopContainer default/web/web#0 28s"));
  EXPECT_EQ(w.PhaseOf("web"), "gone");
}

TEST_F(PodsTest, AFailedPostStartHandlerKillsTheContainer) {
  w.fake.hooks["web"] = {seconds(1), absl::UnknownError("Exec lifecycle hook failed")};
  w.AddPod(
      "web",
      "containers: [{name: web, image: nginx, lifecycle: {postStart: {exec: {command: [a]}}}}]");
  w.Advance(seconds(1));
  EXPECT_THAT(w.Events(), IsSupersetOf({"Warning FailedPostStartHook PostStartHook failed",
                                        "Normal Killing FailedPostStartHook"}));
  // The first restart comes at once, the next after ten seconds.
  w.Advance(seconds(4));
  EXPECT_EQ(w.StateOf("web", "web"), "waiting CrashLoopBackOff");
  w.fake.hooks.clear();
  w.Advance(seconds(11));
  EXPECT_EQ(w.PhaseOf("web"), "Running Ready");
}

TEST_F(PodsTest, APreStopHandlerThatFailsOrLastsTooLong) {
  const char kHook[] = "preStop: {exec: {command: [b]}}";
  w.fake.hooks["fails"] = {seconds(1), absl::UnknownError("no")};
  w.fake.hooks["lasts"] = {minutes(9), absl::OkStatus()};
  w.AddPod("a", absl::StrCat("containers: [{name: fails, image: x, lifecycle: {", kHook, "}}]"));
  w.AddPod("b", absl::StrCat("containers: [{name: lasts, image: x, lifecycle: {", kHook, "}}]"));
  w.Events();
  w.Delete("a", 10);
  w.Delete("b", 10);
  w.Advance(seconds(2));
  EXPECT_EQ(w.PhaseOf("a"), "gone");
  EXPECT_THAT(w.Events(), Contains("Warning FailedPreStopHook PreStopHook failed"));
  EXPECT_EQ(w.PhaseOf("b"), "Running Ready");
  w.runtime.TakeCalls();
  w.Advance(seconds(9));
  EXPECT_EQ(w.PhaseOf("b"), "gone");
  EXPECT_THAT(w.runtime.TakeCalls(), Contains("StopContainer default/b/lasts#0 2s"));
}

TEST_F(PodsTest, ProbesDecideAboutReadinessAndLife) {
  w.fake.probes["web"] = {.started = true, .ready = false};
  w.AddPod("web",
           "containers: [{name: web, image: nginx, livenessProbe: {tcpSocket: {port: 1}, "
           "terminationGracePeriodSeconds: 7}}]");
  const std::string uid = w.Get("web").metadata().uid();
  EXPECT_EQ(w.PhaseOf("web"), "Running");
  w.fake.probes["web"].ready = true;
  w.pods().Touch(uid);
  w.Settle();
  EXPECT_EQ(w.PhaseOf("web"), "Running Ready");
  w.Events();
  w.runtime.TakeCalls();
  w.fake.probes["web"].unhealthy = true;
  w.pods().Touch(uid);
  w.Settle();
  EXPECT_THAT(w.Events(),
              Contains("Normal Killing Container web failed liveness probe, will be restarted"));
  EXPECT_THAT(w.runtime.TakeCalls(), Contains("StopContainer default/web/web#0 7s"));
  w.fake.probes.clear();
  w.Advance(seconds(1));
  EXPECT_EQ(w.PhaseOf("web"), "Running Ready");
  EXPECT_EQ(w.Get("web").status().container_statuses(0).restart_count(), 1);
}

TEST_F(PodsTest, ImagesThatAreNotThere) {
  w.fake.images["nginx"] = {.kind = ImageState::Kind::kPulling};
  w.AddPod("web", kWeb);
  const std::string uid = w.Get("web").metadata().uid();
  EXPECT_EQ(w.StateOf("web", "web"), "waiting ContainerCreating");
  w.fake.images["nginx"] = {
      .kind = ImageState::Kind::kFailed, .reason = "ErrImagePull", .message = "not found"};
  w.fake.touch(uid);
  w.Settle();
  EXPECT_EQ(w.StateOf("web", "web"), "waiting ErrImagePull");
  EXPECT_EQ(w.Get("web").status().container_statuses(0).state().waiting().message(), "not found");
  w.fake.images["nginx"].reason = "ImagePullBackOff";
  w.fake.touch(uid);
  w.Settle();
  EXPECT_EQ(w.StateOf("web", "web"), "waiting ImagePullBackOff");
  w.fake.images.clear();
  w.fake.touch(uid);
  w.Settle();
  EXPECT_EQ(w.PhaseOf("web"), "Running Ready");
}

TEST_F(PodsTest, WhatCanNotBeMadeSaysWhyAndIsTriedAgain) {
  w.fake.config_errors["web"] = {"CreateContainerConfigError", "secret \"x\" not found"};
  w.AddPod("web", kWeb);
  EXPECT_EQ(w.StateOf("web", "web"), "waiting CreateContainerConfigError");
  EXPECT_THAT(w.Events(), ElementsAre("Warning Failed Error: secret \"x\" not found"));
  w.Advance(minutes(1));
  EXPECT_EQ(w.WritesOf("web"), 2);
  EXPECT_LE(w.Events().size(), 10u);
  w.fake.config_errors.clear();
  w.Advance(seconds(10));
  EXPECT_EQ(w.PhaseOf("web"), "Running Ready");
  EXPECT_EQ(w.Get("web").status().container_statuses(0).restart_count(), 0);
}

TEST_F(PodsTest, VolumesThatCanNotBeMounted) {
  w.fake.volumes_error =
      absl::NotFoundError("MountVolume.SetUp failed for volume \"v\" : configmap \"c\" not found");
  w.AddPod("web", kWeb);
  EXPECT_EQ(w.StateOf("web", "web"), "waiting ContainerCreating");
  EXPECT_THAT(w.Events(), ElementsAre("Warning FailedMount MountVolume.SetUp failed for volume "
                                      "\"v\" : configmap \"c\" not found"));
  EXPECT_THAT(w.runtime.TakeCalls(), IsEmpty());
  w.Advance(seconds(60));
  EXPECT_THAT(w.Events(), IsEmpty());  // told again after two minutes
  w.fake.volumes_error = absl::OkStatus();
  w.Advance(seconds(10));
  EXPECT_EQ(w.PhaseOf("web"), "Running Ready");
}

TEST_F(PodsTest, ARuntimeClassNamesTheRuntimesHandler) {
  w.world.Create<RuntimeClass>("{metadata: {name: heavy}, handler: vm}");
  w.AddPod("web", absl::StrCat("runtimeClassName: heavy, ", kWeb));
  ASSERT_EQ(w.PhaseOf("web"), "Running Ready");
  EXPECT_EQ(w.runtime.Sandbox("default/web")->runtime_handler(), "vm");
  w.world.Delete<RuntimeClass>("heavy");
  w.Events();
  w.runtime.KillSandbox("default/web");
  w.Advance(seconds(5));
  EXPECT_THAT(w.Events(), Contains("Warning FailedCreatePodSandBox Failed to create pod sandbox: "
                                   "runtimeclass.node.k8s.io \"heavy\" not found"));
  w.world.Create<RuntimeClass>("{metadata: {name: heavy}, handler: other}");
  w.Advance(seconds(20));
  EXPECT_EQ(w.PhaseOf("web"), "Running Ready");
  EXPECT_EQ(w.runtime.Sandbox("default/web")->runtime_handler(), "other");
}

TEST_F(PodsTest, SandboxesThatCanNotBeMade) {
  w.runtime.sandbox_error = absl::UnknownError("failed to setup network for sandbox");
  w.AddPod("web", kWeb);
  EXPECT_THAT(w.Events(), Contains(HasSubstr("Warning FailedCreatePodSandBox Failed to create pod "
                                             "sandbox: rpc error: code = Unknown desc = ")));
  EXPECT_EQ(w.PhaseOf("web"), "Pending");
  w.Advance(minutes(1));
  w.runtime.sandbox_error = absl::OkStatus();
  w.Advance(seconds(11));
  EXPECT_EQ(w.PhaseOf("web"), "Running Ready");
  w.Advance(seconds(5));
  EXPECT_EQ(w.runtime.sandboxes(), 1u);
}

TEST_F(PodsTest, ALostSandboxIsReplaced) {
  w.AddPod("web", kWeb);
  w.Events();
  w.runtime.KillSandbox("default/web");
  w.Advance(seconds(3));
  EXPECT_EQ(w.PhaseOf("web"), "Running Ready");
  EXPECT_EQ(w.Get("web").status().pod_ip(), "10.244.0.3");
  EXPECT_EQ(w.Get("web").status().pod_ips_size(), 1);
  EXPECT_THAT(w.Events(), Contains("Normal SandboxChanged Pod sandbox changed, it will be killed "
                                   "and re-created."));
  EXPECT_EQ(w.Get("web").status().container_statuses(0).restart_count(), 1);
}

TEST_F(PodsTest, TheActiveDeadline) {
  w.AddPod("web", absl::StrCat("activeDeadlineSeconds: 20, ", kWeb));
  w.Advance(seconds(18));
  EXPECT_EQ(w.PhaseOf("web"), "Running Ready");
  w.Advance(seconds(4));
  EXPECT_EQ(w.PhaseOf("web"), "Failed");
  EXPECT_EQ(w.Get("web").status().reason(), "DeadlineExceeded");
  EXPECT_THAT(w.runtime.Running(), IsEmpty());
}

TEST_F(PodsTest, TheNodeRefusesWhatItHasNotGot) {
  w.AddPod("big",
           "containers: [{name: a, image: b, resources: {requests: {cpu: '6'}}, ports: "
           "[{containerPort: 80, hostPort: 80}]}]");
  w.AddPod("more", "containers: [{name: a, image: b, resources: {requests: {cpu: '3'}}}]");
  w.AddPod("port", "containers: [{name: a, image: b, ports: [{containerPort: 8, hostPort: 80}]}]");
  EXPECT_EQ(w.PhaseOf("big"), "Running Ready");
  EXPECT_EQ(w.PhaseOf("more"), "Failed");
  EXPECT_EQ(w.Get("more").status().reason(), "OutOfcpu");
  EXPECT_EQ(w.Get("more").status().message(),
            "Pod was rejected: Node didn't have enough resource: cpu, requested: 3000, used: 6000, "
            "capacity: 8000");
  EXPECT_EQ(w.Get("port").status().reason(), "NodePorts");
  EXPECT_THAT(w.Events(), Contains("Warning OutOfcpu Node didn't have enough resource: cpu, "
                                   "requested: 3000, used: 6000, capacity: 8000"));
  EXPECT_EQ(w.runtime.sandboxes(), 1u);
  // What has ended makes room.
  w.Delete("big");
  w.Advance(seconds(3));
  w.Delete("port");
  w.AddPod("again", "containers: [{name: a, image: b, resources: {requests: {cpu: '6'}}}]");
  EXPECT_EQ(w.PhaseOf("again"), "Running Ready");
  EXPECT_EQ(w.PhaseOf("port"), "gone");
}

}  // namespace
}  // namespace meltemi::kubelet
