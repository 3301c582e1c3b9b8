#include "orchestrator/apiserver/kinds/object_meta.h"

#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kube/object/object.h"
#include "orchestrator/apiserver/kinds/names.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using kube::FieldErrors;
using kube::FieldPath;

constexpr size_t kNameBytesMax = 63, kRandomBytes = 5;
constexpr size_t kAnnotationsBytesMax = 256 * 1024;
constexpr size_t kManagerBytesMax = 128, kSubresourceBytesMax = 256;
constexpr absl::string_view kImmutable = "field is immutable";

void ValidateOwner(const json::Value& owner, const FieldPath& path, FieldErrors& errors) {
  const absl::string_view api_version = Text(owner, "apiVersion");
  const kube::GroupVersionKind gvk = kube::GroupVersionKind::Of(api_version, Text(owner, "kind"));
  if (gvk.version.empty()) {
    errors.push_back(
        kube::InvalidField(path.Child("apiVersion"), api_version, "version must not be empty"));
  }
  for (const char* key : {"kind", "name", "uid"}) {
    if (!Text(owner, key).empty()) continue;
    errors.push_back(kube::InvalidField(path.Child(key), absl::string_view(""),
                                        absl::StrCat(key, " must not be empty")));
  }
  if (gvk == kube::GroupVersionKind{"", "v1", "Event"}) {
    errors.push_back(
        kube::InvalidField(path, owner, "/v1, Kind=Event is disallowed from being an owner"));
  }
}

void ValidateOwners(const json::Value& metadata, const FieldPath& path, FieldErrors& errors) {
  std::string first_controller;
  for (const json::Value& owner : Items(metadata, "ownerReferences")) {
    ValidateOwner(owner, path, errors);
    if (!Bool(owner, "controller")) continue;
    std::string controller = absl::StrCat(Text(owner, "kind"), "/", Text(owner, "name"));
    if (first_controller.empty()) {
      first_controller = std::move(controller);
      continue;
    }
    errors.push_back(kube::InvalidField(
        path, Get(metadata, "ownerReferences"),
        absl::StrCat("Only one reference can have Controller set to true. Found \"true\" in "
                     "references for ",
                     first_controller, " and ", controller)));
  }
}

void ValidateFinalizers(const json::Value& metadata, const FieldPath& path, FieldErrors& errors) {
  bool orphan = false, foreground = false;
  for (const json::Value& finalizer : Items(metadata, "finalizers")) {
    ValidateFinalizerName(finalizer.text(), path, errors);
    orphan |= finalizer.text() == "orphan";
    foreground |= finalizer.text() == "foregroundDeletion";
  }
  if (orphan && foreground) {
    errors.push_back(InvalidPrinted(path, GoTextList(Get(metadata, "finalizers")),
                                    "finalizer orphan and foregroundDeletion cannot be both set"));
  }
}

void ValidateManagedFields(const json::Value& metadata, const FieldPath& path,
                           FieldErrors& errors) {
  const std::vector<json::Value>& entries = Items(metadata, "managedFields");
  for (size_t i = 0; i < entries.size(); ++i) {
    const FieldPath entry_path = path.Index(i);
    const absl::string_view operation = Text(entries[i], "operation");
    if (operation != "Apply" && operation != "Update") {
      errors.push_back(kube::InvalidField(entry_path.Child("operation"), operation,
                                          "must be `Apply` or `Update`"));
    }
    const absl::string_view type = Text(entries[i], "fieldsType");
    if (!type.empty() && type != "FieldsV1") {
      errors.push_back(
          kube::InvalidField(entry_path.Child("fieldsType"), type, "must be `FieldsV1`"));
    }
    const absl::string_view manager = Text(entries[i], "manager");
    if (manager.size() > kManagerBytesMax) {
      errors.push_back(kube::TooLong(entry_path.Child("manager"), kManagerBytesMax));
    }
    if (!absl::c_all_of(manager,
                        [](char c) { return (c & 0x80) != 0 || absl::ascii_isprint(c); })) {
      errors.push_back(kube::InvalidField(entry_path.Child("manager"), manager,
                                          "should only contain printable characters"));
    }
    if (Text(entries[i], "subresource").size() > kSubresourceBytesMax) {
      errors.push_back(kube::TooLong(entry_path.Child("subresource"), kSubresourceBytesMax));
    }
  }
}

void ValidateNamespace(const Resource& resource, const json::Value& metadata, const FieldPath& path,
                       FieldErrors& errors) {
  const absl::string_view ns = Text(metadata, "namespace");
  if (!resource.namespaced) {
    if (!ns.empty()) errors.push_back(kube::ForbiddenField(path, "not allowed on this type"));
  } else if (ns.empty()) {
    errors.push_back(kube::Required(path));
  } else {
    AddInvalid(path, ns, NameIsDnsLabel(ns, false), errors);
  }
}

// What holds for new objects and changed ones. `check` says what is wrong with a name.
template <typename CheckName>
FieldErrors ValidateCommon(const Resource& resource, const json::Value& object,
                           const CheckName& check) {
  FieldErrors errors;
  const FieldPath path("metadata");
  const json::Value& metadata = Get(object, "metadata");
  const absl::string_view prefix = Text(metadata, "generateName"), name = Text(metadata, "name");
  if (!prefix.empty()) {
    AddInvalid(path.Child("generateName"), prefix, check(prefix, true), errors);
  }
  if (name.empty()) {
    errors.push_back(kube::Required(path.Child("name"), "name or generateName is required"));
  } else {
    AddInvalid(path.Child("name"), name, check(name, false), errors);
  }
  ValidateNamespace(resource, metadata, path.Child("namespace"), errors);
  ValidateNonNegative(metadata, "generation", path, errors);
  ValidateLabels(metadata.Find("labels"), path.Child("labels"), errors);
  ValidateAnnotations(metadata.Find("annotations"), path.Child("annotations"), errors);
  ValidateOwners(metadata, path.Child("ownerReferences"), errors);
  ValidateFinalizers(metadata, path.Child("finalizers"), errors);
  ValidateManagedFields(metadata, path.Child("managedFields"), errors);
  return errors;
}

void ValidateNoNewFinalizers(const json::Value& old_metadata, const json::Value& metadata,
                             const FieldPath& path, FieldErrors& errors) {
  json::Value extra = json::Value::Array();
  for (const json::Value& finalizer : Items(metadata, "finalizers")) {
    if (!absl::c_linear_search(Items(old_metadata, "finalizers"), finalizer)) {
      extra.Append(finalizer);
    }
  }
  if (extra.items().empty()) return;
  absl::c_sort(extra.items(),
               [](const json::Value& a, const json::Value& b) { return a.text() < b.text(); });
  errors.push_back(kube::ForbiddenField(
      path, absl::StrCat("no new finalizers can be added if the object is being deleted, found new "
                         "finalizers ",
                         GoTextList(extra))));
}

}  // namespace

std::string GenerateName(absl::string_view base, Random& random) {
  static constexpr absl::string_view kAlphabet = "bcdfghjklmnpqrstvwxz2456789";
  std::string name(base.substr(0, kNameBytesMax - kRandomBytes));
  for (size_t i = 0; i < kRandomBytes; ++i) name += kAlphabet[random.Below(kAlphabet.size())];
  return name;
}

std::string NewUid(Random& random) {
  constexpr uint64_t kVersion4 = 0x4000, kVariant = 0x8000'0000'0000'0000;
  const uint64_t high = (random.Next() & ~uint64_t{0xf000}) | kVersion4;
  const uint64_t low = (random.Next() >> 2) | kVariant;
  const auto hex = [](uint64_t value, int digits) {
    return absl::StrCat(absl::Hex(value, static_cast<absl::PadSpec>(absl::kZeroPad2 + digits - 2)));
  };
  return absl::StrCat(hex(high >> 32, 8), "-", hex(high >> 16 & 0xffff, 4), "-",
                      hex(high & 0xffff, 4), "-", hex(low >> 48, 4), "-",
                      hex(low & 0xffff'ffff'ffff, 12));
}

kube::Outcome MatchNamespace(const Resource& resource, absl::string_view ns, json::Value& object) {
  json::Value& metadata = object.MutableObject("metadata");
  const absl::string_view own = Text(metadata, "namespace");
  if (!resource.namespaced || ns.empty()) {
    metadata.Remove("namespace");
  } else if (own.empty()) {
    metadata.Set("namespace", json::Value::String(std::string(ns)));
  } else if (own != ns) {
    return kube::BadRequest(
        "the namespace of the provided object does not match the namespace sent on the request");
  }
  return kube::Done{};
}

void FillMetadata(int64_t now_s, Random& random, json::Value& object) {
  json::Value& metadata = object.MutableObject("metadata");
  for (const char* key : {"deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"}) {
    metadata.Remove(key);
  }
  const std::string prefix(Text(metadata, "generateName"));
  if (Text(metadata, "name").empty() && !prefix.empty()) {
    metadata.Set("name", json::Value::String(GenerateName(prefix, random)));
  }
  metadata.Set("uid", json::Value::String(NewUid(random)));
  metadata.Set("creationTimestamp", json::Value::String(kube::FormatTime(now_s)));
}

void KeepMetadata(const json::Value& old_object, json::Value& object) {
  const json::Value& old_metadata = Get(old_object, "metadata");
  json::Value& metadata = object.MutableObject("metadata");
  if (Text(metadata, "uid").empty()) CopyMember(old_metadata, "uid", metadata);
  if (Has(old_metadata, "creationTimestamp")) {
    CopyMember(old_metadata, "creationTimestamp", metadata);
  }
  if (Has(old_metadata, "deletionTimestamp")) {
    CopyMember(old_metadata, "deletionTimestamp", metadata);
  }
  if (Has(old_metadata, "deletionGracePeriodSeconds") &&
      !Has(metadata, "deletionGracePeriodSeconds")) {
    CopyMember(old_metadata, "deletionGracePeriodSeconds", metadata);
  }
  metadata.Remove("selfLink");
}

FieldErrors ValidateMetadata(const Resource& resource, const json::Value& object) {
  return ValidateCommon(resource, object, [&resource](absl::string_view name, bool prefix) {
    Complaints complaints =
        resource.strategy == nullptr ? Complaints{} : resource.strategy->CheckName(name, prefix);
    return complaints.empty() ? CheckPathSegment(name, prefix) : complaints;
  });
}

FieldErrors ValidateMetadataUpdate(const Resource& resource, const json::Value& old_object,
                                   const json::Value& object) {
  FieldErrors errors = ValidateCommon(resource, object, CheckPathSegment);
  const FieldPath path("metadata");
  const json::Value& old_metadata = Get(old_object, "metadata");
  const json::Value& metadata = Get(object, "metadata");
  if (Has(old_metadata, "deletionTimestamp")) {
    ValidateNoNewFinalizers(old_metadata, metadata, path.Child("finalizers"), errors);
  }
  const int64_t generation = Int(metadata, "generation");
  if (generation < Int(old_metadata, "generation")) {
    errors.push_back(
        kube::InvalidField(path.Child("generation"), generation, "must not be decremented"));
  }
  for (const char* key : {"name", "namespace", "uid"}) {
    if (Text(metadata, key) == Text(old_metadata, key)) continue;
    errors.push_back(kube::InvalidField(path.Child(key), Text(metadata, key), kImmutable));
  }
  for (const char* key : {"creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"}) {
    ValidateImmutable(Get(old_metadata, key), Get(metadata, key), path.Child(key), errors);
  }
  return errors;
}

void ValidateLabels(const json::Value* labels, const FieldPath& path, FieldErrors& errors) {
  if (labels == nullptr) return;
  for (const json::Member& label : labels->members()) {
    AddInvalid(path, label.key, CheckQualifiedName(label.key), errors);
    AddInvalid(path, label.value.text(), CheckLabelValue(label.value.text()), errors);
  }
}

void ValidateAnnotations(const json::Value* annotations, const FieldPath& path,
                         FieldErrors& errors) {
  if (annotations == nullptr) return;
  size_t bytes = 0;
  for (const json::Member& annotation : annotations->members()) {
    AddInvalid(path, annotation.key, CheckQualifiedName(absl::AsciiStrToLower(annotation.key)),
               errors);
    bytes += annotation.key.size() + annotation.value.text().size();
  }
  if (bytes > kAnnotationsBytesMax) errors.push_back(kube::TooLong(path, kAnnotationsBytesMax));
}

void ValidateFinalizerName(absl::string_view name, const FieldPath& path, FieldErrors& errors) {
  AddInvalid(path, name, CheckQualifiedName(name), errors);
}

void ValidateLabelSelector(const json::Value* selector, const FieldPath& path,
                           FieldErrors& errors) {
  if (selector == nullptr) return;
  ValidateLabels(selector->Find("matchLabels"), path.Child("matchLabels"), errors);
  const std::vector<json::Value>& expressions = Items(*selector, "matchExpressions");
  for (size_t i = 0; i < expressions.size(); ++i) {
    const FieldPath at = path.Child("matchExpressions").Index(i);
    const json::Value& expression = expressions[i];
    const absl::string_view op = Text(expression, "operator"), key = Text(expression, "key");
    const std::vector<json::Value>& values = Items(expression, "values");
    if (op == "In" || op == "NotIn") {
      if (values.empty()) {
        errors.push_back(kube::Required(at.Child("values"),
                                        "must be specified when `operator` is 'In' or 'NotIn'"));
      }
    } else if (op == "Exists" || op == "DoesNotExist") {
      if (!values.empty()) {
        errors.push_back(kube::ForbiddenField(
            at.Child("values"),
            "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"));
      }
    } else {
      errors.push_back(
          kube::InvalidField(at.Child("operator"), op, "not a valid selector operator"));
    }
    AddInvalid(at.Child("key"), key, CheckQualifiedName(key), errors);
    for (size_t v = 0; v < values.size(); ++v) {
      AddInvalid(at.Child("values").Index(v), values[v].text(), CheckLabelValue(values[v].text()),
                 errors);
    }
  }
}

}  // namespace meltemi::apiserver
