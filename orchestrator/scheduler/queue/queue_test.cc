#include "orchestrator/scheduler/queue/queue.h"

#include <memory>
#include <optional>
#include <string>

#include "gtest/gtest.h"
#include "kube/executor/executor_fake.h"
#include "orchestrator/scheduler/model/snapshot_builder.h"

namespace meltemi::scheduler {
namespace {

constexpr PluginSet kFit = 1, kAffinity = 2;

// Nodes help who was refused by plugin 0, labels of pods who was refused by plugin 1, what the pod
// itself becomes helps always.
bool Helps(const PodInfo& pod, PluginSet refused_by, const ClusterEvent& event) {
  if (event.type == ClusterEvent::Type::kNodeAdded) return (refused_by & kFit) != 0;
  if (event.type == ClusterEvent::Type::kPodChanged) return (refused_by & kAffinity) != 0;
  return event.type == ClusterEvent::Type::kSelfChanged;
}

class QueueTest : public testing::Test {
 protected:
  PodInfoPtr Pod(const std::string& name, const std::string& yaml = "") {
    return MakePodInfo(MakePod(name, yaml));
  }
  std::string Uid(const std::string& name) { return Pod(name)->uid; }
  // The name of what is popped; empty: nothing is there.
  std::string Pop() {
    const std::optional<Attempt> attempt = queue_.Pop();
    return attempt.has_value() ? attempt->pod->key.name : "";
  }
  void Happen(ClusterEvent::Type type) {
    ClusterEvent event;
    event.type = type;
    queue_.OnEvent(event);
  }
  // Tried, refused.
  void Fail(const std::string& name, PluginSet refused_by = kFit) {
    ASSERT_EQ(Pop(), name);
    queue_.Refuse(Uid(name), refused_by);
  }

  kube::ExecutorFake executor_;
  Gate gate_{executor_};
  int kicks_ = 0;
  Queue queue_{{}, {}, gate_, &Helps, [this] { ++kicks_; }};
};

TEST_F(QueueTest, PriorityFirstThenWhoWaitsForLongest) {
  queue_.Set(Pod("first"));
  executor_.fake_clock().Advance(milliseconds(1));
  queue_.Set(Pod("second"));
  queue_.Set(Pod("third"));
  queue_.Set(Pod("urgent", "priority: 10"));
  queue_.Set(Pod("negative", "priority: -1"));
  EXPECT_EQ(kicks_, 5);
  EXPECT_EQ(queue_.counts().active, 5u);
  for (const char* name : {"urgent", "first", "second", "third", "negative", ""}) {
    EXPECT_EQ(Pop(), name);
  }
  EXPECT_EQ(queue_.counts().in_flight, 5u);
}

TEST_F(QueueTest, AGatedPodWaitsForItsGatesOnly) {
  queue_.Set(Pod("p", "schedulingGates: [{name: x}]"));
  EXPECT_EQ(Pop(), "");
  EXPECT_EQ(queue_.counts().gated, 1u);
  Happen(ClusterEvent::Type::kNodeAdded);
  executor_.Advance(minutes(20));
  EXPECT_EQ(Pop(), "");
  queue_.Set(Pod("p"));
  EXPECT_EQ(Pop(), "p");
}

TEST_F(QueueTest, AnEventBringsBackWhomItMayHelpAfterTheBackoff) {
  queue_.Set(Pod("small"));
  Fail("small", kFit);
  queue_.Set(Pod("picky"));
  Fail("picky", kAffinity);
  EXPECT_EQ(queue_.counts().waiting, 2u);
  executor_.Advance(milliseconds(400));
  Happen(ClusterEvent::Type::kNodeAdded);
  EXPECT_EQ(queue_.counts().backing_off, 1u);
  EXPECT_EQ(Pop(), "");
  executor_.Advance(milliseconds(599));
  EXPECT_EQ(Pop(), "");
  executor_.Advance(milliseconds(1));
  EXPECT_EQ(Pop(), "small");
  EXPECT_EQ(Pop(), "");
  Happen(ClusterEvent::Type::kPodChanged);  // its backoff is over
  EXPECT_EQ(Pop(), "picky");
}

TEST_F(QueueTest, BackoffDoublesUpToTenSeconds) {
  queue_.Set(Pod("p"));
  for (const int wanted : {1, 2, 4, 8, 10, 10}) {
    Fail("p");
    Happen(ClusterEvent::Type::kNodeAdded);
    executor_.Advance(seconds(wanted) - milliseconds(1));
    EXPECT_EQ(queue_.counts().backing_off, 1u) << wanted;
    executor_.Advance(milliseconds(1));
    EXPECT_EQ(queue_.counts().active, 1u) << wanted;
  }
}

TEST_F(QueueTest, WhatHappensDuringTheAttemptCounts) {
  queue_.Set(Pod("p"));
  ASSERT_EQ(Pop(), "p");
  Happen(ClusterEvent::Type::kNodeAdded);
  queue_.Refuse(Uid("p"), kFit);
  EXPECT_EQ(queue_.counts().backing_off, 1u);
  executor_.Advance(seconds(1));
  ASSERT_EQ(Pop(), "p");
  queue_.Refuse(Uid("p"), kFit);  // but not what was before it
  EXPECT_EQ(queue_.counts().waiting, 1u);
}

TEST_F(QueueTest, AFloodOfEventsDuringTheAttemptStandsForAll) {
  queue_.Set(Pod("p"));
  ASSERT_EQ(Pop(), "p");
  for (int i = 0; i < 5000; ++i) Happen(ClusterEvent::Type::kPodAdded);
  queue_.Refuse(Uid("p"), kFit);
  EXPECT_EQ(queue_.counts().backing_off, 1u);
}

TEST_F(QueueTest, WhoIsForgottenByAllEventsIsTriedAfterFiveMinutes) {
  queue_.Set(Pod("p"));
  Fail("p");
  executor_.Advance(minutes(5) - milliseconds(1));
  EXPECT_EQ(Pop(), "");
  executor_.Advance(milliseconds(1));
  EXPECT_EQ(Pop(), "p");
}

TEST_F(QueueTest, AChangeOfThePodItselfHelpsUnlessItIsOnlyItsStatus) {
  queue_.Set(Pod("p"));
  Fail("p");
  executor_.Advance(seconds(2));
  queue_.Set(Pod("p"));
  EXPECT_EQ(Pop(), "");
  queue_.Set(Pod("p", "tolerations: [{key: x, operator: Exists}]"));
  EXPECT_EQ(Pop(), "p");
  queue_.Set(Pod("p", "labels: {a: b}"));  // while it is tried
  queue_.Refuse(Uid("p"), kFit);
  EXPECT_EQ(queue_.counts().backing_off, 1u);
  executor_.Advance(seconds(2));
  const std::optional<Attempt> attempt = queue_.Pop();
  ASSERT_TRUE(attempt.has_value());
  EXPECT_EQ(attempt->attempts, 3);
  EXPECT_EQ(attempt->pod->labels.size(), 1u);
}

TEST_F(QueueTest, AnErrorIsTriedAgainAfterTheBackoff) {
  queue_.Set(Pod("p"));
  const std::optional<Attempt> attempt = queue_.Pop();
  queue_.Done(Uid("p"));
  EXPECT_EQ(queue_.counts().all(), 0u);
  queue_.Retry(attempt->pod, *attempt);
  EXPECT_EQ(queue_.counts().backing_off, 1u);
  executor_.Advance(seconds(1));
  EXPECT_EQ(queue_.Pop()->attempts, 2);
}

TEST_F(QueueTest, WhoIsRemovedIsGoneWhereverItWas) {
  for (const char* name : {"active", "flying", "waiting", "backing", "gated"}) {
    queue_.Set(Pod(name, name == std::string("gated")    ? "schedulingGates: [{name: x}]"
                         : name == std::string("active") ? "priority: -5"
                                                         : ""));
  }
  ASSERT_EQ(Pop(), "flying");
  Fail("waiting", kAffinity);
  Fail("backing", kFit);
  Happen(ClusterEvent::Type::kNodeAdded);
  EXPECT_EQ(queue_.counts().backing_off, 1u);
  for (const char* name : {"active", "flying", "waiting", "backing", "gated", "nobody"}) {
    queue_.Remove(Uid(name));
  }
  EXPECT_EQ(queue_.counts().all(), 0u);
  queue_.Refuse(Uid("flying"), kFit);  // its attempt ends
  EXPECT_EQ(queue_.counts().all(), 0u);
  executor_.Advance(minutes(10));
  EXPECT_EQ(Pop(), "");
}

TEST_F(QueueTest, WhoIsHeldComesBackWhenItIsReleased) {
  queue_.Set(Pod("p"));
  ASSERT_EQ(Pop(), "p");
  queue_.Refuse(Uid("p"), kFit, /*held=*/true);
  Happen(ClusterEvent::Type::kNodeAdded);
  executor_.Advance(seconds(30));
  EXPECT_EQ(Pop(), "");
  queue_.Release(Uid("p"));
  EXPECT_EQ(Pop(), "p");

  queue_.Refuse(Uid("p"), kFit, /*held=*/true);
  queue_.Release(Uid("p"));  // nothing has happened
  executor_.Advance(seconds(30));
  EXPECT_EQ(Pop(), "");
}

TEST_F(QueueTest, NothingRunsAfterTheGateIsClosed) {
  queue_.Set(Pod("p"));
  Fail("p");
  const int before = kicks_;
  gate_.Close();
  executor_.Advance(minutes(10));
  EXPECT_EQ(kicks_, before);
}

}  // namespace
}  // namespace meltemi::scheduler
