// Autoscalers against the API server in memory, with figures that the test sets.
#include "orchestrator/controllers/autoscaler/autoscaler.h"

#include <map>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kube/apps/v1/apps.pb.h"
#include "kube/autoscaling/v2/autoscaling.pb.h"
#include "orchestrator/controllers/runtime/testing/world.h"

namespace meltemi::controllers {
namespace {

using kube::apps::v1::Deployment;
using kube::autoscaling::v2::HorizontalPodAutoscaler;
using kube::core::v1::Pod;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

// Answers for metrics.k8s.io; everything else goes on.
class MetricsFake final : public kube::Client {
 public:
  explicit MetricsFake(World& world) : world_(world) {}
  kube::Result<kube::ApiAnswer> Call(const kube::ApiCall& call) override {
    if (!absl::StartsWith(call.path, "/apis/metrics.k8s.io/")) {
      return world_.process().client().Call(call);
    }
    if (down) return kube::ServiceUnavailable("the server is currently unable to handle it");
    const auto now =
        std::chrono::duration_cast<seconds>(world_.executor().clock().WallNow().time_since_epoch());
    std::string items;
    for (const auto& [pod, cpu] : cpu_milli) {
      absl::StrAppend(&items, items.empty() ? "" : ",", R"({"metadata":{"name":")", pod,
                      R"(","namespace":"default"},"timestamp":")", Rfc3339(now.count()),
                      R"(","window":"10s","containers":[{"name":"web","usage":{"cpu":")", cpu,
                      R"(m"}}]})");
    }
    return kube::ApiAnswer{200, absl::StrCat(R"({"items":[)", items, "]}")};
  }
  std::unique_ptr<kube::ApiWatch> Watch(const kube::ApiCall& call, kube::WatchSink& sink) override {
    return world_.process().client().Watch(call, sink);
  }

  std::map<std::string, int> cpu_milli;
  bool down = false;

 private:
  static std::string Rfc3339(int64_t seconds) {
    const std::time_t time = seconds;
    std::tm parts{};
    gmtime_r(&time, &parts);
    char text[32];
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts);
    return text;
  }
  World& world_;
};

class AutoscalerTest : public testing::Test {
 protected:
  AutoscalerTest()
      : metrics_(world_),
        context_{.client = metrics_,
                 .informers = world_.context().informers,
                 .executor = world_.context().executor,
                 .recorder = world_.context().recorder,
                 .random = world_.context().random} {
    world_.Run(NewAutoscalerController(context_, {}));
    world_.Create<Deployment>(
        "{metadata: {name: web}, spec: {replicas: 1, selector: {matchLabels: {app: web}}, "
        "template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: "
        "i}]}}}}");
  }
  // What a Deployment's controllers would keep, each pod asking for 100m.
  void SetPods(int count, int cpu_milli) {
    metrics_.cpu_milli.clear();
    for (int i = 0; i < count; ++i) {
      const std::string name = absl::StrCat("web-", i);
      metrics_.cpu_milli[name] = cpu_milli;
      if (world_.Find<Pod>(name).has_value()) continue;
      world_.Create<Pod>(absl::StrCat("{metadata: {name: ", name,
                                      ", labels: {app: web}}, spec: {containers: [{name: web, ",
                                      "image: i, resources: {requests: {cpu: 100m}}}]}}"));
    }
    world_.RunPods();
    // The deployment's status, for scale.
    world_.Patch<Deployment>("web", absl::StrCat("{status: {replicas: ", count, "}}"), "status");
  }
  void AddAutoscaler(absl::string_view spec, absl::string_view name = "web",
                     absl::string_view target =
                         "{apiVersion: apps/v1, kind: Deployment, name: "
                         "web}") {
    world_.Create<HorizontalPodAutoscaler>(absl::StrCat(
        "{metadata: {name: ", name, "}, spec: {scaleTargetRef: ", target, ", ", spec, "}}"));
    world_.Settle();
  }
  int32_t Replicas() { return world_.Get<Deployment>("web").spec().replicas(); }
  // "True ValidMetricFound the HPA was …"
  std::string Condition(absl::string_view type, absl::string_view name = "web") {
    const HorizontalPodAutoscaler hpa = world_.Get<HorizontalPodAutoscaler>(name);
    for (const auto& condition : hpa.status().conditions()) {
      if (condition.type() != type) continue;
      return absl::StrCat(condition.status(), " ", condition.reason(), " ", condition.message());
    }
    return "none";
  }

  World world_;
  MetricsFake metrics_;
  Context context_;
};

constexpr char kCpu80[] =
    "minReplicas: 1, maxReplicas: 10, metrics: [{type: Resource, resource: {name: cpu, target: "
    "{type: Utilization, averageUtilization: 80}}}]";

TEST_F(AutoscalerTest, ScalesWithTheLoadAndBack) {
  world_.AddNode("node-1");
  SetPods(1, 60);
  world_.Advance(minutes(6));
  AddAutoscaler(kCpu80);
  EXPECT_EQ(Replicas(), 1);
  EXPECT_EQ(Condition("ScalingActive"),
            "True ValidMetricFound the HPA was able to successfully calculate a replica count from "
            "cpu resource utilization (percentage of request)");
  HorizontalPodAutoscaler hpa = world_.Get<HorizontalPodAutoscaler>("web");
  EXPECT_EQ(hpa.status().current_metrics(0).resource().current().average_utilization(), 60);
  EXPECT_EQ(hpa.status().current_metrics(0).resource().current().average_value().string(), "60m");

  SetPods(1, 250);
  world_.Advance(seconds(15));
  EXPECT_EQ(Replicas(), 4);
  EXPECT_THAT(world_.Events(),
              Contains("Normal SuccessfulRescale New size: 4; reason: cpu resource utilization "
                       "(percentage of request) above target"));
  EXPECT_EQ(Condition("AbleToScale"),
            "True SucceededRescale the HPA controller was able to update the target scale to 4");
  EXPECT_TRUE(world_.Get<HorizontalPodAutoscaler>("web").status().has_last_scale_time());

  // Nothing is taken away for five minutes, then what is too much.
  SetPods(4, 5);
  world_.Advance(minutes(4));
  EXPECT_EQ(Replicas(), 4);
  EXPECT_THAT(Condition("AbleToScale"), HasSubstr("ScaleDownStabilized"));
  world_.Advance(minutes(2));
  EXPECT_EQ(Replicas(), 1);
  EXPECT_THAT(world_.Events(),
              Contains("Normal SuccessfulRescale New size: 1; reason: All metrics below target"));
}

TEST_F(AutoscalerTest, WritesNothingWhereNothingChanges) {
  world_.AddNode("node-1");
  SetPods(1, 60);
  AddAutoscaler(kCpu80);
  world_.Advance(minutes(10));
  const size_t writes = world_.Writes();
  world_.Advance(minutes(10));
  EXPECT_EQ(world_.Writes(), writes);
}

TEST_F(AutoscalerTest, KeepsToItsBounds) {
  AddAutoscaler("minReplicas: 3, maxReplicas: 5");
  EXPECT_EQ(Replicas(), 3);
  EXPECT_THAT(world_.Events(), Contains("Normal SuccessfulRescale New size: 3; reason: Current "
                                        "number of replicas below Spec.MinReplicas"));
  world_.Patch<Deployment>("web", "{spec: {replicas: 9}}");
  world_.Advance(seconds(15));
  EXPECT_EQ(Replicas(), 5);
  world_.Patch<Deployment>("web", "{spec: {replicas: 0}}");
  world_.Advance(seconds(15));
  EXPECT_EQ(Replicas(), 0);
  EXPECT_EQ(Condition("ScalingActive"),
            "False ScalingDisabled scaling is disabled since the replica count of the target is "
            "zero");
}

TEST_F(AutoscalerTest, SaysWhyItCantScale) {
  world_.AddNode("node-1");
  AddAutoscaler(kCpu80);
  EXPECT_EQ(Condition("ScalingActive"),
            "False FailedGetResourceMetric the HPA was unable to compute the replica count: failed "
            "to get cpu utilization: unable to get metrics for resource cpu: no metrics returned "
            "from resource metrics API");
  std::vector<std::string> events = world_.Events();
  EXPECT_THAT(events, Contains("Warning FailedGetResourceMetric failed to get cpu utilization: "
                               "unable to get metrics for resource cpu: no metrics returned from "
                               "resource metrics API"));
  EXPECT_THAT(events, Contains(HasSubstr("Warning FailedComputeMetricsReplicas invalid metrics (1 "
                                         "invalid out of 1), first error is: failed to get cpu "
                                         "resource metric value: failed to get cpu utilization")));
  metrics_.down = true;
  world_.Advance(seconds(15));
  EXPECT_THAT(Condition("ScalingActive"),
              HasSubstr("unable to fetch metrics from resource metrics API"));
  EXPECT_EQ(Replicas(), 1);
}

TEST_F(AutoscalerTest, SaysThatATargetIsNotThere) {
  AddAutoscaler("maxReplicas: 5", "gone", "{apiVersion: apps/v1, kind: Deployment, name: gone}");
  EXPECT_EQ(Condition("AbleToScale", "gone"),
            "False FailedGetScale the HPA controller was unable to get the target's current scale: "
            "deployments.apps \"gone\" not found");
  AddAutoscaler("maxReplicas: 5", "odd", "{apiVersion: example.com/v1, kind: Thing, name: x}");
  EXPECT_EQ(Condition("AbleToScale", "odd"),
            "False FailedGetScale the HPA controller was unable to get the target's current scale: "
            "no matches for kind \"Thing\" in group \"example.com\"");
}

TEST_F(AutoscalerTest, NeedsApisForOtherMetrics) {
  world_.AddNode("node-1");
  SetPods(1, 50);
  AddAutoscaler(
      "maxReplicas: 5, metrics: [{type: Pods, pods: {metric: {name: rps}, target: {type: "
      "AverageValue, averageValue: '10'}}}]");
  EXPECT_EQ(Condition("ScalingActive"),
            "False FailedGetPodsMetric the HPA was unable to compute the replica count: unable to "
            "get metric rps: unable to fetch metrics from custom metrics API: no custom metrics "
            "API (custom.metrics.k8s.io) registered");
}

TEST_F(AutoscalerTest, TakesNothingAwayWhileAMetricFails) {
  world_.AddNode("node-1");
  const std::string metrics = absl::StrCat(
      "maxReplicas: 10, metrics: [{type: Resource, resource: {name: cpu, target: {type: "
      "Utilization, averageUtilization: 80}}}, {type: Pods, pods: {metric: {name: rps}, target: ",
      "{type: AverageValue, averageValue: '10'}}}]");
  world_.Patch<Deployment>("web", "{spec: {replicas: 3}}");
  SetPods(3, 1);
  world_.Advance(minutes(6));
  AddAutoscaler(metrics);
  world_.Advance(minutes(10));
  EXPECT_EQ(Replicas(), 3);
  EXPECT_THAT(Condition("ScalingActive"), HasSubstr("False FailedGetPodsMetric"));
  // What is asked for by the other is given.
  SetPods(3, 160);
  world_.Advance(seconds(15));
  EXPECT_EQ(Replicas(), 6);
}

TEST_F(AutoscalerTest, RefusesPodsThatAnotherScales) {
  world_.AddNode("node-1");
  SetPods(1, 500);
  AddAutoscaler("maxReplicas: 5", "first");
  AddAutoscaler("maxReplicas: 5", "second");
  world_.Advance(seconds(15));
  EXPECT_EQ(Condition("ScalingActive", "second"),
            "False AmbiguousSelector pods by selector app=web are controlled by multiple HPAs: "
            "[{first default} {second default}]");
  world_.Delete<HorizontalPodAutoscaler>("first");
  world_.Advance(seconds(15));
  EXPECT_THAT(Condition("ScalingActive", "second"), HasSubstr("True ValidMetricFound"));
}

}  // namespace
}  // namespace meltemi::controllers
