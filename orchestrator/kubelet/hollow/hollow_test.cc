// Hollow nodes against the API server in memory: what users of a cluster see of them.
#include "orchestrator/kubelet/hollow/hollow.h"

#include <set>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kube/coordination/v1/coordination.pb.h"
#include "kube/core/v1/event.pb.h"
#include "kube/core/v1/node.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "orchestrator/controllers/runtime/pods.h"
#include "orchestrator/controllers/runtime/testing/world.h"

namespace meltemi::kubelet {
namespace {

using controllers::World;
using kube::coordination::v1::Lease;
using kube::core::v1::Node;
using kube::core::v1::Pod;
using testing::HasSubstr;

class HollowNodesTest : public testing::Test {
 protected:
  void Begin(HollowOptions options) {
    nodes_.reset();
    process_ = world_.api().NewProcess("hollow-nodes");
    nodes_ = StartHollowNodes(options, process_->client(), world_.executor(), random_, nullptr);
    world_.Settle();
  }
  void Begin(int nodes) {
    HollowOptions options;
    options.nodes = nodes;
    Begin(options);
  }
  // A pod of one container on a node, as if a scheduler had bound it.
  void AddPod(absl::string_view name, absl::string_view annotations = "{}",
              absl::string_view more = "", absl::string_view node = "hollow-0") {
    world_.Create<Pod>(absl::StrCat("{metadata: {name: ", name, ", annotations: ", annotations,
                                    "}, spec: {nodeName: ", node, ", ", more,
                                    "containers: [{name: web, image: nginx}]}}"));
    world_.Settle();
  }
  std::string PhaseOf(absl::string_view name) {
    const std::optional<Pod> pod = world_.Find<Pod>(name);
    if (!pod.has_value()) return "gone";
    return absl::StrCat(pod->status().phase(), controllers::IsReady(*pod) ? " Ready" : "");
  }
  // How many writes of a pod there have been.
  int WritesOf(absl::string_view name) {
    int writes = 0;
    for (const auto& entry : world_.api().history()) {
      writes += entry.resource == "pods" && entry.name == name;
    }
    return writes;
  }
  std::string ReadyOf(absl::string_view node) {
    const Node held = world_.Get<Node>(node, "");
    for (const auto& condition : held.status().conditions()) {
      if (condition.type() == "Ready") return condition.status();
    }
    return "none";
  }

  World world_;
  FastRandom random_{7};
  std::unique_ptr<apiserver::MemoryApi::Process> process_;
  std::unique_ptr<HollowNodes> nodes_;
};

TEST_F(HollowNodesTest, RegisterAsKubeletsDo) {
  HollowOptions options;
  options.nodes = 3;
  options.zones = 2;
  options.port = 10250;
  options.labels = {{"example.com/rack", "r%d"}};
  options.taints = {"example.com/only=me:NoSchedule"};
  options.extended_resources = {{"example.com/gpu", "4"}};
  Begin(options);
  const std::vector<Node> nodes = world_.List<Node>();
  ASSERT_EQ(nodes.size(), 3u);
  EXPECT_EQ(nodes_->registered_nodes(), 3u);
  std::set<std::string> addresses;
  for (const Node& node : nodes) addresses.insert(node.status().addresses(0).address());
  EXPECT_EQ(addresses, (std::set<std::string>{"127.1.0.1", "127.1.0.2", "127.1.0.3"}));
  const Node& node = nodes[1];
  EXPECT_EQ(node.metadata().name(), "hollow-1");
  EXPECT_EQ(node.metadata().labels().at("kubernetes.io/hostname"), "hollow-1");
  EXPECT_EQ(node.metadata().labels().at("topology.kubernetes.io/zone"), "zone-1");
  EXPECT_EQ(node.metadata().labels().at("example.com/rack"), "r1");
  EXPECT_EQ(node.status().allocatable().at("cpu").string(), "32");
  EXPECT_EQ(node.status().allocatable().at("example.com/gpu").string(), "4");
  EXPECT_EQ(node.status().daemon_endpoints().kubelet_endpoint().port(), 10250);
  bool tainted = false;
  for (const auto& taint : node.spec().taints()) tainted |= taint.key() == "example.com/only";
  EXPECT_TRUE(tainted);
  EXPECT_EQ(ReadyOf("hollow-1"), "True");
  const Lease lease = world_.Get<Lease>("hollow-1", "kube-node-lease");
  EXPECT_EQ(lease.spec().holder_identity(), "hollow-1");
  EXPECT_EQ(lease.metadata().owner_references(0).uid(), node.metadata().uid());
}

TEST_F(HollowNodesTest, RenewTheirLeasesAndWriteTheirStatusSometimes) {
  Begin(2);
  const size_t writes = world_.Writes();
  world_.Advance(minutes(2));
  // Each node every ten seconds, and nothing else.
  EXPECT_NEAR(static_cast<double>(world_.Writes() - writes), 24.0, 2.0);
  world_.Advance(minutes(10));
  const Lease lease = world_.Get<Lease>("hollow-0", "kube-node-lease");
  const int64_t now_s = std::chrono::duration_cast<std::chrono::seconds>(
                            world_.executor().clock().WallNow().time_since_epoch())
                            .count();
  EXPECT_GE(lease.spec().renew_time().seconds(), now_s - 10);
  const Node node = world_.Get<Node>("hollow-0", "");
  EXPECT_GE(node.status().conditions(0).last_heartbeat_time().seconds(), now_s - 300);
}

TEST_F(HollowNodesTest, BringAPodToReadyWithOneWrite) {
  Begin(1);
  AddPod("web");
  EXPECT_EQ(PhaseOf("web"), "Running Ready");
  EXPECT_EQ(WritesOf("web"), 2);  // made, and written by the node
  const Pod pod = world_.Get<Pod>("web");
  EXPECT_EQ(pod.status().host_ip(), "127.1.0.1");
  EXPECT_EQ(pod.status().pod_ip(), "10.128.0.1");
  EXPECT_EQ(nodes_->running_pods(), 1u);
  AddPod("other");
  EXPECT_EQ(world_.Get<Pod>("other").status().pod_ip(), "10.128.0.2");
  world_.Advance(minutes(1));
  EXPECT_EQ(WritesOf("web"), 2);
}

TEST_F(HollowNodesTest, StopPodsAndThenDeleteThem) {
  Begin(1);
  AddPod("web", "{hollow.meltemi.io/stop-delay: 3s}");
  world_.Delete<Pod>("web");
  world_.Settle();
  EXPECT_EQ(PhaseOf("web"), "Running Ready");
  world_.Advance(seconds(3));
  EXPECT_EQ(PhaseOf("web"), "gone");
  EXPECT_EQ(nodes_->running_pods(), 0u);
  // The last that was seen of it: stopped.
  std::string last;
  for (const auto& entry : world_.api().history()) {
    if (entry.name == "web" && entry.type == "MODIFIED") last = entry.json;
  }
  EXPECT_THAT(last, HasSubstr("\"phase\":\"Succeeded\""));
}

TEST_F(HollowNodesTest, LeaveAPodWithAFinalizerAfterTheirPart) {
  Begin(1);
  world_.Create<Pod>(
      "{metadata: {name: web, finalizers: [example.com/wait]}, spec: {nodeName: hollow-0, "
      "containers: [{name: web, image: nginx}]}}");
  world_.Settle();
  world_.Delete<Pod>("web");
  world_.Settle();
  const size_t writes = world_.Writes();
  EXPECT_EQ(PhaseOf("web"), "Succeeded");
  world_.Advance(seconds(5));
  EXPECT_LE(world_.Writes(), writes + 1);  // a lease
  world_.Patch<Pod>("web", "{metadata: {finalizers: null}}");
  world_.Settle();
  EXPECT_EQ(PhaseOf("web"), "gone");
}

TEST_F(HollowNodesTest, EndPodsOfJobs) {
  Begin(1);
  AddPod("ok", "{}", "restartPolicy: Never, ");
  AddPod("bad", "{hollow.meltemi.io/exit-code: '7'}", "restartPolicy: Never, ");
  EXPECT_EQ(PhaseOf("ok"), "Running Ready");
  world_.Advance(seconds(1));
  EXPECT_EQ(PhaseOf("ok"), "Succeeded");
  EXPECT_EQ(PhaseOf("bad"), "Failed");
}

TEST_F(HollowNodesTest, RefuseWhatDoesNotFitWhateverTheNodeSaysOfItself) {
  HollowOptions options;
  options.cpu = "2";
  options.pods_max = 3;
  Begin(options);
  world_.Patch<Node>("hollow-0", "{status: {allocatable: {cpu: '64'}}}", "status", "");
  const auto add = [this](absl::string_view name, absl::string_view cpu) {
    world_.Create<Pod>(absl::StrCat("{metadata: {name: ", name,
                                    "}, spec: {nodeName: hollow-0, containers: [{name: a, image: ",
                                    "b, resources: {requests: {cpu: '", cpu, "'}}}]}}"));
    world_.Settle();
  };
  add("big", "1500m");
  add("more", "1");
  EXPECT_EQ(PhaseOf("big"), "Running Ready");
  const Pod refused = world_.Get<Pod>("more");
  EXPECT_EQ(refused.status().phase(), "Failed");
  EXPECT_EQ(refused.status().reason(), "OutOfcpu");
  EXPECT_EQ(refused.status().message(),
            "Pod was rejected: Node didn't have enough resource: cpu, requested: 1000, used: "
            "1500, capacity: 2000");
  // What has ended makes room.
  world_.Delete<Pod>("big");
  world_.Settle();
  add("again", "1500m");
  EXPECT_EQ(PhaseOf("again"), "Running Ready");
}

TEST_F(HollowNodesTest, GoOnAfterTheirProcessHasDied) {
  Begin(2);
  AddPod("web");
  AddPod("going", "{hollow.meltemi.io/stop-delay: 3s}");
  const Pod before = world_.Get<Pod>("web");
  process_->Disconnect();
  nodes_.reset();
  world_.Delete<Pod>("going");
  Begin(2);
  EXPECT_EQ(world_.Get<Pod>("web").metadata().resource_version(),
            before.metadata().resource_version());
  EXPECT_EQ(nodes_->running_pods(), 1u);
  world_.Advance(seconds(3));
  EXPECT_EQ(PhaseOf("going"), "gone");
  EXPECT_EQ(PhaseOf("web"), "Running Ready");
}

TEST_F(HollowNodesTest, SurviveCallsThatFail) {
  Begin(1);
  int calls = 0;
  process_->SetFate([&calls](const kube::ApiCall& call) {
    if (call.method == "GET") return apiserver::Fate::kPass;
    switch (++calls % 4) {
      case 0:
        return apiserver::Fate::kPass;
      case 1:
        return apiserver::Fate::kRefuse;
      case 2:
        return apiserver::Fate::kLoseCall;
      default:
        return apiserver::Fate::kLoseAnswer;
    }
  });
  for (int i = 0; i < 10; ++i) AddPod(absl::StrCat("web-", i));
  world_.Advance(seconds(20));
  for (int i = 0; i < 10; ++i) EXPECT_EQ(PhaseOf(absl::StrCat("web-", i)), "Running Ready");
  for (int i = 0; i < 10; ++i) world_.Delete<Pod>(absl::StrCat("web-", i));
  world_.Advance(minutes(1));
  EXPECT_EQ(world_.List<Pod>().size(), 0u);
}

TEST_F(HollowNodesTest, DoNothingWhileFrozenAndComeBack) {
  Begin(2);
  AddPod("web");
  nodes_->SetFrozen(0, true);
  AddPod("late");
  const Lease lease = world_.Get<Lease>("hollow-0", "kube-node-lease");
  world_.Advance(minutes(1));
  EXPECT_EQ(PhaseOf("late"), "Pending");
  EXPECT_EQ(world_.Get<Lease>("hollow-0", "kube-node-lease").metadata().resource_version(),
            lease.metadata().resource_version());
  // What others say of a node that is silent.
  world_.Patch<Node>("hollow-0", "{status: {conditions: [{type: Ready, status: Unknown}]}}",
                     "status", "");
  world_.Patch<Pod>("web", "{status: {conditions: [{type: Ready, status: 'False'}]}}", "status");
  nodes_->SetFrozen(0, false);
  world_.Settle();
  EXPECT_EQ(ReadyOf("hollow-0"), "True");
  EXPECT_EQ(PhaseOf("web"), "Running Ready");
  EXPECT_EQ(PhaseOf("late"), "Running Ready");
}

TEST_F(HollowNodesTest, StayAwayWhenTheyAreDeleted) {
  Begin(2);
  world_.Delete<Node>("hollow-1", {}, "");
  world_.Advance(minutes(1));
  EXPECT_EQ(world_.List<Node>().size(), 1u);
}

TEST_F(HollowNodesTest, TellWhatTheirPodsUse) {
  Begin(1);
  AddPod("idle");
  AddPod("busy", "{hollow.meltemi.io/cpu: 250m, hollow.meltemi.io/memory: 1Gi}");
  nodes_->SetCpuMilli("default", "idle", 40);
  const HollowNodes::Page page = nodes_->Get("127.1.0.1", "/stats/summary");
  EXPECT_EQ(page.code, 200);
  EXPECT_THAT(page.bytes, HasSubstr("\"nodeName\":\"hollow-0\""));
  EXPECT_THAT(page.bytes, HasSubstr("\"usageNanoCores\":290000000"));
  EXPECT_THAT(page.bytes, HasSubstr("\"usageNanoCores\":250000000"));
  EXPECT_THAT(page.bytes, HasSubstr("\"workingSetBytes\":1073741824"));
  EXPECT_THAT(nodes_->Get("hollow-0", "/containerLogs/default/busy/web").bytes,
              HasSubstr("hollow node hollow-0"));
  EXPECT_EQ(nodes_->Get("127.1.0.9", "/stats/summary").code, 404);
  world_.Advance(seconds(10));
  EXPECT_THAT(nodes_->Get("hollow-0", "/metrics/resource").bytes,
              HasSubstr("pod_cpu_usage_seconds_total{namespace=\"default\",pod=\"busy\"} 2.5 "));
}

}  // namespace
}  // namespace meltemi::kubelet
