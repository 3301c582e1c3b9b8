// HorizontalPodAutoscalers, in both versions.
#include "absl/strings/str_cat.h"
#include "orchestrator/apiserver/kinds/kind_test.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;

class Hpa : public KindTest {
 protected:
  Hpa() { Use("autoscaling", "v2", "horizontalpodautoscalers"); }
  static std::string With(absl::string_view spec) {
    return absl::StrCat(R"(
apiVersion: autoscaling/v2
metadata: {name: web, namespace: d}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
)",
                        spec);
  }
};

TEST_F(Hpa, GetsTheCpuMetricAndBehaviorByDefault) {
  const json::Value object = Created(With("  maxReplicas: 5\n  behavior: {scaleDown: {}}\n"));
  EXPECT_EQ(Json(Get(object, "spec", "metrics")),
            R"([{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization",)"
            R"("averageUtilization":80}}}])");
  EXPECT_EQ(Int(Get(object, "spec"), "minReplicas"), 1);
  EXPECT_EQ(Json(Get(object, "spec", "behavior", "scaleDown")),
            R"({"selectPolicy":"Max","policies":[{"type":"Percent","value":100,)"
            R"("periodSeconds":15}]})");
  EXPECT_EQ(Int(Get(object, "spec", "behavior", "scaleUp"), "stabilizationWindowSeconds", -1), 0);
  EXPECT_THAT(CreateErrors(With("  maxReplicas: 5\n")), IsEmpty());
  EXPECT_FALSE(Has(Get(Created(R"(
metadata: {name: web, annotations: {autoscaling.alpha.kubernetes.io/conditions: '[]'}}
spec: {maxReplicas: 5}
)"),
                       "metadata"),
                   "annotations"));
}

TEST_F(Hpa, WhatIsWrongIsToldInKubernetesWords) {
  const std::pair<const char*, const char*> cases[] = {
      {"  maxReplicas: 0\n", "spec.maxReplicas: Invalid value: 0: must be greater than 0"},
      {"  minReplicas: 3\n  maxReplicas: 2\n",
       "spec.maxReplicas: Invalid value: 2: must be greater than or equal to `minReplicas`"},
      {"  minReplicas: 0\n  maxReplicas: 2\n",
       "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1"},
      {"  maxReplicas: 2\n  metrics: [{type: Pods}]\n",
       "spec.metrics[0].pods: Required value: must populate information for the given metric "
       "source"},
      {"  maxReplicas: 2\n  metrics: [{type: Load}]\n",
       R"(spec.metrics[0].type: Unsupported value: "Load": supported values: )"
       R"("ContainerResource", "External", "Object", "Pods", "Resource")"},
      {"  maxReplicas: 2\n  metrics: [{type: Resource, resource: {name: cpu, target: {type: "
       "Utilization}}}]\n",
       "spec.metrics[0].resource.target.averageUtilization: Required value: must set either a "
       "target raw value or a target utilization"},
      {"  maxReplicas: 2\n  metrics: [{type: Pods, pods: {metric: {name: rps}, target: {type: "
       "AverageValue, averageValue: '0'}}}]\n",
       "spec.metrics[0].pods.target.averageValue: Invalid value: 0: must be positive"},
      {"  maxReplicas: 2\n  behavior: {scaleUp: {policies: [{type: Pods, value: 0, "
       "periodSeconds: 2000}]}}\n",
       "spec.behavior.scaleUp.policies[0].periodSeconds: Invalid value: 2000: must be less than or "
       "equal to 1800"},
      {"  maxReplicas: 2\n  behavior: {scaleUp: {stabilizationWindowSeconds: 4000}}\n",
       "spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: 4000: must be less than "
       "or equal to 3600"},
  };
  for (const auto& [spec, expected] : cases) {
    EXPECT_THAT(CreateErrors(With(spec)), Contains(expected)) << spec;
  }
  EXPECT_THAT(CreateErrors("metadata: {name: web, namespace: d}\nspec: {maxReplicas: 1}\n"),
              ElementsAre("spec.scaleTargetRef.kind: Required value",
                          "spec.scaleTargetRef.name: Required value"));
}

TEST_F(Hpa, ATableShowsItsTargets) {
  EXPECT_THAT(Row(With(R"(  minReplicas: 2
  maxReplicas: 9
  metrics:
  - {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}
  - {type: Pods, pods: {metric: {name: rps}, target: {averageValue: '20'}}}
  - {type: Object, object: {target: {value: '5'}}}
status:
  currentReplicas: 4
  currentMetrics:
  - {type: Resource, resource: {name: cpu, current: {averageUtilization: 30}}}
)")),
              ElementsAre("web", "Deployment/web", "cpu: 30%/80%, <unknown>/20 + 1 more...", "2",
                          "9", "4", "<unknown>"));
}

TEST_F(Hpa, Version1KeepsTheRestInAnnotations) {
  const Resource& v1 = Find("autoscaling", "v1", "horizontalpodautoscalers");
  ASSERT_NE(v1.to_storage, nullptr);
  EXPECT_EQ(v1.storage_version, "autoscaling/v2");
  const json::Value v2 = Yaml(With(R"(  maxReplicas: 9
  metrics:
  - {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 70}}}
  - {type: Pods, pods: {metric: {name: rps}, target: {type: AverageValue, averageValue: '20'}}}
  behavior: {scaleDown: {stabilizationWindowSeconds: 60}}
status:
  currentReplicas: 1
  currentMetrics:
  - {type: Resource, resource: {name: cpu, current: {averageUtilization: 30, averageValue: 10m}}}
  conditions: [{type: AbleToScale, status: 'True'}]
)"));
  json::Value object = v2;
  v1.from_storage(object);
  EXPECT_EQ(Int(Get(object, "spec"), "targetCPUUtilizationPercentage"), 70);
  EXPECT_EQ(Int(Get(object, "status"), "currentCPUUtilizationPercentage"), 30);
  EXPECT_FALSE(Has(Get(object, "spec"), "metrics"));
  const json::Value& annotations = Get(object, "metadata", "annotations");
  EXPECT_EQ(Text(annotations, "autoscaling.alpha.kubernetes.io/metrics"),
            R"([{"type":"Pods","pods":{"metricName":"rps","targetAverageValue":"20"}}])");
  EXPECT_EQ(Text(annotations, "autoscaling.alpha.kubernetes.io/behavior"),
            R"({"ScaleDown":{"StabilizationWindowSeconds":60}})");
  EXPECT_EQ(Text(annotations, "autoscaling.alpha.kubernetes.io/conditions"),
            R"([{"type":"AbleToScale","status":"True"}])");

  v1.to_storage(object);
  EXPECT_FALSE(Has(Get(object, "metadata"), "annotations"));
  EXPECT_TRUE(Same(Get(object, "spec", "behavior"), Get(v2, "spec", "behavior")));
  EXPECT_TRUE(Same(Get(object, "status"), Get(v2, "status"))) << Json(Get(object, "status"));
  // As in Kubernetes, the CPU comes last when it comes back.
  EXPECT_EQ(Text(Items(Get(object, "spec"), "metrics")[0], "type"), "Pods");
  EXPECT_EQ(Items(Get(object, "spec"), "metrics").size(), 2u);
}

TEST_F(Hpa, Version1IsDefaultedAndValidatedAsVersion2) {
  Use("autoscaling", "v1", "horizontalpodautoscalers");
  const char* text = R"(
apiVersion: autoscaling/v1
metadata: {name: web, namespace: d}
spec: {maxReplicas: 5, scaleTargetRef: {kind: Deployment, name: web}}
)";
  EXPECT_EQ(Int(Get(Created(text), "spec"), "targetCPUUtilizationPercentage"), 80);
  EXPECT_THAT(CreateErrors(R"(
apiVersion: autoscaling/v1
metadata:
  name: web
  namespace: d
  annotations: {autoscaling.alpha.kubernetes.io/metrics: '[{"type":"Pods"}]'}
spec: {maxReplicas: 5, scaleTargetRef: {kind: Deployment, name: web}}
)"),
              Contains("spec.metrics[0].pods: Required value: must populate information for the "
                       "given metric source"));
}

}  // namespace
}  // namespace meltemi::apiserver
