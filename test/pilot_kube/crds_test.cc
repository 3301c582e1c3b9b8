// Our definitions of Istio's kinds on our API server: they are taken, keep what pilot reads, and
// nothing else.
#include "pilot/crds/crds.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/yaml/parse.h"
#include "test/pilot_kube/kube_mesh.h"

namespace meltemi::pilot {
namespace {

using ::testing::HasSubstr;

constexpr char kNetworking[] = "/apis/networking.istio.io/";

json::Value Tree(absl::string_view yaml) {
  auto tree = yaml::Parse(yaml);
  EXPECT_TRUE(tree.ok()) << tree.status();
  return *std::move(tree);
}

class CrdsTest : public testing::Test {
 protected:
  CrdsTest() { mesh_.InstallDefinitions(); }
  std::string Refusal(absl::string_view yaml) { return mesh_.Refusal(Tree(yaml)); }

  KubeMesh mesh_;
};

TEST_F(CrdsTest, AnObjectIsTheSameAtAllVersions) {
  mesh_.Apply(R"(
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: r}
spec:
  hosts: [a]
  http:
  - match: [{uri: {prefix: /x}, headers: {end-user: {exact: jason}}}]
    timeout: 3s
    fault: {delay: {percentage: {value: 12.5}, fixedDelay: 2s}}
    route: [{destination: {host: a, subset: v1, port: {number: 80}}, weight: 25}]
)");
  for (const char* version : {"v1", "v1beta1", "v1alpha3"}) {
    const json::Value object =
        mesh_.Get(absl::StrCat(kNetworking, version, "/namespaces/default/virtualservices/r"));
    EXPECT_EQ(object.FindString("apiVersion"), absl::StrCat("networking.istio.io/", version));
    const json::Value& route = object.Find("spec", "http")->items().at(0);
    EXPECT_EQ(route.FindString("timeout"), "3s");
    EXPECT_EQ(route.Find("fault", "delay", "percentage", "value")->text(), "12.5");
  }
}

TEST_F(CrdsTest, WhatPilotCannotReadIsRefused) {
  EXPECT_THAT(Refusal("{apiVersion: networking.istio.io/v1, kind: VirtualService, "
                      "metadata: {name: r}, spec: {hosts: [a], htp: []}}"),
              HasSubstr("unknown field \"spec.htp\""));
  EXPECT_THAT(Refusal("{apiVersion: networking.istio.io/v1, kind: DestinationRule, "
                      "metadata: {name: r}, spec: {host: 3}}"),
              HasSubstr("spec.host"));
  EXPECT_THAT(Refusal("{apiVersion: security.istio.io/v1, kind: PeerAuthentication, "
                      "metadata: {name: r}, spec: {mtls: {mode: LOOSE}}}"),
              HasSubstr("LOOSE"));
  // Two members of a oneof.
  EXPECT_THAT(Refusal("{apiVersion: networking.istio.io/v1, kind: VirtualService, "
                      "metadata: {name: r}, spec: {hosts: [a], http: [{match: "
                      "[{uri: {exact: /a, prefix: /b}}], route: [{destination: {host: a}}]}]}}"),
              HasSubstr("spec.http[0].match[0].uri"));
  EXPECT_THAT(Refusal("{apiVersion: networking.istio.io/v1, kind: DestinationRule, "
                      "metadata: {name: r}, spec: {host: a, trafficPolicy: {outlierDetection: "
                      "{consecutive5xxErrors: -1}}}}"),
              HasSubstr("consecutive5xxErrors"));
}

TEST_F(CrdsTest, EveryManifestOfTheTutorialIsTaken) {
  int rules = 0;
  for (const auto& entry : std::filesystem::directory_iterator("examples/tutorial")) {
    if (entry.path().extension() != ".yaml") continue;
    std::ifstream file(entry.path());
    std::stringstream text;
    text << file.rdbuf();
    const auto documents = yaml::ParseAll(text.str());
    ASSERT_TRUE(documents.ok()) << entry.path();
    for (const json::Value& document : *documents) {
      if (!absl::StrContains(document.FindString("apiVersion"), "istio.io")) continue;
      ++rules;
      EXPECT_EQ(mesh_.Refusal(document), "") << entry.path();
    }
  }
  EXPECT_GE(rules, 8);
}

TEST_F(CrdsTest, SpecsLeaveTheStatusAloneAndTheStatusTheSpec) {
  mesh_.Apply(
      "{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: r}, "
      "spec: {host: a}, status: {observedGeneration: 7}}");
  const std::string path = absl::StrCat(kNetworking, "v1/namespaces/default/destinationrules/r");
  EXPECT_EQ(mesh_.Get(path).Find("status"), nullptr);
  const auto written = mesh_.client().Call(
      {.method = "PATCH",
       .path = path + "/status",
       .body = R"({"spec":{"host":"b"},"status":{"conditions":[{"type":"Programmed","status":)"
               R"("True","observedGeneration":1}],"validationMessages":[{"x":1}]}})",
       .content_type = "application/merge-patch+json"});
  ASSERT_TRUE(written.ok()) << written.status().message;
  const json::Value object = mesh_.Get(path);
  EXPECT_EQ(object.Find("spec")->FindString("host"), "a");
  EXPECT_EQ(object.Find("metadata", "generation")->text(), "1");
  EXPECT_EQ(object.Find("status", "conditions")->items().at(0).Find("observedGeneration")->text(),
            "1");
  EXPECT_NE(object.Find("status", "validationMessages"), nullptr);
}

}  // namespace
}  // namespace meltemi::pilot
