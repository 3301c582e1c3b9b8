#include "orchestrator/apiserver/patch/schema_fake.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/json/parse.h"
#include "base/log/log.h"

namespace meltemi::apiserver {
namespace {

using json::Value;

Schema& Build(SchemaArena& arena, const Value& text);

void BuildList(SchemaArena& arena, const Value& text, Schema& schema) {
  schema.type = SchemaType::kArray;
  schema.items = &Build(arena, *text.Find("[]"));
  if (text.Find("set") != nullptr) schema.list_type = ListType::kSet;
  if (const Value* keys = text.Find("keys")) {
    schema.list_type = ListType::kMap;
    schema.list_map_keys = absl::StrSplit(keys->text(), ',');
  }
  if (const Value* merge = text.Find("merge")) {
    schema.patch.merge = true;
    schema.patch.merge_key = merge->text();
  }
}

void BuildScalar(absl::string_view name, Schema& schema) {
  if (name == "string") {
    schema.type = SchemaType::kString;
  } else if (name == "int") {
    schema.type = SchemaType::kInteger;
  } else if (name == "bool") {
    schema.type = SchemaType::kBoolean;
  } else if (name == "intOrString") {
    schema.type = SchemaType::kIntOrString;
  } else {
    CHECK(name == "any");
    schema.preserve_unknown = true;
  }
}

Schema& Build(SchemaArena& arena, const Value& text) {
  Schema& schema = arena.New();
  if (text.is_string()) {
    BuildScalar(text.text(), schema);
    return schema;
  }
  if (text.Find("[]") != nullptr) {
    BuildList(arena, text, schema);
    return schema;
  }
  schema.type = SchemaType::kObject;
  for (const json::Member& member : text.members()) {
    if (member.key == "*") {
      schema.values = &Build(arena, member.value);
    } else if (member.key == "atomic") {
      schema.atomic_map = true;
    } else if (member.key == "preserve") {
      schema.preserve_unknown = true;
    } else if (member.key == "typeName") {
      schema.type_name = member.value.text();
    } else {
      // "name=default" is a member with a default.
      std::pair<std::string, std::string> name =
          absl::StrSplit(member.key, absl::MaxSplits('=', 1));
      Property property;
      property.name = name.first;
      property.schema = &Build(arena, member.value);
      if (!name.second.empty()) property.default_value = Value::String(name.second);
      schema.property_index[name.first] = schema.properties.size();
      schema.properties.push_back(std::move(property));
    }
  }
  return schema;
}

constexpr absl::string_view kMetadata = R"({
  "name": "string", "generateName": "string", "namespace": "string", "uid": "string",
  "resourceVersion": "string", "generation": "int", "creationTimestamp": "string",
  "deletionTimestamp": "string", "selfLink": "string",
  "labels": {"*": "string"}, "annotations": {"*": "string"},
  "finalizers": {"[]": "string", "set": true, "merge": ""},
  "ownerReferences": {"[]": {"atomic": true, "uid": "string", "name": "string", "kind": "string",
    "apiVersion": "string", "controller": "bool"}, "keys": "uid", "merge": "uid"},
  "managedFields": {"[]": "any"}})";

constexpr absl::string_view kPodSpec = R"({"typeName": "io.k8s.api.core.v1.PodSpec",
  "containers": {"[]": {"name": "string", "image": "string", "args": {"[]": "string"},
      "env": {"[]": {"name": "string", "value": "string"}, "keys": "name", "merge": "name"},
      "ports": {"[]": {"name": "string", "containerPort": "int", "protocol=TCP": "string",
        "hostPort": "int"}, "keys": "containerPort,protocol", "merge": "containerPort"},
      "resources": {"limits": {"*": "string"}, "requests": {"*": "string"}},
      "volumeMounts": {"[]": {"name": "string", "mountPath": "string", "readOnly": "bool"},
        "keys": "mountPath", "merge": "mountPath"}},
    "keys": "name", "merge": "name"},
  "nodeSelector": {"atomic": true, "*": "string"}, "nodeName": "string", "hostNetwork": "bool",
  "restartPolicy": "string", "terminationGracePeriodSeconds": "int",
  "tolerations": {"[]": {"key": "string", "operator": "string", "effect": "string"}},
  "volumes": {"[]": {"name": "string", "configMap": {"name": "string"},
    "emptyDir": {"medium": "string"}, "hostPath": {"path": "string"}}, "keys": "name",
    "merge": "name"}})";

constexpr absl::string_view kConditions = R"({"[]": {"type": "string", "status": "string",
  "reason": "string", "lastTransitionTime": "string"}, "keys": "type", "merge": "type"})";

}  // namespace

const Schema& SchemaOfText(SchemaArena& arena, absl::string_view text) {
  absl::StatusOr<Value> value = json::Parse(text);
  CHECK(value.ok());
  return Build(arena, *value);
}

const Schema& PodSchemaFake(SchemaArena& arena) {
  return SchemaOfText(
      arena, absl::StrCat(R"({"apiVersion": "string", "kind": "string", "metadata": )", kMetadata,
                          R"(, "spec": )", kPodSpec,
                          R"(, "status": {"phase": "string", "podIP": "string", "conditions": )",
                          kConditions, "}}"));
}

const Schema& DeploymentSchemaFake(SchemaArena& arena) {
  return SchemaOfText(
      arena,
      absl::StrCat(R"({"apiVersion": "string", "kind": "string", "metadata": )", kMetadata,
                   R"(, "spec": {"replicas": "int", "paused": "bool", "minReadySeconds": "int",
                      "selector": {"atomic": true, "matchLabels": {"*": "string"}},
                      "strategy": {"type": "string", "rollingUpdate": {"maxSurge": "intOrString",
                        "maxUnavailable": "intOrString"}},
                      "template": {"metadata": )",
                   kMetadata, R"(, "spec": )", kPodSpec,
                   R"(}}, "status": {"replicas": "int", "conditions": )", kConditions, "}}"));
}

}  // namespace meltemi::apiserver
