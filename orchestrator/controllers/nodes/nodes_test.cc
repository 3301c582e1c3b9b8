#include "orchestrator/controllers/nodes/nodes.h"

#include <gtest/gtest.h>

#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kube/coordination/v1/coordination.pb.h"
#include "kube/core/v1/node.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/object/object.h"
#include "orchestrator/controllers/runtime/pods.h"
#include "orchestrator/controllers/runtime/testing/world.h"

namespace meltemi::controllers {
namespace {

using kube::coordination::v1::Lease;
using kube::core::v1::Node;
using kube::core::v1::Pod;

class NodesTest : public testing::Test {
 protected:
  void Begin() { world_.Run(NewNodeLifecycleController(world_.context(), {})); }
  void AddNodes(int nodes, absl::string_view labels = "{}") {
    for (int i = 0; i < nodes; ++i) {
      const std::string name = absl::StrCat("n", i);
      world_.AddNode(name, labels);
      alive_.insert(name);
      world_.Create<Lease>(
          absl::StrCat("{metadata: {name: ", name, ", namespace: kube-node-lease}}"));
    }
  }
  // Time passes; nodes that live renew their leases.
  void Pass(Duration time) {
    for (Duration passed{0}; passed < time; passed += seconds(10)) {
      for (const std::string& name : alive_) {
        const int64_t now_us =
            world_.executor().clock().WallNow().time_since_epoch().count() / 1000;
        world_.Patch<Lease>(
            name, absl::StrCat("{spec: {renewTime: '", kube::FormatMicroTime(now_us), "'}}"), "",
            "kube-node-lease");
      }
      world_.Advance(std::min<Duration>(seconds(10), time - passed));
    }
  }
  // What its kubelet says.
  void Post(absl::string_view node, absl::string_view type, absl::string_view status) {
    const std::string heartbeat = kube::FormatTime(1'000'000 + ++posts_);
    const std::string ready = type == "Ready" ? "" : "{type: Ready, status: 'True'}, ";
    world_.Patch<Node>(
        node,
        absl::StrCat("{status: {conditions: [", ready, "{type: ", type, ", status: '", status,
                     "', lastHeartbeatTime: '", heartbeat, "'}]}}"),
        "status", "");
    world_.Settle();
  }
  std::string Ready(absl::string_view node) {
    const Node found = world_.Get<Node>(node, "");
    for (const auto& condition : found.status().conditions()) {
      if (condition.type() == "Ready") {
        return absl::StrCat(condition.status(), " ", condition.reason(), ": ", condition.message());
      }
    }
    return "";
  }
  std::string Taints(absl::string_view node) {
    std::vector<std::string> out;
    const Node found = world_.Get<Node>(node, "");
    for (const auto& taint : found.spec().taints()) {
      const std::string key = taint.key().substr(taint.key().find('/') + 1);
      out.push_back(absl::StrCat(key, ":", taint.effect()));
    }
    std::sort(out.begin(), out.end());
    return absl::StrJoin(out, " ");
  }
  int WithNoExecute() {
    int count = 0;
    for (const Node& node : world_.List<Node>()) {
      for (const auto& taint : node.spec().taints()) count += taint.effect() == "NoExecute";
    }
    return count;
  }
  void AddPod(absl::string_view name, absl::string_view node, absl::string_view tolerations = "") {
    world_.Create<Pod>(absl::StrCat("{metadata: {name: ", name, "}, spec: {nodeName: ", node,
                                    ", tolerations: [", tolerations,
                                    "], containers: [{name: c, image: i}]}}"));
    world_.SetPodReady(name, true);
  }
  void Taint(absl::string_view node, absl::string_view taints) {
    world_.Patch<Node>(node, absl::StrCat("{spec: {taints: [", taints, "]}}"), "", "");
    world_.Settle();
  }

  World world_;
  std::set<std::string> alive_;
  int posts_ = 0;
};

TEST_F(NodesTest, NodesThatRenewTheirLeasesAreLeftAlone) {
  AddNodes(3);
  Begin();
  EXPECT_EQ(world_.Events(),
            (std::vector<std::string>{
                "Normal RegisteredNode Node n0 event: Registered Node n0 in Controller",
                "Normal RegisteredNode Node n1 event: Registered Node n1 in Controller",
                "Normal RegisteredNode Node n2 event: Registered Node n2 in Controller"}));
  Pass(minutes(3));
  EXPECT_EQ(Taints("n0"), "");
  EXPECT_EQ(Ready("n0").substr(0, 4), "True");
  world_.Delete<Node>("n2", {}, "");
  alive_.erase("n2");
  Pass(seconds(10));
  EXPECT_EQ(world_.Events(),
            std::vector<std::string>{"Normal RemovingNode Node n2 event: Removing Node n2 from "
                                     "Controller"});
}

TEST_F(NodesTest, ASilentNodeIsUnknownAndItsPodsAreNotReady) {
  AddNodes(3);
  AddPod("p", "n1");
  Begin();
  world_.Events();
  alive_.erase("n1");
  Pass(seconds(35));
  EXPECT_EQ(Ready("n1").substr(0, 4), "True");
  Pass(seconds(15));
  EXPECT_EQ(Ready("n1"), "Unknown NodeStatusUnknown: Kubelet stopped posting node status.");
  EXPECT_EQ(Taints("n1"), "unreachable:NoExecute unreachable:NoSchedule");
  EXPECT_EQ(Taints("n0"), "");
  EXPECT_FALSE(IsReady(world_.Get<Pod>("p")));
  EXPECT_EQ(world_.Events(),
            (std::vector<std::string>{"Normal NodeNotReady Node n1 status is now: NodeNotReady",
                                      "Warning NodeNotReady Node is not ready"}));
  // It comes back: its taints go at once, and its pods are its own.
  alive_.insert("n1");
  Post("n1", "Ready", "True");
  EXPECT_EQ(Taints("n1"), "");
  world_.SetPodReady("p", true);
  Pass(minutes(1));
  EXPECT_TRUE(IsReady(world_.Get<Pod>("p")));
}

TEST_F(NodesTest, APodThatComesToASilentNodeIsNotReady) {
  AddNodes(3);
  Begin();
  alive_.erase("n1");
  Pass(minutes(1));
  AddPod("p", "n1");
  world_.Settle();
  EXPECT_FALSE(IsReady(world_.Get<Pod>("p")));
}

TEST_F(NodesTest, ANodeThatNeverSaysAnythingHasMoreTime) {
  AddNodes(2);
  world_.Create<Node>("{metadata: {name: mute}}");
  Begin();
  Pass(seconds(55));
  EXPECT_EQ(Ready("mute"), "");
  Pass(seconds(15));
  EXPECT_EQ(Ready("mute"), "Unknown NodeStatusNeverUpdated: Kubelet never posted node status.");
}

TEST_F(NodesTest, ConditionsBecomeTaintsAndGoWithThem) {
  AddNodes(2);
  Begin();
  Post("n0", "MemoryPressure", "True");
  EXPECT_EQ(Taints("n0"), "memory-pressure:NoSchedule");
  Post("n0", "MemoryPressure", "False");
  EXPECT_EQ(Taints("n0"), "");
  world_.Patch<Node>("n0", "{spec: {unschedulable: true}}", "", "");
  world_.Settle();
  EXPECT_EQ(Taints("n0"), "unschedulable:NoSchedule");
}

TEST_F(NodesTest, NotReadyAndUnreachableExcludeEachOther) {
  AddNodes(4);
  Begin();
  Post("n0", "Ready", "False");
  EXPECT_EQ(Taints("n0"), "not-ready:NoExecute not-ready:NoSchedule");
  alive_.erase("n0");
  Pass(minutes(1));
  EXPECT_EQ(Taints("n0"), "unreachable:NoExecute unreachable:NoSchedule");
}

TEST_F(NodesTest, NodesGetNoExecuteTaintsOneAfterTheOther) {
  AddNodes(10);
  Begin();
  for (const char* name : {"n0", "n1", "n2", "n3"}) alive_.erase(name);
  Pass(seconds(46));
  EXPECT_EQ(WithNoExecute(), 1);
  Pass(seconds(10));
  EXPECT_EQ(WithNoExecute(), 2);
  Pass(seconds(30));
  EXPECT_EQ(WithNoExecute(), 4);
}

TEST_F(NodesTest, WhenMostOfASmallZoneIsDownNobodyIsEvicted) {
  AddNodes(5);
  Begin();
  for (const char* name : {"n0", "n1", "n2"}) alive_.erase(name);
  Pass(minutes(3));
  EXPECT_EQ(WithNoExecute(), 0);
  EXPECT_EQ(Taints("n0"), "unreachable:NoSchedule");
}

TEST_F(NodesTest, WhenAllAreDownTheTaintsAreTakenAwayAgain) {
  AddNodes(3);
  Begin();
  alive_.erase("n0");
  Pass(minutes(1));
  EXPECT_EQ(WithNoExecute(), 1);
  alive_.clear();
  Pass(minutes(1));
  EXPECT_EQ(WithNoExecute(), 0);
  // One is back: the others get time to be heard before they are tainted again.
  alive_.insert("n1");
  Post("n1", "Ready", "True");
  Pass(minutes(2));
  EXPECT_EQ(Taints("n1"), "");
  EXPECT_EQ(WithNoExecute(), 2);
}

TEST_F(NodesTest, ARestartGivesNodesANewGracePeriodAndGoesOn) {
  AddNodes(4);
  AddPod("p", "n0");
  Begin();
  alive_.erase("n0");
  Pass(seconds(30));
  world_.Restart([](Context& context) { return NewNodeLifecycleController(context, {}); });
  Pass(seconds(30));
  EXPECT_EQ(Ready("n0").substr(0, 4), "True");
  Pass(seconds(20));
  EXPECT_EQ(Ready("n0").substr(0, 7), "Unknown");
  // Killed between the node and its pods.
  world_.SetPodReady("p", true);
  world_.Restart([](Context& context) { return NewNodeLifecycleController(context, {}); });
  EXPECT_FALSE(IsReady(world_.Get<Pod>("p")));
}

TEST_F(NodesTest, AKubeletThatIsHeardInTheLastMomentWins) {
  AddNodes(3);
  Begin();
  alive_.erase("n1");
  bool posted = false;
  world_.process().SetFate([&](const kube::ApiCall& call) {
    if (call.method == "PUT" && call.path == "/api/v1/nodes/n1/status" &&
        !std::exchange(posted, true)) {
      world_.Patch<Node>("n1",
                         "{status: {conditions: [{type: Ready, status: 'True', reason: Back, "
                         "lastHeartbeatTime: '2026-01-01T00:00:00Z'}]}}",
                         "status", "");
    }
    return apiserver::Fate::kPass;
  });
  Pass(seconds(50));
  EXPECT_TRUE(posted);
  EXPECT_EQ(Ready("n1"), "True Back: ");
}

class EvictionTest : public NodesTest {
 protected:
  void SetUp() override {
    AddNodes(2);
    world_.Run(NewTaintEvictionController(world_.context()));
  }
};

constexpr char kTaint[] = "{key: k, value: v, effect: NoExecute}";

TEST_F(EvictionTest, PodsThatDoNotTolerateTheTaintGo) {
  AddPod("plain", "n0");
  AddPod("tolerant", "n0", "{key: k, operator: Exists, effect: NoExecute}");
  AddPod("elsewhere", "n1");
  Taint("n0", kTaint);
  const Pod gone = world_.Get<Pod>("plain");
  EXPECT_TRUE(gone.metadata().has_deletion_timestamp());
  const auto* condition = FindCondition(gone, "DisruptionTarget");
  ASSERT_NE(condition, nullptr);
  EXPECT_EQ(condition->reason(), "DeletionByTaintManager");
  EXPECT_EQ(condition->message(), "Taint manager: deleting due to NoExecute taint");
  EXPECT_FALSE(world_.Get<Pod>("tolerant").metadata().has_deletion_timestamp());
  EXPECT_FALSE(world_.Get<Pod>("elsewhere").metadata().has_deletion_timestamp());
  EXPECT_EQ(world_.Events(),
            std::vector<std::string>{"Normal TaintManagerEviction Marking for deletion Pod "
                                     "default/plain"});
}

TEST_F(EvictionTest, SomeStayForAWhile) {
  AddPod("p", "n0", "{key: k, operator: Exists, effect: NoExecute, tolerationSeconds: 60}");
  Taint("n0", kTaint);
  world_.Advance(seconds(59));
  EXPECT_FALSE(world_.Get<Pod>("p").metadata().has_deletion_timestamp());
  world_.Advance(seconds(2));
  EXPECT_TRUE(world_.Get<Pod>("p").metadata().has_deletion_timestamp());
}

TEST_F(EvictionTest, ATaintThatGoesCancelsIt) {
  AddPod("p", "n0", "{key: k, operator: Exists, effect: NoExecute, tolerationSeconds: 60}");
  Taint("n0", kTaint);
  world_.Advance(seconds(30));
  Taint("n0", "");
  EXPECT_EQ(world_.Events(),
            std::vector<std::string>{"Normal TaintManagerEviction Cancelling deletion of Pod "
                                     "default/p"});
  world_.Advance(seconds(60));
  // It begins anew.
  Taint("n0", kTaint);
  world_.Advance(seconds(50));
  EXPECT_FALSE(world_.Get<Pod>("p").metadata().has_deletion_timestamp());
}

TEST_F(EvictionTest, APodThatComesLaterGoesToo) {
  Taint("n0", kTaint);
  AddPod("p", "n0");
  world_.Settle();
  EXPECT_TRUE(world_.Get<Pod>("p").metadata().has_deletion_timestamp());
}

TEST_F(EvictionTest, OldNewsEvictNobody) {
  AddPod("p", "n0");
  world_.Settle();
  // The taint is gone again before anybody has acted on it.
  world_.process().SetFate([&](const kube::ApiCall& call) {
    if (call.method == "GET" && call.path == "/api/v1/nodes/n0") {
      world_.Patch<Node>("n0", "{spec: {taints: null}}", "", "");
    }
    return apiserver::Fate::kPass;
  });
  Taint("n0", kTaint);
  EXPECT_FALSE(world_.Get<Pod>("p").metadata().has_deletion_timestamp());
}

TEST_F(EvictionTest, GoesOnAfterARestartAndFailures) {
  AddPod("a", "n0");
  AddPod("b", "n0");
  world_.process().SetFate([](const kube::ApiCall& call) {
    return call.method == "DELETE" ? apiserver::Fate::kLoseCall : apiserver::Fate::kPass;
  });
  Taint("n0", kTaint);
  EXPECT_FALSE(world_.Get<Pod>("a").metadata().has_deletion_timestamp());
  world_.Restart(NewTaintEvictionController);
  EXPECT_TRUE(world_.Get<Pod>("a").metadata().has_deletion_timestamp());
  EXPECT_TRUE(world_.Get<Pod>("b").metadata().has_deletion_timestamp());
}

}  // namespace
}  // namespace meltemi::controllers
