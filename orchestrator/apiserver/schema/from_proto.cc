#include "orchestrator/apiserver/schema/from_proto.h"

#include <google/protobuf/descriptor.pb.h>

#include <algorithm>
#include <map>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/json/parse.h"
#include "base/log/log.h"
#include "kube/options.pb.h"
#include "orchestrator/apiserver/schema/kube_files.h"

namespace meltemi::apiserver {
namespace {

using google::protobuf::DescriptorProto;
using google::protobuf::FieldDescriptorProto;
using google::protobuf::FileDescriptorProto;
using google::protobuf::FileDescriptorSet;
using google::protobuf::SourceCodeInfo;

constexpr absl::string_view kPackage = "meltemi.kube.";
constexpr absl::string_view kAllVerbs =
    "create,delete,deletecollection,get,list,patch,update,watch";

// Our packages that Kubernetes' OpenAPI does not name "io.k8s.api.…".
constexpr std::pair<absl::string_view, absl::string_view> kPackageNames[] = {
    {"meta.v1", "io.k8s.apimachinery.pkg.apis.meta.v1"},
    {"runtime", "io.k8s.apimachinery.pkg.runtime"},
    {"quantity", "io.k8s.apimachinery.pkg.api.resource"},
    {"intstr", "io.k8s.apimachinery.pkg.util.intstr"},
    {"apiextensions.v1", "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1"},
    {"metrics.v1beta1", "io.k8s.metrics.pkg.apis.metrics.v1beta1"},
};

std::string OpenApiPackage(absl::string_view package) {
  absl::ConsumePrefix(&package, kPackage);
  for (const auto& [ours, theirs] : kPackageNames) {
    if (package == ours) return std::string(theirs);
  }
  return absl::StrCat("io.k8s.api.", package);
}

std::vector<std::string> SplitList(absl::string_view text) {
  return absl::StrSplit(text, ',', absl::SkipEmpty());
}

// A comment's lines as one text.
std::string Text(absl::string_view comment) {
  std::vector<absl::string_view> lines = absl::StrSplit(comment, '\n');
  for (absl::string_view& line : lines) line = absl::StripAsciiWhitespace(line);
  lines.erase(std::remove(lines.begin(), lines.end(), ""), lines.end());
  return absl::StrJoin(lines, " ");
}

struct Message {
  const DescriptorProto* proto = nullptr;
  absl::string_view package;
  std::string comment;
  std::vector<std::string> field_comments;
  Schema* schema = nullptr;  // once it is asked for
};

class Loader {
 public:
  Loader(const FileDescriptorSet& files, SchemaArena& arena) : arena_(arena) {
    for (const FileDescriptorProto& file : files.file()) Index(file);
  }

  LoadedSchemas Load();

 private:
  void Index(const FileDescriptorProto& file);
  const Schema* OfMessage(absl::string_view full_name);
  void Fill(const Message& message, Schema& schema);
  void FillObject(const Message& message, Schema& schema);
  void AddFields(const Message& message, Schema& schema);
  void AddTypeMeta(Schema& schema);
  void AddProperty(Schema& schema, Property property);
  const Schema* OfField(const FieldDescriptorProto& field, const kube::FieldRule& rule);
  const Schema* OfElement(const FieldDescriptorProto& field);
  const Schema* OfScalar(FieldDescriptorProto::Type type, const std::vector<std::string>& values);
  const Schema* Scalar(SchemaType type, absl::string_view format,
                       const std::vector<std::string>& values);
  // The entry message behind a map field; null when it is none.
  const DescriptorProto* EntryOf(const FieldDescriptorProto& field) const;
  ResourceOption ResourceOf(const Message& message);
  const Schema* ListOf(const Message& message);

  SchemaArena& arena_;
  std::map<std::string, Message, std::less<>> messages_;  // by full name, without the first dot
  absl::flat_hash_map<std::string, const DescriptorProto*> entries_;
  absl::flat_hash_map<std::string, const Schema*> scalars_;
};

void Loader::Index(const FileDescriptorProto& file) {
  std::vector<Message*> of_file;
  for (const DescriptorProto& proto : file.message_type()) {
    const std::string name = absl::StrCat(file.package(), ".", proto.name());
    Message& message = messages_[name];
    message.proto = &proto;
    message.package = file.package();
    message.field_comments.resize(static_cast<size_t>(proto.field_size()));
    of_file.push_back(&message);
    for (const DescriptorProto& nested : proto.nested_type()) {
      entries_[absl::StrCat(name, ".", nested.name())] = &nested;
    }
  }
  for (const SourceCodeInfo::Location& location : file.source_code_info().location()) {
    const bool of_message = location.path_size() == 2;
    const bool of_field =
        location.path_size() == 4 && location.path(2) == DescriptorProto::kFieldFieldNumber;
    if ((!of_message && !of_field) || !location.has_leading_comments() ||
        location.path(0) != FileDescriptorProto::kMessageTypeFieldNumber) {
      continue;
    }
    Message& message = *of_file[static_cast<size_t>(location.path(1))];
    std::string& comment = of_message
                               ? message.comment
                               : message.field_comments[static_cast<size_t>(location.path(3))];
    comment = Text(location.leading_comments());
  }
}

LoadedSchemas Loader::Load() {
  LoadedSchemas loaded;
  for (auto& [name, message] : messages_) {
    const Schema* schema = OfMessage(name);
    if (!schema->type_name.empty()) loaded.by_name[schema->type_name] = schema;
    if (!message.proto->options().HasExtension(kube::resource)) continue;
    ResourceOption resource = ResourceOf(message);
    if (resource.list_schema != nullptr) {
      loaded.by_name[resource.list_schema->type_name] = resource.list_schema;
    }
    loaded.resources.push_back(std::move(resource));
  }
  std::sort(loaded.resources.begin(), loaded.resources.end(),
            [](const ResourceOption& a, const ResourceOption& b) {
              return std::tie(a.group, a.version, a.plural) <
                     std::tie(b.group, b.version, b.plural);
            });
  return loaded;
}

const Schema* Loader::OfMessage(absl::string_view full_name) {
  const auto it = messages_.find(full_name);
  CHECK(it != messages_.end());
  Message& message = it->second;
  if (message.schema == nullptr) {
    message.schema = &arena_.New();
    Fill(message, *message.schema);
  }
  return message.schema;
}

void Loader::Fill(const Message& message, Schema& schema) {
  schema.type_name = absl::StrCat(OpenApiPackage(message.package), ".", message.proto->name());
  schema.description = message.comment;
  switch (message.proto->options().GetExtension(kube::json_form)) {
    case kube::INT_OR_STRING:
      schema.type = SchemaType::kIntOrString;
      schema.format = "int-or-string";
      return;
    case kube::RFC3339_TIME:
    case kube::MICRO_TIME:
      schema.type = SchemaType::kString;
      schema.format = "date-time";
      return;
    case kube::QUANTITY:
      schema.type = SchemaType::kString;
      schema.format = "quantity";
      return;
    case kube::GO_DURATION:
      schema.type = SchemaType::kString;
      return;
    case kube::LIST:
      schema.type = SchemaType::kArray;
      schema.type_name.clear();
      schema.items = OfElement(message.proto->field(0));
      return;
    case kube::OBJECT:
      return FillObject(message, schema);
    default:  // raw JSON, and JSON schemas with their alternatives
      schema.type = SchemaType::kAny;
      schema.preserve_unknown = true;
      return;
  }
}

void Loader::FillObject(const Message& message, Schema& schema) {
  const auto& options = message.proto->options();
  schema.type = SchemaType::kObject;
  schema.atomic_map = options.GetExtension(kube::atomic);
  if (options.HasExtension(kube::resource) || options.GetExtension(kube::object)) {
    AddTypeMeta(schema);
  }
  AddFields(message, schema);
}

void Loader::AddTypeMeta(Schema& schema) {
  Property api_version;
  api_version.name = "apiVersion";
  api_version.schema = OfScalar(FieldDescriptorProto::TYPE_STRING, {});
  api_version.description =
      "Group and version of the API in which this object is written: \"apps/v1\", or \"v1\" for "
      "the core group.";
  Property kind;
  kind.name = "kind";
  kind.schema = api_version.schema;
  kind.description = "What this object is, in CamelCase: \"Deployment\".";
  AddProperty(schema, std::move(api_version));
  AddProperty(schema, std::move(kind));
}

void Loader::AddProperty(Schema& schema, Property property) {
  schema.property_index[property.name] = schema.properties.size();
  schema.properties.push_back(std::move(property));
}

Presence PresenceOf(const FieldDescriptorProto& field, const kube::FieldRule& rule) {
  if (rule.always()) return Presence::kAlways;
  if (field.label() == FieldDescriptorProto::LABEL_REPEATED) return Presence::kOmitEmpty;
  const bool has_presence =
      field.type() == FieldDescriptorProto::TYPE_MESSAGE || field.proto3_optional();
  return has_presence ? Presence::kGiven : Presence::kOmitEmpty;
}

void Loader::AddFields(const Message& message, Schema& schema) {
  for (int i = 0; i < message.proto->field_size(); ++i) {
    const FieldDescriptorProto& field = message.proto->field(i);
    const kube::FieldRule& rule = field.options().GetExtension(kube::field);
    if (rule.inlined()) {
      const auto inlined = messages_.find(absl::StripPrefix(field.type_name(), "."));
      CHECK(inlined != messages_.end());
      AddFields(inlined->second, schema);
      continue;
    }
    Property property;
    property.name = field.json_name();
    property.schema = OfField(field, rule);
    property.required = rule.required();
    property.presence = PresenceOf(field, rule);
    property.description = message.field_comments[static_cast<size_t>(i)];
    if (!rule.default_json().empty()) {
      absl::StatusOr<json::Value> value = json::Parse(rule.default_json());
      CHECK(value.ok());
      property.default_value = *std::move(value);
    }
    AddProperty(schema, std::move(property));
  }
}

const DescriptorProto* Loader::EntryOf(const FieldDescriptorProto& field) const {
  if (field.type() != FieldDescriptorProto::TYPE_MESSAGE) return nullptr;
  const auto it = entries_.find(absl::StripPrefix(field.type_name(), "."));
  return it == entries_.end() ? nullptr : it->second;
}

const Schema* Loader::OfField(const FieldDescriptorProto& field, const kube::FieldRule& rule) {
  const bool repeated = field.label() == FieldDescriptorProto::LABEL_REPEATED;
  PatchStrategy patch;
  for (absl::string_view word : absl::StrSplit(rule.patch(), ',')) {
    if (word == "merge") patch.merge = true;
    if (word == "retainKeys") patch.retain_keys = true;
  }
  patch.merge_key = rule.merge_key();
  if (!repeated) {
    if (field.type() != FieldDescriptorProto::TYPE_MESSAGE) {
      return OfScalar(field.type(), SplitList(rule.values()));
    }
    const Schema* schema = OfElement(field);
    // Only messages with one use have a patch strategy of their own.
    if (patch.retain_keys)
      messages_.find(field.type_name().substr(1))->second.schema->patch = patch;
    return schema;
  }
  Schema& schema = arena_.New();
  schema.patch = std::move(patch);
  if (const DescriptorProto* entry = EntryOf(field)) {
    schema.type = SchemaType::kObject;
    schema.values = OfElement(entry->field(1));
    schema.atomic_map = rule.atomic();
    return &schema;
  }
  schema.type = SchemaType::kArray;
  schema.items = field.type() == FieldDescriptorProto::TYPE_MESSAGE
                     ? OfElement(field)
                     : OfScalar(field.type(), SplitList(rule.values()));
  schema.list_type = rule.list() == kube::MAP   ? ListType::kMap
                     : rule.list() == kube::SET ? ListType::kSet
                                                : ListType::kAtomic;
  schema.list_map_keys = SplitList(rule.list_keys());
  return &schema;
}

const Schema* Loader::OfElement(const FieldDescriptorProto& field) {
  if (field.type() != FieldDescriptorProto::TYPE_MESSAGE) return OfScalar(field.type(), {});
  return OfMessage(absl::StripPrefix(field.type_name(), "."));
}

const Schema* Loader::OfScalar(FieldDescriptorProto::Type type,
                               const std::vector<std::string>& values) {
  switch (type) {
    case FieldDescriptorProto::TYPE_INT32:
      return Scalar(SchemaType::kInteger, "int32", values);
    case FieldDescriptorProto::TYPE_INT64:
      return Scalar(SchemaType::kInteger, "int64", values);
    case FieldDescriptorProto::TYPE_BOOL:
      return Scalar(SchemaType::kBoolean, "", values);
    case FieldDescriptorProto::TYPE_DOUBLE:
      return Scalar(SchemaType::kNumber, "double", values);
    case FieldDescriptorProto::TYPE_BYTES:
      return Scalar(SchemaType::kString, "byte", values);
    default:
      return Scalar(SchemaType::kString, "", values);
  }
}

// One schema for all fields of a scalar type with the same values.
const Schema* Loader::Scalar(SchemaType type, absl::string_view format,
                             const std::vector<std::string>& values) {
  const std::string key =
      absl::StrCat(static_cast<int>(type), " ", format, " ", absl::StrJoin(values, ","));
  const Schema*& known = scalars_[key];
  if (known == nullptr) {
    Schema& schema = arena_.New();
    schema.type = type;
    schema.format = std::string(format);
    schema.enum_texts = values;
    known = &schema;
  }
  return known;
}

ResourceOption Loader::ResourceOf(const Message& message) {
  const kube::ResourceRule& rule = message.proto->options().GetExtension(kube::resource);
  ResourceOption out;
  out.group = rule.group();
  out.version = std::string(message.package.substr(message.package.rfind('.') + 1));
  out.kind = message.proto->name();
  out.plural = rule.plural();
  out.singular = absl::AsciiStrToLower(out.kind);
  out.namespaced = !rule.cluster_scoped();
  out.short_names = SplitList(rule.short_names());
  out.categories = SplitList(rule.categories());
  out.verbs = SplitList(rule.verbs().empty() ? kAllVerbs : absl::string_view(rule.verbs()));
  out.stored = absl::c_linear_search(out.verbs, "watch");
  out.status = rule.status();
  if (rule.scale()) {
    out.scale_spec_path = "spec.replicas";
    out.scale_status_path = "status.replicas";
    out.scale_selector_path = "spec.selector";
  }
  out.other_subresources = SplitList(rule.subresources());
  out.schema = message.schema;
  if (absl::c_linear_search(out.verbs, "list")) out.list_schema = ListOf(message);
  return out;
}

const Schema* Loader::ListOf(const Message& message) {
  Schema& list = arena_.New();
  list.type = SchemaType::kObject;
  list.type_name = absl::StrCat(message.schema->type_name, "List");
  list.description = absl::StrCat("A list of objects of kind ", message.proto->name(), ".");
  AddTypeMeta(list);
  Schema& items = arena_.New();
  items.type = SchemaType::kArray;
  items.items = message.schema;
  Property metadata;
  metadata.name = "metadata";
  metadata.schema = OfMessage("meltemi.kube.meta.v1.ListMeta");
  metadata.presence = Presence::kAlways;
  metadata.description = "The version of the list, and how it goes on.";
  Property members;
  members.name = "items";
  members.schema = &items;
  members.required = true;
  members.presence = Presence::kAlways;
  members.description = "The objects.";
  AddProperty(list, std::move(metadata));
  AddProperty(list, std::move(members));
  return &list;
}

}  // namespace

LoadedSchemas LoadSchemas(const FileDescriptorSet& files, SchemaArena& arena) {
  return Loader(files, arena).Load();
}

KubeSchemas::KubeSchemas(SchemaArena& arena) {
  LoadedSchemas loaded = LoadSchemas(KubeFiles(), arena);
  by_name_ = std::move(loaded.by_name);
  resources_ = std::move(loaded.resources);
}

const Schema* KubeSchemas::Find(absl::string_view type_name) const {
  const auto it = by_name_.find(type_name);
  return it == by_name_.end() ? nullptr : it->second;
}

const ResourceOption* KubeSchemas::FindResource(absl::string_view group, absl::string_view version,
                                                absl::string_view plural) const {
  for (const ResourceOption& resource : resources_) {
    if (resource.group == group && resource.version == version && resource.plural == plural) {
      return &resource;
    }
  }
  return nullptr;
}

}  // namespace meltemi::apiserver
