#include "orchestrator/apiserver/watch/cached_object.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/json/parse.h"
#include "base/json/value.h"
#include "base/json/write.h"
#include "base/log/log.h"
#include "orchestrator/apiserver/watch/bulk.h"

namespace meltemi::apiserver {
namespace {

constexpr absl::string_view kMetadataFirst = "{\"metadata\":{";
constexpr absl::string_view kVersionFirst = "{\"metadata\":{\"resourceVersion\":\"";

// Of a value that does not begin with its metadata.
std::string WithResourceVersionByTree(absl::string_view value, absl::string_view version) {
  auto tree = json::Parse(value);
  if (!tree.ok() || !tree->is_object()) return std::string(value);
  tree->MutableObject("metadata").Set("resourceVersion", json::Value::String(std::string(version)));
  return json::ToString(*tree);
}

kube::StringPairs LabelsOf(const json::Value& tree) {
  kube::StringPairs labels;
  const json::Value* members = tree.Find("metadata", "labels");
  if (members == nullptr || !members->is_object()) return labels;
  labels.reserve(members->members().size());
  for (const json::Member& member : members->members()) {
    labels.emplace_back(member.key, member.value.text());
  }
  std::sort(labels.begin(), labels.end());
  return labels;
}

}  // namespace

std::string WithResourceVersion(absl::string_view value, store::Revision revision) {
  const std::string version = absl::StrCat(revision);
  absl::string_view rest = value;
  if (absl::ConsumePrefix(&rest, kVersionFirst)) {
    const size_t quote = rest.find('"');
    if (quote != absl::string_view::npos) {
      return absl::StrCat(kVersionFirst, version, rest.substr(quote));
    }
  } else if (absl::ConsumePrefix(&rest, kMetadataFirst)) {
    return absl::StrCat(kVersionFirst, version, absl::StartsWith(rest, "}") ? "\"" : "\",", rest);
  }
  return WithResourceVersionByTree(value, version);
}

ObjectPtr MakeCachedObject(absl::string_view ns, absl::string_view name, absl::string_view value,
                           store::Revision revision, const FieldsOf& fields_of) {
  auto object = std::make_shared<CachedObject>();
  object->ns = std::string(ns);
  object->name = std::string(name);
  object->mod_revision = revision;
  object->json = WithResourceVersion(value, revision);
  const auto tree = json::Parse(WithoutBulk(value));
  if (!tree.ok() || !tree->is_object()) {
    LOG(kError, "watch", "the store holds no JSON object for ", ns, "/", name, " at revision ",
        revision, ": ", tree.status().message());
  } else {
    const json::Value* metadata = tree->Find("metadata");
    if (metadata != nullptr) object->uid = std::string(metadata->FindString("uid"));
    object->labels = LabelsOf(*tree);
    if (fields_of) object->fields = fields_of(*tree);
  }
  // Set here, so that they are there whatever `fields_of` tells.
  kube::StringPairs& fields = object->fields;
  const auto identity = [](const auto& field) {
    return field.first == "metadata.name" || field.first == "metadata.namespace";
  };
  fields.erase(std::remove_if(fields.begin(), fields.end(), identity), fields.end());
  fields.emplace_back("metadata.name", object->name);
  fields.emplace_back("metadata.namespace", object->ns);
  std::sort(fields.begin(), fields.end());
  fields.shrink_to_fit();
  return object;
}

ObjectPtr AtRevision(const CachedObject& object, store::Revision revision) {
  auto copy = std::make_shared<CachedObject>(object);
  copy->mod_revision = revision;
  copy->json = WithResourceVersion(object.json, revision);
  return copy;
}

absl::string_view FieldOf(const CachedObject& object, absl::string_view field) {
  const auto found =
      std::lower_bound(object.fields.begin(), object.fields.end(), field,
                       [](const auto& pair, absl::string_view key) { return pair.first < key; });
  if (found == object.fields.end() || found->first != field) return "";
  return found->second;
}

size_t BytesOf(const CachedObject& object) {
  constexpr size_t kHeapPerPair = 64;
  return sizeof(CachedObject) + object.json.size() +
         (object.labels.size() + object.fields.size()) *
             (sizeof(kube::StringPairs::value_type) + kHeapPerPair);
}

json::Value CachedObject::Tree() const {
  auto tree = json::Parse(json);
  return tree.ok() ? *std::move(tree) : json::Value::Object();
}

}  // namespace meltemi::apiserver
