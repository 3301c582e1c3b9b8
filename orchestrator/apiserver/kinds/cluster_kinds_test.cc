// Nodes, endpoints, events, volumes, claims, quotas, limit ranges; ages.
#include "orchestrator/apiserver/kinds/age.h"
#include "orchestrator/apiserver/kinds/event.h"
#include "orchestrator/apiserver/kinds/kind_test.h"

namespace meltemi::apiserver {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class Kinds : public KindTest {};

TEST(Age, HasTwoOrThreeDigits) {
  for (const auto& [seconds, text] : std::vector<std::pair<int64_t, const char*>>{
           {-2, "<invalid>"},  {-1, "0s"},        {0, "0s"},
           {119, "119s"},      {120, "2m"},       {303, "5m3s"},
           {599, "9m59s"},     {600, "10m"},      {10799, "179m"},
           {10800, "3h"},      {11520, "3h12m"},  {28799, "7h59m"},
           {28800, "8h"},      {172799, "47h"},   {172800, "2d"},
           {190800, "2d5h"},   {691199, "7d23h"}, {691200, "8d"},
           {31536000, "365d"}, {63072000, "2y"},  {94608000 + 86400, "3y1d"},
           {252288000, "8y"}}) {
    EXPECT_EQ(HumanDuration(seconds), text) << seconds;
  }
}

TEST_F(Kinds, NodesKeepTheStatusTheyRegisterWith) {
  Use("", "v1", "nodes");
  const json::Value node =
      Created("metadata: {name: n}\nspec: {podCIDR: 10.244.0.0/24}\nstatus: {capacity: {cpu: 4}}");
  EXPECT_EQ(Json(*node.Find("status", "allocatable")), R"({"cpu":"4"})");
  EXPECT_EQ(Json(*node.Find("spec", "podCIDRs")), R"(["10.244.0.0/24"])");
}

TEST_F(Kinds, NodesThatAreRefused) {
  Use("", "v1", "nodes");
  EXPECT_THAT(CreateErrors("metadata: {name: n}\nspec: {taints: [{key: a, effect: NoSchedule}, "
                           "{key: b, effect: Never}]}"),
              ElementsAre("metadata.taints[1].effect: Unsupported value: \"Never\": supported "
                          "values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\""));
  EXPECT_THAT(
      UpdateErrors("metadata: {name: n}\nspec: {podCIDR: 10.244.0.0/24, providerID: a}",
                   "metadata: {name: n}\nspec: {podCIDR: 10.244.1.0/24, providerID: b}"),
      ElementsAre("spec.podCIDRs: Forbidden: node updates may not change podCIDR except from \"\" "
                  "to valid",
                  "spec.providerID: Forbidden: node updates may not change providerID except from "
                  "\"\" to valid"));
}

TEST_F(Kinds, NodesInTables) {
  Use("", "v1", "nodes");
  EXPECT_THAT(
      Row("{metadata: {name: n, labels: {node-role.kubernetes.io/worker: \"\", "
          "node-role.kubernetes.io/control-plane: \"\"}}, spec: {unschedulable: true}, status: "
          "{conditions: [{type: Ready, status: \"True\"}], nodeInfo: {kubeletVersion: v1.32.0, "
          "osImage: Debian}, addresses: [{type: InternalIP, address: 10.0.0.5}]}}"),
      ElementsAre("n", "Ready,SchedulingDisabled", "control-plane,worker", "<unknown>", "v1.32.0",
                  "10.0.0.5", "<none>", "Debian", "<unknown>", "<unknown>"));
  EXPECT_EQ(Row("{metadata: {name: n}}")[1], "Unknown");
}

TEST_F(Kinds, Endpoints) {
  Use("", "v1", "endpoints");
  EXPECT_THAT(CreateErrors("metadata: {name: a, namespace: b}\nsubsets: [{addresses: [{ip: "
                           "10.0.0.1}], ports: [{port: 80}]}]"),
              IsEmpty());
  EXPECT_THAT(
      CreateErrors("metadata: {name: a, namespace: b}\nsubsets: [{ports: [{port: 80}]}]"),
      ElementsAre("subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`"));
  EXPECT_THAT(Row("{metadata: {name: a}, subsets: [{addresses: [{ip: 1.1.1.1}, {ip: 1.1.1.2}], "
                  "ports: [{port: 80}, {port: 81}]}]}"),
              ElementsAre("a", "1.1.1.1:80,1.1.1.2:80,1.1.1.1:81 + 1 more...", "<unknown>"));
  EXPECT_EQ(Row("{metadata: {name: a}}")[1], "<none>");
}

TEST_F(Kinds, EventsHaveTwoForms) {
  json::Value event = Yaml(
      "{apiVersion: events.k8s.io/v1, kind: Event, regarding: {kind: Pod}, note: hi, "
      "reportingController: c, deprecatedCount: 2}");
  EventToCore(event);
  EXPECT_EQ(Json(event),
            R"({"apiVersion":"v1","kind":"Event","involvedObject":{"kind":"Pod"},"message":"hi",)"
            R"("reportingComponent":"c","count":2})");
  EventFromCore(event);
  EXPECT_EQ(event.FindString("note"), "hi");
  EXPECT_EQ(event.FindString("apiVersion"), "events.k8s.io/v1");
}

TEST_F(Kinds, EventsBelongToTheNamespaceOfTheirObject) {
  Use("", "v1", "events");
  EXPECT_THAT(CreateErrors("metadata: {name: a, namespace: b}\ninvolvedObject: {namespace: c}"),
              ElementsAre("involvedObject.namespace: Invalid value: \"c\": does not match "
                          "event.namespace"));
  Use("events.k8s.io", "v1", "events");
  EXPECT_THAT(CreateErrors("metadata: {name: a, namespace: b}\nregarding: {namespace: b}\ntype: "
                           "Normal"),
              ElementsAre("eventTime: Required value"));
}

TEST_F(Kinds, EventsInTables) {
  Use("", "v1", "events");
  EXPECT_THAT(
      Row("{metadata: {name: e}, involvedObject: {kind: Pod, name: web}, reason: Pulled, type: "
          "Normal, message: \" done \", count: 3, source: {component: kubelet, host: n}, "
          "firstTimestamp: \"1970-01-01T00:00:00Z\", lastTimestamp: \"1970-01-01T00:01:00Z\"}",
          70),
      ElementsAre("10s", "Normal", "Pulled", "pod/web", "", "kubelet, n", "done", "70s", "3", "e"));
}

TEST_F(Kinds, Claims) {
  Use("", "v1", "persistentvolumeclaims");
  const std::string claim =
      "metadata: {name: a, namespace: b}\nspec: {accessModes: [ReadWriteOnce], resources: "
      "{requests: {storage: 1Gi}}";
  EXPECT_THAT(CreateErrors(claim + "}"), IsEmpty());
  EXPECT_EQ(Json(*Created(claim + "}").Find("status")), R"({"phase":"Pending"})");
  EXPECT_EQ(Created(claim + "}").Find("spec")->FindString("volumeMode"), "Filesystem");
  EXPECT_THAT(CreateErrors("metadata: {name: a, namespace: b}\nspec: {}"),
              ElementsAre("spec.accessModes: Required value: at least 1 access mode is required",
                          "spec.resources[storage]: Required value"));
  EXPECT_THAT(UpdateErrors(claim + "}", claim + ", volumeName: v}"), IsEmpty());
  EXPECT_THAT(UpdateErrors(claim + ", storageClassName: x}", claim + ", storageClassName: y}"),
              ElementsAre("spec: Forbidden: spec is immutable after creation except "
                          "resources.requests and volumeAttributesClassName for bound claims\n"
                          "-\tstorageClassName: \"x\"\n+\tstorageClassName: \"y\"\n"));
  EXPECT_THAT(Row("{metadata: {name: a}, spec: {volumeName: v, storageClassName: fast, volumeMode: "
                  "Filesystem}, status: {phase: Bound, capacity: {storage: 1Gi}, accessModes: "
                  "[ReadWriteMany, ReadWriteOnce]}}"),
              ElementsAre("a", "Bound", "v", "1Gi", "RWO,RWX", "fast", "<unset>", "<unknown>",
                          "Filesystem"));
}

TEST_F(Kinds, Volumes) {
  Use("", "v1", "persistentvolumes");
  EXPECT_THAT(CreateErrors("metadata: {name: a}\nspec: {accessModes: [ReadWriteOnce], capacity: "
                           "{storage: 1Gi}, hostPath: {path: /data}}"),
              IsEmpty());
  EXPECT_THAT(CreateErrors("metadata: {name: a}\nspec: {accessModes: [Often], capacity: {storage: "
                           "1Gi}}"),
              ElementsAre("spec.accessModes: Unsupported value: \"Often\": supported values: "
                          "\"ReadOnlyMany\", \"ReadWriteMany\", \"ReadWriteOnce\", "
                          "\"ReadWriteOncePod\"",
                          "spec: Required value: must specify a volume type"));
  EXPECT_THAT(Row("{metadata: {name: a}, spec: {capacity: {storage: 1024Mi}, accessModes: "
                  "[ReadWriteOnce], persistentVolumeReclaimPolicy: Retain, claimRef: {namespace: "
                  "b, name: c}}, status: {phase: Bound}}"),
              ElementsAre("a", "1Gi", "RWO", "Retain", "Bound", "b/c", "", "<unset>", "",
                          "<unknown>", "<unset>"));
}

TEST_F(Kinds, LimitRanges) {
  Use("", "v1", "limitranges");
  EXPECT_EQ(Json(*Created("metadata: {name: a, namespace: b}\nspec: {limits: [{type: Container, "
                          "max: {cpu: 2}, min: {memory: 1Mi}}]}")
                      .Find("spec")),
            R"({"limits":[{"type":"Container","max":{"cpu":"2"},"min":{"memory":"1Mi"},"default":)"
            R"({"cpu":"2"},"defaultRequest":{"cpu":"2","memory":"1Mi"}}]})");
  EXPECT_THAT(CreateErrors("metadata: {name: a, namespace: b}\nspec: {limits: [{type: Pod, max: "
                           "{cpu: 1}, min: {cpu: 2}}]}"),
              ElementsAre("spec.limits[0].min[cpu]: Invalid value: \"2\": min value 2 is greater "
                          "than max value 1"));
  EXPECT_THAT(Row("{metadata: {name: a, creationTimestamp: \"2026-01-01T00:00:00Z\"}}"),
              ElementsAre("a", "2026-01-01T00:00:00Z"));
}

TEST_F(Kinds, Quotas) {
  Use("", "v1", "resourcequotas");
  EXPECT_THAT(CreateErrors("metadata: {name: a, namespace: b}\nspec: {hard: {pods: 10, "
                           "requests.cpu: 4}, scopes: [NotBestEffort]}"),
              IsEmpty());
  EXPECT_THAT(CreateErrors("metadata: {name: a, namespace: b}\nspec: {hard: {pods: 1500m}}"),
              ElementsAre("spec.hard[pods]: Invalid value: \"1500m\": must be an integer"));
  EXPECT_THAT(CreateErrors("metadata: {name: a, namespace: b}\nspec: {hard: {pods: 1}, scopes: "
                           "[BestEffort, NotBestEffort]}"),
              ElementsAre("spec.scopes: Invalid value: []core.ResourceQuotaScope{\"BestEffort\", "
                          "\"NotBestEffort\"}: conflicting scopes"));
  EXPECT_THAT(Row("{metadata: {name: a}, status: {hard: {pods: \"10\", limits.cpu: \"4\"}, used: "
                  "{pods: \"3\"}}}"),
              ElementsAre("a", "<unknown>", "pods: 3/10", "limits.cpu: 0/4"));
}

TEST_F(Kinds, ServiceAccountsAndTemplates) {
  Use("", "v1", "serviceaccounts");
  EXPECT_THAT(Row("{metadata: {name: a}, secrets: [{name: x}]}"),
              ElementsAre("a", "1", "<unknown>"));
  Use("", "v1", "podtemplates");
  EXPECT_THAT(Row("{metadata: {name: a}, template: {metadata: {labels: {x: y}}, spec: {containers: "
                  "[{name: c, image: i}]}}}"),
              ElementsAre("a", "c", "i", "x=y"));
  EXPECT_THAT(CreateErrors("metadata: {name: a, namespace: b}\ntemplate: {spec: {containers: "
                           "[{name: c, image: i}]}}"),
              IsEmpty());
}

}  // namespace
}  // namespace meltemi::apiserver
