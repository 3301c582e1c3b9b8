// Pods: defaults, validation, what may change, what tables show.
#include "orchestrator/apiserver/kinds/pod.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "orchestrator/apiserver/kinds/kind_test.h"
#include "orchestrator/apiserver/kinds/pod_update.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class Pods : public KindTest {
 protected:
  Pods() { Use("", "v1", "pods"); }

  // A pod whose spec has these members beside one valid container, unless it brings its own.
  static std::string With(absl::string_view spec) {
    const bool has_containers =
        spec.find(" containers:") != absl::string_view::npos || spec.substr(0, 11) == "containers:";
    return absl::StrCat("metadata: {name: web, namespace: blue}\nspec: {",
                        has_containers ? "" : "containers: [{name: main, image: nginx}], ", spec,
                        "}");
  }
  static std::string WithContainer(absl::string_view members) {
    return With(absl::StrCat("containers: [{name: main, image: nginx, ", members, "}]"));
  }
};

TEST_F(Pods, GetKubernetesDefaults) {
  const json::Value pod = Created(R"(
metadata: {name: web, namespace: blue}
spec:
  containers:
  - name: main
    image: nginx
    ports: [{containerPort: 80}]
    livenessProbe: {httpGet: {port: 80}}
    resources: {limits: {cpu: 500m, memory: 1Gi}}
    env: [{name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]
  - {name: side, image: "envoy:v1"}
  volumes:
  - {name: a}
  - {name: b, secret: {secretName: s}}
  - {name: c, projected: {sources: [{serviceAccountToken: {path: token}}]}}
)");
  const json::Value expected = Yaml(R"(
containers:
- name: main
  image: nginx
  ports: [{containerPort: 80, protocol: TCP}]
  livenessProbe:
    httpGet: {port: 80, path: /, scheme: HTTP}
    timeoutSeconds: 1
    periodSeconds: 10
    successThreshold: 1
    failureThreshold: 3
  resources: {limits: {cpu: 500m, memory: 1Gi}, requests: {cpu: 500m, memory: 1Gi}}
  env: [{name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP, apiVersion: v1}}}]
  imagePullPolicy: Always
  terminationMessagePath: /dev/termination-log
  terminationMessagePolicy: File
- name: side
  image: "envoy:v1"
  imagePullPolicy: IfNotPresent
  terminationMessagePath: /dev/termination-log
  terminationMessagePolicy: File
  resources: {}
volumes:
- {name: a, emptyDir: {}}
- {name: b, secret: {secretName: s, defaultMode: 420}}
- name: c
  projected: {sources: [{serviceAccountToken: {path: token, expirationSeconds: 3600}}],
   defaultMode: 420}
dnsPolicy: ClusterFirst
restartPolicy: Always
securityContext: {}
terminationGracePeriodSeconds: 30
schedulerName: default-scheduler
enableServiceLinks: true
)");
  EXPECT_TRUE(Same(*pod.Find("spec"), expected))
      << Difference(expected, *pod.Find("spec")) << Json(pod);
  EXPECT_EQ(Json(*pod.Find("status")), R"({"phase":"Pending","qosClass":"Burstable"})");
}

TEST_F(Pods, HostNetworkPortsAreTheContainersPorts) {
  const json::Value pod =
      Defaulted(With("hostNetwork: true, containers: [{name: a, image: b, ports: [{containerPort: "
                     "80}]}]"));
  EXPECT_THAT(Json(pod), HasSubstr(R"("hostPort":80)"));
}

TEST_F(Pods, AGateKeepsAPodFromBeingScheduled) {
  const json::Value pod = Created(With("schedulingGates: [{name: example.com/wait}]"));
  EXPECT_EQ(Json(*pod.Find("status", "conditions")),
            R"([{"type":"PodScheduled","status":"False","reason":"SchedulingGated","message":)"
            R"("Scheduling is blocked due to non-empty scheduling gates"}])");
}

TEST_F(Pods, QualityOfServiceFollowsFromResources) {
  const auto qos = [this](absl::string_view container) {
    return std::string(Created(WithContainer(container)).Find("status")->FindString("qosClass"));
  };
  EXPECT_EQ(qos("args: [a]"), "BestEffort");
  EXPECT_EQ(qos("resources: {requests: {cpu: 1}}"), "Burstable");
  EXPECT_EQ(qos("resources: {limits: {cpu: 1, memory: 1Gi}}"), "Guaranteed");
  EXPECT_EQ(qos("resources: {limits: {cpu: 1, memory: 1Gi}, requests: {cpu: 500m}}"), "Burstable");
}

TEST_F(Pods, ValidOnesAreTaken) {
  EXPECT_THAT(CreateErrors(With("nodeName: n1")), IsEmpty());
  EXPECT_THAT(CreateErrors(R"(
metadata: {name: web, namespace: blue}
spec:
  serviceAccountName: default
  initContainers:
  - {name: proxy, image: envoy, restartPolicy: Always, startupProbe: {tcpSocket: {port: http}}}
  containers:
  - name: main
    image: nginx
    command: [sh, -c, "sleep 1"]
    lifecycle: {preStop: {exec: {command: ["true"]}}}
    securityContext: {runAsUser: 1000, capabilities: {drop: [ALL]}}
    volumeMounts: [{name: data, mountPath: /data, subPath: x}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: c}}]
  tolerations: [{key: a, operator: Exists, effect: NoExecute, tolerationSeconds: 30}]
  affinity:
    nodeAffinity:
      requiredDuringSchedulingIgnoredDuringExecution:
        nodeSelectorTerms: [{matchExpressions: [{key: zone, operator: In, values: [a]}]}]
    podAntiAffinity:
      preferredDuringSchedulingIgnoredDuringExecution:
      - {weight: 1, podAffinityTerm: {topologyKey: kubernetes.io/hostname, labelSelector: {}}}
  topologySpreadConstraints:
  - {maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule, labelSelector: {}}
)"),
              IsEmpty());
}

struct Wrong {
  const char* spec;
  const char* error;
};

TEST_F(Pods, SpecsThatAreRefused) {
  for (const auto& [spec, error] : std::vector<Wrong>{
           {"containers: []", "spec.containers: Required value"},
           {"containers: [{name: a}]", "spec.containers[0].image: Required value"},
           {"containers: [{image: a}]", "spec.containers[0].name: Required value"},
           {"containers: [{name: a, image: b}, {name: a, image: b}]",
            R"(spec.containers[1].name: Duplicate value: "a")"},
           {"containers: [{name: a, image: \" b\"}]",
            R"(spec.containers[0].image: Invalid value: " b": must not have leading or trailing )"
            R"(whitespace)"},
           {"restartPolicy: Sometimes",
            R"(spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", )"
            R"("OnFailure", "Never")"},
           {"dnsPolicy: None",
            "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"},
           {"activeDeadlineSeconds: 0",
            "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, "
            "inclusive"},
           {"volumes: [{name: a, emptyDir: {}, hostPath: {path: /x}}]",
            "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"},
           {"volumes: [{name: a, secret: {}}]",
            "spec.volumes[0].secret.secretName: Required value"},
           {"volumes: [{name: a, hostPath: {path: /x/../y}}]",
            R"(spec.volumes[0].hostPath.path: Invalid value: "/x/../y": must not contain '..')"},
           {"tolerations: [{operator: Equal, value: b}]",
            R"(spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists )"
            R"(when `key` is empty, which means "match all values and all keys")"},
           {"tolerations: [{key: a, operator: Exists, tolerationSeconds: 3}]",
            R"(spec.tolerations[0].effect: Invalid value: "": effect must be 'NoExecute' when )"
            R"(`tolerationSeconds` is set)"},
           {"topologySpreadConstraints: [{maxSkew: 0, topologyKey: z, whenUnsatisfiable: "
            "DoNotSchedule}]",
            "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than "
            "zero"},
           {"hostUsers: false, hostNetwork: true",
            "spec.hostNetwork: Forbidden: when `pod.Spec.HostUsers` is false"},
           {"nodeName: a, schedulingGates: [{name: b}]",
            "spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"},
           {"ephemeralContainers: [{name: e, image: i}]",
            "spec.ephemeralContainers: Forbidden: cannot be set on create"},
           {"affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: "
            "{nodeSelectorTerms: []}}}",
            "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution."
            "nodeSelectorTerms: Required value: must have at least one node selector term"},
           {"securityContext: {runAsUser: -1}",
            "spec.securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, "
            "inclusive"},
           {"initContainers: [{name: i, image: j, livenessProbe: {exec: {command: [a]}}}]",
            "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers "
            "without restartPolicy=Always"},
       }) {
    EXPECT_THAT(CreateErrors(With(spec)), ElementsAre(error)) << spec;
  }
}

TEST_F(Pods, ContainersThatAreRefused) {
  for (const auto& [members, error] : std::vector<Wrong>{
           {"ports: [{containerPort: 0}]",
            "spec.containers[0].ports[0].containerPort: Required "
            "value"},
           {"ports: [{containerPort: 70000}]",
            "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 "
            "and 65535, inclusive"},
           {"ports: [{containerPort: 80, protocol: HTTP}]",
            R"(spec.containers[0].ports[0].protocol: Unsupported value: "HTTP": supported )"
            R"(values: "SCTP", "TCP", "UDP")"},
           {"ports: [{containerPort: 80, hostPort: 80}, {containerPort: 81, hostPort: 80}]",
            R"(spec.containers[0].ports[1].hostPort: Duplicate value: "TCP//80")"},
           {"env: [{name: A, value: b, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]",
            R"(spec.containers[0].env[0].valueFrom: Invalid value: "": may not be specified when )"
            R"(`value` is not empty)"},
           {"env: [{name: A, valueFrom: {fieldRef: {fieldPath: spec.replicas}}}]",
            R"(spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: )"
            R"("spec.replicas": error converting fieldPath: field label not supported: )"
            R"(spec.replicas)"},
           {"env: [{name: \"a=b\", value: c}]",
            R"(spec.containers[0].env[0].name: Invalid value: "a=b": a valid environment variable )"
            R"(name must consist only of printable ASCII characters other than '=')"},
           {"volumeMounts: [{name: data, mountPath: /data}]",
            R"(spec.containers[0].volumeMounts[0].name: Not found: "data")"},
           {"resources: {requests: {cpu: 2}, limits: {cpu: 1}}",
            R"(spec.containers[0].resources.requests: Invalid value: "2": must be less than or )"
            R"(equal to cpu limit of 1)"},
           {"resources: {requests: {example.com/gpu: 1}}",
            "spec.containers[0].resources.limits: Required value: Limit must be set for non "
            "overcommitable resources"},
           {"readinessProbe: {periodSeconds: 3}",
            "spec.containers[0].readinessProbe: Required value: must specify a handler type"},
           {"livenessProbe: {exec: {command: [a]}, successThreshold: 2}",
            "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1"},
           {"livenessProbe: {exec: {command: [a]}, tcpSocket: {port: 1}}",
            "spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 "
            "handler type"},
           {"imagePullPolicy: Perhaps",
            R"(spec.containers[0].imagePullPolicy: Unsupported value: "Perhaps": supported )"
            R"(values: "Always", "IfNotPresent", "Never")"},
           {"restartPolicy: Always",
            "spec.containers[0].restartPolicy: Forbidden: may not be set for non-init containers"},
       }) {
    EXPECT_THAT(CreateErrors(WithContainer(members)), ElementsAre(error)) << members;
  }
}

TEST_F(Pods, WhatMayChange) {
  const std::string old_pod =
      With("activeDeadlineSeconds: 50, containers: [{name: a, image: \"b:1\"}]");
  EXPECT_THAT(UpdateErrors(old_pod, With("activeDeadlineSeconds: 40, tolerations: [{key: k, "
                                         "operator: Exists}], containers: [{name: a, image: "
                                         "\"c:1\"}]")),
              IsEmpty());
  EXPECT_THAT(UpdateErrors(old_pod, With("activeDeadlineSeconds: 60, containers: [{name: a, image: "
                                         "\"b:1\"}]")),
              ElementsAre("spec.activeDeadlineSeconds: Invalid value: 60: must be less than or "
                          "equal to previous value"));
  EXPECT_THAT(UpdateErrors(old_pod, With("activeDeadlineSeconds: 50, containers: [{name: a, image: "
                                         "\"b:1\"}, {name: z, image: \"b:1\"}]")),
              ElementsAre("spec.containers: Forbidden: pod updates may not add or remove "
                          "containers"));
  EXPECT_THAT(
      UpdateErrors(old_pod, With("activeDeadlineSeconds: 50, nodeName: n, containers: [{name: a, "
                                 "image: \"b:1\"}]")),
      ElementsAre("spec: Forbidden: pod updates may not change fields other than "
                  "`spec.containers[*].image`,`spec.initContainers[*].image`,"
                  "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing "
                  "tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if "
                  "it was previously negative)\n+\tnodeName: \"n\"\n"));
  EXPECT_THAT(
      UpdateErrors(With("tolerations: [{key: k, operator: Exists}]"), With("nodeSelector: {}")),
      ElementsAre("spec.tolerations: Forbidden: existing toleration can not be modified "
                  "except its tolerationSeconds"));
}

TEST_F(Pods, ResourcesHaveKnownNames) {
  EXPECT_THAT(CreateErrors(WithContainer("resources: {requests: {disk: 1}}")),
              ElementsAre("spec.containers[0].resources.requests[disk]: Invalid value: \"disk\": "
                          "must be a standard resource type or fully qualified",
                          "spec.containers[0].resources.requests[disk]: Invalid value: \"disk\": "
                          "must be a standard resource for containers"));
}

TEST_F(Pods, GatesCanOnlyGo) {
  EXPECT_THAT(UpdateErrors(With("schedulingGates: [{name: a}, {name: b}]"),
                           With("schedulingGates: [{name: a}], nodeSelector: {zone: x}")),
              IsEmpty());
  EXPECT_THAT(
      UpdateErrors(With("schedulingGates: [{name: a}]"), With("schedulingGates: [{name: b}]")),
      ElementsAre("spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but "
                  "found new scheduling gate 'b'"));
}

TEST_F(Pods, StatusIsTheKubeletsAndSpecTheUsers) {
  const json::Value by_user =
      Updated(With("nodeName: n"), absl::StrCat(With("nodeName: n"), "\nstatus: {phase: Failed}"));
  EXPECT_EQ(by_user.Find("status")->FindString("phase"), "Pending");
  const json::Value by_kubelet =
      Updated(With("nodeName: n"),
              absl::StrCat(With("nodeName: other"), "\nstatus: {phase: Running}"), Scope::kStatus);
  EXPECT_EQ(by_kubelet.Find("status")->FindString("phase"), "Running");
  EXPECT_EQ(by_kubelet.Find("status")->FindString("qosClass"), "BestEffort");
  EXPECT_EQ(by_kubelet.Find("spec")->FindString("nodeName"), "n");
}

TEST_F(Pods, EphemeralContainersStay) {
  const json::Value old_pod = Created(With("nodeName: n"));
  json::Value pod =
      Defaulted(With("nodeName: other, ephemeralContainers: [{name: debug, image: busybox, "
                     "targetContainerName: main}]"));
  PrepareEphemeralUpdate(old_pod, pod);
  EXPECT_EQ(pod.Find("spec")->FindString("nodeName"), "n");
  EXPECT_THAT(Texts(ValidateEphemeralUpdate(old_pod, pod)), IsEmpty());
  EXPECT_THAT(Texts(ValidateEphemeralUpdate(pod, old_pod)),
              ElementsAre("spec.ephemeralContainers: Forbidden: existing ephemeral containers "
                          "\"debug\" may not be removed\n"));
}

TEST_F(Pods, BindingsNameANode) {
  EXPECT_THAT(Texts(ValidateBinding(Yaml("target: {kind: Node, name: n}"))), IsEmpty());
  EXPECT_THAT(Texts(ValidateBinding(Yaml("target: {kind: Pod}"))),
              ElementsAre("target.kind: Unsupported value: \"Pod\": supported values: \"Node\", "
                          "\"<empty>\"",
                          "target.name: Required value"));
}

TEST_F(Pods, GraceEndsWhereNobodyWouldFinishTheDeletion) {
  const Strategy& strategy = *resource_->strategy;
  const auto grace = [&](absl::string_view pod, std::optional<int64_t> requested = std::nullopt) {
    return strategy.GracePeriodSeconds(Yaml(pod), requested);
  };
  EXPECT_EQ(grace("spec: {nodeName: n, terminationGracePeriodSeconds: 30}"), 30);
  EXPECT_EQ(grace("spec: {nodeName: n, terminationGracePeriodSeconds: 30}", 5), 5);
  EXPECT_EQ(grace("spec: {terminationGracePeriodSeconds: 30}"), 0);
  EXPECT_EQ(grace("{spec: {nodeName: n, terminationGracePeriodSeconds: 30}, status: {phase: "
                  "Succeeded}}"),
            0);
  EXPECT_EQ(grace("spec: {nodeName: n, terminationGracePeriodSeconds: -1}"), 1);
}

TEST_F(Pods, FieldsForSelectorsAreSorted) {
  const kube::StringPairs fields = resource_->strategy->SelectableFields(
      Yaml("{spec: {nodeName: n}, status: {phase: Running}}"));
  EXPECT_TRUE(std::is_sorted(fields.begin(), fields.end()));
  EXPECT_THAT(fields, testing::Contains(std::pair<std::string, std::string>("spec.nodeName", "n")));
  EXPECT_EQ(fields.size(), resource_->strategy->SelectableFieldNames().size());
}

TEST_F(Pods, AuthorsAreWarned) {
  EXPECT_THAT(
      resource_->strategy->Warnings(
          *resource_, Yaml(With("nodeSelector: {beta.kubernetes.io/os: linux}, containers: "
                                "[{name: a, image: b, env: [{name: X}, {name: X}]}]"))),
      ElementsAre("spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "
                  "\"kubernetes.io/os\" instead",
                  "spec.containers[0].env[1]: hides previous definition of \"X\", which may "
                  "be dropped when using apply"));
}

struct Shown {
  const char* pod;
  const char *ready, *status, *restarts;
};

TEST_F(Pods, TablesTellTheirState) {
  constexpr int64_t kNow = 1767225600 + 3600;  // 2026-01-01T01:00:00Z
  for (const Shown& shown : std::vector<Shown>{
           {"{spec: {containers: [{name: a}]}, status: {phase: Pending}}", "0/1", "Pending", "0"},
           {"{spec: {containers: [{name: a}]}, status: {phase: Running, containerStatuses: [{name: "
            "a, ready: true, restartCount: 3, state: {running: {}}, lastState: {terminated: "
            "{finishedAt: \"2026-01-01T00:58:00Z\"}}}]}}",
            "1/1", "Running", "3 (2m ago)"},
           {"{spec: {containers: [{name: a}]}, status: {phase: Running, containerStatuses: [{name: "
            "a, restartCount: 1, state: {waiting: {reason: CrashLoopBackOff}}}]}}",
            "0/1", "CrashLoopBackOff", "1"},
           {"{spec: {containers: [{name: a}], initContainers: [{name: i}, {name: j}]}, status: "
            "{phase: Pending, initContainerStatuses: [{name: i, state: {terminated: {exitCode: "
            "0}}}, {name: j, state: {running: {}}}]}}",
            "0/1", "Init:1/2", "0"},
           {"{spec: {containers: [{name: a}], initContainers: [{name: i}]}, status: {phase: "
            "Pending, initContainerStatuses: [{name: i, restartCount: 2, state: {waiting: {reason: "
            "CrashLoopBackOff}}}]}}",
            "0/1", "Init:CrashLoopBackOff", "2"},
           {"{spec: {containers: [{name: a}], initContainers: [{name: p, restartPolicy: Always}]}, "
            "status: {phase: Running, conditions: [{type: Initialized, status: \"True\"}], "
            "initContainerStatuses: [{name: p, started: true, ready: true, state: {running: {}}}], "
            "containerStatuses: [{name: a, ready: true, state: {running: {}}}]}}",
            "2/2", "Running", "0"},
           {"{spec: {containers: [{name: a}]}, status: {phase: Failed, containerStatuses: [{name: "
            "a, state: {terminated: {exitCode: 137, signal: 9}}}]}}",
            "0/1", "Signal:9", "0"},
           {"{spec: {containers: [{name: a}]}, status: {phase: Succeeded, containerStatuses: "
            "[{name: a, state: {terminated: {reason: Completed}}}]}}",
            "0/1", "Completed", "0"},
           {"{metadata: {deletionTimestamp: x}, spec: {containers: [{name: a}]}, status: {phase: "
            "Running}}",
            "0/1", "Terminating", "0"},
           {"{metadata: {deletionTimestamp: x}, spec: {containers: [{name: a}]}, status: {phase: "
            "Running, reason: NodeLost}}",
            "0/1", "Unknown", "0"},
           {"{spec: {containers: [{name: a}]}, status: {phase: Failed, reason: Evicted}}", "0/1",
            "Evicted", "0"},
           {"{spec: {containers: [{name: a}]}, status: {phase: Pending, conditions: [{type: "
            "PodScheduled, status: \"False\", reason: SchedulingGated}]}}",
            "0/1", "SchedulingGated", "0"},
       }) {
    const std::vector<std::string> row = Row(shown.pod, kNow);
    EXPECT_THAT((std::vector<std::string>{row[1], row[2], row[3]}),
                ElementsAre(shown.ready, shown.status, shown.restarts))
        << shown.pod;
  }
  EXPECT_THAT(Row("{metadata: {name: web, creationTimestamp: \"2026-01-01T00:00:00Z\"}, spec: "
                  "{nodeName: n, containers: [{name: a}], readinessGates: [{conditionType: g}]}, "
                  "status: {phase: Running, podIPs: [{ip: 10.0.0.1}], conditions: [{type: g, "
                  "status: \"True\"}]}}",
                  kNow),
              ElementsAre("web", "0/1", "Running", "0", "60m", "10.0.0.1", "n", "<none>", "1/1"));
}

}  // namespace
}  // namespace meltemi::apiserver
