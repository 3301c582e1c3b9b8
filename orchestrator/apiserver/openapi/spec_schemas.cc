#include "orchestrator/apiserver/openapi/spec_schemas.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace meltemi::apiserver {
namespace {

using json::Member;
using json::Value;
using json::Writer;

constexpr absl::string_view kListMeta = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
constexpr absl::string_view kObjectMeta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

absl::string_view TypeText(SchemaType type) {
  switch (type) {
    case SchemaType::kObject:
      return "object";
    case SchemaType::kArray:
      return "array";
    case SchemaType::kString:
      return "string";
    case SchemaType::kInteger:
      return "integer";
    case SchemaType::kNumber:
      return "number";
    case SchemaType::kBoolean:
      return "boolean";
    case SchemaType::kAny:
    case SchemaType::kIntOrString:
      break;
  }
  return "";
}

// JSON types beside each other, which only version 3 can say.
void WriteOneOf(absl::string_view a, absl::string_view b, Writer& out) {
  out.Key("oneOf").BeginArray();
  for (const absl::string_view type : {a, b}) {
    out.BeginObject().Key("type").String(type).EndObject();
  }
  out.EndArray();
}

bool Flag(const Value& schema, absl::string_view name) {
  const Value* value = schema.Find(name);
  return value != nullptr && value->is_bool() && value->bool_value();
}

}  // namespace

std::string DefinitionName(const Resource& resource) {
  if (!resource.custom) return resource.schema == nullptr ? "" : resource.schema->type_name;
  std::vector<absl::string_view> parts = absl::StrSplit(resource.group, '.');
  std::reverse(parts.begin(), parts.end());
  return absl::StrCat(absl::StrJoin(parts, "."), ".", resource.version, ".", resource.kind);
}

std::string DefinitionRef(SpecVersion version, absl::string_view name) {
  return absl::StrCat(version == SpecVersion::kV2 ? "#/definitions/" : "#/components/schemas/",
                      name);
}

void SpecSchemas::Add(const Resource& resource) {
  const std::string name = DefinitionName(resource);
  if (name.empty()) return;
  kinds_[name].push_back(resource.gvk());
  if (resource.custom) {
    const SchemaKeywords* keywords = resource.schema->keywords.get();
    if (keywords == nullptr || keywords->open_api == nullptr) return;
    customs_[name] = keywords->open_api.get();
    if (const Property* metadata = resource.schema->Find("metadata")) Collect(metadata->schema);
  } else {
    Collect(resource.schema);
  }
  const bool listed =
      std::find(resource.verbs.begin(), resource.verbs.end(), "list") != resource.verbs.end();
  if (!listed) return;
  const std::string list = name + "List";
  if (lists_.emplace(list, name).second) {
    kinds_[list].push_back({resource.group, resource.version, resource.list_kind()});
  }
}

void SpecSchemas::Collect(const Schema* schema) {
  if (schema == nullptr) return;
  if (!schema->type_name.empty() && !schemas_.emplace(schema->type_name, schema).second) return;
  for (const Property& property : schema->properties) Collect(property.schema);
  Collect(schema->values);
  Collect(schema->items);
}

void SpecSchemas::Write(Writer& out) const {
  // All names, so that they come out sorted.
  std::map<std::string, int> names;
  for (const auto& [name, schema] : schemas_) names[name] = 0;
  for (const auto& [name, source] : customs_) names[name] = 1;
  for (const auto& [name, item] : lists_) names[name] = 2;
  if (!lists_.empty()) names[std::string(kListMeta)] = 3;
  out.BeginObject();
  for (const auto& [name, source] : names) {
    out.Key(name);
    if (source == 0) WriteDefinition(name, *schemas_.at(name), out);
    if (source == 1) WriteCustom(name, *customs_.at(name), out);
    if (source == 2) WriteList(lists_.at(name), name, out);
    if (source == 3) WriteListMeta(out);
  }
  out.EndObject();
}

void SpecSchemas::WriteDefinition(const std::string& name, const Schema& schema,
                                  Writer& out) const {
  out.BeginObject();
  WriteBody(schema, schema.description, nullptr, out);
  WriteKinds(name, out);
  out.EndObject();
}

void SpecSchemas::WriteKinds(const std::string& name, Writer& out) const {
  const auto kinds = kinds_.find(name);
  if (kinds == kinds_.end()) return;
  out.Key("x-kubernetes-group-version-kind").BeginArray();
  for (const kube::GroupVersionKind& kind : kinds->second) {
    out.BeginObject().Key("group").String(kind.group).Key("kind").String(kind.kind);
    out.Key("version").String(kind.version).EndObject();
  }
  out.EndArray();
}

void SpecSchemas::WriteCustom(const std::string& name, const Value& source, Writer& out) const {
  out.BeginObject();
  const Value* properties = source.Find("properties");
  const bool v2 = version_ == SpecVersion::kV2;
  const bool open = Flag(source, "x-kubernetes-preserve-unknown-fields");
  for (const Member& member : source.members()) {
    if (member.key == "properties" || member.key == "type") continue;
    const bool kept = !v2 || member.key == "description" || member.key == "required" ||
                      absl::StartsWith(member.key, "x-kubernetes-preserve");
    if (kept) out.Key(member.key).Tree(member.value);
  }
  out.Key("type").String("object");
  // Older kubectl refuse what is not declared even where it is kept.
  if (!(v2 && open)) {
    out.Key("properties").BeginObject();
    for (const absl::string_view text : {"apiVersion", "kind"}) {
      out.Key(text).BeginObject().Key("description");
      out.String(text == "kind" ? "What this object is, in CamelCase."
                                : "Group and version of the API in which this object is written.");
      out.Key("type").String("string").EndObject();
    }
    out.Key("metadata").BeginObject();
    WriteRef(kObjectMeta, "What every object carries: its name, labels, owners and bookkeeping.",
             nullptr, nullptr, out);
    out.EndObject();
    if (properties != nullptr) {
      for (const Member& member : properties->members()) {
        if (member.key == "apiVersion" || member.key == "kind" || member.key == "metadata")
          continue;
        out.Key(member.key);
        if (v2) {
          WriteV2Schema(member.value, out);
        } else {
          out.Tree(member.value);
        }
      }
    }
    out.EndObject();
  }
  WriteKinds(name, out);
  out.EndObject();
}

void SpecSchemas::WriteList(const std::string& item_name, const std::string& name,
                            Writer& out) const {
  const auto kinds = kinds_.find(item_name);
  out.BeginObject()
      .Key("description")
      .String(absl::StrCat("A list of ", kinds == kinds_.end() ? "objects" : kinds->second[0].kind,
                           "."));
  out.Key("type").String("object").Key("required").BeginArray().String("items").EndArray();
  out.Key("properties").BeginObject();
  out.Key("apiVersion").BeginObject().Key("type").String("string").EndObject();
  out.Key("items").BeginObject().Key("type").String("array").Key("items").BeginObject();
  WriteRef(item_name, "", nullptr, nullptr, out);
  out.EndObject().EndObject();
  out.Key("kind").BeginObject().Key("type").String("string").EndObject();
  out.Key("metadata").BeginObject();
  WriteRef(kListMeta, "", nullptr, nullptr, out);
  out.EndObject().EndObject();
  WriteKinds(name, out);
  out.EndObject();
}

void SpecSchemas::WriteListMeta(Writer& out) const {
  out.BeginObject().Key("description").String("What lists carry.").Key("type").String("object");
  out.Key("properties").BeginObject();
  for (const absl::string_view name : {"continue", "resourceVersion", "selfLink"}) {
    out.Key(name).BeginObject().Key("type").String("string").EndObject();
  }
  out.Key("remainingItemCount").BeginObject().Key("type").String("integer");
  out.Key("format").String("int64").EndObject();
  out.EndObject().EndObject();
}

void SpecSchemas::WriteRef(absl::string_view name, absl::string_view description,
                           const Value* default_value, const Schema* schema, Writer& out) const {
  const std::string ref = DefinitionRef(version_, name);
  const bool alone = description.empty() && default_value == nullptr;
  // In version 3 nothing may stand beside a $ref.
  if (version_ == SpecVersion::kV3 && !alone) {
    out.Key("allOf").BeginArray().BeginObject().Key("$ref").String(ref).EndObject().EndArray();
  } else {
    out.Key("$ref").String(ref);
  }
  if (!description.empty()) out.Key("description").String(description);
  if (default_value != nullptr && version_ == SpecVersion::kV3) {
    out.Key("default").Tree(*default_value);
  }
  if (schema != nullptr && (!alone || version_ == SpecVersion::kV2)) WriteExtensions(*schema, out);
}

void SpecSchemas::WriteUse(const Schema& schema, absl::string_view description,
                           const Value* default_value, Writer& out) const {
  out.BeginObject();
  if (schema.type_name.empty()) {
    WriteBody(schema, description, default_value, out);
  } else {
    WriteRef(schema.type_name, description, default_value, &schema, out);
  }
  out.EndObject();
}

void SpecSchemas::WriteBody(const Schema& schema, absl::string_view description,
                            const Value* default_value, Writer& out) const {
  const bool v3 = version_ == SpecVersion::kV3;
  if (!description.empty()) out.Key("description").String(description);
  if (default_value != nullptr && v3) out.Key("default").Tree(*default_value);
  if (schema.type == SchemaType::kIntOrString) {
    out.Key("format").String("int-or-string");
    if (v3) {
      WriteOneOf("integer", "string", out);
    } else {
      out.Key("type").String("string");
    }
    return;
  }
  if (schema.format == "quantity") {
    if (v3) {
      WriteOneOf("string", "number", out);
    } else {
      out.Key("type").String("string");
    }
    return;
  }
  if (schema.type == SchemaType::kAny) {
    const bool object = absl::EndsWith(schema.type_name, ".RawExtension") ||
                        absl::EndsWith(schema.type_name, ".FieldsV1");
    if (object) out.Key("type").String("object");
    return;
  }
  out.Key("type").String(TypeText(schema.type));
  if (!schema.format.empty()) out.Key("format").String(schema.format);
  if (!schema.enum_texts.empty()) {
    out.Key("enum").BeginArray();
    for (const std::string& text : schema.enum_texts) out.String(text);
    out.EndArray();
  }
  if (schema.type == SchemaType::kObject) WriteObject(schema, out);
  if (schema.type == SchemaType::kArray && schema.items != nullptr) {
    out.Key("items");
    WriteUse(*schema.items, "", nullptr, out);
  }
  WriteExtensions(schema, out);
}

void SpecSchemas::WriteObject(const Schema& schema, Writer& out) const {
  if (schema.values != nullptr) {
    out.Key("additionalProperties");
    WriteUse(*schema.values, "", nullptr, out);
  }
  if (schema.properties.empty()) return;
  out.Key("properties").BeginObject();
  bool any_required = false;
  for (const Property& property : schema.properties) {
    const absl::string_view description =
        property.description.empty() && property.schema->type_name.empty()
            ? property.schema->description
            : property.description;
    out.Key(property.name);
    WriteUse(*property.schema, description,
             property.default_value.has_value() ? &*property.default_value : nullptr, out);
    any_required |= property.required;
  }
  out.EndObject();
  if (!any_required) return;
  out.Key("required").BeginArray();
  for (const Property& property : schema.properties) {
    if (property.required) out.String(property.name);
  }
  out.EndArray();
}

void SpecSchemas::WriteExtensions(const Schema& schema, Writer& out) const {
  if (schema.type == SchemaType::kArray) {
    const absl::string_view list_type = schema.list_type == ListType::kMap   ? "map"
                                        : schema.list_type == ListType::kSet ? "set"
                                                                             : "atomic";
    if (schema.list_type == ListType::kMap) {
      out.Key("x-kubernetes-list-map-keys").BeginArray();
      for (const std::string& key : schema.list_map_keys) out.String(key);
      out.EndArray();
    }
    out.Key("x-kubernetes-list-type").String(list_type);
  }
  if (schema.atomic_map) out.Key("x-kubernetes-map-type").String("atomic");
  if (!schema.patch.merge_key.empty()) {
    out.Key("x-kubernetes-patch-merge-key").String(schema.patch.merge_key);
  }
  if (schema.patch.merge || schema.patch.retain_keys) {
    out.Key("x-kubernetes-patch-strategy");
    out.String(schema.patch.merge && schema.patch.retain_keys ? "merge,retainKeys"
               : schema.patch.merge                           ? "merge"
                                                              : "retainKeys");
  }
}

void WriteV2Schema(const Value& source, Writer& out) {
  static constexpr absl::string_view kKept[] = {
      "description", "format",       "title",     "multipleOf",       "maximum",
      "minimum",     "maxLength",    "minLength", "exclusiveMaximum", "exclusiveMinimum",
      "pattern",     "maxItems",     "minItems",  "required",         "maxProperties",
      "enum",        "minProperties"};
  // A value may be of another type than the schema of version 2 could say: then it says none.
  const bool open = Flag(source, "nullable") || Flag(source, "x-kubernetes-int-or-string") ||
                    Flag(source, "x-kubernetes-preserve-unknown-fields");
  out.BeginObject();
  for (const Member& member : source.members()) {
    const bool plain = std::find(std::begin(kKept), std::end(kKept), member.key) != std::end(kKept);
    const bool extension = absl::StartsWith(member.key, "x-kubernetes-");
    if (extension || (plain && (!open || member.key == "description"))) {
      out.Key(member.key).Tree(member.value);
    } else if (open) {
      continue;
    } else if (member.key == "type") {
      out.Key("type").Tree(member.value);
    } else if (member.key == "items" && member.value.is_object()) {
      out.Key("items");
      WriteV2Schema(member.value, out);
    } else if (member.key == "additionalProperties" && member.value.is_object()) {
      out.Key("additionalProperties");
      WriteV2Schema(member.value, out);
    } else if (member.key == "properties") {
      out.Key("properties").BeginObject();
      for (const Member& property : member.value.members()) {
        out.Key(property.key);
        WriteV2Schema(property.value, out);
      }
      out.EndObject();
    }
  }
  out.EndObject();
}

}  // namespace meltemi::apiserver
