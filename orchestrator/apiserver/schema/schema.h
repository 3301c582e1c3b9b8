// The shape of a kind as the API server uses it: one tree, made from our protobuf kinds
// (from_proto.h) or from the OpenAPI v3 schema of a CustomResourceDefinition (from_openapi.h).
// Decoding, pruning, defaulting, validation, strategic merge, server-side apply and OpenAPI all
// walk this tree, so a built-in kind and a custom resource take the same road.
//
// Threads: immutable after construction; owned by an Arena that the Catalog keeps alive.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "base/json/value.h"

namespace re2 {
class RE2;
}  // namespace re2

namespace meltemi::apiserver {

struct Schema;

// What an empty value of a member means. Kubernetes' own objects are structs: where JSON leaves a
// member out and where it is "", 0, false, [] or {}, the struct is the same (empty.h).
enum class Presence : uint8_t {
  kGiven,      // kept as it was given: pointers, and everything in custom resources
  kOmitEmpty,  // an empty value is the same as none, and is left out
  kAlways,     // an empty value is the same as none, and is written: "", 0, {}, null for a list
};

struct Property {
  std::string name;
  const Schema* schema = nullptr;
  bool required = false;
  Presence presence = Presence::kGiven;
  // Of this use of the schema; the schema's own description is that of its type.
  std::string description;
  std::optional<json::Value> default_value;
};

enum class SchemaType : uint8_t {
  kAny,  // x-kubernetes-preserve-unknown-fields without a type; RawExtension
  kObject,
  kArray,
  kString,
  kInteger,
  kNumber,
  kBoolean,
  kIntOrString,
};

enum class ListType : uint8_t { kAtomic, kSet, kMap };

// strategic merge (x-kubernetes-patch-strategy); both may hold.
struct PatchStrategy {
  bool merge = false;
  bool retain_keys = false;
  std::string merge_key;  // of lists of objects
};

// A rule of x-kubernetes-validations, as it was written.
struct ValidationRule {
  std::string rule, message, message_expression, reason, field_path;
  bool optional_old_self = false;
};

// What only custom resources have. Every schema that was made from a CustomResourceDefinition has
// one, perhaps empty; it is null for built-in kinds: that tells them apart.
struct SchemaKeywords {
  std::optional<double> minimum, maximum, multiple_of;
  bool exclusive_minimum = false, exclusive_maximum = false;
  std::optional<int64_t> min_length, max_length, min_items, max_items, min_properties,
      max_properties;
  std::string pattern_text;
  std::shared_ptr<const re2::RE2> pattern;
  bool unique_items = false;
  std::vector<json::Value> enum_values;
  std::vector<const Schema*> all_of, any_of, one_of;
  const Schema* not_schema = nullptr;
  std::vector<std::string> required;  // in the order given; not all of them need be declared
  std::vector<ValidationRule> rules;
  // Of the root: the openAPIV3Schema that it was made from, for publishing.
  std::shared_ptr<const json::Value> open_api;
};

struct Schema {
  SchemaType type = SchemaType::kAny;
  std::string type_name;  // "io.k8s.api.core.v1.PodSpec"; "" for anonymous ones
  std::string description;
  std::string format;  // "int32", "int64", "byte", "date-time", "quantity" …
  bool nullable = false;
  std::vector<std::string> enum_texts;  // of strings of built-in kinds, for OpenAPI

  // kObject: named properties, or a map of `values`, or (custom resources) both.
  std::vector<Property> properties;  // in the order of declaration
  absl::flat_hash_map<std::string, size_t> property_index;
  const Schema* values = nullptr;
  bool preserve_unknown = false;   // keep what is not declared
  bool embedded_resource = false;  // has apiVersion, kind and metadata of its own
  bool atomic_map = false;         // x-kubernetes-map-type: atomic

  // kArray
  const Schema* items = nullptr;
  ListType list_type = ListType::kAtomic;
  std::vector<std::string> list_map_keys;

  PatchStrategy patch;
  std::optional<json::Value> default_value;
  std::unique_ptr<const SchemaKeywords> keywords;

  const Property* Find(absl::string_view name) const;
};

// Owns schemas, which may refer to each other in circles.
class SchemaArena {
 public:
  Schema& New() { return schemas_.emplace_back(); }

 private:
  std::deque<Schema> schemas_;
};

}  // namespace meltemi::apiserver
