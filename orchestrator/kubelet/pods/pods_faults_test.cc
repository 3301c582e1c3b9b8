// Stories of kubelets that die, runtimes that fail and API servers that can't be reached: whatever
// happens, pods come to be what their objects say, and nothing runs twice.
#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orchestrator/kubelet/pods/pods_world.h"

namespace meltemi::kubelet {
namespace {

using kube::core::v1::Pod;
using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr char kWeb[] = "containers: [{name: web, image: nginx}]";
constexpr char kFull[] =
    "initContainers: [{name: proxy, image: a, restartPolicy: Always}, {name: setup, image: a}], "
    "containers: [{name: web, image: nginx}, {name: other, image: b}]";

TEST(PodsRestart, DoesNotTouchWhatRuns) {
  PodsWorld w;
  w.fake.probes_need_sync = true;
  w.runtime.SetContainer("setup", {.exits_after = seconds(1)});
  w.Start();
  w.AddPod("web", kFull);
  w.AddPod("job", "restartPolicy: Never, containers: [{name: setup, image: a}]");
  w.Advance(seconds(5));
  EXPECT_EQ(w.PhaseOf("web"), "Running Ready");
  EXPECT_EQ(w.PhaseOf("job"), "Succeeded");
  const Pod before = w.Get("web"), job = w.Get("job");
  w.runtime.TakeCalls();
  w.Events();
  w.Start();
  w.Advance(minutes(2));
  EXPECT_THAT(w.runtime.TakeCalls(), IsEmpty());
  EXPECT_THAT(w.Events(), IsEmpty());
  EXPECT_EQ(w.Get("web").metadata().resource_version(), before.metadata().resource_version());
  EXPECT_EQ(w.Get("job").metadata().resource_version(), job.metadata().resource_version());
  // And it looks after it as before.
  w.runtime.Exit("default/web/web", 1);
  w.Advance(seconds(3));
  EXPECT_EQ(w.PhaseOf("web"), "Running Ready");
  EXPECT_EQ(w.Get("web").status().container_statuses(1).restart_count(), 1);
}

TEST(PodsRestart, GoesOnWithWhatWasToEnd) {
  PodsWorld w;
  w.runtime.SetContainer("web", {.stops_after = seconds(10)});
  w.Start();
  w.AddPod("web", kWeb);
  w.AddPod("gone", kWeb);
  w.AddPod("again", kWeb);
  w.Delete("web");
  w.Stop();
  w.Delete("gone", 0);
  w.Delete("again", 0);
  w.world.Create<Pod>(
      absl::StrCat("{metadata: {name: again}, spec: {nodeName: node-1, ", kWeb, "}}"));
  w.Start();
  w.Advance(seconds(30));
  EXPECT_EQ(w.PhaseOf("web"), "gone");
  EXPECT_EQ(w.PhaseOf("again"), "Running Ready");
  EXPECT_THAT(w.runtime.Running(), ElementsAre("default/again/web#0"));
  EXPECT_EQ(w.runtime.containers(), 1u);
  EXPECT_EQ(w.runtime.sandboxes(), 1u);
}

TEST(PodsRestart, AfterAMachinesRestart) {
  PodsWorld w;
  w.runtime.SetContainer("setup", {.exits_after = seconds(1)});
  w.Start();
  w.AddPod("web", kFull);
  w.AddPod("once", "restartPolicy: Never, containers: [{name: a, image: b}]");
  w.Advance(seconds(5));
  w.Stop();
  w.runtime.Reboot();
  w.Start();
  w.Advance(seconds(20));
  EXPECT_EQ(w.PhaseOf("web"), "Running Ready");
  EXPECT_EQ(w.PhaseOf("once"), "Failed");
  EXPECT_EQ(w.StateOf("once", "a"), "terminated 255");
  EXPECT_EQ(w.Get("web").status().container_statuses(1).restart_count(), 1);
  EXPECT_EQ(w.runtime.Running().size(), 3u);
}

// A kubelet that dies at the nth call that changes something, before or after it took place.
void DieAtCall(PodsWorld& w, int at, bool done) {
  SCOPED_TRACE(absl::StrCat("call ", at, done ? " (done)" : " (not done)"));
  const std::string name = absl::StrCat("web-", at, done ? "-done" : "");
  w.Start();
  int calls = 0;
  w.runtime.on_call = [&](absl::string_view call) {
    if (calls > at) return RuntimeFault::Unavailable();
    if (!absl::StrContains(call, ' ') || ++calls <= at) return RuntimeFault();
    return done ? RuntimeFault::LosesAnswer() : RuntimeFault::Unavailable();
  };
  const auto die = [&](const kube::ApiCall&) {
    return calls > at ? apiserver::Fate::kLoseCall : apiserver::Fate::kPass;
  };
  w.process().SetFate(die);
  w.AddPod(name, kFull);
  w.Advance(seconds(3));
  if (calls > at) {
    calls = -1000;
    w.Start();
  }
  w.Advance(seconds(20));
  EXPECT_EQ(w.PhaseOf(name), "Running Ready");
  EXPECT_THAT(w.runtime.Running(), ElementsAre(absl::StrCat("default/", name, "/other#0"),
                                               absl::StrCat("default/", name, "/proxy#0"),
                                               absl::StrCat("default/", name, "/web#0")));
  calls = 0;
  w.process().SetFate(die);
  w.Delete(name);
  w.Advance(seconds(3));
  if (calls > at) {
    calls = -1000;
    w.Start();
  }
  w.Advance(seconds(30));
  EXPECT_EQ(w.PhaseOf(name), "gone");
  EXPECT_EQ(w.runtime.containers(), 0u);
  EXPECT_EQ(w.runtime.sandboxes(), 0u);
  w.process().SetFate(nullptr);
  w.runtime.on_call = nullptr;
}

TEST(PodsRestart, DiesAtAnyCallAndConverges) {
  PodsWorld w;
  w.runtime.SetContainer("setup", {.exits_after = seconds(1)});
  for (int at = 0; at < 12; ++at) {
    DieAtCall(w, at, false);
    DieAtCall(w, at, true);
  }
}

// One call of any kind fails, once.
void FailOnce(PodsWorld& w, int at, const RuntimeFault& fault) {
  SCOPED_TRACE(absl::StrCat("call ", at, ": ", fault.status.ToString()));
  const std::string name = absl::StrCat("web-", at, "-", static_cast<int>(fault.status.code()), "-",
                                        static_cast<int>(fault.kind));
  int calls = 0;
  w.runtime.on_call = [&](absl::string_view) { return calls++ == at ? fault : RuntimeFault(); };
  w.AddPod(name, kFull);
  w.Advance(seconds(15));
  EXPECT_EQ(w.PhaseOf(name), "Running Ready");
  EXPECT_EQ(w.runtime.Running().size(), 3u);
  calls = 0;
  w.Delete(name);
  w.Advance(seconds(15));
  EXPECT_EQ(w.PhaseOf(name), "gone");
  EXPECT_EQ(w.runtime.containers(), 0u);
  EXPECT_EQ(w.runtime.sandboxes(), 0u);
}

TEST(PodsFaults, AnyCallMayFailOnce) {
  PodsWorld w;
  w.runtime.SetContainer("setup", {.exits_after = seconds(1)});
  w.Start();
  const RuntimeFault faults[] = {RuntimeFault::Unavailable(), RuntimeFault::Hangs(),
                                 RuntimeFault::LosesAnswer(),
                                 RuntimeFault::Error(absl::FailedPreconditionError("not now"))};
  for (int at = 0; at < 40; ++at) FailOnce(w, at, faults[at % 4]);
}

TEST(PodsFaults, ARuntimeThatIsAwaySaysNothingAboutPods) {
  PodsWorld w;
  w.Start();
  w.AddPod("web", kWeb);
  const Pod before = w.Get("web");
  w.runtime.on_call = [](absl::string_view) { return RuntimeFault::Unavailable(); };
  w.AddPod("new", kWeb);
  w.Advance(minutes(2));
  EXPECT_TRUE(w.pods().healthy());
  w.Advance(minutes(3));
  EXPECT_FALSE(w.pods().healthy());
  EXPECT_EQ(w.Get("web").metadata().resource_version(), before.metadata().resource_version());
  EXPECT_EQ(w.PhaseOf("new"), "Pending");
  w.runtime.on_call = nullptr;
  w.Advance(seconds(15));
  EXPECT_TRUE(w.pods().healthy());
  EXPECT_EQ(w.PhaseOf("new"), "Running Ready");
  EXPECT_EQ(w.PhaseOf("web"), "Running Ready");
  EXPECT_EQ(w.Get("web").status().container_statuses(0).restart_count(), 0);
}

TEST(PodsFaults, AKubeletThatBeginsWithoutRuntimeWaits) {
  PodsWorld w;
  w.Start();
  w.AddPod("web", kWeb);
  const Pod before = w.Get("web");
  w.runtime.on_call = [](absl::string_view) { return RuntimeFault::Unavailable(); };
  w.Start();
  w.Advance(minutes(5));
  EXPECT_FALSE(w.pods().healthy());
  EXPECT_EQ(w.Get("web").metadata().resource_version(), before.metadata().resource_version());
  w.runtime.on_call = nullptr;
  w.Advance(seconds(5));
  w.runtime.TakeCalls();
  w.Advance(seconds(60));
  EXPECT_THAT(w.runtime.TakeCalls(), IsEmpty());
  EXPECT_EQ(w.Get("web").metadata().resource_version(), before.metadata().resource_version());
}

TEST(PodsFaults, AnApiServerThatIsAwayStopsNothing) {
  PodsWorld w;
  w.runtime.SetContainer("web", {.exits_after = seconds(30), .exit_code = 1});
  w.Start();
  w.AddPod("web", kWeb);
  bool away = true;
  w.process().SetFate([&away](const kube::ApiCall&) {
    return away ? apiserver::Fate::kLoseCall : apiserver::Fate::kPass;
  });
  w.Advance(seconds(40));
  EXPECT_EQ(w.runtime.Running().size(), 1u);  // restarted meanwhile
  EXPECT_EQ(w.Get("web").status().container_statuses(0).restart_count(), 0);
  away = false;
  w.Advance(seconds(11));
  EXPECT_EQ(w.Get("web").status().container_statuses(0).restart_count(), 1);
}

TEST(PodsFaults, ContainersThatCanNotBeKilledAreTriedAgain) {
  PodsWorld w;
  w.runtime.SetContainer("web", {.unkillable = true});
  w.Start();
  w.AddPod("web", kWeb);
  w.Events();
  w.Delete("web", 1);
  w.Advance(minutes(5));
  EXPECT_EQ(w.PhaseOf("web"), "Running Ready");
  EXPECT_THAT(w.Events(), Contains(testing::HasSubstr("Warning FailedKillPod error killing pod")));
  EXPECT_LE(w.runtime.TakeCalls().size(), 60u);
  w.runtime.Exit("default/web/web", 137);
  w.Advance(seconds(12));
  EXPECT_EQ(w.PhaseOf("web"), "gone");
}

TEST(PodsFaults, VolumesThatCanNotBeTakenAwayKeepTheObject) {
  PodsWorld w;
  w.fake.volumes_remove_error = absl::UnknownError("target is busy");
  w.Start();
  w.AddPod("web", kWeb);
  w.Delete("web");
  w.Advance(seconds(30));
  EXPECT_EQ(w.PhaseOf("web"), "Failed");
  w.fake.volumes_remove_error = absl::OkStatus();
  w.Advance(seconds(11));
  EXPECT_EQ(w.PhaseOf("web"), "gone");
}

TEST(PodsFaults, WhatOthersWriteStays) {
  PodsWorld w;
  w.Start();
  w.AddPod("web", absl::StrCat("readinessGates: [{conditionType: example.com/ok}], ", kWeb));
  EXPECT_EQ(w.PhaseOf("web"), "Running");
  w.world.Patch<Pod>("web",
                     "{status: {phase: Pending, conditions: [{type: example.com/ok, status: "
                     "'True'}]}}",
                     "status");
  w.Advance(seconds(2));
  // All conditions but one were taken away: they are back.
  EXPECT_EQ(w.PhaseOf("web"), "Running Ready");
  EXPECT_EQ(w.Get("web").status().conditions_size(), 6);
  // A final phase counts, whoever has written it.
  w.world.Patch<Pod>("web", "{status: {phase: Failed, reason: Evicted}}", "status");
  w.Advance(seconds(2));
  EXPECT_EQ(w.PhaseOf("web"), "Failed");
  EXPECT_EQ(w.Get("web").status().reason(), "Evicted");
  EXPECT_THAT(w.runtime.Running(), IsEmpty());
}

TEST(PodsFaults, AFinalizerKeepsTheObjectOnly) {
  PodsWorld w;
  w.Start();
  w.AddPod("web", kWeb, "finalizers: [example.com/wait]");
  w.Delete("web");
  w.Advance(seconds(5));
  EXPECT_EQ(w.PhaseOf("web"), "Failed");
  const int writes = w.WritesOf("web");
  w.Advance(minutes(2));
  EXPECT_EQ(w.WritesOf("web"), writes);
  w.world.Patch<Pod>("web", "{metadata: {finalizers: null}}");
  w.Advance(seconds(2));
  EXPECT_EQ(w.PhaseOf("web"), "gone");
  EXPECT_EQ(w.runtime.sandboxes(), 0u);
}

TEST(PodsMany, AHundredAtOnceCostLittle) {
  PodsWorld w;
  w.Start();
  const int64_t calls = w.runtime.calls();
  for (int i = 0; i < 100; ++i) {
    w.world.Create<Pod>(
        absl::StrCat("{metadata: {name: web-", i, "}, spec: {nodeName: node-1, ", kWeb, "}}"));
  }
  w.Settle();
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(w.PhaseOf(absl::StrCat("web-", i)), "Running Ready") << i;
    EXPECT_LE(w.WritesOf(absl::StrCat("web-", i)), 2);
  }
  // Three that change something, and two readings with what they find.
  EXPECT_LE((w.runtime.calls() - calls) / 100, 9);
  for (int i = 0; i < 100; ++i) w.world.Delete<Pod>(absl::StrCat("web-", i));
  w.Advance(seconds(2));
  EXPECT_EQ(w.runtime.sandboxes(), 0u);
  EXPECT_TRUE(w.pods().List().empty());
}

}  // namespace
}  // namespace meltemi::kubelet
