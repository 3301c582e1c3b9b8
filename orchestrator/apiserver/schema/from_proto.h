// Schemas of the built-in kinds, made from the protobuf messages in api/kube: fields and their JSON
// names, our options (api/kube/options.proto), and comments as descriptions. Only descriptors are
// read: no C++ message class of a kind is linked.
//
// Times, quantities and the like have their type_name as well as a format: MicroTime and Time are
// both "date-time". Raw JSON (RawExtension, JSON, FieldsV1) and JSON schemas that may be something
// else (JSONSchemaPropsOrBool …) are kAny with preserve_unknown.
//
// Threads: immutable after construction. The schemas are the arena's.
#pragma once

#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "orchestrator/apiserver/schema/schema.h"

namespace google::protobuf {
class FileDescriptorSet;
}  // namespace google::protobuf

namespace meltemi::apiserver {

// What option (kube.resource) of a kind says: how it is served.
struct ResourceOption {
  std::string group, version, kind, plural, singular;
  bool namespaced = true;
  std::vector<std::string> short_names, categories;
  // Sorted. Kinds that are answered and never stored (reviews) have "create" only.
  std::vector<std::string> verbs;
  bool stored = true;
  bool status = false;  // has a status subresource
  // Empty where there is no scale subresource. Dotted paths: "spec.replicas". The selector is a
  // LabelSelector (of ReplicationControllers: a map), not its text.
  std::string scale_spec_path, scale_status_path, scale_selector_path;
  std::vector<std::string> other_subresources;  // "binding", "eviction", "log" …
  // apiVersion, kind and metadata are among the properties of both.
  const Schema* schema = nullptr;
  const Schema* list_schema = nullptr;  // null for reviews
};

class KubeSchemas {
 public:
  // Builds everything: some ten milliseconds. `arena` outlives this object.
  explicit KubeSchemas(SchemaArena& arena);

  // By Kubernetes' OpenAPI name: "io.k8s.api.core.v1.PodSpec",
  // "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta". Null when there is none.
  const Schema* Find(absl::string_view type_name) const;

  // Every resource of api/kube, by group, version, plural. Views of other kinds' objects (Scale,
  // Eviction, Binding, TokenRequest …) have schemas but no entry here.
  const std::vector<ResourceOption>& resources() const { return resources_; }
  const ResourceOption* FindResource(absl::string_view group, absl::string_view version,
                                     absl::string_view plural) const;

 private:
  absl::flat_hash_map<std::string, const Schema*> by_name_;
  std::vector<ResourceOption> resources_;
};

// The same of any descriptors, for tests.
struct LoadedSchemas {
  absl::flat_hash_map<std::string, const Schema*> by_name;
  std::vector<ResourceOption> resources;
};
LoadedSchemas LoadSchemas(const google::protobuf::FileDescriptorSet& files, SchemaArena& arena);

}  // namespace meltemi::apiserver
