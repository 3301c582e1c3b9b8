#include "orchestrator/controllers/deployment/rolling.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace meltemi::controllers {
namespace {

using kube::apps::v1::Deployment;
using testing::ElementsAre;
using testing::IsEmpty;

kube::intstr::IntOrString Value(const std::string& text) {
  kube::intstr::IntOrString value;
  if (text.back() == '%') {
    value.set_type(1);
    value.set_str_val(text);
  } else {
    value.set_int_val(std::stoi(text));
  }
  return value;
}

Deployment Rolling(int replicas, const std::string& surge, const std::string& unavailable) {
  Deployment deployment;
  deployment.mutable_spec()->set_replicas(replicas);
  deployment.mutable_spec()->mutable_strategy()->set_type("RollingUpdate");
  auto& strategy = *deployment.mutable_spec()->mutable_strategy()->mutable_rolling_update();
  *strategy.mutable_max_surge() = Value(surge);
  *strategy.mutable_max_unavailable() = Value(unavailable);
  return deployment;
}

// A set that has been seen by its controller.
WorkingSet Set(int replicas, int pods, int available, int age = 0, const char* name = "s") {
  WorkingSet set;
  set.now.mutable_metadata()->set_name(name);
  set.now.mutable_metadata()->set_generation(2);
  set.now.mutable_metadata()->mutable_creation_timestamp()->set_seconds(1000 - age);
  set.now.mutable_spec()->set_replicas(replicas);
  set.now.mutable_status()->set_replicas(pods);
  set.now.mutable_status()->set_available_replicas(available);
  set.now.mutable_status()->set_observed_generation(2);
  set.replicas_before = replicas;
  return set;
}

std::vector<int> Sizes(const std::vector<Resize>& resizes) {
  std::vector<int> sizes;
  for (const Resize& resize : resizes) sizes.push_back(resize.replicas);
  return sizes;
}

struct FencepostCase {
  int replicas;
  const char *surge, *unavailable;
  int surge_pods, unavailable_pods;
};
const FencepostCase kFenceposts[] = {
    {10, "25%", "25%", 3, 2},  // of surge rounded up, of unavailability rounded down
    {10, "1", "1", 1, 1},      //
    {4, "25%", "25%", 1, 1},   //
    {1, "25%", "25%", 1, 0},   // a single pod is replaced by surge
    {3, "0", "25%", 0, 1},     // both would be zero: nothing could move
    {10, "0%", "0%", 0, 1},    //
    {10, "100%", "0", 10, 0},  //
    {2, "0", "5", 0, 2},       // no more than there are
};

TEST(Fenceposts, AreResolvedAsDocumented) {
  for (const FencepostCase& test : kFenceposts) {
    const Deployment deployment = Rolling(test.replicas, test.surge, test.unavailable);
    EXPECT_EQ(MaxSurge(deployment), test.surge_pods) << test.replicas << " " << test.surge;
    EXPECT_EQ(MaxUnavailable(deployment), test.unavailable_pods)
        << test.replicas << " " << test.unavailable;
  }
  Deployment recreate = Rolling(10, "1", "1");
  recreate.mutable_spec()->mutable_strategy()->set_type("Recreate");
  EXPECT_EQ(MaxSurge(recreate), 0);
  EXPECT_EQ(MaxUnavailable(recreate), 0);
}

TEST(NewSetSize, GrowsAsFarAsTheSurgeAllows) {
  WorkingSet old = Set(10, 10, 10);
  EXPECT_EQ(NewSetSize(Rolling(10, "3", "0"), Set(0, 0, 0), {&old}), 3);
  old = Set(8, 8, 8);
  EXPECT_EQ(NewSetSize(Rolling(10, "3", "0"), Set(3, 3, 3), {&old}), 5);
  EXPECT_EQ(NewSetSize(Rolling(10, "3", "0"), Set(10, 10, 3), {}), 10);
}

TEST(NewSetSize, PodsThatAreToGoCountUntilTheyDo) {
  // Its size is down to 9 already, but its controller has not deleted the tenth pod yet.
  WorkingSet old = Set(9, 10, 10);
  EXPECT_EQ(NewSetSize(Rolling(10, "1", "1"), Set(1, 1, 1), {&old}), 1);
}

TEST(NewSetSize, ASetThatItsControllerHasNotSeenHoldsItUp) {
  WorkingSet old = Set(3, 3, 3);
  old.now.mutable_metadata()->set_generation(3);
  EXPECT_EQ(NewSetSize(Rolling(10, "1", "1"), Set(1, 1, 1), {&old}), 1);
}

TEST(NewSetSize, IsNeverMoreThanIsWanted) {
  EXPECT_EQ(NewSetSize(Rolling(3, "5", "0"), Set(7, 7, 7), {}), 3);
  EXPECT_EQ(NewSetSize(Rolling(3, "5", "0"), Set(0, 0, 0), {}), 3);
}

struct ShrinkCase {
  const char* name;
  WorkingSet new_set;
  std::vector<WorkingSet> old_sets;
  std::vector<int> sizes;
};

TEST(ShrinkOldSets, KeepsEnoughThatIsAvailable) {
  // Ten wanted, nine needed.
  const ShrinkCase cases[] = {
      {"the first step", Set(1, 1, 0), {Set(10, 10, 10)}, {9}},
      {"a new pod is available", Set(2, 2, 1), {Set(9, 9, 9)}, {8}},
      {"new ones are not", Set(2, 2, 0), {Set(9, 9, 9)}, {}},
      {"as many as are too many", Set(5, 5, 5), {Set(6, 6, 6)}, {4}},
      {"those that are gone do not count", Set(1, 1, 1), {Set(9, 10, 10)}, {8}},
      {"broken ones go first", Set(2, 2, 2), {Set(9, 9, 7)}, {7}},
      {"broken ones of all sets before others",
       Set(3, 3, 3),
       {Set(5, 5, 5, 20, "a"), Set(3, 3, 1, 10, "b")},
       {1}},
      {"the oldest first", Set(5, 5, 5), {Set(3, 3, 3, 10, "young"), Set(3, 3, 3, 20, "old")}, {1}},
      {"the last one", Set(10, 10, 10), {Set(1, 1, 1)}, {0}},
      {"nothing to shrink", Set(10, 10, 10), {Set(0, 0, 0)}, {}},
  };
  for (const ShrinkCase& test : cases) {
    std::vector<WorkingSet> sets = test.old_sets;
    std::vector<WorkingSet*> old_sets;
    for (WorkingSet& set : sets) old_sets.push_back(&set);
    EXPECT_EQ(Sizes(ShrinkOldSets(Rolling(10, "1", "1"), test.new_set, old_sets)), test.sizes)
        << test.name;
  }
}

TEST(ScaleInProportion, SpreadsNewReplicasAsInTheDocumentation) {
  // 10 pods, maxSurge 3, maxUnavailable 2, in the middle of a rollout: 8 old ones, 5 new ones; then
  // 15 are wanted: 3 of the 5 more go to the old set, 2 to the new one.
  WorkingSet old = Set(8, 8, 8, 100, "old");
  WorkingSet fresh = Set(5, 5, 0, 0, "new");
  for (WorkingSet* set : {&old, &fresh}) {
    (*set->now.mutable_metadata()->mutable_annotations())[kMaxReplicas] = "13";
  }
  const std::vector<Resize> resizes = ScaleInProportion(Rolling(15, "3", "2"), {&fresh, &old});
  EXPECT_THAT(Sizes(resizes), ElementsAre(11, 7));
  EXPECT_EQ(resizes[0].set, &old);
}

TEST(ScaleInProportion, WhatIsLeftOverGoesToTheLargest) {
  WorkingSet a = Set(5, 5, 5, 10, "a");
  WorkingSet b = Set(5, 5, 5, 0, "b");
  for (WorkingSet* set : {&a, &b}) {
    (*set->now.mutable_metadata()->mutable_annotations())[kMaxReplicas] = "10";
  }
  const std::vector<Resize> up = ScaleInProportion(Rolling(11, "0", "1"), {&a, &b});
  EXPECT_EQ(up[0].set, &b);  // of equal ones the newer grows
  EXPECT_THAT(Sizes(up), ElementsAre(6, 5));
  const std::vector<Resize> down = ScaleInProportion(Rolling(9, "0", "1"), {&b, &a});
  EXPECT_EQ(down[0].set, &a);  // and the older shrinks
  EXPECT_THAT(Sizes(down), ElementsAre(4, 5));
}

TEST(ScaleInProportion, ToZeroIsZeroForAll) {
  WorkingSet a = Set(7, 7, 7, 10, "a");
  WorkingSet b = Set(3, 3, 3, 0, "b");
  EXPECT_THAT(Sizes(ScaleInProportion(Rolling(0, "1", "1"), {&a, &b})), ElementsAre(0, 0));
}

}  // namespace
}  // namespace meltemi::controllers
