// What is printed: every document is what its kind may be, and hangs together with the others.
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/protojson/decode.h"
#include "base/yaml/parse.h"
#include "cli/install/manifests.h"
#include "cli/install/settings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kube/apps/v1/apps.pb.h"
#include "kube/core/v1/config.pb.h"
#include "kube/core/v1/namespace.pb.h"
#include "kube/core/v1/service.pb.h"
#include "kube/policy/v1/policy.pb.h"
#include "pilot/inject/settings.h"

namespace meltemi::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

std::vector<json::Value> Documents(const std::string& text) {
  absl::StatusOr<std::vector<json::Value>> documents = yaml::ParseAll(text);
  EXPECT_TRUE(documents.ok()) << documents.status();
  return documents.ok() ? *std::move(documents) : std::vector<json::Value>();
}

InstallSettings Settings(const std::vector<std::string>& sets) {
  absl::StatusOr<InstallSettings> settings = ParseInstallSettings(sets);
  EXPECT_TRUE(settings.ok()) << settings.status();
  return settings.ok() ? *settings : InstallSettings();
}

std::string NameOf(const json::Value& document) {
  return absl::StrCat(document.FindString("kind"), " ",
                      document.Find("metadata")->FindString("name"));
}

template <typename Message>
void ExpectDecodes(json::Value document) {
  const std::string name = NameOf(document);
  document.Remove("apiVersion");  // which no message has
  document.Remove("kind");
  Message message;
  protojson::DecodeOptions options;
  options.quoted_numbers = false;
  const absl::Status status = protojson::Decode(document, name, &message, options);
  EXPECT_TRUE(status.ok()) << status;
}

TEST(InstallTest, EveryDocumentIsWhatItsKindMayBe) {
  const std::string text = InstallManifests(Settings(
      {"gateways.ingress=true", "cni=true", "replicas=3", "hub=registry.example.com:5000/x",
       "imagePullPolicy=Never", "meshConfig.accessLogFile=/dev/stdout",
       "resources.limits.memory=1Gi", "proxy.resources.requests.cpu=5m"}));
  std::set<std::string> names;
  for (const json::Value& document : Documents(text)) {
    const std::string kind(document.FindString("kind"));
    EXPECT_TRUE(names.insert(NameOf(document)).second || kind == "ServiceAccount")
        << NameOf(document) << " twice";
    if (kind == "Deployment") ExpectDecodes<kube::apps::v1::Deployment>(document);
    if (kind == "Service") ExpectDecodes<kube::core::v1::Service>(document);
    if (kind == "ConfigMap") ExpectDecodes<kube::core::v1::ConfigMap>(document);
    if (kind == "Namespace") ExpectDecodes<kube::core::v1::Namespace>(document);
    if (kind == "PodDisruptionBudget") {
      ExpectDecodes<kube::policy::v1::PodDisruptionBudget>(document);
    }
  }
  for (const char* name :
       {"Namespace istio-system", "Deployment meltemi-pilot", "Service meltemi-pilot",
        "ServiceAccount meltemi-pilot", "ClusterRole meltemi-pilot", "ConfigMap meltemi",
        "PodDisruptionBudget meltemi-pilot",
        "MutatingWebhookConfiguration meltemi-sidecar-injector",
        "ValidatingWebhookConfiguration meltemi-validator", "Deployment istio-ingressgateway",
        "Service istio-ingressgateway",
        "CustomResourceDefinition virtualservices.networking.istio.io"}) {
    EXPECT_EQ(names.count(name), 1u) << name;
  }
  EXPECT_THAT(text, HasSubstr("image: registry.example.com:5000/x/pilot:0.1.0"));
  EXPECT_THAT(text, HasSubstr("image: registry.example.com:5000/x/proxy:0.1.0"));
  EXPECT_THAT(text, HasSubstr("--access-log-file=/dev/stdout"));
  EXPECT_THAT(text, HasSubstr("--node-type=router"));
  EXPECT_THAT(text, Not(HasSubstr("@")));
  EXPECT_THAT(text, Not(HasSubstr("image: auto")));
}

TEST(InstallTest, APartIsPrintedAlone) {
  const InstallSettings settings = Settings({"hub=h"});
  std::string parts;
  for (const std::string& name : InstallParts()) {
    if (name != "gateways") absl::StrAppend(&parts, InstallPart(name, settings));
  }
  EXPECT_EQ(parts, InstallManifests(settings));
  const std::string gateway = InstallPart("gateways", settings);
  EXPECT_EQ(Documents(gateway).size(), 4u);
  EXPECT_THAT(gateway, HasSubstr("image: h/proxy:0.1.0"));
  EXPECT_THAT(gateway, Not(HasSubstr("meltemi-pilot\n")));
}

TEST(InstallTest, TheSettingsOfSidecarsAreReadByPilot) {
  const InstallSettings settings =
      Settings({"cni=true", "hub=h", "tag=7", "trustDomain=example.org",
                "proxy.resources.limits.memory=64Mi", "imagePullPolicy=Always"});
  std::string in_config_map;
  for (const json::Value& document : Documents(InstallManifests(settings))) {
    if (NameOf(document) != "ConfigMap meltemi") continue;
    in_config_map = std::string(document.Find("data")->FindString("inject.yaml"));
  }
  EXPECT_EQ(in_config_map, InjectSettingsText(settings));
  const absl::StatusOr<pilot::InjectSettings> inject = pilot::ParseInjectSettings(in_config_map);
  ASSERT_TRUE(inject.ok()) << inject.status();
  EXPECT_EQ(inject->image, "h/proxy:7");
  EXPECT_TRUE(inject->cni);
  EXPECT_EQ(inject->trust_domain, "example.org");
  EXPECT_EQ(inject->resources.memory_limit, "64Mi");
  EXPECT_EQ(inject->resources.cpu_request, "10m");
}

TEST(InstallTest, WebhooksFindTheService) {
  std::map<std::string, std::string> target_by_port;
  std::vector<std::string> hooks;
  for (const json::Value& document : Documents(InstallManifests({}))) {
    if (NameOf(document) == "Service meltemi-pilot") {
      for (const json::Value& port : document.Find("spec", "ports")->items()) {
        target_by_port[port.Find("port")->text()] = port.Find("targetPort")->text();
      }
    }
    if (document.Find("webhooks") == nullptr) continue;
    EXPECT_EQ(document.Find("metadata", "labels")->FindString("app"), "meltemi-pilot");
    for (const json::Value& hook : document.Find("webhooks")->items()) {
      hooks.emplace_back(hook.FindString("name"));
      const json::Value& service = *hook.Find("clientConfig", "service");
      EXPECT_EQ(service.FindString("name"), "meltemi-pilot");
      EXPECT_EQ(service.Find("port")->text(), "443");
      EXPECT_EQ(hook.FindString("failurePolicy"), "Fail");
    }
  }
  EXPECT_EQ(target_by_port["443"], "15017");
  EXPECT_EQ(target_by_port.count("15010"), 0u) << "plaintext is for nobody outside";
  EXPECT_EQ(hooks.size(), 5u);
}

TEST(InstallTest, WrongSettingsAreRefusedByName) {
  const std::pair<const char*, const char*> wrong[] = {
      {"replica=2", "--set replica: no such setting"},
      {"replicas", "must be KEY=VALUE"},
      {"replicas=0", "must be a number from 1 to 100"},
      {"replicas=many", "must be a number"},
      {"cni=yes", "must be true or false"},
      {"tag=", "must consist of"},
      {"hub=a b", "must consist of"},
      {"trustDomain=a\nb: c", "must consist of"},
      {"imagePullPolicy=Sometimes", "must be one of Always"},
      {"resources.requests.cpu=lots", "--set resources.requests.cpu: \"lots\""},
      {"meshConfig.outboundTrafficPolicy.mode=NONE", "ALLOW_ANY, REGISTRY_ONLY"},
  };
  for (const auto& [set, message] : wrong) {
    const absl::StatusOr<InstallSettings> settings = ParseInstallSettings({set});
    ASSERT_FALSE(settings.ok()) << set;
    EXPECT_THAT(std::string(settings.status().message()), HasSubstr(message));
  }
  EXPECT_EQ(Settings({"replicas=2", "replicas=3"}).replicas, 3u);
  EXPECT_THAT(InstallSettingsHelp(), HasSubstr("gateways.ingress"));
}

TEST(UninstallTest, TakesAllAwayButWhatHoldsUsersObjects) {
  const std::vector<json::Value> documents = Documents(UninstallManifests(false));
  ASSERT_GT(documents.size(), 10u);
  EXPECT_EQ(documents[0].FindString("kind"), "MutatingWebhookConfiguration");
  EXPECT_EQ(documents[1].FindString("kind"), "ValidatingWebhookConfiguration");
  std::set<std::string> gone;
  for (const json::Value& document : documents) {
    gone.insert(NameOf(document));
    EXPECT_NE(document.FindString("kind"), "CustomResourceDefinition");
    EXPECT_NE(document.FindString("kind"), "Namespace");
  }
  InstallSettings everything;
  everything.ingress_gateway = true;
  for (const json::Value& document : Documents(InstallManifests(everything))) {
    const absl::string_view kind = document.FindString("kind");
    if (kind == "Namespace" || kind == "CustomResourceDefinition") continue;
    EXPECT_EQ(gone.count(NameOf(document)), 1u) << NameOf(document);
  }
  EXPECT_THAT(UninstallManifests(true), HasSubstr("virtualservices.networking.istio.io"));
}

}  // namespace
}  // namespace meltemi::cli
