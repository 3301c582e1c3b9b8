#include "pilot/crds/crds.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/json/write.h"
#include "base/yaml/parse.h"
#include "networking/v1/destination_rule.pb.h"
#include "networking/v1/virtual_service.pb.h"
#include "pilot/crds/schema.h"

namespace meltemi::pilot {
namespace {

using json::Value;
using ::testing::ElementsAre;

std::string Json(const Value* value) { return value == nullptr ? "none" : json::ToString(*value); }

// "loadBalancer.consistentHash.httpCookie": through properties, items and values of maps.
const Value* At(const Value& schema, const std::vector<std::string>& path) {
  const Value* at = &schema;
  for (const std::string& name : path) {
    while (at != nullptr && at->Find("properties") == nullptr) {
      at = at->Find("items") != nullptr ? at->Find("items") : at->Find("additionalProperties");
    }
    if (at == nullptr) return nullptr;
    at = at->Find("properties", name);
  }
  return at;
}

TEST(Schema, FieldsAreWhatProtobufsJsonMakesOfThem) {
  const Value rule = SchemaOf(*istio::networking::v1alpha3::DestinationRule::descriptor());
  const auto at = [&](const std::vector<std::string>& path) { return Json(At(rule, path)); };
  EXPECT_EQ(at({"host"}), R"({"type":"string"})");
  EXPECT_EQ(at({"trafficPolicy", "outlierDetection", "interval"}), R"({"type":"string"})");
  EXPECT_EQ(at({"trafficPolicy", "outlierDetection", "consecutive5xxErrors"}),
            R"({"type":"integer","maximum":4294967295,"minimum":0,"nullable":true})");
  EXPECT_EQ(at({"trafficPolicy", "outlierDetection", "maxEjectionPercent"}),
            R"({"type":"integer","format":"int32"})");
  EXPECT_EQ(at({"subsets", "labels"}),
            R"({"type":"object","additionalProperties":{"type":"string"}})");
  EXPECT_EQ(at({"trafficPolicy", "proxyProtocol", "version"}),
            R"({"type":"string","enum":["V1","V2"]})");
  EXPECT_EQ(at({"exportTo"}), R"({"type":"array","items":{"type":"string"}})");
  EXPECT_EQ(at({"trafficPolicy", "retryBudget", "percent"}),
            R"({"type":"number","format":"double","nullable":true})");
}

TEST(Schema, OfAOneofThereIsNoneOrOne) {
  const Value rule = SchemaOf(*istio::networking::v1alpha3::DestinationRule::descriptor());
  const Value* balancer = At(rule, {"trafficPolicy", "loadBalancer"});
  ASSERT_NE(balancer, nullptr);
  EXPECT_EQ(Json(balancer->Find("oneOf")),
            R"([{"not":{"anyOf":[{"required":["simple"]},{"required":["consistentHash"]}]}},)"
            R"({"required":["simple"]},{"required":["consistentHash"]}])");
  const Value* hash = At(rule, {"trafficPolicy", "loadBalancer", "consistentHash"});
  ASSERT_NE(hash->Find("allOf"), nullptr);
  EXPECT_EQ(hash->Find("allOf")->items().size(), 2u);
}

TEST(Crds, EveryKindOfIstiosThatPilotReadsHasADefinition) {
  std::vector<std::string> names;
  for (const Value& definition : CrdObjects()) {
    names.emplace_back(definition.Find("metadata")->FindString("name"));
  }
  EXPECT_THAT(
      names,
      ElementsAre("virtualservices.networking.istio.io", "destinationrules.networking.istio.io",
                  "gateways.networking.istio.io", "serviceentries.networking.istio.io",
                  "workloadentries.networking.istio.io", "sidecars.networking.istio.io",
                  "peerauthentications.security.istio.io",
                  "authorizationpolicies.security.istio.io"));
}

TEST(Crds, TheNewestVersionIsStoredAndAllHaveAStatus) {
  for (const Value& definition : CrdObjects()) {
    const std::vector<Value>& versions = definition.Find("spec", "versions")->items();
    EXPECT_EQ(versions.front().FindString("name"), "v1");
    for (const Value& version : versions) {
      EXPECT_EQ(version.Find("storage")->bool_value(), &version == &versions.front());
      EXPECT_TRUE(version.Find("served")->bool_value());
      EXPECT_NE(version.Find("subresources", "status"), nullptr);
      const Value* status = version.Find("schema", "openAPIV3Schema", "properties", "status");
      EXPECT_TRUE(status->Find("x-kubernetes-preserve-unknown-fields")->bool_value());
    }
  }
}

TEST(Crds, KubectlCanRememberWhatItHasApplied) {
  // Annotations of an object take 256 kB together.
  for (const Value& definition : CrdObjects()) {
    EXPECT_LT(json::ToString(definition).size(), 200'000u)
        << definition.Find("metadata")->FindString("name");
  }
}

TEST(Crds, TheManifestsAreTheObjects) {
  const auto documents = yaml::ParseAll(CrdManifests());
  ASSERT_TRUE(documents.ok()) << documents.status();
  EXPECT_EQ(*documents, CrdObjects());
}

}  // namespace
}  // namespace meltemi::pilot
