// What hollow pods go through, moment by moment, and what a kubelet would say about it.
#include "orchestrator/kubelet/hollow/pod_run.h"

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/json/write.h"
#include "base/yaml/parse.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kube/codec/codec.h"
#include "orchestrator/kubelet/admission/admission.h"
#include "orchestrator/kubelet/hollow/pod_status.h"

namespace meltemi::kubelet {
namespace {

using kube::core::v1::Pod;
using kube::core::v1::PodStatus;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

template <typename T>
T Parsed(absl::string_view text) {
  T out;
  const absl::StatusOr<json::Value> tree = yaml::Parse(text);
  EXPECT_TRUE(tree.ok()) << tree.status();
  EXPECT_TRUE(kube::FromJson(json::ToString(*tree), &out).ok());
  return out;
}

// A pod on a node, and the time that passes for it.
class Life {
 public:
  explicit Life(absl::string_view spec, absl::string_view annotations = "{}")
      : pod(Parsed<Pod>(absl::StrCat("{metadata: {name: web, namespace: default, uid: u-1, ",
                                     "annotations: ", annotations, "}, spec: ", spec, "}"))) {
    run.uid = "u-1";
    defaults.run_for = seconds(1);
  }

  PodStatus Now() {
    const RunTime time{MonotonicTime(now), WallTime(seconds(1'700'000'000) + now)};
    changed = Step(
        pod, TimingOf(pod, defaults), time, [this] { return failing; }, &run);
    return StatusOf(pod, {"127.1.0.1", "10.128.0.1"}, UnixSeconds(time.wall), &run);
  }
  PodStatus After(Duration more) {
    now += more;
    return Now();
  }
  void Delete(int64_t grace_s) {
    pod.mutable_metadata()->mutable_deletion_timestamp()->set_seconds(1);
    pod.mutable_metadata()->set_deletion_grace_period_seconds(grace_s);
  }
  Duration Next() {
    const std::optional<MonotonicTime> next = NextStep(run);
    return next.has_value() ? next->time_since_epoch() - now : Duration(-1);
  }

  Pod pod;
  PodRun run;
  PodTiming defaults;
  Duration now{0};
  bool failing = false, changed = false;
};

// "Running Ready", "Pending", …
std::string Told(const PodStatus& status) {
  for (const auto& condition : status.conditions()) {
    if (condition.type() == "Ready" && condition.status() == "True") {
      return absl::StrCat(status.phase(), " Ready");
    }
  }
  return status.phase();
}

std::string Condition(const PodStatus& status, absl::string_view type) {
  for (const auto& condition : status.conditions()) {
    if (condition.type() != type) continue;
    return absl::StrJoin({condition.status(), condition.reason(), condition.message()}, "|");
  }
  return "none";
}

std::string Waiting(const PodStatus& status) {
  return status.container_statuses(0).state().waiting().reason();
}

constexpr char kWeb[] = "{containers: [{name: web, image: 'nginx:1.10'}], restartPolicy: Always}";

TEST(HollowPodTest, IsReadyInOneStepWhereNothingTakesTime) {
  Life life(kWeb);
  const PodStatus status = life.Now();
  EXPECT_EQ(Told(status), "Running Ready");
  EXPECT_TRUE(life.changed);
  EXPECT_EQ(status.pod_ip(), "10.128.0.1");
  EXPECT_EQ(status.host_ip(), "127.1.0.1");
  EXPECT_EQ(status.start_time().seconds(), 1'700'000'000);
  EXPECT_EQ(Condition(status, "PodReadyToStartContainers"), "True||");
  EXPECT_EQ(Condition(status, "Initialized"), "True||");
  EXPECT_EQ(Condition(status, "ContainersReady"), "True||");
  EXPECT_EQ(Condition(status, "PodScheduled"), "True||");
  const auto& container = status.container_statuses(0);
  EXPECT_TRUE(container.ready() && container.started());
  EXPECT_THAT(container.container_id(), testing::MatchesRegex("hollow://[0-9a-f]+"));
  EXPECT_EQ(container.state().running().started_at().seconds(), 1'700'000'000);
  EXPECT_EQ(life.Next(), Duration(-1));
  life.Now();
  EXPECT_FALSE(life.changed);
}

TEST(HollowPodTest, TakesTheTimeThatAnnotationsAskFor) {
  Life life(kWeb, "{hollow.meltemi.io/start-delay: 500ms, hollow.meltemi.io/ready-delay: 2s}");
  const PodStatus creating = life.Now();
  EXPECT_EQ(Told(creating), "Pending");
  EXPECT_EQ(Waiting(creating), "ContainerCreating");
  EXPECT_EQ(Condition(creating, "PodReadyToStartContainers"), "False||");
  EXPECT_EQ(Condition(creating, "Ready"),
            "False|ContainersNotReady|containers with unready status: [web]");
  EXPECT_EQ(creating.pod_ip(), "");
  EXPECT_EQ(life.Next(), milliseconds(500));
  EXPECT_EQ(Told(life.After(milliseconds(500))), "Running");
  EXPECT_EQ(life.Next(), seconds(2));
  const PodStatus ready = life.After(seconds(2));
  EXPECT_EQ(Told(ready), "Running Ready");
  // Ready later than it was started: so says the condition's time.
  for (const auto& condition : ready.conditions()) {
    const int64_t at_s = condition.last_transition_time().seconds() - 1'700'000'000;
    if (condition.type() == "PodScheduled") continue;
    EXPECT_EQ(at_s, absl::EndsWith(condition.type(), "Ready") ? 2 : 0) << condition.type();
  }
}

TEST(HollowPodTest, RunsInitContainersInOrderAndKeepsSidecars) {
  Life life(
      "{initContainers: [{name: first, image: a}, {name: proxy, image: b, restartPolicy: Always}, "
      "{name: second, image: c}], containers: [{name: web, image: d}], restartPolicy: Never}",
      "{hollow.meltemi.io/init-run-for: 1s, hollow.meltemi.io/run-for: 3s}");
  const PodStatus begun = life.Now();
  EXPECT_EQ(Told(begun), "Pending");
  EXPECT_EQ(Condition(begun, "Initialized"),
            "False|ContainersNotInitialized|containers with incomplete status: [first proxy "
            "second]");
  EXPECT_EQ(Waiting(begun), "PodInitializing");
  const PodStatus halfway = life.After(seconds(1));
  EXPECT_EQ(halfway.init_container_statuses(0).state().terminated().reason(), "Completed");
  EXPECT_TRUE(halfway.init_container_statuses(1).started());
  EXPECT_TRUE(halfway.init_container_statuses(2).state().has_running());
  EXPECT_EQ(Told(life.After(seconds(1))), "Running Ready");
  const PodStatus ended = life.After(seconds(3));
  EXPECT_EQ(ended.phase(), "Succeeded");
  EXPECT_TRUE(ended.init_container_statuses(1).state().has_terminated());
  EXPECT_EQ(Condition(ended, "Ready"), "False|PodCompleted|");
  EXPECT_EQ(Condition(ended, "Initialized"), "True|PodCompleted|");
}

TEST(HollowPodTest, FailsByItsExitCode) {
  Life life("{containers: [{name: work, image: a}], restartPolicy: Never}",
            "{hollow.meltemi.io/run-for: 2s, hollow.meltemi.io/exit-code: '3'}");
  EXPECT_EQ(Told(life.Now()), "Running Ready");
  const PodStatus ended = life.After(seconds(2));
  EXPECT_EQ(ended.phase(), "Failed");
  EXPECT_EQ(ended.container_statuses(0).state().terminated().exit_code(), 3);
  EXPECT_EQ(ended.container_statuses(0).state().terminated().reason(), "Error");
  EXPECT_EQ(Condition(ended, "ContainersReady"), "False|PodFailed|");
  EXPECT_EQ(life.Next(), Duration(-1));
}

TEST(HollowPodTest, BacksOffFromWhatKeepsFailing) {
  Life life(kWeb);
  life.failing = true;
  // The first restart comes at once, the second after ten seconds, then twice that.
  PodStatus status = life.Now();
  EXPECT_EQ(Waiting(status), "CrashLoopBackOff");
  EXPECT_EQ(status.phase(), "Running");
  EXPECT_EQ(status.container_statuses(0).restart_count(), 1);
  EXPECT_EQ(status.container_statuses(0).state().waiting().message(),
            "back-off 10s restarting failed container=web pod=web_default(u-1)");
  EXPECT_EQ(status.container_statuses(0).last_state().terminated().exit_code(), 1);
  std::vector<int64_t> waits;
  for (int i = 0; i < 7; ++i) {
    waits.push_back(life.Next() / seconds(1));
    status = life.After(life.Next());
  }
  EXPECT_THAT(waits, ElementsAre(10, 20, 40, 80, 160, 300, 300));
  EXPECT_THAT(status.container_statuses(0).state().waiting().message(), HasSubstr("back-off 5m0s"));
  life.failing = false;
  status = life.After(life.Next());
  EXPECT_EQ(Told(status), "Running Ready");
  EXPECT_EQ(status.container_statuses(0).restart_count(), 9);
}

TEST(HollowPodTest, StopsWithinItsGrace) {
  Life life(kWeb, "{hollow.meltemi.io/stop-delay: 5s}");
  life.Now();
  life.Delete(30);
  EXPECT_EQ(Told(life.Now()), "Running Ready");
  EXPECT_EQ(life.Next(), seconds(5));
  const PodStatus stopped = life.After(seconds(5));
  EXPECT_EQ(stopped.phase(), "Succeeded");
  EXPECT_EQ(stopped.container_statuses(0).state().terminated().exit_code(), 0);

  Life stubborn(kWeb, "{hollow.meltemi.io/stop-delay: 60s}");
  stubborn.Now();
  stubborn.Delete(30);
  stubborn.Now();
  const PodStatus killed = stubborn.After(seconds(30));
  EXPECT_EQ(killed.phase(), "Failed");
  EXPECT_EQ(killed.container_statuses(0).state().terminated().exit_code(), 137);
}

TEST(HollowPodTest, StopsWhatHasNotStarted) {
  Life life(kWeb, "{hollow.meltemi.io/start-delay: 60s}");
  EXPECT_EQ(Told(life.Now()), "Pending");
  life.Delete(0);
  const PodStatus stopped = life.Now();
  EXPECT_EQ(stopped.phase(), "Failed");
  EXPECT_EQ(stopped.container_statuses(0).state().terminated().reason(), "ContainerStatusUnknown");
  EXPECT_EQ(life.Next(), Duration(-1));
}

TEST(HollowPodTest, FailsAtItsDeadline) {
  Life life(
      "{containers: [{name: web, image: a}], restartPolicy: Always, "
      "activeDeadlineSeconds: 7}");
  EXPECT_EQ(Told(life.Now()), "Running Ready");
  EXPECT_EQ(life.Next(), seconds(7));
  const PodStatus status = life.After(seconds(7));
  EXPECT_EQ(status.phase(), "Failed");
  EXPECT_EQ(status.reason(), "DeadlineExceeded");
  EXPECT_EQ(status.message(), "Pod was active on the node longer than the specified deadline");
}

TEST(HollowPodTest, WaitsForReadinessGates) {
  Life life(
      "{containers: [{name: web, image: a}], readinessGates: [{conditionType: "
      "example.com/open}]}");
  EXPECT_EQ(Condition(life.Now(), "Ready"),
            "False|ReadinessGatesNotReady|corresponding condition of pod readiness gate "
            "\"example.com/open\" does not exist.");
  auto* condition = life.pod.mutable_status()->add_conditions();
  condition->set_type("example.com/open");
  condition->set_status("True");
  EXPECT_EQ(Told(life.Now()), "Running Ready");
}

TEST(HollowPodTest, GoesOnWhereAnEarlierProcessWas) {
  Life before("{containers: [{name: web, image: a}], restartPolicy: OnFailure}",
              "{hollow.meltemi.io/run-for: 10s}");
  *before.pod.mutable_status() = before.Now();
  Life after("{containers: [{name: web, image: a}], restartPolicy: OnFailure}",
             "{hollow.meltemi.io/run-for: 10s}");
  *after.pod.mutable_status() = before.pod.status();
  after.now = seconds(4);
  const RunTime time{MonotonicTime(after.now), WallTime(seconds(1'700'000'000) + after.now)};
  Adopt(after.pod, TimingOf(after.pod, after.defaults), time, &after.run);
  AdoptConditions(after.pod, &after.run);
  const PodStatus status = after.Now();
  EXPECT_FALSE(after.changed);
  EXPECT_FALSE(Differs(status, before.pod.status()));
  EXPECT_EQ(kube::ToJson(status.container_statuses(0)),
            kube::ToJson(before.pod.status().container_statuses(0)));
  EXPECT_EQ(status.start_time().seconds(), 1'700'000'000);
  EXPECT_EQ(after.Next(), seconds(6));
  EXPECT_EQ(after.After(seconds(6)).phase(), "Succeeded");
}

TEST(HollowAdmissionTest, RefusesWhatDoesNotFit) {
  auto node = std::make_shared<kube::core::v1::Node>(Parsed<kube::core::v1::Node>(
      "{metadata: {name: n}, status: {allocatable: {cpu: '2', memory: 1Gi, pods: '3', "
      "ephemeral-storage: 1Gi, example.com/gpu: '1'}}}"));
  const auto facts = scheduler::MakeNodeFacts(node);
  const auto refusal = [&](absl::string_view requests, const NodeUse& use) -> std::string {
    const auto pod = std::make_shared<Pod>(Parsed<Pod>(
        absl::StrCat("{spec: {containers: [{name: a, resources: {requests: ", requests, "}}]}}")));
    const auto refused = CheckAdmission(*scheduler::MakePodInfo(pod), *facts, facts.get(), use);
    return refused.has_value() ? absl::StrCat(refused->reason, ": ", refused->message) : "";
  };
  NodeUse use;
  EXPECT_THAT(refusal("{cpu: '2', memory: 1Gi, example.com/gpu: '1', other.com/x: '9'}", use),
              IsEmpty());
  use.requested.milli_cpu = 500;
  EXPECT_EQ(refusal("{cpu: '2'}", use),
            "OutOfcpu: Node didn't have enough resource: cpu, requested: 2000, used: 500, "
            "capacity: 2000");
  EXPECT_EQ(refusal("{memory: 2Gi}", use),
            "OutOfmemory: Node didn't have enough resource: memory, requested: 2147483648, used: "
            "0, capacity: 1073741824");
  EXPECT_THAT(refusal("{example.com/gpu: '2'}", use), HasSubstr("OutOfexample.com/gpu"));
  use.pods = 3;
  EXPECT_EQ(refusal("{}", use),
            "OutOfpods: Node didn't have enough resource: pods, requested: 1, used: 3, capacity: "
            "3");
}

TEST(HollowAdmissionTest, RefusesWhatDoesNotBelongThere) {
  auto node = std::make_shared<kube::core::v1::Node>(Parsed<kube::core::v1::Node>(
      "{metadata: {name: n, labels: {disk: ssd}}, spec: {taints: [{key: out, effect: NoExecute}, "
      "{key: closed, effect: NoSchedule}]}, status: {allocatable: {pods: '3'}}}"));
  const auto facts = scheduler::MakeNodeFacts(node);
  const auto refusal = [&](absl::string_view spec, const NodeUse& use) -> std::string {
    const auto pod = std::make_shared<Pod>(Parsed<Pod>(absl::StrCat("{spec: {", spec, "}}")));
    const auto refused = CheckAdmission(*scheduler::MakePodInfo(pod), *facts, facts.get(), use);
    return refused.has_value() ? absl::StrCat(refused->reason, ": ", refused->message) : "";
  };
  const std::string tolerant = "tolerations: [{key: out, operator: Exists}], ";
  const std::string port = "containers: [{name: a, ports: [{containerPort: 1, hostPort: 80}]}]";
  NodeUse use;
  EXPECT_EQ(refusal(tolerant + "nodeSelector: {disk: ssd}, " + port, use), "");
  EXPECT_EQ(refusal(tolerant + "nodeSelector: {disk: tape}, containers: []", use),
            "NodeAffinity: Predicate NodeAffinity failed: node(s) didn't match Pod's node "
            "affinity/selector");
  EXPECT_EQ(refusal("containers: []", use),
            "TaintToleration: Predicate TaintToleration failed: node(s) had taints that the pod "
            "didn't tolerate");
  use.ports.Add({"0.0.0.0", "TCP", 80});
  EXPECT_THAT(refusal(tolerant + port, use), HasSubstr("NodePorts: Predicate NodePorts failed"));
}

}  // namespace
}  // namespace meltemi::kubelet
