// Pilot's source on our API server: what users and failures do to it.
#include "pilot/ingest/kube/kube_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kube/core/v1/pod.pb.h"
#include "networking/v1/virtual_service.pb.h"
#include "pilot/ingest/kube/read_cluster.h"
#include "pilot/validate/validate.h"
#include "test/pilot_kube/kube_mesh.h"

namespace meltemi::pilot {
namespace {

using istio::networking::v1alpha3::VirtualService;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

constexpr char kRules[] = "/apis/networking.istio.io/v1/namespaces/default/virtualservices/";

constexpr char kApp[] = R"(
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80, name: http}], selector: {app: web}}
---
apiVersion: v1
kind: Pod
metadata: {name: web-1, labels: {app: web}}
spec: {containers: [{name: c, image: i, ports: [{containerPort: 8080}]}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-x, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.1]}]
ports: [{name: http, port: 8080}]
---
apiVersion: v1
kind: Secret
metadata: {name: cert}
type: kubernetes.io/tls
data: {tls.crt: YQ==, tls.key: Yg==}
---
apiVersion: v1
kind: Secret
metadata: {name: other}
data: {password: YQ==}
)";

std::string Rule(absl::string_view host) {
  return absl::StrCat("{apiVersion: networking.istio.io/v1beta1, kind: VirtualService, ",
                      "metadata: {name: r}, spec: {hosts: [web], http: [{route: ",
                      "[{destination: {host: ", host, "}}]}]}}");
}

class KubeSourceStory : public testing::Test {
 protected:
  std::string Host() {
    const ObjectPtr object = mesh_.InEffect(Kind::kVirtualService, "default", "r");
    if (object == nullptr) return "none";
    return object->Spec<VirtualService>().http(0).route(0).destination().host();
  }

  KubeMesh mesh_;
};

TEST_F(KubeSourceStory, EverythingThatIsThereIsTheFirstChange) {
  mesh_.InstallDefinitions();
  mesh_.Apply(kApp);
  mesh_.Apply(Rule("web"));
  mesh_.Start();
  EXPECT_THAT(mesh_.Told(),
              IsSupersetOf({"Service default/web", "Pod default/web-1", "Namespace kube-system",
                            "EndpointSlice default/web-x", "VirtualService default/r"}));
  EXPECT_NE(mesh_.InEffect(Kind::kSecret, "default", "cert"), nullptr);
  EXPECT_EQ(mesh_.InEffect(Kind::kSecret, "default", "other"), nullptr);
  EXPECT_EQ(mesh_.Problems(), "");
  EXPECT_EQ(Host(), "web");
}

TEST_F(KubeSourceStory, DefinitionsThatComeLateAreReadAndThoseThatGoTakeTheirObjectsAlong) {
  mesh_.Apply(kApp);
  mesh_.Start();
  EXPECT_THAT(mesh_.Told(), Contains("Service default/web"));
  EXPECT_THAT(mesh_.Problems(), HasSubstr("no VirtualService.networking.istio.io"));
  mesh_.InstallDefinitions();
  mesh_.Apply(Rule("web"));
  mesh_.Wait(seconds(3));
  EXPECT_EQ(Host(), "web");
  EXPECT_EQ(mesh_.Problems(), "");

  mesh_.Delete(
      "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/"
      "virtualservices.networking.istio.io");
  mesh_.Wait(seconds(60));
  EXPECT_EQ(Host(), "none");
  EXPECT_THAT(mesh_.Problems(), HasSubstr("no VirtualService.networking.istio.io"));
}

TEST_F(KubeSourceStory, AnObjectInErrorKeepsItsLastGoodVersionAlsoOverALostHistory) {
  mesh_.InstallDefinitions();
  mesh_.Apply(Rule("web"));
  mesh_.Start();
  mesh_.Apply(Rule("a b"));  // the schema takes it, the rules do not
  mesh_.Wait(milliseconds(100));
  EXPECT_EQ(Host(), "web");
  EXPECT_THAT(mesh_.Problems(), HasSubstr("(the last good version stays in effect)"));
  for (uint64_t i = 0; i < 14; ++i) mesh_.api().EndWatch(i, /*forget_history=*/true);
  mesh_.Wait(seconds(5));
  EXPECT_EQ(Host(), "web");
  mesh_.Apply(Rule("other"));
  mesh_.Wait(milliseconds(100));
  EXPECT_EQ(Host(), "other");
  EXPECT_EQ(mesh_.Problems(), "");
}

TEST_F(KubeSourceStory, WhatHappensWhileTheWatchIsLostIsCaughtUpWith) {
  mesh_.InstallDefinitions();
  mesh_.Apply(kApp);
  mesh_.Apply(Rule("web"));
  mesh_.Start();
  mesh_.Told();
  mesh_.process().SetFate([](const kube::ApiCall&) { return apiserver::Fate::kLoseCall; });
  for (uint64_t i = 0; i < 14; ++i) mesh_.api().EndWatch(i, /*forget_history=*/true);
  mesh_.Delete(absl::StrCat(kRules, "r"));
  mesh_.Apply(
      "{apiVersion: v1, kind: Service, metadata: {name: late}, "
      "spec: {ports: [{port: 80}]}}");
  mesh_.Wait(seconds(30));
  EXPECT_THAT(mesh_.Told(), Not(Contains(HasSubstr("late"))));
  EXPECT_EQ(Host(), "web");
  mesh_.process().SetFate({});
  mesh_.Wait(seconds(10));
  EXPECT_THAT(mesh_.Told(),
              UnorderedElementsAre("Service default/late", "-VirtualService default/r"));
}

TEST_F(KubeSourceStory, APilotThatStartsAnewReadsTheSame) {
  mesh_.InstallDefinitions();
  mesh_.Apply(kApp);
  mesh_.Apply(Rule("web"));
  mesh_.Start();
  const size_t before = mesh_.source().Objects().size();
  mesh_.Restart();
  EXPECT_EQ(mesh_.source().Objects().size(), before);
  EXPECT_EQ(Host(), "web");
}

TEST_F(KubeSourceStory, WhatIsReadOnceIsWhatTheSourceHas) {
  mesh_.InstallDefinitions();
  mesh_.Apply(kApp);
  mesh_.Apply(Rule("web"));
  mesh_.Start();
  const auto once = ReadCluster(mesh_.client(), Validate);
  ASSERT_TRUE(once.ok()) << once.status().message;
  std::vector<std::string> names, expected;
  for (const ObjectPtr& object : once->objects) names.push_back(object->Key().ToString());
  for (const ObjectPtr& object : mesh_.source().Objects()) {
    expected.push_back(object->Key().ToString());
  }
  EXPECT_EQ(names, expected);
  mesh_.Apply(Rule("a b"));
  const auto wrong = ReadCluster(mesh_.client(), Validate);
  EXPECT_EQ(wrong->objects.size(), once->objects.size() - 1);
  EXPECT_TRUE(HasErrors(wrong->diagnostics));
}

TEST_F(KubeSourceStory, PodsThatAreOverAreNotKept) {
  mesh_.Apply(kApp);
  mesh_.Start();
  EXPECT_NE(mesh_.InEffect(Kind::kPod, "default", "web-1"), nullptr);
  const auto written = mesh_.client().Call({.method = "PATCH",
                                            .path = "/api/v1/namespaces/default/pods/web-1/status",
                                            .body = R"({"status":{"phase":"Succeeded"}})",
                                            .content_type = "application/merge-patch+json"});
  ASSERT_TRUE(written.ok()) << written.status().message;
  mesh_.Wait(milliseconds(100));
  EXPECT_EQ(mesh_.InEffect(Kind::kPod, "default", "web-1"), nullptr);
}

TEST_F(KubeSourceStory, ASliceThatOnlySaysAnotherTimeIsNoChange) {
  mesh_.Apply(kApp);
  mesh_.Start();
  mesh_.Told();
  const auto written = mesh_.client().Call(
      {.method = "PATCH",
       .path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/web-x",
       .body = R"({"metadata":{"annotations":{"endpoints.kubernetes.io/last-change":"x"}}})",
       .content_type = "application/merge-patch+json"});
  ASSERT_TRUE(written.ok()) << written.status().message;
  mesh_.Wait(milliseconds(100));
  EXPECT_THAT(mesh_.Told(), IsEmpty());
}

}  // namespace
}  // namespace meltemi::pilot
