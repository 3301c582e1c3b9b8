// Three nodes on this machine, each a network namespace: pods reach each other and Services across
// them; one is cut off and comes back; and whatever part is killed, traffic between pods goes on.
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "test/machine/process.h"
#include "test/nodes/cluster.h"
#include "test/nodes/requests.h"

namespace meltemi::nodes {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr int kNodePort = 30080;

// A web server on every node, a Service over them, and a pod on each node to ask from.
constexpr char kWebEverywhere[] = R"(apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      tolerations: [{operator: Exists}]
      containers: [{name: web, image: "nginx:1.10", ports: [{containerPort: 80}]}]
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: ask}
spec:
  selector: {matchLabels: {app: ask}}
  template:
    metadata: {labels: {app: ask}}
    spec:
      terminationGracePeriodSeconds: 0
      tolerations: [{operator: Exists}]
      containers: [{name: ask, image: busybox, imagePullPolicy: Never, command: [sleep, "36000"]}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  selector: {app: web}
  ports: [{port: 80, nodePort: 30080}]
)";

// Moves away from a node that is gone within seconds.
constexpr char kMoving[] = R"(apiVersion: apps/v1
kind: Deployment
metadata: {name: moving}
spec:
  replicas: 6
  selector: {matchLabels: {app: moving}}
  template:
    metadata: {labels: {app: moving}}
    spec:
      terminationGracePeriodSeconds: 1
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway,
         labelSelector: {matchLabels: {app: moving}}}
      tolerations:
      - {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute,
         tolerationSeconds: 1}
      - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute,
         tolerationSeconds: 1}
      containers: [{name: c, image: busybox, imagePullPolicy: Never, command: [sleep, "36000"]}]
)";

class ThreeNodes : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    cluster() = Cluster::Up(
        {.nodes = 3, .up_args = {"--controller-manager-arg=--node-monitor-grace-period=12s"}},
        &why_not());
    if (cluster() == nullptr) return;
    cluster()->Does("kubectl apply -f -", kWebEverywhere);
    cluster()->Does("kubectl rollout status daemonset/web --timeout=60s");
    cluster()->Does("kubectl rollout status daemonset/ask --timeout=60s");
  }
  static void TearDownTestSuite() { cluster().reset(); }
  static std::unique_ptr<Cluster>& cluster() {
    static auto& cluster = *new std::unique_ptr<Cluster>();
    return cluster;
  }
  static std::string& why_not() {
    static auto& why = *new std::string();
    return why;
  }
  void SetUp() override {
    if (cluster() == nullptr) GTEST_SKIP() << why_not();
  }

  static std::string Out(const std::string& line) { return cluster()->Out(line); }
  static std::vector<std::string> Words(const std::string& line) {
    return absl::StrSplit(Out(line), ' ', absl::SkipEmpty());
  }
  static std::string ReadyOf(const std::string& node) {
    return Out(absl::StrCat("kubectl get node ", node,
                            " -o jsonpath='{.status.conditions[?(@.type==\"Ready\")].status}'"));
  }
  static void KillPart(const std::string& pid_file) {
    EXPECT_EQ(cluster()->Shell("kill -9 $(cat " + pid_file + ")").exit_status, 0) << pid_file;
  }
};

TEST_F(ThreeNodes, PodsReachEachOtherAndServicesFromEveryNode) {
  const std::vector<std::string> askers =
      Words("kubectl get pods -l app=ask -o jsonpath='{.items[*].metadata.name}'");
  std::vector<std::string> targets =
      Words("kubectl get pods -l app=web -o jsonpath='{.items[*].status.podIP}'");
  ASSERT_EQ(askers.size(), 3u);
  ASSERT_EQ(targets.size(), 3u);
  targets.push_back("web");
  targets.push_back("web.default.svc.cluster.local");
  for (const std::string& node : cluster()->NodeNames()) {
    targets.push_back(absl::StrCat(cluster()->NodeIp(node), ":", kNodePort));
  }
  for (const std::string& asker : askers) {
    for (const std::string& target : targets) {
      const Answer answer = cluster()->Shell(
          absl::StrCat("kubectl exec ", asker, " -- wget -q -S -O /dev/null http://", target, "/"));
      EXPECT_EQ(answer.exit_status, 0) << asker << " -> " << target << "\n" << answer.output;
      EXPECT_THAT(answer.output, HasSubstr("200 OK"));
    }
  }
}

TEST_F(ThreeNodes, APodSeesWhoAsksIt) {
  const std::string asker =
      Out("kubectl get pods -l app=ask --field-selector spec.nodeName=node-1 -o "
          "jsonpath='{.items[0].metadata.name} {.items[0].status.podIP}'");
  const std::vector<std::string> name_and_ip = absl::StrSplit(asker, ' ');
  ASSERT_EQ(name_and_ip.size(), 2u) << asker;
  const std::vector<std::string> other = Words(
      "kubectl get pods -l app=web --field-selector spec.nodeName=node-3 -o "
      "jsonpath='{.items[0].metadata.name} {.items[0].status.podIP}'");
  cluster()->Does(absl::StrCat("kubectl exec ", name_and_ip[0], " -- wget -q -O /dev/null http://",
                               other[1], "/who-asks || true"));
  EXPECT_THAT(Out("kubectl logs " + other[0] + " --tail=20"), HasSubstr(name_and_ip[1]))
      << "pods reach each other without translation of addresses";
}

TEST_F(ThreeNodes, ANodeIsCutOffAndComesBack) {
  cluster()->Does("kubectl apply -f -", kMoving);
  cluster()->Does("kubectl rollout status deployment/moving --timeout=60s");
  const std::string on_node_3 =
      "kubectl get pods -l app=moving --field-selector spec.nodeName=node-3 -o name | wc -l";
  EXPECT_EQ(Out(on_node_3), "2");
  cluster()->Does("ip link set mlt-3 down");
  EXPECT_TRUE(machine::Eventually([] { return ReadyOf("node-3") == "Unknown"; }, seconds(60)));
  const std::string ready = "kubectl get deployment moving -o jsonpath={.status.readyReplicas}";
  EXPECT_TRUE(cluster()->Prints(ready, "6", seconds(60)));
  const std::string elsewhere =
      "kubectl get pods -l app=moving --field-selector spec.nodeName!=node-3,status.phase=Running "
      "-o name | wc -l";
  EXPECT_TRUE(cluster()->Prints(elsewhere, "6", seconds(60)));

  cluster()->Does("ip link set mlt-3 up");
  EXPECT_TRUE(machine::Eventually([] { return ReadyOf("node-3") == "True"; }, seconds(60)));
  EXPECT_TRUE(
      cluster()->Prints("kubectl get pods -l app=moving -o name | wc -l", "6", seconds(60)));
  // The node has ended what runs elsewhere by now.
  std::string last;
  EXPECT_TRUE(cluster()->Prints(
      "ctr --address /run/meltemi*/node-3/containerd.sock --namespace k8s.io containers ls -q "
      "'labels.\"io.kubernetes.container.name\"==\"c\"' | wc -l",
      Out(on_node_3), seconds(60), &last))
      << last;
  cluster()->Does("kubectl delete deployment moving --timeout=60s");
}

TEST_F(ThreeNodes, TrafficGoesOnWhateverPartIsKilled) {
  const std::string node = "nodes/node-2/run/";
  // From outside by way of node 1 to pods on all nodes.
  Requests requests(cluster()->NodeIp("node-1"), kNodePort, 50, 2);
  const std::vector<std::string> parts = {node + "kubelet", node + "containerd",
                                          node + "kube-proxy", node + "dns", "run/apiserver"};
  const std::string restarts =
      "kubectl get pods -l 'app in (web, ask)' -o "
      "jsonpath='{.items[*].status.containerStatuses[*].restartCount}'";
  const std::string before = Out(restarts);
  for (const std::string& part : parts) {
    KillPart(part + ".pid");
    const int64_t sent = requests.sent();
    EXPECT_TRUE(machine::Eventually([&] { return requests.sent() > sent + 50; }, seconds(10)));
    const Answer up = cluster()->UpAgain();
    EXPECT_EQ(up.exit_status, 0) << part << "\n" << up.output;
  }
  const RequestReport report = requests.Stop();
  std::printf("%s\n", report.Text().c_str());
  EXPECT_THAT(report.failures, IsEmpty());
  EXPECT_EQ(Out(restarts), before) << "no container was touched";
  // What is asked of the cluster now is done on that node, too.
  cluster()->Does("kubectl rollout restart daemonset/web");
  cluster()->Does("kubectl rollout status daemonset/web --timeout=120s");
  EXPECT_THAT(Out("kubectl get nodes"), Not(HasSubstr("NotReady")));
}

}  // namespace
}  // namespace meltemi::nodes
