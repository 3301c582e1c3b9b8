#include "orchestrator/apiserver/schema/from_proto.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/json/write.h"

namespace meltemi::apiserver {
namespace {

class FromProto : public ::testing::Test {
 protected:
  // Built once: it is immutable.
  static const KubeSchemas& Schemas() {
    static SchemaArena* const arena = new SchemaArena;
    static const KubeSchemas* const schemas = new KubeSchemas(*arena);
    return *schemas;
  }

  static const Property* PropertyOf(const Schema& schema, absl::string_view name) {
    const auto it = schema.property_index.find(name);
    return it == schema.property_index.end() ? nullptr : &schema.properties[it->second];
  }

  // "core.v1.Pod" and a path of members; lists and maps are entered by themselves.
  static const Property* At(absl::string_view type_name, absl::string_view path) {
    const Schema* schema = Schemas().Find(type_name);
    const Property* property = nullptr;
    for (absl::string_view step : absl::StrSplit(path, '.')) {
      if (schema == nullptr) return nullptr;
      while (schema->items != nullptr || schema->values != nullptr) {
        schema = schema->items != nullptr ? schema->items : schema->values;
      }
      property = PropertyOf(*schema, step);
      schema = property == nullptr ? nullptr : property->schema;
    }
    return property;
  }
};

TEST_F(FromProto, NamesAndTypesAreThoseOfKubernetes) {
  const Schema* pod = Schemas().Find("io.k8s.api.core.v1.Pod");
  ASSERT_NE(pod, nullptr);
  EXPECT_EQ(pod->type, SchemaType::kObject);
  std::vector<std::string> names;
  for (const Property& property : pod->properties) names.push_back(property.name);
  EXPECT_EQ(absl::StrJoin(names, " "), "apiVersion kind metadata spec status");
  EXPECT_EQ(At("io.k8s.api.core.v1.Pod", "spec")->schema->type_name, "io.k8s.api.core.v1.PodSpec");
  EXPECT_EQ(At("io.k8s.api.core.v1.Pod", "metadata")->schema->type_name,
            "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
  EXPECT_EQ(At("io.k8s.api.core.v1.Pod", "spec.hostIPC")->schema->type, SchemaType::kBoolean);
  EXPECT_EQ(At("io.k8s.api.core.v1.Service", "spec.clusterIPs")->schema->type, SchemaType::kArray);
  EXPECT_EQ(At("io.k8s.api.core.v1.Service", "spec.ports.nodePort")->schema->format, "int32");
  EXPECT_EQ(At("io.k8s.api.core.v1.Secret", "data")->schema->values->format, "byte");
}

TEST_F(FromProto, FormsOfTheirOwnAreScalars) {
  const auto type_of = [](absl::string_view type, absl::string_view path) {
    const Schema& schema = *At(type, path)->schema;
    return absl::StrCat(static_cast<int>(schema.type), " ", schema.format);
  };
  const auto text = [](SchemaType type, absl::string_view format) {
    return absl::StrCat(static_cast<int>(type), " ", format);
  };
  EXPECT_EQ(type_of("io.k8s.api.core.v1.ServicePort", "targetPort"),
            text(SchemaType::kIntOrString, "int-or-string"));
  EXPECT_EQ(type_of("io.k8s.api.core.v1.Pod", "metadata.creationTimestamp"),
            text(SchemaType::kString, "date-time"));
  EXPECT_EQ(type_of("io.k8s.api.coordination.v1.Lease", "spec.renewTime"),
            text(SchemaType::kString, "date-time"));
  EXPECT_EQ(At("io.k8s.api.coordination.v1.Lease", "spec.renewTime")->schema->type_name,
            "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime");
  EXPECT_EQ(At("io.k8s.api.core.v1.ResourceRequirements", "limits")->schema->values->format,
            "quantity");
  EXPECT_EQ(At("io.k8s.api.apps.v1.ControllerRevision", "data")->schema->type, SchemaType::kAny);
  // map[string]ExtraValue: lists of strings.
  const Schema& extra = *At("io.k8s.api.authentication.v1.UserInfo", "extra")->schema->values;
  EXPECT_EQ(extra.type, SchemaType::kArray);
  EXPECT_EQ(extra.items->type, SchemaType::kString);
}

TEST_F(FromProto, InlinedStructsLendTheirFields) {
  EXPECT_NE(At("io.k8s.api.core.v1.Volume", "emptyDir"), nullptr);
  EXPECT_EQ(At("io.k8s.api.core.v1.Volume", "volumeSource"), nullptr);
  EXPECT_NE(At("io.k8s.api.core.v1.Probe", "httpGet"), nullptr);
  EXPECT_NE(At("io.k8s.api.core.v1.SecretKeySelector", "name"), nullptr);
  EXPECT_EQ(At("io.k8s.api.core.v1.EphemeralContainer", "ports.protocol")->default_value->text(),
            "TCP");
}

TEST_F(FromProto, ListsKnowHowTheyAreMerged) {
  const Schema& ports = *At("io.k8s.api.core.v1.Container", "ports")->schema;
  EXPECT_TRUE(ports.patch.merge);
  EXPECT_EQ(ports.patch.merge_key, "containerPort");
  EXPECT_EQ(ports.list_type, ListType::kMap);
  EXPECT_EQ(absl::StrJoin(ports.list_map_keys, ","), "containerPort,protocol");
  const Schema& volumes = *At("io.k8s.api.core.v1.PodSpec", "volumes")->schema;
  EXPECT_TRUE(volumes.patch.merge && volumes.patch.retain_keys);
  const Schema& strategy = *At("io.k8s.api.apps.v1.DeploymentSpec", "strategy")->schema;
  EXPECT_TRUE(strategy.patch.retain_keys);
  EXPECT_FALSE(strategy.patch.merge);
  EXPECT_EQ(At("io.k8s.api.core.v1.Pod", "metadata.finalizers")->schema->list_type, ListType::kSet);
  EXPECT_TRUE(At("io.k8s.api.core.v1.PodSpec", "nodeSelector")->schema->atomic_map);
  EXPECT_TRUE(Schemas().Find("io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector")->atomic_map);
}

TEST_F(FromProto, RequiredPresenceDefaultsAndValues) {
  EXPECT_TRUE(At("io.k8s.api.core.v1.Container", "name")->required);
  EXPECT_FALSE(At("io.k8s.api.core.v1.Container", "image")->required);
  EXPECT_EQ(At("io.k8s.api.core.v1.Pod", "status")->presence, Presence::kAlways);
  EXPECT_EQ(At("io.k8s.api.core.v1.PodSpec", "hostNetwork")->presence, Presence::kOmitEmpty);
  EXPECT_EQ(At("io.k8s.api.core.v1.PodSpec", "securityContext")->presence, Presence::kGiven);
  EXPECT_EQ(At("io.k8s.api.apps.v1.DeploymentSpec", "replicas")->presence, Presence::kGiven);
  EXPECT_EQ(json::ToString(*At("io.k8s.api.core.v1.ServicePort", "protocol")->default_value),
            R"("TCP")");
  EXPECT_EQ(
      absl::StrJoin(At("io.k8s.api.core.v1.Container", "imagePullPolicy")->schema->enum_texts, ","),
      "Always,IfNotPresent,Never");
}

TEST_F(FromProto, SchemasMayContainThemselves) {
  const Schema* props =
      Schemas().Find("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps");
  ASSERT_NE(props, nullptr);
  EXPECT_EQ(PropertyOf(*props, "not")->schema, props);
  EXPECT_EQ(PropertyOf(*props, "properties")->schema->values, props);
  EXPECT_NE(PropertyOf(*props, "x-kubernetes-preserve-unknown-fields"), nullptr);
  EXPECT_NE(PropertyOf(*props, "$ref"), nullptr);
}

TEST_F(FromProto, ResourcesAreServedAsInKubernetes) {
  const ResourceOption* pods = Schemas().FindResource("", "v1", "pods");
  ASSERT_NE(pods, nullptr);
  EXPECT_EQ(pods->kind + " " + pods->singular, "Pod pod");
  EXPECT_TRUE(pods->namespaced && pods->status && pods->stored);
  EXPECT_EQ(absl::StrJoin(pods->short_names, ","), "po");
  EXPECT_EQ(absl::StrJoin(pods->categories, ","), "all");
  EXPECT_EQ(absl::StrJoin(pods->verbs, ","),
            "create,delete,deletecollection,get,list,patch,update,watch");
  EXPECT_EQ(pods->list_schema, Schemas().Find("io.k8s.api.core.v1.PodList"));
  const ResourceOption* deployments = Schemas().FindResource("apps", "v1", "deployments");
  ASSERT_NE(deployments, nullptr);
  EXPECT_EQ(deployments->scale_spec_path, "spec.replicas");
  const ResourceOption* review =
      Schemas().FindResource("authorization.k8s.io", "v1", "subjectaccessreviews");
  ASSERT_NE(review, nullptr);
  EXPECT_FALSE(review->stored || review->namespaced);
  EXPECT_EQ(absl::StrJoin(review->verbs, ","), "create");
  EXPECT_NE(Schemas().FindResource("autoscaling", "v2", "horizontalpodautoscalers"), nullptr);
}

// What `kubectl explain` prints.
TEST_F(FromProto, EverythingIsDescribed) {
  const Schema* pod = Schemas().Find("io.k8s.api.core.v1.Pod");
  std::set<const Schema*> seen;
  std::vector<std::string> silent;
  const std::function<void(const Schema&)> visit = [&](const Schema& schema) {
    if (!seen.insert(&schema).second) return;
    if (!schema.type_name.empty() && schema.description.empty()) silent.push_back(schema.type_name);
    for (const Property& property : schema.properties) {
      if (property.description.empty()) {
        silent.push_back(absl::StrCat(schema.type_name, ".", property.name));
      }
      visit(*property.schema);
    }
    if (schema.items != nullptr) visit(*schema.items);
    if (schema.values != nullptr) visit(*schema.values);
  };
  visit(*pod);
  for (const ResourceOption& resource : Schemas().resources()) visit(*resource.schema);
  EXPECT_EQ(absl::StrJoin(silent, "\n"), "");
}

TEST_F(FromProto, AllOfItIsBuiltInATenthOfASecond) {
  const auto start = std::chrono::steady_clock::now();
  SchemaArena arena;
  const KubeSchemas schemas(arena);
  const auto took = std::chrono::steady_clock::now() - start;
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(took).count();
  std::printf("%zu resources in %lld us\n", schemas.resources().size(), static_cast<long long>(us));
  EXPECT_LT(us, 1'000'000) << "ten times what it may take, for a loaded machine";
}

}  // namespace
}  // namespace meltemi::apiserver
