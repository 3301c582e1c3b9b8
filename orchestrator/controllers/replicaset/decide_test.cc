#include "orchestrator/controllers/replicaset/decide.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

namespace meltemi::controllers {
namespace {

using kube::apps::v1::ReplicaSet;
using kube::apps::v1::ReplicaSetStatus;
using kube::core::v1::Pod;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

constexpr int64_t kNow = 1'700'000'000;

WallTime Now() { return WallTime(seconds(kNow)); }

ReplicaSet Wanting(int replicas, int min_ready_seconds = 0) {
  ReplicaSet set;
  set.mutable_metadata()->set_generation(7);
  set.mutable_spec()->set_replicas(replicas);
  set.mutable_spec()->set_min_ready_seconds(min_ready_seconds);
  (*set.mutable_spec()->mutable_template_()->mutable_metadata()->mutable_labels())["app"] = "web";
  return set;
}

std::shared_ptr<Pod> ReadyPod(const std::string& name, const std::string& node,
                              int64_t ready_since = kNow - 3600) {
  auto pod = std::make_shared<Pod>();
  pod->mutable_metadata()->set_name(name);
  pod->mutable_metadata()->set_uid(name);
  pod->mutable_metadata()->mutable_creation_timestamp()->set_seconds(kNow - 4000);
  (*pod->mutable_metadata()->mutable_labels())["app"] = "web";
  pod->mutable_spec()->set_node_name(node);
  pod->mutable_status()->set_phase("Running");
  auto& ready = *pod->mutable_status()->add_conditions();
  ready.set_type("Ready");
  ready.set_status("True");
  ready.mutable_last_transition_time()->set_seconds(ready_since);
  return pod;
}

std::vector<std::string> Names(const std::vector<PodPtr>& pods) {
  std::vector<std::string> names;
  for (const PodPtr& pod : pods) names.push_back(pod->metadata().name());
  return names;
}

TEST(PlanReplicas, AsManyAsMissAreMade) {
  EXPECT_EQ(PlanReplicas(Wanting(3), {ReadyPod("a", "n")}, {}, Now()).create, 2);
  EXPECT_EQ(PlanReplicas(Wanting(1), {ReadyPod("a", "n")}, {}, Now()).create, 0);
}

TEST(PlanReplicas, WithoutReplicasItIsOne) {
  EXPECT_EQ(PlanReplicas(ReplicaSet(), {}, {}, Now()).create, 1);
}

TEST(PlanReplicas, NoMoreThan500AtOnce) {
  EXPECT_EQ(PlanReplicas(Wanting(501), {}, {}, Now()).create, 500);
  std::vector<PodPtr> pods;
  for (int i = 0; i < 600; ++i) pods.push_back(ReadyPod(std::to_string(i), "n"));
  EXPECT_THAT(PlanReplicas(Wanting(0), pods, pods, Now()).remove, SizeIs(500));
}

TEST(PlanReplicas, OneThatIsNotReadyGoesFirst) {
  auto broken = ReadyPod("c", "n");
  broken->mutable_status()->mutable_conditions(0)->set_status("False");
  const std::vector<PodPtr> pods = {ReadyPod("a", "n"), ReadyPod("b", "n"), broken};
  EXPECT_THAT(Names(PlanReplicas(Wanting(2), pods, pods, Now()).remove), ElementsAre("c"));
}

TEST(PlanReplicas, OneOfManyOnANodeGoesFirst) {
  const std::vector<PodPtr> pods = {ReadyPod("a", "n1"), ReadyPod("b", "n2")};
  // Another revision of the same Deployment has a pod on n2 too.
  const std::vector<PodPtr> related = {pods[0], pods[1], ReadyPod("old", "n2")};
  EXPECT_THAT(Names(PlanReplicas(Wanting(1), pods, related, Now()).remove), ElementsAre("b"));
}

TEST(PlanReplicas, OneThatIsNotAvailableYetGoesBeforeThoseThatAre) {
  // Both have been ready for seconds, of which 2^n is one order of magnitude.
  const std::vector<PodPtr> pods = {ReadyPod("a", "n", kNow - 11), ReadyPod("b", "n", kNow - 9)};
  EXPECT_THAT(Names(PlanReplicas(Wanting(1, 10), pods, pods, Now()).remove), ElementsAre("b"));
  EXPECT_THAT(Names(PlanReplicas(Wanting(1), pods, pods, Now()).remove), ElementsAre("a"));
}

TEST(ReplicaStatus, CountsPods) {
  auto unlabeled = ReadyPod("b", "n");
  unlabeled->mutable_metadata()->clear_labels();
  auto starting = ReadyPod("c", "n");
  starting->mutable_status()->mutable_conditions(0)->set_status("False");
  std::optional<Duration> recheck;
  const ReplicaSetStatus status = ReplicaStatus(
      Wanting(3), {ReadyPod("a", "n"), unlabeled, starting}, std::nullopt, Now(), &recheck);
  EXPECT_EQ(status.replicas(), 3);
  EXPECT_EQ(status.fully_labeled_replicas(), 2);
  EXPECT_EQ(status.ready_replicas(), 2);
  EXPECT_EQ(status.available_replicas(), 2);
  EXPECT_EQ(status.observed_generation(), 7);
  EXPECT_FALSE(recheck.has_value());
}

TEST(ReplicaStatus, APodBecomesAvailableByThePassingOfTime) {
  std::optional<Duration> recheck;
  const ReplicaSetStatus status = ReplicaStatus(
      Wanting(3, 30),
      {ReadyPod("a", "n", kNow - 30), ReadyPod("b", "n", kNow - 10), ReadyPod("c", "n", kNow - 25)},
      std::nullopt, Now(), &recheck);
  EXPECT_EQ(status.ready_replicas(), 3);
  EXPECT_EQ(status.available_replicas(), 1);
  EXPECT_EQ(recheck, seconds(5));
}

TEST(ReplicaStatus, AFailureIsACondition) {
  std::optional<Duration> recheck;
  ReplicaSet set = Wanting(2);
  *set.mutable_status() = ReplicaStatus(set, {ReadyPod("a", "n")}, "quota", Now(), &recheck);
  ASSERT_THAT(set.status().conditions(), SizeIs(1));
  EXPECT_EQ(set.status().conditions(0).type(), "ReplicaFailure");
  EXPECT_EQ(set.status().conditions(0).status(), "True");
  EXPECT_EQ(set.status().conditions(0).reason(), "FailedCreate");
  EXPECT_EQ(set.status().conditions(0).message(), "quota");

  // The same again is nothing new, whatever it says; and it goes with the failure.
  const ReplicaSetStatus again =
      ReplicaStatus(set, {ReadyPod("a", "n")}, "other words", Now() + seconds(9), &recheck);
  EXPECT_TRUE(SameStatus(again, set.status()));
  EXPECT_THAT(ReplicaStatus(set, {ReadyPod("a", "n")}, std::nullopt, Now(), &recheck).conditions(),
              IsEmpty());
}

TEST(ReplicaStatus, AFailureWithTooManyPodsIsOneOfDeleting) {
  std::optional<Duration> recheck;
  EXPECT_EQ(
      ReplicaStatus(Wanting(0), {ReadyPod("a", "n")}, "no", Now(), &recheck).conditions(0).reason(),
      "FailedDelete");
}

}  // namespace
}  // namespace meltemi::controllers
