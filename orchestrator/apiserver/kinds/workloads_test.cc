// Deployments, ReplicaSets, DaemonSets, StatefulSets, ReplicationControllers, ControllerRevisions.
#include "orchestrator/apiserver/kinds/workloads.h"

#include "absl/strings/str_cat.h"
#include "orchestrator/apiserver/kinds/kind_test.h"

namespace meltemi::apiserver {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class Workloads : public KindTest {
 protected:
  static std::string With(absl::string_view spec, absl::string_view labels = "{app: web}") {
    return absl::StrCat(
        "metadata: {name: web, namespace: blue}\nspec: {selector: {matchLabels: {app: web}}, "
        "template: {metadata: {labels: ",
        labels, "}, spec: {containers: [{name: a, image: b}]}}", spec.empty() ? "" : ", ", spec,
        "}");
  }
  // The spec without its template.
  std::string SpecOf(absl::string_view text) {
    json::Value spec = *Created(text).Find("spec");
    spec.Remove("template");
    spec.Remove("selector");
    return Json(spec);
  }
};

TEST_F(Workloads, DeploymentsGetKubernetesDefaults) {
  Use("apps", "v1", "deployments");
  EXPECT_EQ(SpecOf(With("")),
            R"({"replicas":1,"strategy":{"type":"RollingUpdate","rollingUpdate":)"
            R"({"maxUnavailable":"25%","maxSurge":"25%"}},"revisionHistoryLimit":10,)"
            R"("progressDeadlineSeconds":600})");
  const json::Value object = Created(With(""));
  EXPECT_EQ(object.Find("metadata", "generation")->AsInt64(), 1);
  EXPECT_EQ(object.Find("spec", "template", "spec", "restartPolicy")->text(), "Always");
  EXPECT_EQ(Json(*object.Find("status")), "{}");
}

TEST_F(Workloads, TheOthersToo) {
  Use("apps", "v1", "daemonsets");
  EXPECT_EQ(SpecOf(With("")),
            R"({"updateStrategy":{"type":"RollingUpdate","rollingUpdate":{"maxUnavailable":1,)"
            R"("maxSurge":0}},"revisionHistoryLimit":10})");
  EXPECT_EQ(Json(*Created(With("")).Find("status")),
            R"({"currentNumberScheduled":0,"numberMisscheduled":0,"desiredNumberScheduled":0,)"
            R"("numberReady":0})");
  Use("apps", "v1", "statefulsets");
  EXPECT_EQ(SpecOf(With("serviceName: web")),
            R"({"serviceName":"web","podManagementPolicy":"OrderedReady","updateStrategy":{"type":)"
            R"("RollingUpdate","rollingUpdate":{"partition":0}},)"
            R"("persistentVolumeClaimRetentionPolicy":{"whenDeleted":"Retain","whenScaled":)"
            R"("Retain"},"replicas":1,"revisionHistoryLimit":10})");
  Use("apps", "v1", "replicasets");
  EXPECT_EQ(SpecOf(With("")), R"({"replicas":1})");
}

TEST_F(Workloads, AReplicationControllerTakesItsSelectorFromTheTemplate) {
  Use("", "v1", "replicationcontrollers");
  const json::Value object = Created(
      "metadata: {name: web, namespace: blue}\nspec: {template: {metadata: {labels: {app: web}}, "
      "spec: {containers: [{name: a, image: b}]}}}");
  EXPECT_EQ(Json(*object.Find("spec", "selector")), R"({"app":"web"})");
  EXPECT_EQ(Json(*object.Find("metadata", "labels")), R"({"app":"web"})");
}

TEST_F(Workloads, ValidOnesAreTaken) {
  for (const char* plural : {"deployments", "replicasets", "daemonsets", "statefulsets"}) {
    Use("apps", "v1", plural);
    EXPECT_THAT(CreateErrors(With("")), IsEmpty()) << plural;
  }
}

TEST_F(Workloads, TheSelectorMustMatchTheTemplate) {
  for (const char* plural : {"deployments", "replicasets", "daemonsets", "statefulsets"}) {
    Use("apps", "v1", plural);
    EXPECT_THAT(CreateErrors(With("", "{app: other}")),
                ElementsAre("spec.template.metadata.labels: Invalid value: "
                            "map[string]string{\"app\":\"other\"}: `selector` does not match "
                            "template `labels`"))
        << plural;
  }
}

TEST_F(Workloads, AMissingTemplateIsAnEmptyOne) {
  Use("apps", "v1", "deployments");
  EXPECT_THAT(CreateErrors("metadata: {name: a, namespace: b}\nspec: {selector: {matchLabels: {a: "
                           "b}}}"),
              ElementsAre("spec.template.metadata.labels: Invalid value: map[string]string(nil): "
                          "`selector` does not match template `labels`",
                          "spec.template.spec.containers: Required value"));
}

TEST_F(Workloads, TheSelectorMayNotChange) {
  const std::string changed =
      "metadata: {name: web, namespace: blue}\nspec: {selector: {matchLabels: {app: x}}, template: "
      "{metadata: {labels: {app: x}}, spec: {containers: [{name: a, image: b}]}}}";
  for (const char* plural : {"deployments", "replicasets", "daemonsets"}) {
    Use("apps", "v1", plural);
    EXPECT_THAT(UpdateErrors(With(""), changed),
                ElementsAre("spec.selector: Invalid value: "
                            "v1.LabelSelector{MatchLabels:map[string]string{\"app\":\"x\"}, "
                            "MatchExpressions:[]v1.LabelSelectorRequirement(nil)}: field is "
                            "immutable"))
        << plural;
  }
  Use("apps", "v1", "statefulsets");
  EXPECT_THAT(UpdateErrors(With("serviceName: a"), With("serviceName: b")),
              ElementsAre("spec: Forbidden: updates to statefulset spec for fields other than "
                          "'replicas', 'ordinals', 'template', 'updateStrategy', "
                          "'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are "
                          "forbidden"));
  EXPECT_THAT(UpdateErrors(With("replicas: 1"), With("replicas: 3")), IsEmpty());
}

TEST_F(Workloads, ContainersOfAStatefulSetMountItsClaims) {
  Use("apps", "v1", "statefulsets");
  const auto mounting = [](const char* volume) {
    return absl::StrCat(
        "{metadata: {name: web, namespace: blue}, spec: {serviceName: a, selector: {matchLabels: "
        "{app: x}}, volumeClaimTemplates: "
        "[{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: "
        "{storage: 1Gi}}}}], template: {metadata: {labels: {app: x}}, spec: {containers: [{name: "
        "a, image: b, volumeMounts: [{name: ",
        volume, ", mountPath: /data}]}]}}}}");
  };
  EXPECT_THAT(CreateErrors(mounting("data")), IsEmpty());
  EXPECT_THAT(CreateErrors(mounting("other")),
              ElementsAre("spec.template.spec.containers[0].volumeMounts[0].name: Not found: "
                          "\"other\""));
}

struct Wrong {
  const char* plural;
  const char* spec;
  const char* error;
};

TEST_F(Workloads, SpecsThatAreRefused) {
  for (const auto& [plural, spec, error] : std::vector<Wrong>{
           {"deployments", "replicas: -1",
            "spec.replicas: Invalid value: -1: must be greater than or equal to 0"},
           {"deployments", "strategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 0}}",
            "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "
            "intstr.IntOrString{Type:0, IntVal:0, StrVal:\"\"}: may not be 0 when `maxSurge` is "
            "0"},
           {"deployments", "strategy: {type: Recreate, rollingUpdate: {maxSurge: 1}}",
            "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is "
            "'Recreate'"},
           {"deployments", "strategy: {rollingUpdate: {maxUnavailable: 101%}}",
            "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "
            "intstr.IntOrString{Type:1, IntVal:0, StrVal:\"101%\"}: must not be greater than "
            "100%"},
           {"deployments", "minReadySeconds: 600",
            "spec.progressDeadlineSeconds: Invalid value: 600: must be greater than "
            "minReadySeconds"},
           {"daemonsets", "updateStrategy: {rollingUpdate: {maxSurge: 1}}",
            "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: intstr.IntOrString{Type:0, "
            "IntVal:1, StrVal:\"\"}: may not be set when maxUnavailable is non-zero"},
           {"statefulsets", "podManagementPolicy: Never",
            "spec.podManagementPolicy: Invalid value: \"Never\": must be 'OrderedReady' or "
            "'Parallel'"},
       }) {
    Use("apps", "v1", plural);
    EXPECT_THAT(CreateErrors(With(spec)), ElementsAre(error)) << plural << " " << spec;
  }
  Use("apps", "v1", "deployments");
  EXPECT_THAT(CreateErrors("metadata: {name: a, namespace: b}\nspec: {selector: {}, template: "
                           "{metadata: {labels: {a: b}}, spec: {restartPolicy: Never, containers: "
                           "[{name: a, image: b}]}}}"),
              ElementsAre("spec.selector: Invalid value: "
                          "v1.LabelSelector{MatchLabels:map[string]string(nil), "
                          "MatchExpressions:[]v1.LabelSelectorRequirement(nil)}: empty selector is "
                          "invalid for deployment",
                          "spec.template.spec.restartPolicy: Unsupported value: \"Never\": "
                          "supported values: \"Always\""));
}

TEST_F(Workloads, GenerationsCountChangesOfTheSpec) {
  Use("apps", "v1", "deployments");
  const auto generation = [this](const std::string& text) {
    return Updated(With("replicas: 1"), text).Find("metadata", "generation")->AsInt64();
  };
  EXPECT_EQ(generation(With("replicas: 1")), 1);
  EXPECT_EQ(generation(With("replicas: 2")), 2);
  std::string annotated = With("replicas: 1");
  annotated.insert(annotated.find("namespace: blue"), "annotations: {a: b}, ");
  EXPECT_EQ(generation(annotated), 2);
  Use("apps", "v1", "replicasets");
  EXPECT_EQ(generation(annotated), 1);
}

TEST_F(Workloads, TheStatusOfADeploymentTakesAnnotationsAlongButNoLabels) {
  Use("apps", "v1", "deployments");
  std::string sent = With("replicas: 9") + "\nstatus: {observedGeneration: 1}";
  sent.insert(sent.find("namespace: blue"), "annotations: {a: b}, labels: {c: d}, ");
  const json::Value object = Updated(With("replicas: 1"), sent, Scope::kStatus);
  EXPECT_EQ(Json(*object.Find("metadata", "annotations")), R"({"a":"b"})");
  EXPECT_EQ(object.Find("metadata", "labels"), nullptr);
  EXPECT_EQ(object.Find("metadata", "generation")->AsInt64(), 1);
  EXPECT_EQ(object.Find("spec", "replicas")->AsInt64(), 1);
}

TEST_F(Workloads, CountersOfAStatusFitTogether) {
  Use("apps", "v1", "replicasets");
  EXPECT_THAT(UpdateErrors(With(""), With("") + "\nstatus: {replicas: 1, readyReplicas: 2}",
                           Scope::kStatus),
              ElementsAre("status.readyReplicas: Invalid value: 2: cannot be greater than "
                          "status.replicas"));
}

TEST_F(Workloads, RevisionsNeverChange) {
  Use("apps", "v1", "controllerrevisions");
  const char* revision = "metadata: {name: a, namespace: b}\nrevision: 1\ndata: {spec: {x: y}}";
  EXPECT_THAT(CreateErrors(revision), IsEmpty());
  EXPECT_THAT(CreateErrors("metadata: {name: a, namespace: b}\nrevision: 1"),
              ElementsAre("data: Required value: data is mandatory"));
  EXPECT_THAT(UpdateErrors(revision,
                           "metadata: {name: a, namespace: b}\nrevision: 2\ndata: {spec: "
                           "{x: z}}"),
              testing::SizeIs(1));
}

TEST_F(Workloads, TablesShowHowFarTheyAre) {
  const std::string pods =
      "template: {spec: {containers: [{name: a, image: b}, {name: c, image: d}], nodeSelector: {x: "
      "y}}}, selector: {matchLabels: {app: web}}";
  Use("apps", "v1", "deployments");
  EXPECT_THAT(Row(absl::StrCat("{metadata: {name: web}, spec: {replicas: 3, ", pods,
                               "}, status: {readyReplicas: 2, updatedReplicas: 3, "
                               "availableReplicas: 1}}")),
              ElementsAre("web", "2/3", "3", "1", "<unknown>", "a,c", "b,d", "app=web"));
  Use("apps", "v1", "replicasets");
  EXPECT_THAT(Row(absl::StrCat("{metadata: {name: web}, spec: {replicas: 3, ", pods,
                               "}, status: {replicas: 2, readyReplicas: 1}}")),
              ElementsAre("web", "3", "2", "1", "<unknown>", "a,c", "b,d", "app=web"));
  Use("apps", "v1", "daemonsets");
  EXPECT_THAT(
      Row(absl::StrCat("{metadata: {name: web}, spec: {", pods,
                       "}, status: {desiredNumberScheduled: 5, currentNumberScheduled: 4, "
                       "numberReady: 3, updatedNumberScheduled: 2, numberAvailable: 1}}")),
      ElementsAre("web", "5", "4", "3", "2", "1", "x=y", "<unknown>", "a,c", "b,d", "app=web"));
  Use("apps", "v1", "statefulsets");
  EXPECT_THAT(Row(absl::StrCat("{metadata: {name: web}, spec: {replicas: 3, ", pods,
                               "}, status: {readyReplicas: 1}}")),
              ElementsAre("web", "1/3", "<unknown>", "a,c", "b,d"));
  Use("apps", "v1", "controllerrevisions");
  EXPECT_THAT(Row("{metadata: {name: web-1, ownerReferences: [{apiVersion: apps/v1, kind: "
                  "StatefulSet, name: web, controller: true}]}, revision: 3}"),
              ElementsAre("web-1", "statefulset.apps/web", "3", "<unknown>"));
}

}  // namespace
}  // namespace meltemi::apiserver
