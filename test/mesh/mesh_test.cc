// The mesh in a cluster, seen from outside: what goes over the wire, who is let in, and that no
// request fails while everything around it comes and goes.
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "test/mesh/capture.h"
#include "test/mesh/mesh_world.h"
#include "test/nodes/cluster.h"
#include "test/scenarios/programs.h"

namespace meltemi::mesh {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Pods without a sidecar, to ask from.
constexpr char kStranger[] =
    "apiVersion: v1\nkind: Pod\nmetadata:\n  name: stranger\n"
    "  labels: {sidecar.istio.io/inject: \"false\"}\nspec:\n  terminationGracePeriodSeconds: 1\n"
    "  containers:\n  - name: sleep\n    image: registry.ioros.com/docker.io/dustise/sleep\n"
    "    imagePullPolicy: IfNotPresent\n";

TEST_F(MeshTest, EachPodHasItsSidecarAndIsReady) {
  EXPECT_THAT(Does("kubectl get pods -l app=flaskapp --no-headers"), HasSubstr("2/2"));
  EXPECT_THAT(Does("kubectl get pods -l app=sleep --no-headers"), HasSubstr("2/2"));
}

TEST_F(MeshTest, WhatGoesBetweenPodsIsTls) {
  Capture capture(80, "GET /env/version");
  ASSERT_EQ(capture.trouble(), "");
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Status("deploy/sleep", kUrl), "200");
  const Captured captured = capture.Stop();
  EXPECT_GT(captured.packets, 5);
  EXPECT_FALSE(captured.readable) << "the request could be read on the wire";
  EXPECT_THAT(captured.versions, ElementsAre("TLSv1.3"));
}

TEST_F(MeshTest, StrictRefusesPlaintextAndPermissiveTakesBoth) {
  Does("kubectl apply -f -", kStranger);
  Does("kubectl wait --for=condition=Ready pod/stranger --timeout=60s");
  EXPECT_TRUE(Becomes("stranger", kUrl, "200"));
  Does("kubectl apply -f -", kStrict);
  EXPECT_TRUE(Becomes("stranger", kUrl, "000"));
  EXPECT_EQ(Status("deploy/sleep", kUrl), "200");
  // The kubelet's probes and the readiness of pods go on under STRICT.
  EXPECT_THAT(Does("kubectl get pods -l app=flaskapp --no-headers"), HasSubstr("2/2"));
  Does("kubectl delete peerauthentication default");
  EXPECT_TRUE(Becomes("stranger", kUrl, "200"));
  Does("kubectl delete pod stranger --grace-period=1");
}

TEST_F(MeshTest, APolicySaysWhoMayCallWhat) {
  Does("kubectl apply -f -",
       "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: flaskapp}\n"
       "spec:\n  selector: {matchLabels: {app: flaskapp}}\n  action: DENY\n  rules:\n"
       "  - from: [{source: {principals: [cluster.local/ns/default/sa/default]}}]\n"
       "    to: [{operation: {paths: [/env/PATH]}}]\n");
  EXPECT_TRUE(Becomes("deploy/sleep", "http://flaskapp/env/PATH", "403"));
  EXPECT_EQ(Status("deploy/sleep", kUrl), "200");
  Does("kubectl delete authorizationpolicy flaskapp");
  EXPECT_TRUE(Becomes("deploy/sleep", "http://flaskapp/env/PATH", "200"));
}

TEST_F(MeshTest, AJobEndsThoughItHasASidecar) {
  Does("kubectl apply -f -",
       "apiVersion: batch/v1\nkind: Job\nmetadata: {name: ask}\nspec:\n  template:\n    spec:\n"
       "      restartPolicy: Never\n      containers:\n      - name: sleep\n"
       "        image: registry.ioros.com/docker.io/dustise/sleep\n"
       "        imagePullPolicy: IfNotPresent\n"
       "        command: [curl, -sf, http://flaskapp/env/version]\n");
  // Its first request is answered: the sidecar was ready before it.
  Does("kubectl wait --for=condition=Complete job/ask --timeout=60s");
  Does("kubectl delete job ask");
}

TEST_F(MeshTest, WaitReturnsWhenEveryProxyEnforcesTheRule) {
  const std::string folder = scenarios::WorkspaceFile("examples/tutorial");
  Does(absl::StrCat("kubectl apply -f ", folder, "/11-destinationrule.yaml -f ", folder,
                    "/11-bluegreen.yaml"));
  Does("kubectl wait --for=condition=Programmed virtualservice/flaskapp --timeout=30s");
  const std::string answers = Does(
      "kubectl exec deploy/sleep -c sleep -- curl -s -w '\\n' "
      "'http://flaskapp/env/version?n=[1-50]'");
  EXPECT_FALSE(absl::StrContains(answers, "v2")) << answers;
  Does("kubectl delete virtualservice/flaskapp destinationrule/flaskapp");
}

TEST_F(MeshTest, ABlackHoleIsRefusedAtAdmission) {
  const nodes::Answer answer = cluster()->Shell(
      "kubectl apply -f -",
      "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: hole}\n"
      "spec:\n  hosts: [flaskapp]\n  http:\n  - route:\n"
      "    - {destination: {host: flaskapp, subset: v1}, weight: -1}\n");
  EXPECT_NE(answer.exit_status, 0);
  EXPECT_THAT(answer.output, HasSubstr("denied the request"));
  EXPECT_THAT(answer.output, HasSubstr("weight"));
}

TEST_F(MeshTest, NothingFailsWhileWeightsChangeAHundredTimes) {
  Does(absl::StrCat("kubectl apply -f ",
                    scenarios::WorkspaceFile("examples/tutorial/11-destinationrule.yaml")));
  UnderLoad("100 changes of weights", [] {
    Does(
        "for i in $(seq 100); do printf 'apiVersion: networking.istio.io/v1\\nkind: "
        "VirtualService\\nmetadata: {name: flaskapp}\\nspec:\\n  hosts: [flaskapp]\\n  http:\\n"
        "  - route:\\n    - {destination: {host: flaskapp, subset: v1}, weight: %d}\\n"
        "    - {destination: {host: flaskapp, subset: v2}, weight: %d}\\n' $i $((100 - i))"
        " | kubectl apply -f - >/dev/null || exit 1; done");
  });
  Does("kubectl delete virtualservice/flaskapp destinationrule/flaskapp");
}

TEST_F(MeshTest, NothingFailsWhileADeploymentIsReplaced) {
  UnderLoad("rolling update of injected pods", [] {
    Does("kubectl rollout restart deployment/flaskapp-v1 deployment/flaskapp-v2");
    Does("kubectl rollout status deployment/flaskapp-v1 --timeout=90s");
    Does("kubectl rollout status deployment/flaskapp-v2 --timeout=90s");
  });
}

TEST_F(MeshTest, NothingFailsWhilePilotAndTheApiServerAreAway) {
  for (const char* part : {"pilot", "apiserver"}) {
    UnderLoad(part, [part] {
      Kill(part);
      UpAgain();
    });
  }
  // What comes afterwards arrives as before.
  Does(absl::StrCat("kubectl apply -f ",
                    scenarios::WorkspaceFile("examples/tutorial/11-destinationrule.yaml"), " -f ",
                    scenarios::WorkspaceFile("examples/tutorial/11-bluegreen.yaml")));
  Does("kubectl wait --for=condition=Programmed virtualservice/flaskapp --timeout=60s");
  Does("kubectl delete virtualservice/flaskapp destinationrule/flaskapp");
}

}  // namespace
}  // namespace meltemi::mesh
