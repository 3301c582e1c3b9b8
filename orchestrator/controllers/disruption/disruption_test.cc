#include "orchestrator/controllers/disruption/disruption.h"

#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kube/apps/v1/apps.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/policy/v1/policy.pb.h"
#include "orchestrator/controllers/disruption/budget.h"
#include "orchestrator/controllers/runtime/testing/world.h"

namespace meltemi::controllers {
namespace {

using kube::apps::v1::ReplicaSet;
using kube::core::v1::Pod;
using kube::policy::v1::PodDisruptionBudget;
using kube::policy::v1::PodDisruptionBudgetSpec;

TEST(Budget, CountsAsDocumented) {
  struct Case {
    const char* min_available;
    const char* max_unavailable;
    int pods, scale, expected, desired;
  };
  const Case cases[] = {
      {"2", "", 5, 0, 5, 2},    {"50%", "", 5, 7, 7, 4},   {"100%", "", 5, 7, 7, 7},
      {"", "1", 5, 7, 7, 6},    {"", "30%", 5, 10, 10, 7}, {"", "25%", 5, 10, 10, 7},
      {"", "20", 5, 10, 10, 0}, {"9", "", 5, 0, 5, 9},     {"", "", 5, 0, 0, 0},
  };
  const auto set = [](absl::string_view text, kube::intstr::IntOrString* out) {
    if (absl::EndsWith(text, "%")) {
      out->set_type(1);
      out->set_str_val(std::string(text));
    } else {
      out->set_int_val(std::stoi(std::string(text)));
    }
  };
  for (const Case& each : cases) {
    PodDisruptionBudgetSpec spec;
    if (*each.min_available != 0) set(each.min_available, spec.mutable_min_available());
    if (*each.max_unavailable != 0) set(each.max_unavailable, spec.mutable_max_unavailable());
    const BudgetCount count = CountOf(spec, each.pods, each.scale);
    EXPECT_EQ(count.expected, each.expected) << each.min_available << each.max_unavailable;
    EXPECT_EQ(count.desired_healthy, each.desired) << each.min_available << each.max_unavailable;
  }
}

TEST(Budget, PrintsSelectorsAsEventsDo) {
  kube::meta::v1::LabelSelector selector;
  (*selector.mutable_match_labels())["app"] = "web";
  EXPECT_EQ(SelectorText(selector),
            "&LabelSelector{MatchLabels:map[string]string{app: web,},MatchExpressions:"
            "[]LabelSelectorRequirement{},}");
}

class DisruptionTest : public testing::Test {
 protected:
  void Begin() {
    world_.AddNode("node-1");
    world_.Run(NewDisruptionController(world_.context()));
  }
  void AddBudget(absl::string_view rule, absl::string_view name = "web") {
    world_.Create<PodDisruptionBudget>(absl::StrCat("{metadata: {name: ", name, "}, spec: {", rule,
                                                    ", selector: {matchLabels: {app: web}}}}"));
  }
  // Pods of a ReplicaSet that wants as many.
  void AddSet(absl::string_view name, int replicas, int ready) {
    const std::string uid =
        world_
            .Create<ReplicaSet>(absl::StrCat(
                "{metadata: {name: ", name, "}, spec: {replicas: ", replicas,
                ", selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, "
                "spec: {containers: [{name: c, image: i}]}}}}"))
            .metadata()
            .uid();
    for (int i = 0; i < replicas; ++i) {
      AddPod(absl::StrCat(name, i),
             absl::StrCat("{apiVersion: apps/v1, kind: ReplicaSet, name: ", name, ", uid: ", uid,
                          ", controller: true}"),
             i < ready);
    }
    world_.Settle();
  }
  void AddPod(absl::string_view name, absl::string_view owner, bool ready) {
    world_.Create<Pod>(absl::StrCat("{metadata: {name: ", name,
                                    ", labels: {app: web}, ownerReferences: [", owner,
                                    "]}, spec: {nodeName: node-1, containers: [{name: c, image: "
                                    "i}]}}"));
    world_.SetPodReady(name, ready);
  }
  kube::Result<kube::ApiAnswer> Evict(absl::string_view pod) {
    return world_.user().Call(
        {.method = "POST",
         .path = kube::ResourceOf<Pod>().Path("default", pod, "eviction"),
         .body = absl::StrCat(R"({"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":")",
                              pod, R"(","namespace":"default"}})")});
  }
  std::string Told(absl::string_view name = "web") {
    const PodDisruptionBudget budget = world_.Get<PodDisruptionBudget>(name);
    const auto& status = budget.status();
    std::string out = absl::StrCat("expected ", status.expected_pods(), " desired ",
                                   status.desired_healthy(), " healthy ", status.current_healthy(),
                                   " allowed ", status.disruptions_allowed());
    for (const auto& condition : status.conditions()) {
      absl::StrAppend(&out, " ", condition.status(), " ", condition.reason());
      if (!condition.message().empty()) absl::StrAppend(&out, ": ", condition.message());
    }
    return out;
  }

  World world_;
};

TEST_F(DisruptionTest, HealthyPodsBeyondThoseDesiredMayGo) {
  Begin();
  AddSet("a", 4, 3);
  AddBudget("minAvailable: 2");
  world_.Settle();
  EXPECT_EQ(Told(), "expected 4 desired 2 healthy 3 allowed 1 True SufficientPods");
  world_.SetPodReady("a0", false);
  world_.Settle();
  EXPECT_EQ(Told(), "expected 4 desired 2 healthy 2 allowed 0 False InsufficientPods");
  world_.Patch<PodDisruptionBudget>("web", "{spec: {minAvailable: 25%}}");
  world_.Settle();
  EXPECT_EQ(Told(), "expected 4 desired 1 healthy 2 allowed 1 True SufficientPods");
  EXPECT_EQ(world_.Get<PodDisruptionBudget>("web").status().observed_generation(), 2);
}

TEST_F(DisruptionTest, TheScaleOfAllOwnersCounts) {
  Begin();
  AddSet("a", 3, 3);
  AddSet("b", 5, 5);
  AddBudget("maxUnavailable: 50%");
  world_.Settle();
  EXPECT_EQ(Told(), "expected 8 desired 4 healthy 8 allowed 4 True SufficientPods");
}

TEST_F(DisruptionTest, EvictionsAreGrantedOneByOneAndSeenToBegin) {
  Begin();
  AddSet("a", 3, 3);
  AddBudget("maxUnavailable: 1");
  world_.Settle();
  EXPECT_TRUE(Evict("a0").ok());
  // At once, before the controller has seen it.
  const kube::Result<kube::ApiAnswer> second = Evict("a1");
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code, 429);
  EXPECT_EQ(second.status().causes.at(0).message,
            "The disruption budget web needs 2 healthy pods and has 3 currently");
  world_.Settle();
  EXPECT_EQ(Told(), "expected 3 desired 2 healthy 2 allowed 0 False InsufficientPods");
  EXPECT_EQ(world_.Get<PodDisruptionBudget>("web").status().disrupted_pods_size(), 0);
  world_.ReapPods();
  EXPECT_FALSE(Evict("a1").ok());
}

TEST_F(DisruptionTest, AGrantThatIsNotUsedExpires) {
  Begin();
  AddSet("a", 3, 3);
  AddBudget("maxUnavailable: 1");
  world_.Settle();
  const int64_t now_s =
      std::chrono::duration_cast<seconds>(world_.executor().clock().WallNow().time_since_epoch())
          .count();
  kube::meta::v1::Time now;
  now.set_seconds(now_s);
  PodDisruptionBudget budget = world_.Get<PodDisruptionBudget>("web");
  (*budget.mutable_status()->mutable_disrupted_pods())["a0"] = now;
  (*budget.mutable_status()->mutable_disrupted_pods())["long-gone"] = now;
  ASSERT_TRUE(kube::UpdateStatus(world_.user(), budget).ok());
  world_.Settle();
  EXPECT_EQ(Told(), "expected 3 desired 2 healthy 2 allowed 0 False InsufficientPods");
  EXPECT_EQ(world_.Get<PodDisruptionBudget>("web").status().disrupted_pods_size(), 1);
  world_.Events();
  world_.Advance(minutes(2) + seconds(2));
  EXPECT_EQ(Told(), "expected 3 desired 2 healthy 3 allowed 1 True SufficientPods");
  EXPECT_EQ(world_.Events(), std::vector<std::string>{
                                 "Warning NotDeleted Pod was expected by PDB default/default to be "
                                 "deleted but it wasn't"});
}

TEST_F(DisruptionTest, WithoutPodsNothingIsAllowed) {
  Begin();
  AddBudget("minAvailable: 0");
  world_.Settle();
  EXPECT_EQ(Told(), "expected 0 desired 0 healthy 0 allowed 0 False InsufficientPods");
  EXPECT_EQ(world_.Events(), std::vector<std::string>(2, "Normal NoPods No matching pods found"));
}

TEST_F(DisruptionTest, OwnersWithoutAScaleAreAFailure) {
  Begin();
  AddPod("p", "{apiVersion: v1, kind: Node, name: node-1, uid: u, controller: true}", true);
  AddBudget("maxUnavailable: 1");
  world_.Settle();
  EXPECT_EQ(Told(),
            "expected 0 desired 0 healthy 0 allowed 0 False SyncFailed: nodes does not implement "
            "the scale subresource");
  world_.Patch<Pod>(
      "p",
      "{metadata: {ownerReferences: [{apiVersion: example.com/v1, kind: Widget, name: "
      "w, uid: u2, controller: true}]}}");
  world_.Settle();
  EXPECT_TRUE(absl::StrContains(
      Told(), "SyncFailed: no matches for kind \"Widget\" in version \"example.com/v1\""));
  const size_t writes = world_.Writes();
  world_.Advance(minutes(10));
  EXPECT_EQ(world_.Writes(), writes);
  EXPECT_LT(world_.Events().size(), 40u);
  // A number of pods needs no scale.
  world_.Patch<PodDisruptionBudget>("web", "{spec: {maxUnavailable: null, minAvailable: 0}}");
  world_.Settle();
  EXPECT_TRUE(absl::StrContains(Told(), "allowed 1 True SufficientPods")) << Told();
}

TEST_F(DisruptionTest, PodsWithoutAnOwnerAreReported) {
  Begin();
  AddPod("p", "", true);
  AddBudget("maxUnavailable: 1");
  world_.Settle();
  EXPECT_EQ(Told(), "expected 0 desired 0 healthy 1 allowed 0 False InsufficientPods");
  EXPECT_TRUE(
      absl::StartsWith(world_.Events().at(0),
                       "Warning UnmanagedPods Pods selected by this PodDisruptionBudget "
                       "(selector: &LabelSelector{MatchLabels:map[string]string{app: web,}"));
}

TEST_F(DisruptionTest, APodUnderTwoBudgetsIsReported) {
  Begin();
  AddBudget("minAvailable: 1", "one");
  AddBudget("minAvailable: 1", "two");
  world_.Settle();
  world_.Events();
  AddSet("a", 1, 1);
  EXPECT_EQ(world_.Events().at(0),
            "Warning MultiplePodDisruptionBudgets Pod \"default\"/\"a0\" matches multiple "
            "PodDisruptionBudgets.  Chose \"one\" arbitrarily.");
  const kube::Result<kube::ApiAnswer> evicted = Evict("a0");
  ASSERT_FALSE(evicted.ok());
  EXPECT_EQ(evicted.status().code, 500);
}

TEST_F(DisruptionTest, AStaleDisruptionTargetIsTakenBack) {
  Begin();
  AddPod("p", "", true);
  world_.Patch<Pod>(
      "p",
      "{status: {conditions: [{type: Ready, status: 'True'}, {type: DisruptionTarget, "
      "status: 'True', reason: EvictionByEvictionAPI, lastTransitionTime: "
      "'2024-01-01T00:00:00Z'}]}}",
      "status");
  world_.Advance(seconds(100));
  const auto status = [this] {
    const Pod pod = world_.Get<Pod>("p");
    for (const auto& condition : pod.status().conditions()) {
      if (condition.type() == "DisruptionTarget") {
        return absl::StrCat(condition.status(), condition.reason());
      }
    }
    return std::string();
  };
  EXPECT_EQ(status(), "TrueEvictionByEvictionAPI");
  world_.Advance(seconds(30));
  EXPECT_EQ(status(), "False");
}

TEST_F(DisruptionTest, ARestartFindsWhatHasChanged) {
  Begin();
  AddSet("a", 3, 3);
  AddBudget("minAvailable: 2");
  world_.Settle();
  world_.process().SetFate([](const kube::ApiCall& call) {
    return call.method == "GET" ? apiserver::Fate::kPass : apiserver::Fate::kLoseCall;
  });
  world_.SetPodReady("a1", false);
  world_.Settle();
  EXPECT_TRUE(absl::StrContains(Told(), "allowed 1"));
  world_.Restart(NewDisruptionController);
  EXPECT_TRUE(absl::StrContains(Told(), "allowed 0"));
}

}  // namespace
}  // namespace meltemi::controllers
