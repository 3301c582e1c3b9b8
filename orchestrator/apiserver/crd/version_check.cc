#include "orchestrator/apiserver/crd/version_check.h"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "orchestrator/apiserver/kinds/names.h"
#include "orchestrator/apiserver/kinds/tree.h"
#include "orchestrator/apiserver/schema/from_openapi.h"
#include "orchestrator/apiserver/schema/values.h"

namespace meltemi::apiserver {
namespace {

using json::Value;
using kube::FieldErrors;
using kube::FieldPath;

constexpr size_t kSelectableFieldsMax = 8;

// The member that all versions have in common; null when they differ or one has none.
const Value* Shared(const Value& spec, absl::string_view member) {
  const std::vector<Value>& versions = Items(spec, "versions");
  if (versions.empty()) return nullptr;
  const Value& first = Get(versions[0], member);
  const bool empty = first.is_null() || (first.is_array() && first.items().empty());
  if (empty) return nullptr;
  const bool same = std::all_of(versions.begin(), versions.end(), [&](const Value& version) {
    return SameTree(Get(version, member), first);
  });
  return same ? &first : nullptr;
}

bool HasStatus(const Value& version) { return Has(Get(version, "subresources"), "status"); }

void Append(FieldErrors& errors, const FieldErrors& more) {
  errors.insert(errors.end(), more.begin(), more.end());
}

void CheckSchema(const Value& validation, bool status, const FieldPath& path, FieldErrors& errors) {
  const Value& schema = Get(validation, "openAPIV3Schema");
  if (!schema.is_object()) return;
  Append(errors,
         CheckOpenApi(schema, {.status_subresource = status}, path.Child("openAPIV3Schema")));
}

void CheckSimplePath(absl::string_view text, const FieldPath& path, FieldErrors& errors) {
  if (!absl::StartsWith(text, ".")) {
    errors.push_back(kube::InvalidField(path, text, "must be a simple json path starting with ."));
  }
}

void CheckReplicasPath(absl::string_view text, absl::string_view parent, const FieldPath& path,
                       FieldErrors& errors) {
  if (text.empty()) {
    errors.push_back(kube::Required(path));
  } else if (!absl::StartsWith(text, ".")) {
    CheckSimplePath(text, path, errors);
  } else if (!absl::StartsWith(text, absl::StrCat(".", parent, "."))) {
    errors.push_back(
        kube::InvalidField(path, text, absl::StrCat("should be a json path under .", parent)));
  }
}

void CheckSubresources(const Value& subresources, const FieldPath& path, FieldErrors& errors) {
  if (!Has(subresources, "scale")) return;
  const Value& scale = Get(subresources, "scale");
  const FieldPath scale_path = path.Child("scale");
  CheckReplicasPath(Text(scale, "specReplicasPath"), "spec", scale_path.Child("specReplicasPath"),
                    errors);
  CheckReplicasPath(Text(scale, "statusReplicasPath"), "status",
                    scale_path.Child("statusReplicasPath"), errors);
  const absl::string_view selector = Text(scale, "labelSelectorPath");
  if (selector.empty()) return;
  const FieldPath selector_path = scale_path.Child("labelSelectorPath");
  if (!absl::StartsWith(selector, ".")) {
    CheckSimplePath(selector, selector_path, errors);
  } else if (!absl::StartsWith(selector, ".spec.") && !absl::StartsWith(selector, ".status.")) {
    errors.push_back(kube::InvalidField(selector_path, selector,
                                        "should be a json path under either .spec or .status"));
  }
}

template <size_t n>
void CheckListed(absl::string_view text, const absl::string_view (&listed)[n],
                 const FieldPath& path, FieldErrors& errors) {
  if (std::find(std::begin(listed), std::end(listed), text) != std::end(listed)) return;
  errors.push_back(
      kube::InvalidField(path, text, absl::StrCat("must be one of ", absl::StrJoin(listed, ","))));
}

void CheckColumns(const Value& columns, const FieldPath& path, FieldErrors& errors) {
  static constexpr absl::string_view kTypes[] = {"boolean", "date", "integer", "number", "string"};
  static constexpr absl::string_view kFormats[] = {"byte",  "date",  "date-time", "double",
                                                   "float", "int32", "int64",     "password"};
  for (size_t i = 0; i < columns.items().size(); ++i) {
    const Value& column = columns.items()[i];
    const FieldPath column_path = path.Index(i);
    if (Text(column, "name").empty()) errors.push_back(kube::Required(column_path.Child("name")));
    if (Text(column, "type").empty()) {
      errors.push_back(kube::Required(column_path.Child("type"),
                                      absl::StrCat("must be one of ", absl::StrJoin(kTypes, ","))));
    } else {
      CheckListed(Text(column, "type"), kTypes, column_path.Child("type"), errors);
    }
    if (!Text(column, "format").empty()) {
      CheckListed(Text(column, "format"), kFormats, column_path.Child("format"), errors);
    }
    const absl::string_view json_path = Text(column, "jsonPath");
    if (json_path.empty()) {
      errors.push_back(kube::Required(column_path.Child("JSONPath")));
    } else {
      CheckSimplePath(json_path, column_path.Child("JSONPath"), errors);
    }
  }
}

// The schema at ".spec.color"; null when there is none.
const Value* SchemaAt(const Value& schema, absl::string_view path) {
  const Value* at = &schema;
  for (const absl::string_view name : absl::StrSplit(path.substr(1), '.')) {
    at = at->Find("properties", name);
    if (at == nullptr) return nullptr;
  }
  return at;
}

void CheckSelectableFields(const Value& fields, const Value& schema, const FieldPath& path,
                           FieldErrors& errors) {
  std::set<std::string> seen;
  for (size_t i = 0; i < fields.items().size(); ++i) {
    const absl::string_view text = Text(fields.items()[i], "jsonPath");
    const FieldPath field_path = path.Index(i).Child("jsonPath");
    if (text.empty()) {
      errors.push_back(kube::Required(field_path));
      continue;
    }
    const Value* at = absl::StartsWith(text, ".") ? SchemaAt(schema, text) : nullptr;
    if (at == nullptr) {
      errors.push_back(kube::InvalidField(field_path, text,
                                          "is an invalid path: does not refer to a valid field"));
      continue;
    }
    if (absl::StartsWith(text, ".metadata.") || text == ".metadata") {
      errors.push_back(
          kube::InvalidField(field_path, text, "must not point to fields in metadata"));
    }
    const absl::string_view type = Text(*at, "type");
    if (type != "string" && type != "boolean" && type != "integer") {
      errors.push_back(kube::InvalidField(
          field_path, text,
          "must point to a field of type string, boolean or integer. Enum string fields and "
          "strings with formats are allowed."));
    }
    if (!seen.emplace(text).second) {
      errors.push_back(kube::DuplicateField(field_path, Get(fields.items()[i], "jsonPath")));
    }
  }
  if (seen.size() > kSelectableFieldsMax) {
    errors.push_back(kube::TooMany(path, seen.size(), kSelectableFieldsMax));
  }
}

void CheckDeprecation(const Value& version, const FieldPath& path, FieldErrors& errors) {
  const Value* warning = version.Find("deprecationWarning");
  if (warning == nullptr || !warning->is_string()) return;
  const std::string& text = warning->text();
  const auto add = [&](absl::string_view what) {
    errors.push_back(
        kube::InvalidField(path.Child("deprecationWarning"), absl::string_view(text), what));
  };
  if (!Bool(version, "deprecated")) return add("can only be set for deprecated versions");
  if (text.size() > 256) add("must be <= 256 characters long");
  if (text.empty()) add("must not be an empty string");
  const auto control = std::find_if(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
  });
  if (control != text.end()) {
    add(absl::StrCat(
        "must only contain printable UTF-8 characters; non-printable character found at index ",
        control - text.begin()));
  }
}

// What does not stand in a shared place.
void CheckVersion(const Value& spec, const Value& version, const FieldPath& path,
                  FieldErrors& errors) {
  CheckDeprecation(version, path, errors);
  if (Shared(spec, "schema") == nullptr) {
    CheckSchema(Get(version, "schema"), HasStatus(version), path.Child("schema"), errors);
  }
  if (Shared(spec, "subresources") == nullptr) {
    CheckSubresources(Get(version, "subresources"), path.Child("subresources"), errors);
  }
  if (Shared(spec, "additionalPrinterColumns") == nullptr) {
    CheckColumns(Get(version, "additionalPrinterColumns"), path.Child("additionalPrinterColumns"),
                 errors);
  }
  if (Shared(spec, "selectableFields") == nullptr) {
    CheckSelectableFields(Get(version, "selectableFields"),
                          Get(version, "schema", "openAPIV3Schema"), path.Child("selectableFields"),
                          errors);
  }
}

// Kubernetes prints the whole list of internal structs here; what is wrong is said by the detail.
std::string PrintedVersions(const std::vector<Value>& versions) {
  std::vector<std::string> names;
  for (const Value& version : versions) {
    names.push_back(
        absl::StrCat("CustomResourceDefinitionVersion{Name:", kube::GoQuote(Text(version, "name")),
                     ", Served:", Bool(version, "served") ? "true" : "false",
                     ", Storage:", Bool(version, "storage") ? "true" : "false", "}"));
  }
  return absl::StrCat("[]", absl::StrJoin(names, ", "));
}

}  // namespace

void CheckVersions(const Value& spec, const FieldPath& path, FieldErrors& errors) {
  const std::vector<Value>& versions = Items(spec, "versions");
  const FieldPath versions_path = path.Child("versions");
  for (size_t i = 0; i < versions.size(); ++i) {
    if (!Has(Get(versions[i], "schema"), "openAPIV3Schema")) {
      errors.push_back(kube::Required(
          versions_path.Index(i).Child("schema").Child("openAPIV3Schema"), "schemas are required"));
    }
  }
  std::set<std::string> names;
  size_t stored = 0;
  for (size_t i = 0; i < versions.size(); ++i) {
    const absl::string_view name = Text(versions[i], "name");
    names.emplace(name);
    if (Bool(versions[i], "storage")) ++stored;
    if (const Complaints complaints = CheckDns1035Label(name); !complaints.empty()) {
      errors.push_back(kube::InvalidField(versions_path.Index(i).Child("name"), name,
                                          absl::StrJoin(complaints, ",")));
    }
    CheckVersion(spec, versions[i], versions_path.Index(i), errors);
  }
  if (names.size() != versions.size()) {
    errors.push_back(InvalidPrinted(versions_path, PrintedVersions(versions),
                                    "must contain unique version names"));
  }
  if (stored != 1) {
    errors.push_back(InvalidPrinted(versions_path, PrintedVersions(versions),
                                    "must have exactly one version marked as storage version"));
  }
}

void CheckSharedParts(const Value& spec, const FieldPath& path, FieldErrors& errors) {
  const std::vector<Value>& versions = Items(spec, "versions");
  const Value* schema = Shared(spec, "schema");
  if (schema != nullptr) {
    CheckSchema(*schema, std::any_of(versions.begin(), versions.end(), HasStatus),
                path.Child("validation"), errors);
  }
  if (const Value* subresources = Shared(spec, "subresources")) {
    CheckSubresources(*subresources, path.Child("subresources"), errors);
  }
  if (const Value* columns = Shared(spec, "additionalPrinterColumns")) {
    CheckColumns(*columns, path.Child("additionalPrinterColumns"), errors);
  }
  if (const Value* fields = Shared(spec, "selectableFields")) {
    CheckSelectableFields(*fields, Get(versions[0], "schema", "openAPIV3Schema"),
                          path.Child("selectableFields"), errors);
  }
}

}  // namespace meltemi::apiserver
