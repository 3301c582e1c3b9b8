// What happens to a mesh: its control plane is away for a minute, a node is drained, rules and pods
// come and go in every order, a thousand rules contradict each other. No request fails meanwhile,
// and what was asked for is in force in the end.
#include <algorithm>
#include <array>
#include <chrono>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "test/machine/process.h"
#include "test/mesh/mesh_world.h"
#include "test/nodes/cluster.h"
#include "test/scenarios/programs.h"

namespace meltemi::mesh {
namespace {

using machine::Eventually;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using testing::HasSubstr;

std::string Tutorial(const std::string& name) {
  return scenarios::WorkspaceFile("examples/tutorial/" + name);
}

class OutageTest : public MeshTest {
 protected:
  OutageTest() : MeshTest({.nodes = 2, .mesh = true, .images = {"flaskapp", "httpbin", "sleep"}}) {}

  // Which versions answer fifty requests: "v1", "v2" or "v1 v2".
  static std::string Versions() {
    return cluster()->Out(
        "kubectl exec deploy/sleep -c sleep -- curl -s -w '\\n' "
        "'http://flaskapp/env/version?n=[1-50]' | sort -u | xargs");
  }
  static void ExpectVersions(const std::string& expected) {
    std::string last;
    EXPECT_TRUE(Eventually(
        [&] {
          last = Versions();
          return last == expected;
        },
        seconds(20)))
        << last << " instead of " << expected;
  }
};

TEST_F(OutageTest, PilotAndTheApiServerAreAwayForAMinute) {
  Does(absl::StrCat("kubectl apply -f ", Tutorial("11-destinationrule.yaml"), " -f ",
                    Tutorial("11-bluegreen.yaml")));
  Does("kubectl wait --for=condition=Programmed virtualservice/flaskapp --timeout=30s");
  ExpectVersions("v1");
  UnderLoad(
      "a minute without pilot and API server",
      [] {
        Kill("pilot");
        // A rule that nobody can look at is refused; pods that could get no sidecar wait.
        const nodes::Answer refused =
            cluster()->Shell("kubectl apply -f " + Tutorial("12-weights.yaml"));
        EXPECT_NE(refused.exit_status, 0);
        EXPECT_THAT(refused.output, HasSubstr("failed calling webhook"));
        Does("kubectl delete virtualservice flaskapp");
        Does("kubectl scale deployment flaskapp-v2 --replicas=2");
        EXPECT_TRUE(cluster()->Prints(
            "kubectl get events --field-selector reason=FailedCreate -o name | head -n 1 | wc -l",
            "1", seconds(20)));
        EXPECT_EQ(Does("kubectl get pods -l version=v2 -o name | wc -l"), "1");
        Kill("apiserver");
        Does("sleep 60");
        UpAgain();
        // What was changed meanwhile is in force, and the pod comes.
        ExpectVersions("v1 v2");
        Does("kubectl rollout status deployment/flaskapp-v2 --timeout=60s");
        EXPECT_THAT(Does("kubectl get pods -l version=v2 --no-headers"), HasSubstr("2/2"));
      },
      /*connections=*/1);
  Does("kubectl scale deployment flaskapp-v2 --replicas=1");
  Does("kubectl delete destinationrule flaskapp");
}

TEST_F(OutageTest, ANodeIsDrained) {
  Does("kubectl scale deployment flaskapp-v1 flaskapp-v2 --replicas=2");
  for (const char* name : {"flaskapp-v1", "flaskapp-v2"}) {
    Does(absl::StrCat("kubectl rollout status --timeout=60s deployment/", name));
  }
  const std::string asker =
      Does("kubectl get pods -l app=sleep -o jsonpath='{.items[0].spec.nodeName}'");
  std::string drained;
  for (const std::string& node : cluster()->NodeNames()) {
    if (node != asker) drained = node;
  }
  const std::string there = absl::StrCat("kubectl get pods -l app=flaskapp --field-selector ",
                                         "spec.nodeName=", drained, " -o name | wc -l");
  EXPECT_NE(Does(there), "0");
  UnderLoad("a node is drained", [&] {
    Does(absl::StrCat("kubectl drain ", drained, " --ignore-daemonsets --timeout=120s"));
    EXPECT_EQ(Does(there), "0");
    for (const char* name : {"flaskapp-v1", "flaskapp-v2"}) {
      Does(absl::StrCat("kubectl rollout status --timeout=60s deployment/", name));
    }
    Does("kubectl uncordon " + drained);
  });
  Does("kubectl scale deployment flaskapp-v1 flaskapp-v2 --replicas=1");
  Does("kubectl rollout status deployment/flaskapp-v2 --timeout=60s");
}

TEST_F(OutageTest, RulesAndPodsComeAndGoInEveryOrder) {
  enum Part { kPods, kSubsets, kRule };
  std::array<Part, 3> order = {kPods, kSubsets, kRule};
  Does("kubectl delete deployment flaskapp-v2");
  UnderLoad("every order", [&] {
    do {
      // Where v2 is there before the rule, and goes after it, the rule sends it its share.
      const bool first = std::find(order.begin(), order.end(), kPods) <
                         std::find(order.begin(), order.end(), kRule);
      const std::string rule = Tutorial(first ? "12-weights.yaml" : "11-bluegreen.yaml");
      for (const Part part : order) {
        if (part == kPods) {
          Does("kubectl apply -f " + Tutorial("10-flaskapp.yaml"));
          Does("kubectl rollout status deployment/flaskapp-v2 --timeout=60s");
        } else {
          Does("kubectl apply -f " + (part == kRule ? rule : Tutorial("11-destinationrule.yaml")));
        }
      }
      Does(
          "kubectl wait --for=condition=Programmed virtualservice/flaskapp --timeout=30s || "
          "{ kubectl get virtualservice flaskapp -o yaml; false; }");
      EXPECT_EQ(Versions(), first ? "v1 v2" : "v1");
      std::reverse(order.begin(), order.end());
      for (const Part part : order) {
        Does(absl::StrCat("kubectl delete ", part == kPods      ? "deployment/flaskapp-v2"
                                             : part == kSubsets ? "destinationrule/flaskapp"
                                                                : "virtualservice/flaskapp"));
      }
      std::reverse(order.begin(), order.end());
    } while (std::next_permutation(order.begin(), order.end()));
  });
  Does("kubectl apply -f " + Tutorial("10-flaskapp.yaml"));
  Does("kubectl rollout status deployment/flaskapp-v2 --timeout=60s");
}

TEST_F(OutageTest, AThousandRulesThatContradictEachOtherDelayNobody) {
  std::string many = "apiVersion: v1\nkind: List\nitems:\n";
  for (int i = 0; i < 1000; ++i) {
    absl::StrAppend(&many,
                    "- {apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: "
                    "many-",
                    i,
                    ", labels: {many: \"yes\"}}, spec: {hosts: [flaskapp], http: [{match: "
                    "[{uri: {prefix: /",
                    i,
                    "}}], route: [{destination: {host: flaskapp}}]}, {route: [{destination: {host: "
                    "flaskapp}}]}]}}\n");
  }
  machine::WriteFile(cluster()->folder() + "/many.yaml", many);
  const std::string fault =
      "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: httpbin}\n"
      "spec:\n  hosts: [httpbin]\n  http:\n  - fault: {abort: {httpStatus: 418, percentage: "
      "{value: 100}}}\n    route: [{destination: {host: httpbin}}]\n";
  UnderLoad("1,000 conflicting rules", [&] {
    const nodes::Answer made = cluster()->Shell("kubectl create -f many.yaml");
    EXPECT_EQ(made.exit_status, 0) << made.output.substr(0, 2000);
    EXPECT_THAT(made.output, HasSubstr("IST0109"));
    const auto before = steady_clock::now();
    Does("kubectl apply -f -", fault);
    EXPECT_TRUE(Becomes("deploy/sleep", "http://httpbin:8000/get", "418"));
    Does("kubectl wait --for=condition=Programmed virtualservice/httpbin --timeout=20s");
    const auto took = std::chrono::duration_cast<milliseconds>(steady_clock::now() - before);
    std::printf("another rule was in force and said so after %d ms\n",
                static_cast<int>(took.count()));
    EXPECT_LT(took, seconds(10));
  });
  EXPECT_EQ(Does("kubectl get virtualservices -l many=yes -o name | wc -l"), "1000");
  // Each says itself how far it is.
  std::string last;
  EXPECT_TRUE(cluster()->Prints(
      "kubectl get virtualservices -l many=yes -o jsonpath='{range .items[*]}{.status.conditions[?("
      "@.type==\"Programmed\")].status}{\"\\n\"}{end}' | sort | uniq -c | xargs",
      "1000 True", seconds(120), &last))
      << last << "\n"
      << cluster()->Out("kubectl get virtualservice many-500 -o yaml; tail -n 5 run/pilot.log");
  const nodes::Answer analyzed =
      cluster()->Run({"cli/meltemi", "analyze",
                      absl::StrCat("--kubeconfig=", cluster()->folder(), "/admin.kubeconfig")},
                     seconds(60));
  EXPECT_THAT(analyzed.output, HasSubstr("IST0109"));
  EXPECT_THAT(cluster()->Pilot("/ready"), HasSubstr("ok"));
  Does("kubectl delete virtualservices -l many=yes --wait=false >/dev/null");
  Does("kubectl delete virtualservice httpbin");
  EXPECT_TRUE(Becomes("deploy/sleep", "http://httpbin:8000/get", "200"));
}

}  // namespace
}  // namespace meltemi::mesh
