#include "orchestrator/apiserver/verbs/encode.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/json/parse.h"
#include "base/json/write.h"
#include "kube/object/object.h"
#include "orchestrator/apiserver/kinds/strategy.h"
#include "orchestrator/apiserver/verbs/stored_form.h"
#include "orchestrator/apiserver/verbs/yaml_text.h"

namespace meltemi::apiserver {

using json::Value;

namespace {

constexpr absl::string_view kMetaGroup = "meta.k8s.io/";

// What kinds without columns of their own show.
const std::vector<TableColumn>& PlainColumns() {
  static const auto* const columns = new std::vector<TableColumn>{
      {.name = "Name",
       .type = "string",
       .format = "name",
       .description = "Name must be unique within a namespace.",
       .priority = 0},
      {.name = "Created At",
       .type = "date",
       .format = "",
       .description = "The time at which the server made the object.",
       .priority = 0},
  };
  return *columns;
}

std::vector<Value> PlainCells(const Value& object) {
  return {Value::String(std::string(kube::Name(object))),
          Value::String(std::string(kube::Metadata(object).FindString("creationTimestamp")))};
}

void WriteColumns(const std::vector<TableColumn>& columns, json::Writer& writer) {
  writer.Key("columnDefinitions").BeginArray();
  for (const TableColumn& column : columns) {
    writer.BeginObject();
    writer.Key("name").String(column.name);
    writer.Key("type").String(column.type);
    writer.Key("format").String(column.format);
    writer.Key("description").String(column.description);
    writer.Key("priority").Int(column.priority);
    writer.EndObject();
  }
  writer.EndArray();
}

void WriteListMetadata(const ListHead& head, json::Writer& writer) {
  writer.Key("metadata").BeginObject();
  if (!head.resource_version.empty()) writer.Key("resourceVersion").String(head.resource_version);
  if (!head.continue_token.empty()) writer.Key("continue").String(head.continue_token);
  if (head.remaining > 0) writer.Key("remainingItemCount").Int(head.remaining);
  writer.EndObject();
}

Reply NotThisShape(absl::string_view asked, bool is_list, const Resource& resource) {
  return StatusReply(kube::NotAcceptable(absl::StrCat(
      "you requested ", asked, ", but the requested object is ", is_list ? "a list" : "not a list",
      " (*", resource.group.empty() ? "core" : resource.group, ".",
      is_list ? resource.list_kind() : resource.kind, ")")));
}

Reply FinishBytes(int code, std::string bytes, const Representation& representation) {
  Body body;
  body.code = code;
  if (!representation.yaml && !representation.pretty) {
    bytes.push_back('\n');
    body.bytes = std::move(bytes);
    return body;
  }
  const absl::StatusOr<Value> value = json::Parse(bytes);
  if (!value.ok()) return StatusReply(kube::InternalError(value.status().message()));
  if (representation.yaml) {
    body.content_type = "application/yaml";
    body.bytes = ToYaml(*value);
  } else {
    body.bytes = json::ToString(*value, 2);
  }
  return body;
}

}  // namespace

kube::Result<IncludeObject> ParseIncludeObject(const Request& request) {
  const std::string text = request.query.Get("includeObject").value_or("");
  if (text.empty() || text == "Metadata") return IncludeObject::kMetadata;
  if (text == "None") return IncludeObject::kNone;
  if (text == "Object") return IncludeObject::kObject;
  return kube::BadRequest(
      absl::StrCat("Unable to convert to Table as requested: includeObject: Invalid value: ",
                   kube::GoQuote(text), ": must be 'Metadata', 'Object', 'None', or empty"));
}

std::string Encoder::api_version() const {
  return representation_.shape == Representation::Shape::kObject
             ? resource_.api_version()
             : absl::StrCat(kMetaGroup, representation_.meta_version);
}

std::string Encoder::kind() const {
  switch (representation_.shape) {
    case Representation::Shape::kObject:
      return resource_.kind;
    case Representation::Shape::kTable:
      return "Table";
    default:
      return "PartialObjectMetadata";
  }
}

std::string Encoder::Key() const {
  return absl::StrCat(resource_.api_version(), "/", resource_.plural, " ", api_version(), "/",
                      kind(), " ", static_cast<int>(include_));
}

int64_t Encoder::NowSeconds() const {
  return std::chrono::duration_cast<seconds>(clock_.WallNow().time_since_epoch()).count();
}

void Encoder::WritePartial(const Value& object, json::Writer& writer) const {
  writer.BeginObject();
  writer.Key("kind").String("PartialObjectMetadata");
  writer.Key("apiVersion").String(absl::StrCat(kMetaGroup, representation_.meta_version));
  writer.Key("metadata").Tree(kube::Metadata(object));
  writer.EndObject();
}

// Up to the first row.
void Encoder::BeginTable(const ListHead& head, json::Writer& writer) const {
  const TableColumns* columns = resource_.columns;
  writer.BeginObject();
  writer.Key("kind").String("Table");
  writer.Key("apiVersion").String(absl::StrCat(kMetaGroup, representation_.meta_version));
  WriteListMetadata(head, writer);
  WriteColumns(columns == nullptr ? PlainColumns() : columns->columns(), writer);
  writer.Key("rows").BeginArray();
}

void Encoder::WriteRow(const Value& object, json::Writer& writer) const {
  const TableColumns* columns = resource_.columns;
  writer.BeginObject().Key("cells").BeginArray();
  const std::vector<Value> cells =
      columns == nullptr ? PlainCells(object) : columns->Cells(object, NowSeconds());
  for (const Value& cell : cells) writer.Tree(cell);
  writer.EndArray();
  writer.Key("object");
  switch (include_) {
    case IncludeObject::kNone:
      writer.Null();
      break;
    case IncludeObject::kObject:
      writer.Tree(object);
      break;
    case IncludeObject::kMetadata:
      WritePartial(object, writer);
      break;
  }
  writer.EndObject();
}

void Encoder::AppendTree(const Value& object, std::string* out) const {
  json::Writer writer(out);
  switch (representation_.shape) {
    case Representation::Shape::kObject:
      writer.Tree(object);
      return;
    case Representation::Shape::kTable: {
      ListHead head;
      head.resource_version = std::string(kube::ResourceVersion(object));
      BeginTable(head, writer);
      WriteRow(object, writer);
      writer.EndArray().EndObject();
      return;
    }
    default:
      WritePartial(object, writer);
  }
}

void Encoder::AppendAsServed(const CachedObject& object, std::string* out) const {
  if (StoredAsServed(resource_)) {
    out->append(object.json);
    return;
  }
  Value tree = object.Tree();
  FromStored(resource_, tree);
  json::Writer(out).Tree(tree);
}

void Encoder::AppendEvent(const CachedObject& object, std::string* out) const {
  if (representation_.shape == Representation::Shape::kObject) {
    AppendAsServed(object, out);
    return;
  }
  Value tree = object.Tree();
  FromStored(resource_, tree);
  AppendTree(tree, out);
}

Reply Encoder::Finish(int code, std::string bytes) const {
  return FinishBytes(code, std::move(bytes), representation_);
}

Reply Encoder::Object(int code, const Value& object) const {
  if (representation_.shape == Representation::Shape::kPartialList) {
    return NotThisShape("PartialObjectMetadataList", false, resource_);
  }
  std::string bytes;
  AppendTree(object, &bytes);
  return Finish(code, std::move(bytes));
}

Reply Encoder::Cached(const CachedObject& object) const {
  if (representation_.shape == Representation::Shape::kPartialList) {
    return NotThisShape("PartialObjectMetadataList", false, resource_);
  }
  std::string bytes;
  AppendEvent(object, &bytes);
  return Finish(200, std::move(bytes));
}

Reply Encoder::List(const std::vector<ObjectPtr>& objects, const ListHead& head) const {
  if (representation_.shape == Representation::Shape::kPartial) {
    return NotThisShape("PartialObjectMetadata", true, resource_);
  }
  std::string bytes;
  if (representation_.shape == Representation::Shape::kTable) {
    json::Writer writer(&bytes);
    BeginTable(head, writer);
    // One tree at a time: they take many times the memory of their text.
    for (const ObjectPtr& object : objects) {
      Value tree = object->Tree();
      FromStored(resource_, tree);
      WriteRow(tree, writer);
    }
    writer.EndArray().EndObject();
    return Finish(200, std::move(bytes));
  }
  const bool partial = representation_.shape == Representation::Shape::kPartialList;
  size_t size = 256;
  for (const ObjectPtr& object : objects) size += object->json.size() + 1;
  if (!partial) bytes.reserve(size);
  {
    json::Writer writer(&bytes);
    writer.BeginObject();
    writer.Key("kind").String(partial ? "PartialObjectMetadataList" : resource_.list_kind());
    writer.Key("apiVersion").String(api_version());
    WriteListMetadata(head, writer);
    writer.Key("items").BeginArray();
    // The items are appended beside the writer, which would have to be told the text of each.
  }
  for (size_t i = 0; i < objects.size(); ++i) {
    if (i > 0) bytes.push_back(',');
    AppendEvent(*objects[i], &bytes);
  }
  bytes.append("]}");
  return Finish(200, std::move(bytes));
}

Reply TreeReply(int code, const Value& value, const Representation& representation) {
  return FinishBytes(code, json::ToString(value), representation);
}

}  // namespace meltemi::apiserver
