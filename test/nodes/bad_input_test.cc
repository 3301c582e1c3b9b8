// What goes wrong on a node shows in `kubectl describe`, in Kubernetes' words, and the node stays
// Ready unless it is not.
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "test/machine/process.h"
#include "test/nodes/cluster.h"

namespace meltemi::nodes {
namespace {

using std::chrono::seconds;

// Pods that cannot run, and what describe says of each.
struct Case {
  const char* name;
  const char* spec;
  std::vector<const char*> described;
};

const std::vector<Case>& Cases() {
  static const auto& cases = *new std::vector<Case>{
      {"no-image",
       "containers: [{name: c, image: 'localhost:1/there/is:none'}]",
       {"ErrImagePull", "Failed to pull image \"localhost:1/there/is:none\": ",
        "Back-off pulling image \"localhost:1/there/is:none\""}},
      {"bad-name",
       "containers: [{name: c, image: 'Not A Name'}]",
       {"InvalidImageName", "Failed to apply default image tag \"Not A Name\""}},
      {"never",
       "containers: [{name: c, image: 'none:1', imagePullPolicy: Never}]",
       {"ErrImageNeverPull",
        "Container image \"none:1\" is not present with pull policy of Never"}},
      {"no-command",
       "containers: [{name: c, image: busybox, imagePullPolicy: Never, command: [/no/such]}]",
       {"StartError", "exec: \"/no/such\": stat /no/such: no such file or directory",
        "Back-off restarting failed container c in pod no-command_default("}},
      {"crashes",
       "containers: [{name: c, image: busybox, imagePullPolicy: Never, command: [sh, -c, exit 3]}]",
       {"CrashLoopBackOff", "Exit Code:    3", "BackOff"}},
      {"no-secret",
       "volumes: [{name: v, secret: {secretName: gone}}], containers: [{name: c, image: busybox, "
       "imagePullPolicy: Never, volumeMounts: [{name: v, mountPath: /v}]}]",
       {"FailedMount", "MountVolume.SetUp failed for volume \"v\" : secret \"gone\" not found"}},
      {"no-config",
       "containers: [{name: c, image: busybox, imagePullPolicy: Never, command: [sleep, '9'], "
       "envFrom: [{configMapRef: {name: gone}}]}]",
       {"CreateContainerConfigError", "configmap \"gone\" not found"}},
      {"not-root",
       "containers: [{name: c, image: busybox, imagePullPolicy: Never, command: [sleep, '9'], "
       "securityContext: {runAsNonRoot: true}}]",
       {"CreateContainerConfigError", "container has runAsNonRoot and image will run as root"}},
      {"too-much",
       "containers: [{name: c, image: busybox, resources: {requests: {cpu: '9999'}}}]",
       {"FailedScheduling", "0/1 nodes are available: 1 Insufficient cpu."}},
      {"too-much-here",
       "nodeName: NODE, containers: [{name: c, image: busybox, resources: {requests: {cpu: "
       "'9999'}}}]",
       {"OutOfcpu", "Node didn't have enough resource: cpu, requested: 9999000"}},
      {"memory",
       "containers: [{name: c, image: busybox, imagePullPolicy: Never, command: [sh, -c, 'tail "
       "/dev/zero'], resources: {limits: {memory: 16Mi}}}]",
       {"OOMKilled", "Exit Code:    137"}},
  };
  return cases;
}

class BadInput : public testing::Test {
 protected:
  static void SetUpTestSuite() { cluster() = Cluster::Up({.images = {"busybox"}}, &why_not()); }
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
    node_ = cluster()->NodeNames().front();
  }
  static void Add(const std::string& name, const std::string& spec) {
    cluster()->Does("kubectl create -f -",
                    absl::StrCat("apiVersion: v1\nkind: Pod\nmetadata: {name: ", name,
                                 "}\nspec: {terminationGracePeriodSeconds: 0, ", spec, "}\n"));
  }
  static void ExpectDescribed(const std::string& name, const std::string& text) {
    std::string last;
    EXPECT_TRUE(machine::Eventually(
        [&] {
          last = cluster()->Out("kubectl describe pod " + name);
          return absl::StrContains(last, text);
        },
        seconds(60)))
        << name << " does not say: " << text << "\n"
        << last;
  }
  void ExpectNodeReady(const char* ready, seconds timeout) const {
    EXPECT_TRUE(cluster()->Prints(
        absl::StrCat("kubectl get node ", node_,
                     " -o jsonpath='{.status.conditions[?(@.type==\"Ready\")].status}'"),
        ready, timeout))
        << cluster()->Out("kubectl describe node");
  }
  static std::string PidFile(const std::string& part) {
    return cluster()->Out(absl::StrCat("ls nodes/*/run/", part, ".pid"));
  }

  std::string node_;
};

TEST_F(BadInput, PodsThatCannotRunSayWhy) {
  for (const Case& one : Cases()) {
    std::string spec = one.spec;
    if (const size_t at = spec.find("NODE"); at != std::string::npos) spec.replace(at, 4, node_);
    Add(one.name, spec);
  }
  for (const Case& one : Cases()) {
    for (const char* text : one.described) ExpectDescribed(one.name, text);
  }
  ExpectNodeReady("True", seconds(5));
  cluster()->Does("kubectl delete pods --all --grace-period=0 --timeout=60s");
}

TEST_F(BadInput, APortThatIsTaken) {
  const std::string spec =
      "containers: [{name: c, image: busybox, imagePullPolicy: Never, command: [sleep, '900'], "
      "ports: [{containerPort: 80, hostPort: 18080}]}]";
  Add("first", spec);
  cluster()->Does("kubectl wait --for=condition=Ready pod/first --timeout=30s");
  Add("second", spec);
  ExpectDescribed("second", "node(s) didn't have free ports for the requested pod ports");
  Add("third", absl::StrCat("nodeName: ", node_, ", ", spec));
  ExpectDescribed("third", "NodePorts");
  ExpectNodeReady("True", seconds(5));
  cluster()->Does("kubectl delete pods --all --grace-period=0 --timeout=60s");
}

TEST_F(BadInput, ANetworkPluginThatFails) {
  cluster()->Does(
      "f=$(ls nodes/*/cni/net.d/10-meltemi.conflist); cp $f /tmp/cni.saved; "
      "sed -i 's/\"bridge\": \"[a-z0-9]*\"/\"bridge\": \"this-name-is-far-too-long\"/' $f");
  Add("no-network",
      "containers: [{name: c, image: busybox, imagePullPolicy: Never, command: [sleep, '900']}]");
  ExpectDescribed("no-network", "FailedCreatePodSandBox");
  ExpectDescribed("no-network", "plugin type=\"bridge\" failed");
  cluster()->Does("cp /tmp/cni.saved $(ls nodes/*/cni/net.d/10-meltemi.conflist)");
  cluster()->Does("kubectl wait --for=condition=Ready pod/no-network --timeout=60s");
  cluster()->Does("kubectl delete pods --all --grace-period=0 --timeout=60s");
}

TEST_F(BadInput, ARuntimeThatHangsAndOneThatDisappears) {
  Add("stays",
      "containers: [{name: c, image: busybox, imagePullPolicy: Never, command: [sleep, '900']}]");
  cluster()->Does("kubectl wait --for=condition=Ready pod/stays --timeout=30s");
  cluster()->Does("kill -STOP $(cat " + PidFile("containerd") + ")");
  ExpectNodeReady("False", seconds(120));
  cluster()->Does("kill -CONT $(cat " + PidFile("containerd") + ")");
  ExpectNodeReady("True", seconds(60));

  cluster()->Does("kill -9 $(cat " + PidFile("containerd") + ")");
  ExpectNodeReady("False", seconds(60));
  EXPECT_EQ(cluster()->UpAgain().exit_status, 0);
  ExpectNodeReady("True", seconds(60));
  EXPECT_EQ(cluster()->Out("kubectl get pod stays -o "
                           "jsonpath='{.status.containerStatuses[0].restartCount}'"),
            "0");
}

}  // namespace
}  // namespace meltemi::nodes
