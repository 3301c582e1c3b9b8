#include "pilot/ingest/decode/manifests.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/json/parse.h"
#include "base/protojson/encode.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/core/v1/service.pb.h"
#include "kube/discovery/v1/discovery.pb.h"
#include "networking/v1/destination_rule.pb.h"
#include "networking/v1/service_entry.pb.h"
#include "networking/v1/virtual_service.pb.h"

namespace meltemi::pilot {
namespace {

using ::istio::networking::v1alpha3::DestinationRule;
using ::istio::networking::v1alpha3::VirtualService;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Errors(const Manifests& manifests) {
  std::vector<std::string> lines;
  for (const Diagnostic& d : manifests.diagnostics) {
    if (d.severity != Severity::kInfo) lines.push_back(d.ToString());
  }
  return absl::StrJoin(lines, "\n");
}

std::string ErrorsOf(absl::string_view text) { return Errors(DecodeManifests(text, "f.yaml")); }

constexpr char kVirtualService[] = R"(apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: reviews
  namespace: books
  labels: {team: a}
  creationTimestamp: "2026-01-02T03:04:05Z"
spec:
  hosts: [reviews]
  http:
  - match:
    - uri: {prefix: /v1}
      headers: {end-user: {exact: jason}}
    timeout: 1m30s
    retries: {attempts: 3, perTryTimeout: 500ms, retryOn: "5xx,reset"}
    fault: {delay: {percentage: {value: 12.5}, fixedDelay: 2s}}
    route:
    - destination: {host: reviews, subset: v2, port: {number: 80}}
      weight: 25
)";

TEST(DecodeManifests, AnIstioObject) {
  const Manifests manifests = DecodeManifests(kVirtualService, "vs.yaml");
  EXPECT_EQ(Errors(manifests), "");
  ASSERT_EQ(manifests.objects.size(), 1u);
  const Object& object = *manifests.objects[0];
  EXPECT_EQ(object.Key().ToString(), "VirtualService books/reviews");
  EXPECT_EQ(object.meta.labels.at("team"), "a");
  EXPECT_EQ(object.meta.created_s, 1767323045);
  EXPECT_EQ(object.line, 1);
  EXPECT_EQ(object.LineOf("spec.http[0].route[0].weight"), 19);
  EXPECT_EQ(object.LineOf("spec.http[0].match[0].headers[end-user].exact"), 13);
  EXPECT_EQ(object.LineOf("spec.http[0].mirror.host"), 11);
  EXPECT_EQ(object.LineOf("spec.http[7]"), 10);
  const auto& http = object.Spec<VirtualService>().http(0);
  EXPECT_EQ(http.timeout().seconds(), 90);
  EXPECT_EQ(http.retries().per_try_timeout().nanos(), 500'000'000);
  EXPECT_EQ(http.fault().delay().percentage().value(), 12.5);
  EXPECT_EQ(http.match(0).headers().at("end-user").exact(), "jason");
}

TEST(DecodeManifests, AllVersionsOfAnIstioKindAreOne) {
  for (const char* version : {"v1alpha3", "v1beta1", "v1"}) {
    const Manifests manifests =
        DecodeManifests(absl::StrCat("apiVersion: networking.istio.io/", version,
                                     "\nkind: Sidecar\nmetadata: {name: x}\n"),
                        "f.yaml");
    EXPECT_EQ(Errors(manifests), "");
    ASSERT_EQ(manifests.objects.size(), 1u);
    EXPECT_EQ(manifests.objects[0]->Key().ToString(), "Sidecar default/x");
  }
  EXPECT_THAT(ErrorsOf("apiVersion: networking.istio.io/v2\nkind: Sidecar\nmetadata: {name: x}\n"),
              HasSubstr("\"networking.istio.io/v2\" is not supported for Sidecar: use "
                        "\"networking.istio.io/v1\""));
}

TEST(DecodeManifests, ErrorsNameFileLineObjectAndPath) {
  EXPECT_EQ(ErrorsOf(R"(apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec:
  hosts: [x]
  http:
  - route:
    - destination: {host: x}
      wieght: 3
    timeout: 3 seconds
)"),
            "Error [IST0106] (VirtualService default/a f.yaml:9) spec.http[0].route[0].wieght: "
            "unknown field \"wieght\" (did you mean \"weight\"?)\n"
            "Error [IST0106] (VirtualService default/a f.yaml:10) spec.http[0].timeout: expected a "
            "duration such as \"3s\", \"1h30m\" or \"100ms\", got the string \"3 seconds\"");
}

TEST(DecodeManifests, AMatchIsOneOfItsForms) {
  EXPECT_THAT(ErrorsOf(R"(apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec: {http: [{match: [{uri: {prefix: /a, exact: /b}}]}]}
)"),
              HasSubstr("spec.http[0].match[0].uri.exact: only one of \"prefix\" and \"exact\""));
}

TEST(DecodeManifests, EnumsAreNamed) {
  const Manifests manifests = DecodeManifests(R"(apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a}
spec:
  host: x
  trafficPolicy:
    loadBalancer: {simple: ROUND_ROBIN}
    outlierDetection: {consecutive5xxErrors: 5, interval: 10s}
    connectionPool: {tcp: {maxConnections: 10, connectTimeout: 30ms}}
)",
                                              "f");
  EXPECT_EQ(Errors(manifests), "");
  ASSERT_EQ(manifests.objects.size(), 1u);
  const auto& rule = manifests.objects[0]->Spec<DestinationRule>();
  EXPECT_EQ(rule.traffic_policy().outlier_detection().consecutive_5xx_errors().value(), 5u);
  EXPECT_THAT(ErrorsOf(R"(apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a}
spec: {host: x, trafficPolicy: {loadBalancer: {simple: ROUNDROBIN}}}
)"),
              HasSubstr("loadBalancer.simple: expected one of UNSPECIFIED, LEAST_CONN, RANDOM"));
}

TEST(DecodeManifests, KubernetesKindsHaveTheirOwnForms) {
  const Manifests manifests = DecodeManifests(R"(
apiVersion: v1
kind: Service
metadata: {name: web, creationTimestamp: null}
spec:
  clusterIP: 10.96.0.7
  selector: {app: web}
  ports:
  - {name: http, port: 80, targetPort: http-port}
  - {name: grpc, port: 81, targetPort: 8081, appProtocol: grpc}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints:
- {addresses: [10.244.0.3], conditions: {ready: false}, nodeName: n1}
- {addresses: [10.244.0.4]}
ports: [{name: http, port: 8080, protocol: TCP}]
)",
                                              "f");
  EXPECT_EQ(Errors(manifests), "");
  ASSERT_EQ(manifests.objects.size(), 2u);
  const auto& service = manifests.objects[0]->Spec<kube::core::v1::Service>();
  EXPECT_EQ(service.spec().cluster_ip(), "10.96.0.7");
  EXPECT_EQ(service.spec().ports(0).target_port().str_val(), "http-port");
  EXPECT_EQ(service.spec().ports(1).target_port().int_val(), 8081);
  EXPECT_THAT(protojson::ToJson(service), HasSubstr(R"("targetPort":"http-port")"));
  EXPECT_THAT(protojson::ToJson(service), HasSubstr(R"("targetPort":8081)"));
  const auto& slice = manifests.objects[1]->Spec<kube::discovery::v1::EndpointSlice>();
  EXPECT_TRUE(slice.endpoints(0).conditions().has_ready());
  EXPECT_FALSE(slice.endpoints(0).conditions().ready());
  EXPECT_FALSE(slice.endpoints(1).conditions().has_ready());
}

TEST(DecodeManifests, KubernetesKindsAreStrictToo) {
  const std::string head = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n";
  EXPECT_THAT(ErrorsOf(head + "spec: {ports: [{port: \"80\"}]}\n"),
              HasSubstr("spec.ports[0].port: expected an integer, got the string \"80\""));
  EXPECT_THAT(ErrorsOf(head + "spec: {port: 80}\n"), HasSubstr("unknown field \"port\""));
  EXPECT_THAT(ErrorsOf(head + "spec: {ports: [{port: 80, targetPort: true}]}\n"),
              HasSubstr("targetPort: expected an integer or a string, got true"));
  EXPECT_THAT(ErrorsOf(head + "specs: {}\n"), HasSubstr("specs: unknown field"));
}

TEST(DecodeManifests, OfAPodOnlyWhatTheMeshReadsIsLookedAt) {
  const Manifests manifests = DecodeManifests(R"(apiVersion: v1
kind: Pod
metadata: {name: p, labels: {app: web}}
spec:
  nodeName: n1
  serviceAccountName: web
  volumes: [{name: v, emptyDir: {}}]
  containers:
  - name: c
    image: i
    ports: [{containerPort: 80, name: http}]
    livenessProbe: {httpGet: {port: 1}}
status:
  podIP: 10.244.0.3
  podIPs: [{ip: 10.244.0.3}]
  conditions: [{type: Ready, status: "True"}]
  qosClass: x
)",
                                              "f");
  EXPECT_EQ(Errors(manifests), "");
  ASSERT_EQ(manifests.objects.size(), 1u);
  const auto& pod = manifests.objects[0]->Spec<kube::core::v1::Pod>();
  EXPECT_EQ(pod.status().pod_ip(), "10.244.0.3");
  EXPECT_EQ(pod.spec().containers(0).ports(0).container_port(), 80);
}

// Volumes and probes lend their fields to the struct around them; a newer cluster's pods have
// fields that we do not know, at any depth.
TEST(DecodeManifests, PodsOfAnyClusterAreRead) {
  const Manifests manifests = DecodeManifests(R"(
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  novelty: {a: 1}
  volumes: [{name: v, emptyDir: {sizeLimit: 1Gi, novelty: 2}}]
  containers:
  - name: c
    resources: {limits: {cpu: 2, memory: 64Mi}}
    livenessProbe: {httpGet: {port: web, novelty: 3}, periodSeconds: 5}
)",
                                              "f");
  EXPECT_EQ(Errors(manifests), "");
  ASSERT_EQ(manifests.objects.size(), 1u);
  const auto& pod = manifests.objects[0]->Spec<kube::core::v1::Pod>();
  EXPECT_EQ(protojson::ToJson(pod.spec().volumes(0), {}),
            R"({"name":"v","emptyDir":{"sizeLimit":"1Gi"}})");
  const auto& container = pod.spec().containers(0);
  EXPECT_EQ(container.resources().limits().at("cpu").string(), "2");
  EXPECT_EQ(container.liveness_probe().handler().http_get().port().str_val(), "web");
}

TEST(DecodeManifests, MetadataIsChecked) {
  const std::string head = "apiVersion: networking.istio.io/v1\nkind: Sidecar\n";
  EXPECT_THAT(ErrorsOf(head), HasSubstr("\"metadata\" is missing"));
  EXPECT_THAT(ErrorsOf(head + "metadata: {}\n"), HasSubstr("metadata.name: \"name\" is missing"));
  EXPECT_THAT(ErrorsOf(head + "metadata: {name: A_b}\n"), HasSubstr("\"A_b\" is no DNS name"));
  EXPECT_THAT(ErrorsOf(head + "metadata: {name: a, namespace: b.c}\n"),
              HasSubstr("\"b.c\" is no DNS label"));
  EXPECT_THAT(ErrorsOf(head + "metadata: {name: a, lables: {}}\n"),
              HasSubstr("did you mean \"labels\"?"));
  EXPECT_THAT(ErrorsOf(head + "metadata: {name: a, labels: {version: 1}}\n"),
              HasSubstr("metadata.labels[version]: expected a string, got 1: put it in quotes"));
  EXPECT_THAT(ErrorsOf(head + "metadata: {name: a}\nspecs: {}\n"),
              HasSubstr("unknown field \"specs\""));
}

TEST(DecodeManifests, OtherKindsArePassedOver) {
  const Manifests manifests = DecodeManifests(
      "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {whatever: 1}\n", "f");
  EXPECT_TRUE(manifests.complete);
  ASSERT_EQ(manifests.diagnostics.size(), 1u);
  EXPECT_EQ(manifests.diagnostics[0].ToString(),
            "Info [MELT0001] (Deployment web f:1) ignored: kind Deployment");
}

TEST(DecodeManifests, BrokenTextIsIncomplete) {
  const Manifests broken =
      DecodeManifests("apiVersion: v1\nkind: Service\nmetadata: {name: [\n", "f");
  EXPECT_FALSE(broken.complete);
  EXPECT_TRUE(broken.objects.empty());
  ASSERT_EQ(broken.diagnostics.size(), 1u);
  EXPECT_EQ(broken.diagnostics[0].line, 4);
  EXPECT_EQ(broken.diagnostics[0].file, "f");

  EXPECT_FALSE(DecodeManifests("just text", "f").complete);
  EXPECT_FALSE(DecodeManifests("kind: Service\n", "f").complete);
  EXPECT_THAT(ErrorsOf("kind: Service\n"), HasSubstr("\"apiVersion\" is missing"));
}

TEST(DecodeManifests, OneBadObjectCostsNoOther) {
  const Manifests manifests = DecodeManifests(
      absl::StrCat(kVirtualService,
                   "---\napiVersion: v1\nkind: Service\nmetadata: {name: bad}\nspec: {x: 1}\n"),
      "f");
  ASSERT_EQ(manifests.objects.size(), 1u);
  EXPECT_THAT(manifests.failed,
              ElementsAre(ObjectKey{.kind = Kind::kService, .ns = "default", .name = "bad"}));
  EXPECT_TRUE(manifests.complete);
}

TEST(DecodeManifests, TheLastOfTwoCounts) {
  const Manifests manifests = DecodeManifests(R"(
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a}
spec: {host: first}
---
apiVersion: networking.istio.io/v1beta1
kind: DestinationRule
metadata: {name: a}
spec: {host: second}
)",
                                              "f");
  EXPECT_THAT(Errors(manifests), HasSubstr("occurs twice in this file"));
  ASSERT_EQ(manifests.objects.size(), 1u);
  EXPECT_EQ(manifests.objects[0]->Spec<DestinationRule>().host(), "second");
}

TEST(DecodeManifests, JsonAndLists) {
  const Manifests manifests = DecodeManifests(R"({"apiVersion": "v1", "kind": "List", "items": [
  {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {}},
  {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}]})",
                                              "f.json");
  EXPECT_EQ(Errors(manifests), "");
  ASSERT_EQ(manifests.objects.size(), 2u);
  EXPECT_EQ(manifests.objects[0]->line, 2);
  EXPECT_EQ(manifests.objects[1]->Key().ToString(), "Namespace n");
}

// The tutorial's manifests, byte for byte.
TEST(DecodeManifests, TheTutorialDecodes) {
  size_t files = 0;
  size_t objects = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator("pilot/ingest/decode/testdata/tutorial")) {
    std::ifstream stream(entry.path());
    std::stringstream text;
    text << stream.rdbuf();
    const Manifests manifests = DecodeManifests(text.str(), entry.path().filename().string());
    EXPECT_EQ(Errors(manifests), "");
    EXPECT_TRUE(manifests.complete);
    ++files;
    objects += manifests.objects.size();
  }
  EXPECT_EQ(files, 21u);
  EXPECT_EQ(objects, 17u);
}

TEST(DecodeObject, AnObjectAsAnApiServerHasItIsJudgedLikeAManifest) {
  const auto tree = json::Parse(R"({"apiVersion": "networking.istio.io/v1beta1",
      "kind": "DestinationRule", "metadata": {"name": "a", "namespace": "n", "generation": 7,
      "managedFields": [{"manager": "kubectl"}]}, "spec": {"host": "a"},
      "status": {"conditions": []}})");
  ASSERT_TRUE(tree.ok());
  const Manifests good = DecodeObject(*tree);
  ASSERT_EQ(good.objects.size(), 1u);
  EXPECT_EQ(good.objects[0]->meta.generation, 7);
  EXPECT_EQ(good.objects[0]->manifest, nullptr);
  EXPECT_EQ(good.objects[0]->Spec<DestinationRule>().host(), "a");

  json::Value wrong = *tree;
  wrong.MutableObject("spec").Set("hots", json::Value::String("a"));
  const Manifests bad = DecodeObject(wrong);
  EXPECT_TRUE(bad.objects.empty());
  EXPECT_THAT(Errors(bad), HasSubstr("unknown field \"hots\""));
  EXPECT_THAT(bad.failed, ElementsAre(good.objects[0]->Key()));
}

}  // namespace
}  // namespace meltemi::pilot
