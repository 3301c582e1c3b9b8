#include "orchestrator/controllers/daemonset/daemonset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "kube/apps/v1/apps.pb.h"
#include "kube/codec/codec.h"
#include "kube/core/v1/node.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "orchestrator/controllers/daemonset/plan.h"
#include "orchestrator/controllers/runtime/testing/world.h"

namespace meltemi::controllers {
namespace {

using kube::apps::v1::ControllerRevision;
using kube::apps::v1::DaemonSet;
using kube::core::v1::Pod;
using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

std::string SetText(absl::string_view spec = "", absl::string_view pod_spec = "") {
  return absl::StrCat(
      "{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: agent}, spec: {", spec,
      "selector: {matchLabels: {app: agent}}, template: {metadata: {labels: {app: agent}}, spec: {",
      pod_spec, "containers: [{name: c, image: 'i:1'}]}}}}");
}

std::unique_ptr<Running> New(Context& context) { return NewDaemonSetController(context); }

class DaemonSetTest : public testing::Test {
 protected:
  DaemonSetTest() {
    world_.Run(New(world_.context()));
    for (const char* node : {"n1", "n2", "n3"}) world_.AddNode(node);
    world_.Settle();
  }

  DaemonSet Get() { return world_.Get<DaemonSet>("agent"); }
  // What the scheduler and kubelets do.
  void RunPods() {
    for (const Pod& pod : world_.List<Pod>()) {
      if (pod.metadata().has_deletion_timestamp() || !pod.spec().node_name().empty()) continue;
      const kube::Result<kube::ApiAnswer> bound = world_.user().Call(
          {.method = "POST",
           .path = kube::ResourceOf<Pod>().Path("default", pod.metadata().name(), "binding"),
           .body = absl::StrCat(R"({"metadata":{"name":")", pod.metadata().name(),
                                R"("},"target":{"kind":"Node","name":")",
                                daemonsets::TargetNode(pod), R"("}})")});
      EXPECT_TRUE(bound.ok());
    }
    world_.RunPods();
    world_.ReapPods();
  }
  std::vector<std::string> Nodes() {
    std::vector<std::string> nodes;
    for (const Pod& pod : world_.List<Pod>()) {
      if (!pod.metadata().has_deletion_timestamp()) nodes.push_back(daemonsets::TargetNode(pod));
    }
    std::sort(nodes.begin(), nodes.end());
    return nodes;
  }
  void SetImage(absl::string_view image) {
    world_.Patch<DaemonSet>(
        "agent", absl::StrCat("{spec: {template: {spec: {containers: [{name: c, image: '", image,
                              "'}]}}}}"));
    world_.Settle();
  }
  // Nodes that had a ready pod, at the worst moment since `from` of the history.
  size_t ReadyNodesMin(size_t from) {
    std::map<std::string, Pod> pods;
    size_t least = SIZE_MAX;
    const auto& history = world_.api().history();
    for (size_t i = 0; i < history.size(); ++i) {
      if (history[i].resource != "pods") continue;
      Pod pod;
      EXPECT_TRUE(kube::FromJson(history[i].json, &pod).ok());
      pods.erase(history[i].name);
      if (history[i].type != "DELETED") pods[history[i].name] = pod;
      std::set<std::string> ready;
      for (const auto& [name, other] : pods) {
        if (IsReady(other) && !other.metadata().has_deletion_timestamp()) {
          ready.insert(other.spec().node_name());
        }
      }
      if (i >= from) least = std::min(least, ready.size());
    }
    return least;
  }

  World world_;
};

TEST_F(DaemonSetTest, RunsOnePodOnEachNode) {
  world_.Create<DaemonSet>(SetText());
  world_.Settle();
  EXPECT_THAT(Nodes(), ElementsAre("n1", "n2", "n3"));
  const Pod pod = world_.List<Pod>()[0];
  EXPECT_TRUE(pod.spec().node_name().empty());  // the scheduler's to bind
  EXPECT_EQ(pod.metadata().owner_references(0).kind(), "DaemonSet");
  RunPods();
  EXPECT_EQ(Get().status().number_ready(), 3);
  EXPECT_EQ(Get().status().number_available(), 3);
  EXPECT_EQ(Get().status().updated_number_scheduled(), 3);
  EXPECT_EQ(Get().status().observed_generation(), 1);
  EXPECT_THAT(world_.Events(),
              Contains(testing::StartsWith("Normal SuccessfulCreate Created pod")));

  world_.AddNode("n4");
  world_.Settle();
  EXPECT_THAT(Nodes(), ElementsAre("n1", "n2", "n3", "n4"));
  const size_t writes = world_.Writes();
  world_.Advance(minutes(30));
  EXPECT_EQ(world_.Writes(), writes);
}

TEST_F(DaemonSetTest, FollowsLabelsAndTaintsOfNodes) {
  world_.Create<DaemonSet>(SetText("", "nodeSelector: {disk: ssd}, "));
  world_.Settle();
  EXPECT_THAT(Nodes(), IsEmpty());
  world_.Patch<kube::core::v1::Node>("n2", "{metadata: {labels: {disk: ssd}}}", "", "");
  world_.Settle();
  EXPECT_THAT(Nodes(), ElementsAre("n2"));
  RunPods();
  world_.Patch<kube::core::v1::Node>("n2", "{spec: {taints: [{key: own, effect: NoExecute}]}}", "",
                                     "");
  world_.Settle();
  EXPECT_THAT(Nodes(), IsEmpty());
  EXPECT_EQ(Get().status().desired_number_scheduled(), 0);
}

TEST_F(DaemonSetTest, RollsOneNodeAtATime) {
  world_.Create<DaemonSet>(SetText());
  world_.Settle();
  RunPods();
  const size_t before = world_.Writes();
  SetImage("i:2");
  EXPECT_THAT(Nodes(), SizeIs(2));
  for (int i = 0; i < 3; ++i) RunPods();
  RunPods();
  EXPECT_EQ(Get().status().updated_number_scheduled(), 3);
  EXPECT_EQ(Get().status().number_available(), 3);
  for (const Pod& pod : world_.List<Pod>()) EXPECT_EQ(pod.spec().containers(0).image(), "i:2");
  EXPECT_GE(ReadyNodesMin(before), 2u);

  // Back again: the first revision becomes the newest.
  SetImage("i:1");
  std::vector<ControllerRevision> revisions = world_.List<ControllerRevision>();
  ASSERT_THAT(revisions, SizeIs(2));
  std::set<int64_t> numbers = {revisions[0].revision(), revisions[1].revision()};
  EXPECT_THAT(numbers, ElementsAre(2, 3));
}

TEST_F(DaemonSetTest, SurgesWithoutAGap) {
  world_.Create<DaemonSet>(
      SetText("updateStrategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1, "
              "maxUnavailable: 0}}, "));
  world_.Settle();
  RunPods();
  const size_t before = world_.Writes();
  SetImage("i:2");
  EXPECT_THAT(Nodes(), SizeIs(4));
  for (int i = 0; i < 8; ++i) RunPods();
  EXPECT_THAT(Nodes(), ElementsAre("n1", "n2", "n3"));
  EXPECT_EQ(Get().status().updated_number_scheduled(), 3);
  EXPECT_EQ(ReadyNodesMin(before), 3u);
}

TEST_F(DaemonSetTest, FailedPodsAreReplacedEverMoreSlowly) {
  world_.Create<DaemonSet>(SetText("", "nodeName: n1, "));
  world_.Settle();
  world_.RunPods();
  world_.FinishPod(world_.List<Pod>()[0].metadata().name(), "Failed");
  world_.Settle();
  world_.ReapPods();
  EXPECT_THAT(Nodes(), ElementsAre("n1"));
  EXPECT_THAT(world_.Events(), Contains(testing::HasSubstr("Warning FailedDaemonPod Found failed "
                                                           "daemon pod default/agent-")));
  const std::string second = world_.List<Pod>()[0].metadata().name();
  world_.FinishPod(second, "Failed");
  world_.Settle();
  EXPECT_EQ(world_.List<Pod>()[0].metadata().name(), second);
  world_.Advance(seconds(2));
  world_.ReapPods();
  EXPECT_NE(world_.List<Pod>()[0].metadata().name(), second);
}

TEST_F(DaemonSetTest, KeepsAsManyRevisionsAsAskedFor) {
  world_.Create<DaemonSet>(SetText("revisionHistoryLimit: 1, "));
  world_.Settle();
  for (const char* image : {"i:2", "i:3", "i:4"}) {
    SetImage(image);
    for (int i = 0; i < 5; ++i) RunPods();
  }
  EXPECT_THAT(world_.List<ControllerRevision>(), SizeIs(2));
}

TEST_F(DaemonSetTest, ALostAnswerMakesNoSecondPod) {
  int creations = 0;
  world_.process().SetFate([&](const kube::ApiCall& call) {
    const bool pod = call.method == "POST" && call.path == "/api/v1/namespaces/default/pods";
    return pod && ++creations == 2 ? apiserver::Fate::kLoseAnswer : apiserver::Fate::kPass;
  });
  world_.Create<DaemonSet>(SetText());
  world_.Advance(seconds(5));
  EXPECT_THAT(world_.List<Pod>(), SizeIs(3));
  EXPECT_THAT(Nodes(), ElementsAre("n1", "n2", "n3"));
}

TEST_F(DaemonSetTest, GoesOnAfterARestartInTheMiddleOfARollout) {
  world_.Create<DaemonSet>(SetText());
  world_.Settle();
  RunPods();
  const size_t before = world_.Writes();
  SetImage("i:2");
  for (int i = 0; i < 8; ++i) {
    world_.Restart(New);
    RunPods();
  }
  EXPECT_EQ(Get().status().updated_number_scheduled(), 3);
  EXPECT_THAT(world_.List<Pod>(), SizeIs(3));
  EXPECT_GE(ReadyNodesMin(before), 2u);
}

}  // namespace
}  // namespace meltemi::controllers
