// One served resource (a plural name in a group and version) and the Catalog of all of them.
//
// Threads: immutable. The Catalog is replaced as a whole when a CustomResourceDefinition changes;
// a request keeps the one that it began with.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "kube/names/names.h"
#include "kube/selector/selector.h"
#include "kube/status/status.h"
#include "orchestrator/apiserver/schema/schema.h"

namespace meltemi::apiserver {

class Strategy;
class TableColumns;

struct ScaleSubresource {  // dotted paths without the leading dot: "spec.replicas"
  std::string spec_replicas_path, status_replicas_path;
  std::string label_selector_path;  // "" when there is none
};

// One version of a resource.
struct Resource {
  std::string group, version, plural, singular, kind;
  bool namespaced = true;
  std::vector<std::string> short_names, categories;
  // "create" "delete" "deletecollection" "get" "list" "patch" "update" "watch", sorted.
  std::vector<std::string> verbs;
  bool status_subresource = false;
  std::optional<ScaleSubresource> scale;
  // Others, answered by handlers of their own: "binding", "eviction", "log", "token", "approval" …
  std::vector<std::string> other_subresources;
  bool custom = false;  // from a CustomResourceDefinition

  const Schema* schema = nullptr;
  const Strategy* strategy = nullptr;
  const TableColumns* columns = nullptr;

  // Where objects are kept: "/registry/STORAGE_GROUP/STORAGE_RESOURCE/[NAMESPACE/]NAME". Resources
  // that are views of the same objects (autoscaling v1 and v2, both event groups) have the same.
  kube::GroupResource storage;
  std::string storage_version;  // apiVersion of what is stored: "autoscaling/v2"
  std::string storage_kind;
  // Between this version and the stored one, in place; null where only apiVersion differs.
  void (*to_storage)(json::Value& object) = nullptr;
  void (*from_storage)(json::Value& object) = nullptr;
  // Reviews and the like are answered and never stored.
  bool stored = true;

  kube::GroupResource group_resource() const { return {group, plural}; }
  kube::GroupVersionKind gvk() const { return {group, version, kind}; }
  std::string api_version() const { return kube::ApiVersion(group, version); }
  std::string list_kind() const { return kind + "List"; }
};

struct GroupVersion {
  std::string group, version;
  std::vector<std::shared_ptr<const Resource>> resources;  // sorted by plural
};

class Catalog {
 public:
  virtual ~Catalog() = default;
  virtual const Resource* Find(absl::string_view group, absl::string_view version,
                               absl::string_view plural) const = 0;
  virtual const Resource* FindKind(const kube::GroupVersionKind& kind) const = 0;
  // The version that is preferred in its group.
  virtual const Resource* FindPreferred(const kube::GroupResource& resource) const = 0;
  // Groups in discovery's order (core first), versions in order of preference.
  virtual const std::vector<GroupVersion>& group_versions() const = 0;
  // Grows with every change of the set of resources.
  virtual uint64_t generation() const = 0;
};

// Where the current Catalog is had from. Thread-safe.
class CatalogSource {
 public:
  virtual ~CatalogSource() = default;
  virtual std::shared_ptr<const Catalog> current() const = 0;
};

}  // namespace meltemi::apiserver
