// What an injected pod looks like, story by story. Each result is a pod by Kubernetes' schema, and
// each patch makes it of the original.
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/json/parse.h"
#include "base/json/write.h"
#include "base/protojson/decode.h"
#include "base/yaml/parse.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kube/core/v1/pod.pb.h"
#include "pilot/inject/admission.h"
#include "pilot/inject/inject_pod.h"
#include "pilot/inject/json_patch.h"

namespace meltemi::pilot {
namespace {

using json::Value;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr char kFlask[] = R"(
apiVersion: v1
kind: Pod
metadata:
  generateName: flaskapp-v1-5d9c-
  labels: {app: flaskapp, version: v1, pod-template-hash: 5d9c}
  ownerReferences:
  - {apiVersion: apps/v1, kind: ReplicaSet, name: flaskapp-v1-5d9c, uid: u, controller: true}
spec:
  initContainers:
  - {name: migrate, image: flask}
  containers:
  - name: flaskapp
    image: flask
    ports: [{name: http, containerPort: 5000}]
    livenessProbe: {httpGet: {path: /live$, port: 5000}, timeoutSeconds: 2}
    readinessProbe: {tcpSocket: {port: http}}
    startupProbe: {exec: {command: ["true"]}}
    lifecycle: {preStop: {httpGet: {path: /stop, port: http, scheme: HTTPS}}}
  - name: helper
    image: helper
    readinessProbe: {grpc: {port: 9000, service: ready}, periodSeconds: 5}
    livenessProbe: {httpGet: {path: /, port: nowhere}}
)";

Value Yaml(const std::string& text) {
  absl::StatusOr<Value> value = yaml::Parse(text);
  EXPECT_TRUE(value.ok()) << value.status();
  return value.ok() ? *std::move(value) : Value::Object();
}

void ExpectPodBySchema(const Value& pod) {
  meltemi::kube::core::v1::Pod message;
  protojson::DecodeOptions options;
  options.quoted_numbers = false;
  Value without_kind = pod;  // which no message has
  without_kind.Remove("apiVersion");
  without_kind.Remove("kind");
  const absl::Status status = protojson::Decode(without_kind, "pod", &message, options);
  EXPECT_TRUE(status.ok()) << status;
}

Value Inject(const Value& pod, const InjectSettings& settings = {},
             std::vector<std::string>* warnings = nullptr) {
  absl::StatusOr<InjectedPod> injected =
      InjectPod(pod, "default", WorkloadOfPod(*pod.Find("metadata")), settings);
  EXPECT_TRUE(injected.ok()) << injected.status();
  if (!injected.ok()) return pod;
  if (warnings != nullptr) *warnings = injected->warnings;
  ExpectPodBySchema(injected->pod);
  Value patched = pod;
  const absl::Status status = ApplyJsonPatch(MakeJsonPatch(pod, injected->pod), &patched);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_TRUE(MakeJsonPatch(patched, injected->pod).items().empty());
  return injected->pod;
}

std::vector<std::string> Names(const Value& pod, absl::string_view list) {
  std::vector<std::string> names;
  const Value* const items = pod.Find("spec")->Find(list);
  if (items == nullptr) return names;
  for (const Value& item : items->items()) names.emplace_back(item.FindString("name"));
  return names;
}

const Value& Container(const Value& pod, absl::string_view name) {
  for (const char* list : {"initContainers", "containers"}) {
    const Value* const items = pod.Find("spec")->Find(list);
    if (items == nullptr) continue;
    for (const Value& item : items->items()) {
      if (item.FindString("name") == name) return item;
    }
  }
  static const auto* const none = new Value(Value::Object());
  ADD_FAILURE() << "no container " << name;
  return *none;
}

std::vector<std::string> Args(const Value& container) {
  std::vector<std::string> args;
  const Value* const list = container.Find("args");
  if (list == nullptr) return args;
  for (const Value& arg : list->items()) args.push_back(arg.text());
  return args;
}

std::string EnvOf(const Value& container, absl::string_view name) {
  for (const Value& variable : container.Find("env")->items()) {
    if (variable.FindString("name") == name) return std::string(variable.FindString("value"));
  }
  return "";
}

std::string Annotation(const Value& pod, absl::string_view name) {
  return std::string(pod.Find("metadata", "annotations")->FindString(name));
}

TEST(InjectTest, TheProxyStartsBeforeEverythingElseAsNativeSidecar) {
  const Value pod = Inject(Yaml(kFlask));
  EXPECT_THAT(Names(pod, "initContainers"), ElementsAre("istio-init", "istio-proxy", "migrate"));
  EXPECT_THAT(Names(pod, "containers"), ElementsAre("flaskapp", "helper"));
  EXPECT_THAT(Names(pod, "volumes"), ElementsAre("istio-podinfo", "istio-token", "istiod-ca-cert"));
  const Value& proxy = Container(pod, "istio-proxy");
  EXPECT_EQ(proxy.FindString("restartPolicy"), "Always");
  EXPECT_EQ(json::ToString(*proxy.Find("startupProbe", "httpGet")),
            R"({"path":"/healthz/ready","port":15021})");
  EXPECT_EQ(json::ToString(*proxy.Find("resources")),
            R"({"requests":{"cpu":"10m","memory":"40Mi"}})");
  EXPECT_EQ(json::ToString(*proxy.Find("securityContext")),
            R"({"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]},)"
            R"("privileged":false,"readOnlyRootFilesystem":true,"runAsGroup":1337,)"
            R"("runAsNonRoot":true,"runAsUser":1337})");
  const std::vector<std::string> args = Args(proxy);
  EXPECT_EQ(args[0], "sidecar");
  for (const char* arg :
       {"--xds-address=meltemi-pilot.istio-system.svc:15012", "--workload-name=flaskapp-v1",
        "--token-file=/var/run/secrets/tokens/istio-token", "--ip=$(INSTANCE_IP)",
        "--root-cert=/var/run/secrets/istio/root-cert.pem", "--labels-file=/etc/istio/pod/labels",
        "--metadata=APP_CONTAINERS=flaskapp,helper", "--concurrency=2", "--drain-time=45s",
        "--metadata=OWNER=kubernetes://apis/apps/v1/namespaces/default/deployments/flaskapp-v1"}) {
    EXPECT_THAT(args, Contains(arg));
  }
  const Value& init = Container(pod, "istio-init");
  EXPECT_EQ(json::ToString(*init.Find("args")),
            R"(["intercept","apply","-p","15001","-z","15006","-u","1337","-g","1337","-i","*",)"
            R"("-x","","-b","*","-d","15090,15021,15020"])");
  EXPECT_EQ(init.Find("securityContext", "runAsUser")->text(), "0");
}

TEST(InjectTest, LabelsAndAnnotationsTellTheMeshAndTheUser) {
  const Value pod = Inject(Yaml(kFlask));
  const Value& labels = *pod.Find("metadata", "labels");
  EXPECT_EQ(labels.FindString("security.istio.io/tlsMode"), "istio");
  EXPECT_EQ(labels.FindString("service.istio.io/canonical-name"), "flaskapp");
  EXPECT_EQ(labels.FindString("service.istio.io/canonical-revision"), "v1");
  EXPECT_EQ(Annotation(pod, "kubectl.kubernetes.io/default-container"), "flaskapp");
  EXPECT_EQ(Annotation(pod, "prometheus.io/port"), "15090");
  EXPECT_EQ(Annotation(pod, "sidecar.istio.io/status"),
            R"({"initContainers":["istio-init","istio-proxy"],"containers":null,)"
            R"("volumes":["istio-podinfo","istio-token","istiod-ca-cert"],)"
            R"("imagePullSecrets":null,"revision":"default"})");
}

TEST(InjectTest, OldClustersGetAContainerThatTheApplicationWaitsFor) {
  InjectSettings settings;
  settings.server_minor = 28;
  const Value pod = Inject(Yaml(kFlask), settings);
  EXPECT_THAT(Names(pod, "containers"), ElementsAre("istio-proxy", "flaskapp", "helper"));
  EXPECT_THAT(Names(pod, "initContainers"), ElementsAre("migrate", "istio-init"));
  const Value& proxy = Container(pod, "istio-proxy");
  EXPECT_EQ(proxy.Find("restartPolicy"), nullptr);
  EXPECT_EQ(json::ToString(*proxy.Find("lifecycle")),
            R"({"postStart":{"exec":{"command":["/usr/bin/meltemi-proxy","wait"]}}})");
  EXPECT_THAT(Args(proxy), Contains("--drain-grace=5s"));
  settings.server_minor = 29;
  EXPECT_THAT(Names(Inject(Yaml(kFlask), settings), "containers"),
              ElementsAre("flaskapp", "helper"));
}

TEST(InjectTest, WithTheCniPluginNoContainerIsPrivileged) {
  InjectSettings settings;
  settings.cni = true;
  settings.exclude_ip_ranges = "10.0.0.1/32";
  const Value pod = Inject(Yaml(kFlask), settings);
  EXPECT_THAT(Names(pod, "initContainers"), ElementsAre("istio-proxy", "migrate"));
  EXPECT_EQ(Annotation(pod, "traffic.sidecar.istio.io/includeOutboundIPRanges"), "*");
  EXPECT_EQ(Annotation(pod, "traffic.sidecar.istio.io/excludeOutboundIPRanges"), "10.0.0.1/32");
  EXPECT_EQ(Annotation(pod, "traffic.sidecar.istio.io/excludeInboundPorts"), "15020");
  EXPECT_EQ(json::ToString(pod).find("NET_ADMIN"), std::string::npos);
}

TEST(InjectTest, ProbesGoThroughTheProxy) {
  const Value pod = Inject(Yaml(kFlask));
  const Value& app = Container(pod, "flaskapp");
  EXPECT_EQ(json::ToString(*app.Find("livenessProbe")),
            R"({"timeoutSeconds":2,"httpGet":{"path":"/app-health/flaskapp/livez","port":15020}})");
  EXPECT_EQ(json::ToString(*app.Find("readinessProbe")),
            R"({"httpGet":{"path":"/app-health/flaskapp/readyz","port":15020}})");
  EXPECT_NE(app.Find("startupProbe", "exec"), nullptr);
  EXPECT_EQ(app.Find("lifecycle", "preStop", "httpGet")->FindString("path"),
            "/app-lifecycle/flaskapp/prestopz");
  // A port that nobody has stays the kubelet's problem.
  EXPECT_EQ(Container(pod, "helper").Find("livenessProbe", "httpGet", "port")->text(), "nowhere");
  const Value& proxy = Container(pod, "istio-proxy");
  EXPECT_THAT(Args(proxy), Contains("--probes=$(ISTIO_KUBE_APP_PROBERS)"));
  EXPECT_EQ(EnvOf(proxy, "ISTIO_KUBE_APP_PROBERS"),
            R"({"/app-health/flaskapp/livez":{"httpGet":{"path":"/live$$","port":5000},)"
            R"("timeoutSeconds":2},)"
            R"("/app-health/flaskapp/readyz":{"tcpSocket":{"port":5000}},)"
            R"("/app-health/helper/readyz":{"grpc":{"port":9000,"service":"ready"}},)"
            R"("/app-lifecycle/flaskapp/prestopz":{"httpGet":{"path":"/stop","port":5000,)"
            R"("scheme":"HTTPS"}}})");
}

TEST(InjectTest, ProbesStayWhereThePodSaysSo) {
  Value pod = Yaml(kFlask);
  pod.MutableObject("metadata")
      .MutableObject("annotations")
      .Set("sidecar.istio.io/rewriteAppHTTPProbers", Value::String("false"));
  const Value injected = Inject(pod);
  EXPECT_NE(Container(injected, "flaskapp").Find("readinessProbe", "tcpSocket"), nullptr);
  EXPECT_THAT(Args(Container(injected, "istio-proxy")), Not(Contains(HasSubstr("--probes="))));
}

TEST(InjectTest, TwiceIsOnce) {
  InjectSettings old;
  old.native_sidecars = NativeSidecars::kNever;
  InjectSettings cni;
  cni.cni = true;
  InjectSettings secrets;
  secrets.image_pull_secrets = {"hub"};
  Value with_overrides = Yaml(kFlask);
  with_overrides.Find("spec", "containers");
  with_overrides.MutableObject("spec")
      .Find("containers")
      ->Append(Yaml("{name: istio-proxy, image: auto, resources: {limits: {cpu: '1'}}}"));
  for (const InjectSettings& settings : {InjectSettings(), old, cni, secrets}) {
    for (const Value& pod : {Yaml(kFlask), with_overrides}) {
      const Value once = Inject(pod, settings);
      const Value twice = Inject(once, settings);
      EXPECT_EQ(json::ToString(MakeJsonPatch(once, twice)), "[]");
    }
  }
}

TEST(InjectTest, ANewerSettingReplacesWhatAnEarlierInjectionLeft) {
  InjectSettings newer;
  newer.image = "meltemi/proxy:9";
  const Value pod = Inject(Inject(Yaml(kFlask)), newer);
  EXPECT_EQ(Container(pod, "istio-proxy").FindString("image"), "meltemi/proxy:9");
  EXPECT_EQ(Names(pod, "initContainers").size(), 3u);
  EXPECT_THAT(EnvOf(Container(pod, "istio-proxy"), "ISTIO_KUBE_APP_PROBERS"),
              HasSubstr("/app-health/flaskapp/livez"));
}

TEST(InjectTest, WhatTheUserSaysAboutTheProxysContainerWins) {
  Value pod = Yaml(kFlask);
  pod.MutableObject("spec").Find("containers")->Append(Yaml(R"(
name: istio-proxy
image: auto
imagePullPolicy: Always
env: [{name: POD_NAME, value: mine}, {name: MORE, value: "1"}]
resources: {limits: {memory: 1Gi}}
lifecycle: {preStop: {httpGet: {path: /bye, port: 1}}}
securityContext: {runAsUser: 4711}
volumeMounts: [{name: cache, mountPath: /cache}])"));
  pod.MutableObject("spec").Set("volumes", Yaml("[{name: cache, emptyDir: {}}]"));
  const Value injected = Inject(pod);
  EXPECT_THAT(Names(injected, "containers"), ElementsAre("flaskapp", "helper"));
  const Value& proxy = Container(injected, "istio-proxy");
  EXPECT_EQ(proxy.FindString("image"), kDefaultProxyImage);
  EXPECT_EQ(proxy.FindString("imagePullPolicy"), "");  // the API server's word, not the user's
  EXPECT_EQ(EnvOf(proxy, "POD_NAME"), "mine");
  EXPECT_EQ(EnvOf(proxy, "MORE"), "1");
  EXPECT_EQ(json::ToString(*proxy.Find("resources")),
            R"({"requests":{"cpu":"10m","memory":"40Mi"},"limits":{"memory":"1Gi"}})");
  EXPECT_EQ(proxy.Find("lifecycle", "preStop", "exec"), nullptr);
  EXPECT_EQ(proxy.Find("volumeMounts")->items().size(), 4u);
  EXPECT_EQ(proxy.Find("securityContext", "runAsUser")->text(), "4711");
  // The rules let the proxy's own traffic pass by this uid.
  EXPECT_THAT(json::ToString(*Container(injected, "istio-init").Find("args")),
              HasSubstr(R"("-u","4711")"));
  EXPECT_THAT(Annotation(injected, "proxy.istio.io/overrides"), HasSubstr("4711"));
  InjectSettings cni;
  cni.cni = true;
  EXPECT_EQ(Annotation(Inject(pod, cni), "proxy.meltemi.dev/uid"), "4711");
}

TEST(InjectTest, AnnotationsAndProxyConfigOfOnePod) {
  Value pod = Yaml(kFlask);
  pod.MutableObject("metadata").Set("annotations", Yaml(R"(
sidecar.istio.io/proxyCPU: 50m
sidecar.istio.io/proxyMemoryLimit: 256Mi
sidecar.istio.io/proxyImage: other/proxy:1
sidecar.istio.io/logLevel: warning
traffic.sidecar.istio.io/excludeOutboundPorts: "3306,6379"
traffic.sidecar.istio.io/includeInboundPorts: "80"
proxy.istio.io/config: |
  concurrency: 1
  drainDuration: 1m10s
  terminationDrainDuration: 3s
  proxyMetadata: {ISTIO_META_ZONE: "a$b", SECRET_TTL: 1h30m}
  tracing: {}
)"));
  std::vector<std::string> warnings;
  const Value injected = Inject(pod, {}, &warnings);
  const Value& proxy = Container(injected, "istio-proxy");
  EXPECT_EQ(proxy.FindString("image"), "other/proxy:1");
  EXPECT_EQ(json::ToString(*proxy.Find("resources")),
            R"({"requests":{"cpu":"50m"},"limits":{"memory":"256Mi"}})");
  for (const char* arg : {"--concurrency=1", "--drain-time=70s", "--drain-grace=3s",
                          "--log-level=warn", "--metadata=ZONE=a$$b", "--secret-ttl=5400s"}) {
    EXPECT_THAT(Args(proxy), Contains(arg));
  }
  EXPECT_THAT(json::ToString(*Container(injected, "istio-init").Find("args")),
              HasSubstr(R"("-b","80","-d","15090,15021,15020","-o","3306,6379")"));
  EXPECT_THAT(warnings, ElementsAre(HasSubstr("tracing means nothing")));
}

TEST(InjectTest, WrongAnnotationsAreRefusedByName) {
  const std::pair<const char*, const char*> wrong[] = {
      {"sidecar.istio.io/interceptionMode: TPROXY", "only REDIRECT is supported"},
      {"sidecar.istio.io/proxyCPU: much", "must be a quantity"},
      {"traffic.sidecar.istio.io/excludeOutboundPorts: http", "\"http\" is no port"},
      {"traffic.sidecar.istio.io/includeOutboundIPRanges: 10.0.0.0/40", "no range"},
      {"proxy.istio.io/config: '{concurrency: many}'", "concurrency must be a number"},
      {"proxy.istio.io/config: '{proxyMetadata: {SECRET_TTL: long}}'", "SECRET_TTL must be a dur"},
      {"proxy.istio.io/config: '['", "proxy.istio.io/config"},
      {"inject.istio.io/templates: grpc-agent", "requested template \"grpc-agent\" not found"},
  };
  for (const auto& [annotation, message] : wrong) {
    Value pod = Yaml(kFlask);
    pod.MutableObject("metadata").Set("annotations", Yaml(annotation));
    const absl::StatusOr<InjectedPod> injected = InjectPod(pod, "default", {}, {});
    ASSERT_FALSE(injected.ok()) << annotation;
    EXPECT_THAT(std::string(injected.status().message()), HasSubstr(message));
  }
}

TEST(InjectTest, AGatewayIsNothingButTheProxy) {
  const Value pod = Inject(Yaml(R"(
metadata:
  name: gateway
  labels: {istio: ingressgateway}
  annotations: {inject.istio.io/templates: gateway}
spec:
  containers: [{name: istio-proxy, image: auto, ports: [{containerPort: 8080}]}]
)"));
  EXPECT_THAT(Names(pod, "containers"), ElementsAre("istio-proxy"));
  EXPECT_THAT(Names(pod, "initContainers"), ElementsAre());
  EXPECT_THAT(Args(Container(pod, "istio-proxy")), Contains("--node-type=router"));
  EXPECT_EQ(Container(pod, "istio-proxy").Find("ports")->items().size(), 2u);
}

TEST(InjectTest, OwnersGiveWorkloadsTheirNames) {
  const std::vector<std::vector<std::string>> rows = {
      // kind, name, hash -> kind, name
      {"ReplicaSet", "web-abc12", "abc12", "Deployment", "web"},
      {"ReplicaSet", "web-abc12", "", "ReplicaSet", "web-abc12"},
      {"StatefulSet", "db", "", "StatefulSet", "db"},
      {"Job", "backup-28123456", "", "CronJob", "backup"},
      {"Job", "backup-1", "", "Job", "backup-1"},
  };
  for (const std::vector<std::string>& row : rows) {
    const WorkloadMeta workload = WorkloadOfPod(
        Yaml(absl::StrCat("{generateName: x-, labels: {pod-template-hash: '", row[2],
                          "'}, ownerReferences: [{controller: true, apiVersion: v, kind: ", row[0],
                          ", name: ", row[1], "}]}")));
    EXPECT_EQ(workload.kind, row[3]);
    EXPECT_EQ(workload.name, row[4]);
  }
  EXPECT_EQ(WorkloadOfPod(Yaml("{name: alone}")).name, "alone");
}

std::string Review(const Value& pod, const std::string& ns = "default",
                   const std::string& kind = "Pod") {
  return absl::StrCat(
      R"({"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u-1",)",
      R"("kind":{"group":"","version":"v1","kind":")", kind, R"("},"operation":"CREATE",)",
      R"("namespace":")", ns, R"(","object":)", json::ToString(pod), "}}");
}

TEST(AdmissionTest, TheAnswerIsAPatchOfTheObject) {
  const Value pod = Yaml(kFlask);
  const absl::StatusOr<ReviewAnswer> answer = AnswerInjection(Review(pod), {});
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->outcome, ReviewAnswer::Outcome::kInjected);
  EXPECT_EQ(answer->pod, "default/flaskapp-v1-5d9c-");
  const Value review = *json::Parse(answer->body);
  EXPECT_EQ(review.Find("response")->FindString("uid"), "u-1");
  EXPECT_TRUE(review.Find("response", "allowed")->bool_value());
  EXPECT_EQ(review.Find("response")->FindString("patchType"), "JSONPatch");
  std::string patch;
  ASSERT_TRUE(absl::Base64Unescape(review.Find("response")->FindString("patch"), &patch));
  Value patched = pod;
  ASSERT_TRUE(ApplyJsonPatch(*json::Parse(patch), &patched).ok());
  EXPECT_EQ(Names(patched, "initContainers").size(), 3u);
}

TEST(AdmissionTest, WhatShallHaveNoSidecarIsAllowedAsItIs) {
  const absl::StatusOr<ReviewAnswer> answer =
      AnswerInjection(Review(Yaml(kFlask), "kube-system"), {});
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->outcome, ReviewAnswer::Outcome::kSkipped);
  EXPECT_EQ(answer->body, R"({"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1",)"
                          R"("response":{"uid":"u-1","allowed":true}})");
}

TEST(AdmissionTest, AWrongPodIsRefusedWithTheReason) {
  Value pod = Yaml(kFlask);
  pod.MutableObject("metadata")
      .MutableObject("annotations")
      .Set("sidecar.istio.io/interceptionMode", Value::String("TPROXY"));
  const absl::StatusOr<ReviewAnswer> answer = AnswerInjection(Review(pod), {});
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->outcome, ReviewAnswer::Outcome::kRefused);
  EXPECT_THAT(answer->body, HasSubstr(R"("allowed":false)"));
  EXPECT_THAT(answer->body, HasSubstr("only REDIRECT is supported"));
}

TEST(AdmissionTest, GarbageIsNoReview) {
  for (const char* garbage :
       {"", "{", "[]", "{}", R"({"kind":"AdmissionReview"})",
        R"({"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1beta1","request":{}})",
        R"({"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"})",
        R"({"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":""}})",
        R"({"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"a"}})"}) {
    const absl::StatusOr<ReviewAnswer> answer = AnswerInjection(garbage, {});
    ASSERT_FALSE(answer.ok()) << garbage;
    EXPECT_THAT(std::string(answer.status().message()), HasSubstr("no AdmissionReview: "));
  }
}

}  // namespace
}  // namespace meltemi::pilot
