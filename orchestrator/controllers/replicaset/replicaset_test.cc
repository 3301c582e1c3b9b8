#include "orchestrator/controllers/replicaset/replicaset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <set>

#include "absl/strings/str_cat.h"
#include "kube/apps/v1/apps.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/core/v1/replication.pb.h"
#include "orchestrator/controllers/runtime/owners.h"
#include "orchestrator/controllers/runtime/testing/world.h"

namespace meltemi::controllers {
namespace {

using apiserver::Fate;
using kube::apps::v1::ReplicaSet;
using kube::core::v1::Pod;
using kube::core::v1::ReplicationController;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing::StartsWith;

// The documentation's example, cut down.
std::string Frontend(int replicas, const char* more = "") {
  return absl::StrCat(R"({metadata: {name: frontend}, spec: {replicas: )", replicas, more, R"(,
    selector: {matchLabels: {tier: frontend}},
    template: {metadata: {labels: {tier: frontend}},
               spec: {containers: [{name: php, image: "us-docker.pkg.dev/gb-frontend:v5"}]}}}})");
}

constexpr char kBarePod[] = R"({metadata: {name: pod1, labels: {tier: frontend}},
    spec: {containers: [{name: hello, image: hello}]}})";

class ReplicaSetTest : public testing::Test {
 protected:
  ReplicaSetTest() { world_.Run(NewReplicaSetController(world_.context())); }

  std::set<std::string> PodNames() {
    std::set<std::string> names;
    for (const Pod& pod : world_.List<Pod>("default")) names.insert(pod.metadata().name());
    return names;
  }
  World world_;
};

TEST_F(ReplicaSetTest, MakesThePodsOfItsTemplateAndOwnsThem) {
  const ReplicaSet set = world_.Create<ReplicaSet>(Frontend(3));
  world_.Settle();
  const std::vector<Pod> pods = world_.List<Pod>("default");
  ASSERT_THAT(pods, SizeIs(3));
  for (const Pod& pod : pods) {
    EXPECT_THAT(pod.metadata().name(), StartsWith("frontend-"));
    EXPECT_TRUE(IsControlledBy(pod, set));
    EXPECT_EQ(pod.metadata().labels().at("tier"), "frontend");
  }
  EXPECT_THAT(world_.Events(), testing::Each(StartsWith("Normal SuccessfulCreate Created pod: ")));
  const ReplicaSet after = world_.Get<ReplicaSet>("frontend");
  EXPECT_EQ(after.status().replicas(), 3);
  EXPECT_EQ(after.status().fully_labeled_replicas(), 3);
  EXPECT_EQ(after.status().ready_replicas(), 0);
  EXPECT_EQ(after.status().observed_generation(), 1);
}

TEST_F(ReplicaSetTest, ReplacesPodsThatFailOrAreDeleted) {
  world_.Create<ReplicaSet>(Frontend(2));
  world_.Settle();
  world_.RunPods();
  const std::set<std::string> before = PodNames();
  world_.FinishPod(*before.begin(), "Failed");
  world_.Delete<Pod>(*before.rbegin(), {.grace_period_seconds = 0});
  world_.Settle();
  world_.RunPods();
  EXPECT_THAT(world_.List<Pod>("default"), SizeIs(3));  // two that run, and the failed one
  EXPECT_EQ(world_.Get<ReplicaSet>("frontend").status().ready_replicas(), 2);
}

TEST_F(ReplicaSetTest, ScalesDownToTheWantedNumber) {
  world_.Create<ReplicaSet>(Frontend(4));
  world_.Settle();
  world_.RunPods();
  world_.SetPodReady(*PodNames().begin(), false);
  const std::string broken = *PodNames().begin();
  world_.Events();
  world_.Patch<ReplicaSet>("frontend", "{spec: {replicas: 3}}", "scale");
  world_.Settle();
  EXPECT_THAT(world_.Events(),
              ElementsAre(absl::StrCat("Normal SuccessfulDelete Deleted pod: ", broken)));
  EXPECT_EQ(world_.Get<ReplicaSet>("frontend").status().replicas(), 3);
  world_.ReapPods();
  EXPECT_THAT(PodNames(), SizeIs(3));
}

TEST_F(ReplicaSetTest, AdoptsPodsThatMatchAndCountsThem) {
  world_.Create<Pod>(kBarePod);
  const ReplicaSet set = world_.Create<ReplicaSet>(Frontend(3));
  world_.Settle();
  EXPECT_THAT(PodNames(), SizeIs(3));
  EXPECT_TRUE(IsControlledBy(world_.Get<Pod>("pod1"), set));
}

TEST_F(ReplicaSetTest, APodThatComesLaterAndMatchesIsTooMuch) {
  world_.Create<ReplicaSet>(Frontend(2));
  world_.Settle();
  world_.RunPods();
  world_.Create<Pod>(kBarePod);
  world_.Settle();
  // Adopted, and as the youngest, which runs nowhere yet, deleted.
  EXPECT_FALSE(world_.Find<Pod>("pod1").has_value());
  EXPECT_THAT(PodNames(), SizeIs(2));
}

TEST_F(ReplicaSetTest, APodWhoseLabelIsChangedIsReleasedAndReplaced) {
  world_.Create<ReplicaSet>(Frontend(2));
  world_.Settle();
  world_.RunPods();
  const std::string name = *PodNames().begin();
  world_.Patch<Pod>(name, "{metadata: {labels: {tier: debug}}}");
  world_.Settle();
  EXPECT_EQ(ControllerOf(world_.Get<Pod>(name)), nullptr);
  EXPECT_THAT(PodNames(), SizeIs(3));
}

TEST_F(ReplicaSetTest, ABurstIs500Pods) {
  world_.Create<ReplicaSet>(Frontend(501));
  for (int i = 0; i < 10 && PodNames().size() < 500; ++i) {
    while (world_.api().undelivered() > 0) world_.api().DeliverOne(0);
    while (PodNames().empty() && world_.executor().RunOne()) {
    }
    world_.executor().RunOne();
  }
  EXPECT_THAT(PodNames(), SizeIs(500));
  world_.Settle();
  EXPECT_THAT(PodNames(), SizeIs(501));
}

TEST_F(ReplicaSetTest, WithAnOldCacheItMakesNoPodTwice) {
  world_.Create<ReplicaSet>(Frontend(3));
  world_.api().DeliverAll();
  world_.executor().RunReady();
  // The pods are there, the cache does not show them; something else wakes the controller up.
  EXPECT_THAT(PodNames(), SizeIs(3));
  world_.Patch<ReplicaSet>("frontend", "{metadata: {annotations: {a: b}}}");
  world_.api().DeliverOne(0);
  world_.executor().RunReady();
  EXPECT_THAT(PodNames(), SizeIs(3));
  world_.Settle();
  EXPECT_THAT(PodNames(), SizeIs(3));
}

TEST_F(ReplicaSetTest, ALostAnswerMakesNoPodTwice) {
  int lost = 0;
  world_.process().SetFate([&](const kube::ApiCall& call) {
    const bool create = call.method == "POST" && call.path == "/api/v1/namespaces/default/pods";
    return create && ++lost == 2 ? Fate::kLoseAnswer : Fate::kPass;
  });
  world_.Create<ReplicaSet>(Frontend(3));
  world_.Settle();
  world_.Advance(seconds(1));
  EXPECT_THAT(PodNames(), SizeIs(3));
  EXPECT_EQ(lost, 3);
}

TEST_F(ReplicaSetTest, ALostAnswerDeletesNoOtherPod) {
  world_.Create<ReplicaSet>(Frontend(3));
  world_.Settle();
  world_.RunPods();
  int deletions = 0;
  world_.process().SetFate([&](const kube::ApiCall& call) {
    return call.method == "DELETE" && ++deletions == 1 ? Fate::kLoseAnswer : Fate::kPass;
  });
  world_.Patch<ReplicaSet>("frontend", "{spec: {replicas: 2}}", "scale");
  world_.Settle();
  world_.Advance(seconds(1));
  world_.ReapPods();
  EXPECT_THAT(PodNames(), SizeIs(2));
  EXPECT_EQ(deletions, 1);
}

TEST_F(ReplicaSetTest, WhatCannotBeMadeIsAConditionAndAnEventAndIsTriedAgain) {
  bool refuse = true;
  world_.process().SetFate([&](const kube::ApiCall& call) {
    return refuse && call.method == "POST" && call.path == "/api/v1/namespaces/default/pods"
               ? Fate::kRefuse
               : Fate::kPass;
  });
  world_.Create<ReplicaSet>(Frontend(2));
  world_.Settle();
  const ReplicaSet set = world_.Get<ReplicaSet>("frontend");
  ASSERT_THAT(set.status().conditions(), SizeIs(1));
  EXPECT_EQ(set.status().conditions(0).type(), "ReplicaFailure");
  EXPECT_EQ(set.status().conditions(0).reason(), "FailedCreate");
  EXPECT_THAT(world_.Events(), testing::Each(StartsWith("Warning FailedCreate Error creating: ")));
  refuse = false;
  world_.Advance(minutes(1));
  EXPECT_THAT(PodNames(), SizeIs(2));
  EXPECT_THAT(world_.Get<ReplicaSet>("frontend").status().conditions(), IsEmpty());
}

TEST_F(ReplicaSetTest, PodsAreAvailableAfterMinReadySeconds) {
  world_.Create<ReplicaSet>(Frontend(2, ", minReadySeconds: 10"));
  world_.Settle();
  world_.RunPods();
  EXPECT_EQ(world_.Get<ReplicaSet>("frontend").status().ready_replicas(), 2);
  EXPECT_EQ(world_.Get<ReplicaSet>("frontend").status().available_replicas(), 0);
  world_.Advance(seconds(11));
  EXPECT_EQ(world_.Get<ReplicaSet>("frontend").status().available_replicas(), 2);
}

TEST_F(ReplicaSetTest, ASetThatIsDeletedLeavesItsPodsAlone) {
  world_.Create<ReplicaSet>(Frontend(2));
  world_.Settle();
  world_.Delete<ReplicaSet>("frontend", {.propagation = "Foreground"});
  world_.Delete<Pod>(*PodNames().begin(), {.grace_period_seconds = 0});
  world_.Settle();
  EXPECT_THAT(PodNames(), SizeIs(1));
}

TEST_F(ReplicaSetTest, ANewProcessFinishesWhatTheOldOneBegan) {
  int created = 0;
  world_.process().SetFate([&](const kube::ApiCall& call) {
    const bool create = call.method == "POST" && call.path == "/api/v1/namespaces/default/pods";
    return create && ++created > 2 ? Fate::kLoseCall : Fate::kPass;
  });
  world_.Create<ReplicaSet>(Frontend(5));
  world_.Settle();
  EXPECT_THAT(PodNames(), SizeIs(2));
  world_.Restart(NewReplicaSetController);
  world_.Settle();
  EXPECT_THAT(PodNames(), SizeIs(5));
}

TEST_F(ReplicaSetTest, NothingIsWrittenWhenThereIsNothingToDo) {
  world_.Create<ReplicaSet>(Frontend(2));
  world_.Settle();
  world_.RunPods();
  const size_t writes = world_.Writes();
  world_.Advance(minutes(30));
  EXPECT_EQ(world_.Writes(), writes);
}

TEST(ReplicationControllers, AreServedByTheSameCode) {
  World world;
  world.Run(NewReplicationControllerController(world.context()));
  const auto owner = world.Create<ReplicationController>(R"({metadata: {name: nginx},
      spec: {replicas: 3, selector: {app: nginx}, template: {metadata: {labels: {app: nginx}},
             spec: {containers: [{name: nginx, image: nginx}]}}}})");
  world.Settle();
  world.RunPods();
  ASSERT_THAT(world.List<Pod>("default"), SizeIs(3));
  const Pod pod = world.List<Pod>("default")[0];
  EXPECT_TRUE(IsControlledBy(pod, owner));
  EXPECT_EQ(ControllerOf(pod)->kind(), "ReplicationController");
  EXPECT_EQ(ControllerOf(pod)->api_version(), "v1");
  EXPECT_EQ(world.Get<ReplicationController>("nginx").status().available_replicas(), 3);
  world.Patch<ReplicationController>("nginx", "{spec: {replicas: 1}}");
  world.Settle();
  world.ReapPods();
  EXPECT_THAT(world.List<Pod>("default"), SizeIs(1));
}

}  // namespace
}  // namespace meltemi::controllers
