// What `meltemi install` prints and what injection makes of workloads, in the eyes of our API
// server: every field known, every value valid.
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/json/write.h"
#include "base/yaml/parse.h"
#include "cli/install/manifests.h"
#include "cli/install/settings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orchestrator/apiserver/kinds/kind_test.h"
#include "pilot/inject/manifest.h"
#include "pilot/inject/settings.h"

namespace meltemi {
namespace {

namespace fs = std::filesystem;
using testing::IsEmpty;

constexpr char kEverything[] = R"(
apiVersion: apps/v1
kind: Deployment
metadata: {name: everything}
spec:
  selector: {matchLabels: {app: everything}}
  template:
    metadata: {labels: {app: everything, version: v1}}
    spec:
      initContainers:
      - {name: prepare, image: a}
      - {name: helper, image: a, restartPolicy: Always, startupProbe: {tcpSocket: {port: 9}}}
      containers:
      - name: app
        image: a
        ports: [{name: http, containerPort: 80}, {name: grpc, containerPort: 81}]
        livenessProbe: {httpGet: {path: /, port: http, httpHeaders: [{name: A, value: b}]}}
        readinessProbe: {grpc: {port: 81, service: s}}
        startupProbe: {tcpSocket: {port: grpc}, failureThreshold: 30}
        lifecycle: {preStop: {httpGet: {path: /bye, port: 80}}}
      - name: istio-proxy
        image: auto
        resources: {limits: {cpu: "2"}}
        volumeMounts: [{name: cache, mountPath: /cache}]
      volumes: [{name: cache, emptyDir: {}}]
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec:
  schedule: "0 3 * * *"
  jobTemplate:
    spec:
      template:
        spec: {restartPolicy: Never, containers: [{name: a, image: a}]}
---
apiVersion: v1
kind: Pod
metadata: {name: bare, annotations: {sidecar.istio.io/proxyMemory: 64Mi}}
spec: {containers: [{name: a, image: a}]}
)";

class MeshManifests : public apiserver::KindTest {
 protected:
  // Checks each object whose kind is built in; how many there were.
  size_t Check(const std::string& manifests, const std::string& about) {
    const absl::StatusOr<std::vector<json::Value>> documents = yaml::ParseAll(manifests);
    EXPECT_TRUE(documents.ok()) << about << documents.status();
    if (!documents.ok()) return 0;
    size_t checked = 0;
    for (const json::Value& document : *documents) {
      for (const auto& resource : Resources()) {
        if (resource->kind != document.FindString("kind") ||
            resource->api_version() != document.FindString("apiVersion")) {
          continue;
        }
        resource_ = resource.get();
        const std::string text = json::ToString(WithNamespace(document, resource->namespaced), 1);
        EXPECT_THAT(CreateErrors(text), IsEmpty()) << about << "\n" << text;
        ++checked;
        break;
      }
    }
    return checked;
  }
  // As kubectl sends it, and the admission of service accounts leaves it.
  static json::Value WithNamespace(json::Value object, bool namespaced) {
    json::Value& metadata = object.MutableObject("metadata");
    if (namespaced && metadata.Find("namespace") == nullptr) {
      metadata.Set("namespace", json::Value::String("default"));
    }
    if (object.FindString("kind") == "Pod") {
      object.MutableObject("spec").Set("serviceAccountName", json::Value::String("default"));
    }
    return object;
  }
  static std::vector<std::pair<std::string, pilot::InjectSettings>> AllWays() {
    pilot::InjectSettings old;
    old.server_minor = 28;
    pilot::InjectSettings cni;
    cni.cni = true;
    cni.image_pull_secrets = {"hub"};
    cni.legacy_fs_group = true;
    return {{"native", {}}, {"beside the application", old}, {"with CNI", cni}};
  }
};

TEST_F(MeshManifests, WhatInstallPrintsIsTaken) {
  const absl::StatusOr<cli::InstallSettings> settings = cli::ParseInstallSettings(
      {"gateways.ingress=true", "replicas=2", "resources.limits.cpu=1",
       "imagePullPolicy=IfNotPresent", "meshConfig.accessLogFile=/dev/stdout"});
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_GT(Check(cli::InstallManifests(*settings), "install"), 20u);
}

TEST_F(MeshManifests, AnInjectedWorkloadIsTaken) {
  for (const auto& [about, settings] : AllWays()) {
    const auto injected = pilot::InjectManifests(kEverything, "default", settings);
    ASSERT_TRUE(injected.ok()) << injected.status();
    EXPECT_EQ(injected->injected, 3u);
    EXPECT_EQ(Check(injected->text, about), 3u);
  }
}

TEST_F(MeshManifests, OurExamplesAreTakenWithTheirSidecars) {
  size_t injected_pods = 0;
  for (const char* folder : {"examples/tutorial", "examples/workloads"}) {
    for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
      if (entry.path().extension() != ".yaml") continue;
      std::ostringstream text;
      text << std::ifstream(entry.path()).rdbuf();
      for (const auto& [about, settings] : AllWays()) {
        const auto injected = pilot::InjectManifests(text.str(), "default", settings);
        ASSERT_TRUE(injected.ok()) << entry.path() << injected.status();
        if (injected->injected == 0) {
          EXPECT_EQ(injected->text, text.str()) << entry.path();
          continue;
        }
        Check(injected->text, absl::StrCat(entry.path().string(), " ", about));
        injected_pods += injected->injected;
      }
    }
  }
  EXPECT_GT(injected_pods, 6u);
}

}  // namespace
}  // namespace meltemi
