#include "orchestrator/controllers/podgc/podgc.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kube/core/v1/node.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "orchestrator/controllers/podgc/choice.h"
#include "orchestrator/controllers/runtime/testing/world.h"

namespace meltemi::controllers {
namespace {

using kube::core::v1::Node;
using kube::core::v1::Pod;

PodPtr Terminated(absl::string_view name, int64_t created_s, absl::string_view reason = "") {
  Pod pod;
  pod.mutable_metadata()->set_name(std::string(name));
  pod.mutable_metadata()->mutable_creation_timestamp()->set_seconds(created_s);
  pod.mutable_status()->set_phase("Failed");
  pod.mutable_status()->set_reason(std::string(reason));
  return std::make_shared<const Pod>(std::move(pod));
}

TEST(Choice, EvictedOnesGoFirstThenTheOldest) {
  const std::vector<PodPtr> pods = {Terminated("young", 30), Terminated("old", 10),
                                    Terminated("b", 20), Terminated("a", 20),
                                    Terminated("evicted", 40, "Evicted")};
  for (const auto& [kept, gone] :
       {std::make_pair(5, ""), std::make_pair(4, "evicted"), std::make_pair(2, "evicted old a"),
        std::make_pair(1, "evicted old a b"), std::make_pair(0, "")}) {
    const Choice choice = Choose(pods, {}, kept);
    EXPECT_EQ(absl::StrJoin(
                  choice.terminated, " ",
                  [](std::string* out, const PodPtr& pod) { out->append(pod->metadata().name()); }),
              gone)
        << kept;
  }
}

class PodGarbageTest : public testing::Test {
 protected:
  void Begin(int terminated_pods_max = 100) {
    world_.AddNode("n1");
    world_.AddNode("n2");
    world_.Run(
        NewPodGarbageCollector(world_.context(), {.terminated_pods_max = terminated_pods_max}));
  }
  void AddPod(absl::string_view name, absl::string_view node = "",
              absl::string_view finalizer = "") {
    const std::string on = node.empty() ? "" : absl::StrCat("nodeName: ", node, ", ");
    world_.Create<Pod>(absl::StrCat("{metadata: {name: ", name, ", finalizers: [", finalizer,
                                    "]}, spec: {", on, "containers: [{name: c, image: i}]}}"));
    if (!node.empty()) world_.SetPodReady(name, true);
  }
  bool HasPod(absl::string_view name) { return world_.Find<Pod>(name).has_value(); }

  World world_;
};

TEST_F(PodGarbageTest, FinishedPodsBeyondTheLimitGo) {
  Begin(2);
  for (int i = 0; i < 5; ++i) {
    AddPod(absl::StrCat("p", i), "n1");
    world_.FinishPod(absl::StrCat("p", i), i % 2 == 0 ? "Failed" : "Succeeded");
    world_.Advance(seconds(2));
  }
  AddPod("runs", "n1");
  world_.Advance(seconds(20));
  EXPECT_FALSE(HasPod("p2"));
  EXPECT_TRUE(HasPod("p3"));
  EXPECT_TRUE(HasPod("p4"));
  EXPECT_TRUE(HasPod("runs"));
}

TEST_F(PodGarbageTest, PodsOfANodeThatIsGoneGoAfterQuarantine) {
  Begin();
  AddPod("p", "n1", "example.com/keep");
  AddPod("other", "n2");
  world_.Delete<Node>("n1", {}, "");
  world_.Advance(seconds(39));
  EXPECT_EQ(world_.Get<Pod>("p").status().phase(), "Running");
  world_.Advance(seconds(25));
  const Pod pod = world_.Get<Pod>("p");
  EXPECT_TRUE(pod.metadata().has_deletion_timestamp());
  EXPECT_EQ(pod.status().phase(), "Failed");
  const auto condition =
      std::find_if(pod.status().conditions().begin(), pod.status().conditions().end(),
                   [](const auto& each) { return each.type() == "DisruptionTarget"; });
  ASSERT_NE(condition, pod.status().conditions().end());
  EXPECT_EQ(condition->reason(), "DeletionByPodGC");
  EXPECT_EQ(condition->message(), "PodGC: node no longer exists");
  EXPECT_TRUE(HasPod("other"));
}

TEST_F(PodGarbageTest, ANodeThatComesBackKeepsItsPods) {
  Begin();
  AddPod("p", "n1");
  world_.Delete<Node>("n1", {}, "");
  world_.Advance(seconds(30));
  world_.AddNode("n1");
  world_.Advance(seconds(30));
  world_.Delete<Node>("n1", {}, "");
  world_.Advance(seconds(35));
  EXPECT_TRUE(HasPod("p"));
  world_.Advance(seconds(30));
  EXPECT_FALSE(HasPod("p"));
}

TEST_F(PodGarbageTest, WhileTheServerDoesNotSayThatANodeIsGoneNothingGoes) {
  Begin();
  AddPod("p", "n1");
  world_.process().SetFate([](const kube::ApiCall& call) {
    return call.path == "/api/v1/nodes/n1" ? apiserver::Fate::kRefuse : apiserver::Fate::kPass;
  });
  world_.Delete<Node>("n1", {}, "");
  world_.Advance(minutes(5));
  EXPECT_TRUE(HasPod("p"));
}

TEST_F(PodGarbageTest, TerminatingPodsOnANodeOutOfServiceGo) {
  Begin();
  AddPod("going", "n1");
  AddPod("staying", "n1");
  AddPod("elsewhere", "n2");
  world_.Delete<Pod>("going");
  world_.Delete<Pod>("elsewhere");
  world_.Patch<Node>("n1",
                     "{spec: {taints: [{key: node.kubernetes.io/out-of-service, value: x, effect: "
                     "NoExecute}]}}",
                     "", "");
  world_.Advance(seconds(21));
  EXPECT_TRUE(HasPod("going"));
  world_.Patch<Node>("n1", "{status: {conditions: [{type: Ready, status: Unknown}]}}", "status",
                     "");
  world_.Advance(seconds(21));
  EXPECT_FALSE(HasPod("going"));
  EXPECT_TRUE(HasPod("staying"));
  EXPECT_TRUE(HasPod("elsewhere"));
}

TEST_F(PodGarbageTest, APodThatWasBoundInTheLastMomentIsItsKubelets) {
  Begin();
  AddPod("p", "", "example.com/keep");
  world_.Delete<Pod>("p");
  world_.Patch<Pod>("p", "{metadata: {finalizers: null}}");
  EXPECT_FALSE(HasPod("p"));
  // One that is kept: its round ends in a forced deletion.
  AddPod("q", "", "example.com/keep");
  world_.Delete<Pod>("q");
  world_.Advance(seconds(21));
  EXPECT_EQ(world_.Get<Pod>("q").status().phase(), "Failed");
}

}  // namespace
}  // namespace meltemi::controllers
