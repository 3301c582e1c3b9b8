// `meltemi inject -f` without its files.
#include "pilot/inject/manifest.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meltemi::pilot {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

constexpr char kTemplate[] =
    "{metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: nginx}]}}";

TEST(ManifestTest, EveryKindOfWorkloadGetsItsSidecar) {
  std::vector<std::string> documents = {
      "apiVersion: v1\nkind: Pod\nmetadata: {name: w}\nspec: {containers: [{name: web}]}\n",
      absl::StrCat("apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: w}\n",
                   "spec: {jobTemplate: {spec: {template: ", kTemplate, "}}}\n")};
  for (const char* kind :
       {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job"}) {
    documents.push_back(absl::StrCat("apiVersion: apps/v1\nkind: ", kind,
                                     "\nmetadata: {name: w}\nspec: {template: ", kTemplate, "}\n"));
  }
  std::string all = "apiVersion: v1\nkind: List\nitems:\n";
  for (const std::string& document : documents) {
    const auto injected = InjectManifests(document, "default", {});
    ASSERT_TRUE(injected.ok()) << injected.status();
    EXPECT_EQ(injected->injected, 1u) << document;
    EXPECT_THAT(injected->text, HasSubstr("- name: istio-proxy\n")) << document;
    EXPECT_THAT(injected->text, HasSubstr("--workload-name=w")) << document;
    const auto again = InjectManifests(injected->text, "default", {});
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(again->text, injected->text);
    absl::StrAppend(&all, "- ", document.substr(0, document.find('\n')), "\n");
    const std::string rest = document.substr(document.find('\n') + 1);
    for (size_t at = 0; at < rest.size(); at = rest.find('\n', at) + 1) {
      absl::StrAppend(&all, "  ", rest.substr(at, rest.find('\n', at) - at), "\n");
    }
  }
  const auto list = InjectManifests(all, "default", {});
  ASSERT_TRUE(list.ok()) << list.status();
  EXPECT_EQ(list->injected, documents.size());
}

TEST(ManifestTest, OtherDocumentsStayAsTheyAre) {
  const std::string service =
      "# of the shop\napiVersion: v1\nkind: Service\n"
      "metadata: {name: a}   # short\n";
  const std::string skipped =
      "--- # not this one\nkind: Pod\nmetadata: {name: b, labels: "
      "{sidecar.istio.io/inject: \"false\"}}\nspec: {containers: []}\n";
  const std::string pod = "---\nkind: Pod\nmetadata: {name: c}\nspec: {containers: [{name: c}]}\n";
  const auto injected = InjectManifests(absl::StrCat(service, skipped, pod), "shop", {});
  ASSERT_TRUE(injected.ok()) << injected.status();
  EXPECT_THAT(injected->text, StartsWith(absl::StrCat(service, skipped, "---\n")));
  EXPECT_EQ(injected->injected, 1u);
  EXPECT_THAT(injected->messages,
              ElementsAre("Pod shop/b: not injected: the pod's label sidecar.istio.io/inject is "
                          "false"));
}

TEST(ManifestTest, WhatIsWrongIsToldWithItsPlace) {
  const auto broken = InjectManifests("kind: A\n---\nkind: [\n", "default", {});
  ASSERT_FALSE(broken.ok());
  EXPECT_THAT(std::string(broken.status().message()), StartsWith("document 2: "));
  const auto wrong = InjectManifests(
      "kind: Deployment\nmetadata: {name: a}\nspec: {template: {metadata: {annotations: "
      "{sidecar.istio.io/proxyCPU: x}}, spec: {containers: []}}}\n",
      "default", {});
  ASSERT_FALSE(wrong.ok());
  EXPECT_THAT(std::string(wrong.status().message()), StartsWith("Deployment default/a: invalid"));
}

}  // namespace
}  // namespace meltemi::pilot
