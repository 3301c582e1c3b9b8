#include "orchestrator/apiserver/crd/custom_strategy.h"

#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/json/write.h"
#include "orchestrator/apiserver/kinds/object_meta.h"
#include "orchestrator/apiserver/kinds/tree.h"
#include "orchestrator/apiserver/schema/values.h"
#include "orchestrator/apiserver/schema/walk.h"

namespace meltemi::apiserver {
namespace {

using json::Value;
using kube::FieldErrors;
using kube::FieldPath;

// The value at "spec.replicas"; null when a step is missing.
const Value* At(const Value& object, absl::string_view dotted) {
  const Value* at = &object;
  for (const absl::string_view name : absl::StrSplit(dotted, '.')) {
    at = at->Find(name);
    if (at == nullptr) return nullptr;
  }
  return at;
}

void CheckReplicas(const Value& object, const std::string& path, FieldErrors& errors) {
  const Value* value = At(object, path);
  if (value == nullptr || value->is_null()) return;
  const FieldPath field(absl::StrCat(".", path));
  const std::optional<int64_t> replicas = value->AsInt64();
  if (!replicas.has_value()) {
    errors.push_back(kube::InvalidField(
        field, int64_t{0},
        absl::StrCat(".", path, " accessor error: ", value->text(), " is of the type ",
                     value->is_string() ? "string" : "float64", ", expected int64")));
  } else if (*replicas < 0) {
    errors.push_back(kube::InvalidField(field, *replicas, "should be a non-negative integer"));
  } else if (*replicas > std::numeric_limits<int32_t>::max()) {
    errors.push_back(kube::InvalidField(
        field, *replicas,
        absl::StrCat("should be less than or equal to ", std::numeric_limits<int32_t>::max())));
  }
}

void CheckScaleStatus(const Resource& resource, const Value& object, FieldErrors& errors) {
  if (!resource.scale.has_value()) return;
  CheckReplicas(object, resource.scale->status_replicas_path, errors);
  const std::string& selector = resource.scale->label_selector_path;
  if (selector.empty()) return;
  const Value* value = At(object, selector);
  if (value == nullptr || value->is_null() || value->is_string()) return;
  errors.push_back(kube::InvalidField(
      FieldPath(absl::StrCat(".", selector)), absl::string_view(),
      absl::StrCat(".", selector, " accessor error: the value is not of the type string")));
}

void CheckScale(const Resource& resource, const Value& object, FieldErrors& errors) {
  if (!resource.scale.has_value()) return;
  CheckReplicas(object, resource.scale->spec_replicas_path, errors);
  CheckScaleStatus(resource, object, errors);
}

// metadata of resources within the resource.
void CheckEmbeddedMetadata(const Schema& schema, const Value& value, const FieldPath& path,
                           bool is_root, FieldErrors& errors) {
  if (value.is_array() && schema.items != nullptr) {
    for (size_t i = 0; i < value.items().size(); ++i) {
      CheckEmbeddedMetadata(*schema.items, value.items()[i], path.Index(i), false, errors);
    }
  }
  if (!value.is_object()) return;
  if (schema.embedded_resource && !is_root) {
    const FieldPath metadata = path.Child("metadata");
    ValidateLabels(value.Find("metadata", "labels"), metadata.Child("labels"), errors);
    ValidateAnnotations(value.Find("metadata", "annotations"), metadata.Child("annotations"),
                        errors);
  }
  for (const json::Member& member : value.members()) {
    const Property* property = schema.Find(member.key);
    const Schema* child = property != nullptr ? property->schema : schema.values;
    if (child == nullptr || child->keywords == nullptr) continue;
    CheckEmbeddedMetadata(*child, member.value, path.Child(member.key), false, errors);
  }
}

void Append(FieldErrors& errors, FieldErrors more) {
  std::move(more.begin(), more.end(), std::back_inserter(errors));
}

}  // namespace

kube::StringPairs ValuesOf(const std::vector<SelectableField>& fields, const Value& object) {
  kube::StringPairs values;
  for (const SelectableField& field : fields) {
    const std::vector<const Value*> found = field.path.Find(object);
    std::string text;
    if (!found.empty() && !found[0]->is_null()) {
      text = found[0]->is_string() ? found[0]->text() : json::ToString(*found[0]);
    }
    values.emplace_back(field.name, std::move(text));
  }
  return values;
}

FieldErrors CustomStrategy::Validate(const Resource& resource, const Value& object) const {
  FieldErrors errors = apiserver::Validate(*options_.schema, object, FieldPath());
  CheckScale(resource, object, errors);
  CheckEmbeddedMetadata(*options_.schema, object, FieldPath(), true, errors);
  rules_.Check(*options_.schema, object, nullptr, FieldPath(), errors);
  return errors;
}

FieldErrors CustomStrategy::ValidateUpdate(const Resource& resource, Scope scope,
                                           const Value& old_object, const Value& object) const {
  FieldErrors errors;
  if (scope == Scope::kMain) {
    errors = apiserver::ValidateUpdate(*options_.schema, object, old_object, FieldPath());
    CheckScale(resource, object, errors);
    CheckEmbeddedMetadata(*options_.schema, object, FieldPath(), true, errors);
    rules_.Check(*options_.schema, object, &old_object, FieldPath(), errors);
    return errors;
  }
  const Value* status = object.Find("status");
  if (status != nullptr && options_.status_schema != nullptr) {
    const Value* old_status = old_object.Find("status");
    const FieldPath path("status");
    Append(errors,
           old_status == nullptr
               ? apiserver::Validate(*options_.status_schema, *status, path)
               : apiserver::ValidateUpdate(*options_.status_schema, *status, *old_status, path));
  }
  CheckScaleStatus(resource, object, errors);
  rules_.Check(*options_.schema, object, &old_object, FieldPath(), errors);
  return errors;
}

bool CustomStrategy::SpecChanged(const Value& old_object, const Value& object) const {
  const auto counts = [this](absl::string_view key) {
    if (key == "apiVersion" || key == "kind" || key == "metadata") return false;
    return key != "status" || !options_.has_status;
  };
  for (const json::Member& member : object.members()) {
    if (!counts(member.key)) continue;
    const Value* old_value = old_object.Find(member.key);
    if (old_value == nullptr || !SameTree(*old_value, member.value)) return true;
  }
  for (const json::Member& member : old_object.members()) {
    if (counts(member.key) && object.Find(member.key) == nullptr) return true;
  }
  return false;
}

std::vector<std::string> CustomStrategy::Warnings(const Resource& resource,
                                                  const Value& object) const {
  if (options_.deprecation_warning.empty()) return {};
  return {options_.deprecation_warning};
}

kube::StringPairs CustomStrategy::SelectableFields(const Value& object) const {
  return ValuesOf(options_.fields, object);
}

std::vector<std::string> CustomStrategy::SelectableFieldNames() const {
  std::vector<std::string> names;
  for (const SelectableField& field : options_.fields) names.push_back(field.name);
  return names;
}

}  // namespace meltemi::apiserver
