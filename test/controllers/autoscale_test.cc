// The tutorial's step 06 with the real kubectl on hollow nodes: an autoscaler, kubectl top, load
// that rises and falls, and kubectl autoscale. Load is what the pods' annotations say that they
// use.
#include <functional>
#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "test/controllers/cluster.h"
#include "test/machine/process.h"
#include "test/scenarios/programs.h"

namespace meltemi::controllers {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;

constexpr std::chrono::seconds kWaitMax(60);

constexpr char kDeployment[] = R"(
apiVersion: apps/v1
kind: Deployment
metadata: {name: test-scale-deployment}
spec:
  replicas: 1
  selector: {matchLabels: {app: test-scale-deployment}}
  strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 1}}
  template:
    metadata: {labels: {app: test-scale-deployment}}
    spec:
      containers:
      - name: test-scale
        image: test.web:0.0.1
        ports: [{containerPort: 80}]
        resources: {requests: {cpu: 100m, memory: 50Mi}}
---
apiVersion: v1
kind: Service
metadata: {name: test-scale-svc}
spec:
  type: NodePort
  ports: [{name: http, port: 8080, targetPort: 80, nodePort: 30077}]
  selector: {app: test-scale-deployment}
---
apiVersion: autoscaling/v1
kind: HorizontalPodAutoscaler
metadata: {name: test-scale-hpa}
spec:
  minReplicas: 1
  maxReplicas: 10
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: test-scale-deployment}
)";

class AutoscaleTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!HasKubectl()) GTEST_SKIP() << "no kubectl";
    // Minutes of waiting in seconds.
    cluster_ = std::make_unique<Cluster>(ClusterOptions{
        .nodes = 2,
        .controller_manager_args = {"--horizontal-pod-autoscaler-sync-period=1s",
                                    "--horizontal-pod-autoscaler-downscale-stabilization=5s",
                                    "--horizontal-pod-autoscaler-cpu-initialization-period=1s",
                                    "--horizontal-pod-autoscaler-initial-readiness-delay=1s"}});
  }
  std::string Does(const std::string& line, absl::string_view input = "") {
    const Answer answer = cluster_->Shell(line, input);
    EXPECT_EQ(answer.exit_status, 0) << line << "\n" << answer.output;
    return answer.output;
  }
  // What all pods of the deployment use from now on, each.
  void SetLoad(const std::string& cpu) {
    Does(
        absl::StrCat("kubectl annotate pods -l app=test-scale-deployment --overwrite "
                     "hollow.meltemi.io/cpu=",
                     cpu));
  }
  int Replicas() {
    int replicas = -1;
    const std::string text(
        absl::StripAsciiWhitespace(cluster_
                                       ->Shell("kubectl get deployment test-scale-deployment -o "
                                               "jsonpath={.status.readyReplicas}")
                                       .output));
    return absl::SimpleAtoi(text, &replicas) ? replicas : -1;
  }
  bool Eventually(const std::function<bool()>& condition) {
    return machine::Eventually(condition, kWaitMax);
  }
  void ApplyAll() {
    const std::string folder = scenarios::UserTutorialFolder();
    if (folder.empty()) {
      Does("kubectl apply -f -", kDeployment);
      return;
    }
    for (const char* part : {"deployment", "service", "hpa"}) {
      Does(absl::StrCat("kubectl apply -f ", folder, "/06-hpa-", part, ".yaml"));
    }
  }

  std::unique_ptr<Cluster> cluster_;
};

TEST_F(AutoscaleTest, RisesUnderLoadAndFallsBack) {
  ApplyAll();
  EXPECT_TRUE(Eventually([&] { return Replicas() == 1; }));
  SetLoad("40m");
  // Figures, as metrics-server gives them.
  EXPECT_TRUE(Eventually([&] {
    const Answer top = cluster_->Shell("kubectl top pod --no-headers");
    return top.exit_status == 0 && top.output.find(" 40m ") != std::string::npos;
  })) << cluster_->Shell("kubectl top pod -v=8").output;
  EXPECT_THAT(Does("kubectl top pod"),
              MatchesRegex("NAME +CPU\\(cores\\) +MEMORY\\(bytes\\) *\n"
                           "test-scale-deployment-[a-z0-9-]+ +40m +16Mi *\n"));
  EXPECT_THAT(Does("kubectl top node"), HasSubstr("hollow-1"));
  EXPECT_THAT(Does("kubectl top pod --containers"), HasSubstr("test-scale "));
  EXPECT_THAT(Does("kubectl get podmetrics 2>&1 || kubectl get pods.metrics.k8s.io"),
              HasSubstr("40m"));
  EXPECT_TRUE(Eventually([&] {
    return Does("kubectl get hpa test-scale-hpa").find("40%/80%") != std::string::npos;
  })) << Does("kubectl describe hpa test-scale-hpa");

  SetLoad("300m");
  EXPECT_TRUE(Eventually([&] { return Replicas() > 1; }))
      << Does("kubectl describe hpa test-scale-hpa");
  EXPECT_THAT(Does("kubectl describe hpa test-scale-hpa"),
              HasSubstr("reason: cpu resource utilization (percentage of request) above target"));
  EXPECT_THAT(Does("kubectl logs deployment/test-scale-deployment"), HasSubstr("hollow node"));

  SetLoad("1m");
  EXPECT_TRUE(Eventually([&] { return Replicas() == 1; }))
      << Does("kubectl describe hpa test-scale-hpa");
  EXPECT_THAT(Does("kubectl describe hpa test-scale-hpa"),
              HasSubstr("reason: All metrics below target"));
}

TEST_F(AutoscaleTest, IsMadeByKubectlAutoscale) {
  const absl::string_view all = kDeployment;
  Does("kubectl apply -f -", all.substr(0, all.find("---")));
  Does("kubectl autoscale deployment test-scale-deployment --min=2 --max=4 --cpu-percent=50");
  EXPECT_TRUE(Eventually([&] { return Replicas() == 2; }));
  EXPECT_THAT(Does("kubectl describe hpa test-scale-deployment"),
              HasSubstr("Current number of replicas below Spec.MinReplicas"));
  const Answer exec = cluster_->Shell("kubectl exec deployment/test-scale-deployment -- ls");
  EXPECT_NE(exec.exit_status, 0);
  EXPECT_THAT(exec.output, HasSubstr("this is a hollow node"));
}

}  // namespace
}  // namespace meltemi::controllers
