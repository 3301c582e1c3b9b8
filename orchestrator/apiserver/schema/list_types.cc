#include "orchestrator/apiserver/schema/list_types.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kube/names/check.h"
#include "orchestrator/apiserver/schema/values.h"

namespace meltemi::apiserver {
namespace {

using json::Member;
using json::Value;
using kube::FieldError;
using kube::FieldPath;

FieldError Duplicate(const FieldPath& path, std::string printed) {
  return {FieldError::Type::kDuplicate, path.text(), std::move(printed), ""};
}

FieldError Invalid(const FieldPath& path, const Value& value, absl::string_view detail) {
  return {FieldError::Type::kInvalid, path.text(), GoSyntax(value), std::string(detail)};
}

// Where each value occurs for the second time.
std::vector<size_t> SecondOnes(const std::vector<std::string>& texts) {
  std::vector<size_t> found;
  absl::flat_hash_map<absl::string_view, int> times;
  for (size_t i = 0; i < texts.size(); ++i) {
    if (++times[texts[i]] == 2) found.push_back(i);
  }
  return found;
}

void ListSet(const Value& value, const FieldPath& path, kube::FieldErrors& errors) {
  std::vector<std::string> texts;
  for (const Value& item : value.items()) texts.push_back(CanonicalText(item));
  for (const size_t i : SecondOnes(texts)) {
    errors.push_back(Duplicate(path.Index(i), GoSyntax(value.items()[i])));
  }
}

void ListMap(const Schema& schema, const Value& value, const FieldPath& path,
             kube::FieldErrors& errors) {
  std::vector<Value> keys;
  std::vector<std::string> texts;
  for (size_t i = 0; i < value.items().size(); ++i) {
    const Value& item = value.items()[i];
    if (!item.is_object() && !item.is_null()) {
      errors.push_back(
          Invalid(path.Index(i), item, "must be an object for an array of list-type map"));
      return;
    }
    Value key = Value::Object();
    for (const std::string& name : schema.list_map_keys) {
      if (const Value* part = item.Find(name)) key.Set(name, *part);
    }
    texts.push_back(CanonicalText(key));
    keys.push_back(std::move(key));
  }
  for (const size_t i : SecondOnes(texts)) {
    errors.push_back(Duplicate(path.Index(i), GoSyntax(keys[i])));
  }
}

// Of one embedded resource.
void Embedded(const Value& value, const FieldPath& path, kube::FieldErrors& errors) {
  for (const absl::string_view name : {"apiVersion", "kind"}) {
    const Value* text = value.Find(name);
    if (text == nullptr) {
      errors.push_back(kube::Required(path.Child(name), "must not be empty"));
    } else if (!text->is_string()) {
      errors.push_back(Invalid(path.Child(name), *text, "must be a string"));
    } else if (text->text().empty()) {
      errors.push_back(Invalid(path.Child(name), *text, "must not be empty"));
    }
  }
  const absl::string_view api_version = value.FindString("apiVersion");
  if (std::count(api_version.begin(), api_version.end(), '/') > 1) {
    errors.push_back(Invalid(path.Child("apiVersion"), *value.Find("apiVersion"),
                             absl::StrCat("unexpected GroupVersion string: ", api_version)));
  }
  const absl::string_view kind = value.FindString("kind");
  if (kind.empty()) return;
  const auto complaints = kube::CheckDns1035Label(absl::AsciiStrToLower(kind));
  if (!complaints.empty()) {
    errors.push_back(Invalid(path.Child("kind"), *value.Find("kind"),
                             absl::StrCat("may have mixed case, but should otherwise match: ",
                                          absl::StrJoin(complaints, ","))));
  }
}

// Calls `visit` for each member or item that a custom schema describes.
template <typename Visit>
void ForEachChild(const Schema& schema, const Value& value, const FieldPath& path, Visit visit) {
  if (value.is_array() && schema.items != nullptr) {
    for (size_t i = 0; i < value.items().size(); ++i) {
      visit(*schema.items, value.items()[i], path.Index(i));
    }
  }
  if (!value.is_object()) return;
  for (const Member& member : value.members()) {
    if (const Property* property = schema.Find(member.key)) {
      if (property->schema->keywords == nullptr) continue;
      visit(*property->schema, member.value, path.Child(member.key));
    } else if (schema.values != nullptr) {
      visit(*schema.values, member.value, path.Key(member.key));
    }
  }
}

void WalkEmbedded(const Schema& schema, const Value& value, const FieldPath& path, bool is_root,
                  kube::FieldErrors& errors) {
  if (schema.embedded_resource && !is_root && value.is_object()) Embedded(value, path, errors);
  ForEachChild(schema, value, path,
               [&](const Schema& child, const Value& member, const FieldPath& child_path) {
                 WalkEmbedded(child, member, child_path, false, errors);
               });
}

}  // namespace

bool HasDuplicates(const Value& array) {
  absl::flat_hash_set<std::string> seen;
  return !std::all_of(array.items().begin(), array.items().end(),
                      [&](const Value& item) { return seen.insert(CanonicalText(item)).second; });
}

void ValidateListTypes(const Schema& schema, const Value& value, const FieldPath& path,
                       kube::FieldErrors& errors) {
  if (value.is_array() && schema.keywords != nullptr) {
    if (schema.list_type == ListType::kSet) ListSet(value, path, errors);
    if (schema.list_type == ListType::kMap) ListMap(schema, value, path, errors);
  }
  ForEachChild(schema, value, path,
               [&](const Schema& child, const Value& member, const FieldPath& child_path) {
                 ValidateListTypes(child, member, child_path, errors);
               });
}

void ValidateEmbedded(const Schema& schema, const Value& value, const FieldPath& path,
                      kube::FieldErrors& errors) {
  if (schema.keywords == nullptr) return;
  WalkEmbedded(schema, value, path, true, errors);
}

}  // namespace meltemi::apiserver
