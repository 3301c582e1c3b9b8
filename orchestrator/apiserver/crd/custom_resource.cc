#include "orchestrator/apiserver/crd/custom_resource.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "orchestrator/apiserver/crd/custom_columns.h"
#include "orchestrator/apiserver/crd/custom_strategy.h"
#include "orchestrator/apiserver/crd/definition_check.h"
#include "orchestrator/apiserver/kinds/tree.h"
#include "orchestrator/apiserver/schema/from_openapi.h"

namespace meltemi::apiserver {
namespace {

using json::Value;

// A resource and everything that it points to.
struct VersionHolder {
  SchemaArena arena;
  std::unique_ptr<const Strategy> strategy;
  std::unique_ptr<const TableColumns> columns;
  Resource resource;
};

std::vector<std::string> TextsOf(const Value& object, absl::string_view key) {
  std::vector<std::string> texts;
  for (const Value& item : Items(object, key)) texts.push_back(item.text());
  return texts;
}

std::vector<SelectableField> SelectableFieldsOf(const Value& version) {
  std::vector<SelectableField> fields;
  for (const Value& entry : Items(version, "selectableFields")) {
    const absl::string_view text = Text(entry, "jsonPath");
    absl::StatusOr<kube::JsonPath> path = kube::JsonPath::Compile(text);
    if (!path.ok()) continue;
    fields.push_back({std::string(absl::StripPrefix(text, ".")), *std::move(path)});
  }
  std::sort(fields.begin(), fields.end(),
            [](const SelectableField& a, const SelectableField& b) { return a.name < b.name; });
  return fields;
}

std::string DeprecationOf(const Value& version, const Resource& resource) {
  if (!Bool(version, "deprecated")) return "";
  const absl::string_view warning = Text(version, "deprecationWarning");
  if (!warning.empty()) return std::string(warning);
  return absl::StrCat(resource.api_version(), " ", resource.kind, " is deprecated");
}

std::string PlainPath(const Value& scale, absl::string_view key) {
  return std::string(absl::StripPrefix(Text(scale, key), "."));
}

void FillNames(const Value& definition, Resource& r) {
  const Value& spec = Get(definition, "spec");
  const Value& names = Get(definition, "status", "acceptedNames");
  r.group = std::string(Text(spec, "group"));
  r.plural = std::string(Text(names, "plural"));
  r.singular = std::string(Text(names, "singular"));
  r.kind = std::string(Text(names, "kind"));
  r.namespaced = Text(spec, "scope") == "Namespaced";
  r.short_names = TextsOf(names, "shortNames");
  r.categories = TextsOf(names, "categories");
  r.verbs = {"delete", "deletecollection", "get", "list", "patch", "update", "watch"};
  if (!Has(Get(definition, "metadata"), "deletionTimestamp")) {
    r.verbs.insert(r.verbs.begin(), "create");
  }
  r.custom = true;
  r.storage = {r.group, r.plural};
  r.storage_version = kube::ApiVersion(r.group, StorageVersionOf(definition));
  r.storage_kind = r.kind;
}

std::shared_ptr<const Resource> MakeVersion(const Value& definition, const Value& version) {
  auto holder = std::make_shared<VersionHolder>();
  Resource& r = holder->resource;
  FillNames(definition, r);
  r.version = std::string(Text(version, "name"));
  const Value& subresources = Get(version, "subresources");
  r.status_subresource = Has(subresources, "status");
  if (Has(subresources, "scale")) {
    const Value& scale = Get(subresources, "scale");
    r.scale = ScaleSubresource{PlainPath(scale, "specReplicasPath"),
                               PlainPath(scale, "statusReplicasPath"),
                               PlainPath(scale, "labelSelectorPath")};
  }
  r.schema = CompileOpenApi(Get(version, "schema", "openAPIV3Schema"), holder->arena);
  CustomStrategy::Options options;
  options.schema = r.schema;
  const Property* status = r.schema->Find("status");
  options.status_schema = status == nullptr ? nullptr : status->schema;
  options.has_status = r.status_subresource;
  options.fields = SelectableFieldsOf(version);
  options.deprecation_warning = DeprecationOf(version, r);
  holder->strategy = std::make_unique<const CustomStrategy>(std::move(options));
  holder->columns = NewCustomColumns(version.Find("additionalPrinterColumns"));
  r.strategy = holder->strategy.get();
  r.columns = holder->columns.get();
  return std::shared_ptr<const Resource>(holder, &holder->resource);
}

}  // namespace

CustomResources MakeCustomResources(const Value& definition) {
  CustomResources made;
  const Value& spec = Get(definition, "spec");
  made.storage = {std::string(Text(spec, "group")),
                  std::string(Text(Get(definition, "status", "acceptedNames"), "plural"))};
  // A field that any version selects by can be looked up in all of them: the stored form is the
  // same.
  std::vector<SelectableField> fields;
  for (const Value& version : Items(spec, "versions")) {
    const bool served = Bool(version, "served"), storage = Bool(version, "storage");
    if (served || storage) {
      std::shared_ptr<const Resource> resource = MakeVersion(definition, version);
      if (served) made.versions.push_back(resource);
      if (storage) made.stored = std::move(resource);
    }
    for (SelectableField& field : SelectableFieldsOf(version)) fields.push_back(std::move(field));
  }
  std::stable_sort(fields.begin(), fields.end(),
                   [](const auto& a, const auto& b) { return a.name < b.name; });
  fields.erase(std::unique(fields.begin(), fields.end(),
                           [](const auto& a, const auto& b) { return a.name == b.name; }),
               fields.end());
  if (fields.empty()) return made;
  for (const SelectableField& field : fields) absl::StrAppend(&made.selectable, field.name, "\n");
  made.fields_of = [fields = std::move(fields)](const Value& object) {
    return ValuesOf(fields, object);
  };
  return made;
}

}  // namespace meltemi::apiserver
