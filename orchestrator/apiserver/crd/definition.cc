#include "orchestrator/apiserver/crd/definition.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "orchestrator/apiserver/crd/definition_check.h"
#include "orchestrator/apiserver/crd/rules.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using json::Value;

// The version that is stored now is among those that were ever stored.
void NoteStorageVersion(Value& definition) {
  const std::string name(StorageVersionOf(definition));
  if (name.empty()) return;
  Value& status = definition.MutableObject("status");
  Value* stored = status.Find("storedVersions");
  if (stored == nullptr || !stored->is_array())
    stored = &status.Set("storedVersions", Value::Array());
  for (const Value& one : stored->items()) {
    if (one.text() == name) return;
  }
  stored->Append(Value::String(name));
}

// Its instances must go before it does. It is there from the beginning, so that no deletion can
// overtake it, and only goes while the definition is being deleted.
void KeepFinalizer(Value& definition) {
  Value& metadata = definition.MutableObject("metadata");
  if (Has(metadata, "deletionTimestamp")) return;
  Value* finalizers = metadata.Find("finalizers");
  if (finalizers == nullptr || !finalizers->is_array()) {
    finalizers = &metadata.Set("finalizers", Value::Array());
  }
  for (const Value& finalizer : finalizers->items()) {
    if (finalizer.text() == kDefinitionFinalizer) return;
  }
  finalizers->Append(Value::String(std::string(kDefinitionFinalizer)));
}

class DefinitionStrategy final : public Strategy {
 public:
  void Default(const Resource& resource, Value& object) const override {
    Value& spec = object.MutableObject("spec");
    Value& names = spec.MutableObject("names");
    const std::string kind(Text(names, "kind"));
    if (Text(names, "singular").empty() && !kind.empty()) {
      names.Set("singular", Value::String(absl::AsciiStrToLower(kind)));
    }
    if (Text(names, "listKind").empty() && !kind.empty()) {
      names.Set("listKind", Value::String(absl::StrCat(kind, "List")));
    }
    if (!Has(spec, "conversion")) {
      Value conversion = Value::Object();
      conversion.Set("strategy", Value::String("None"));
      spec.Set("conversion", std::move(conversion));
    }
  }

  void PrepareForCreate(const Resource& resource, Value& object) const override {
    Strategy::PrepareForCreate(resource, object);
    object.Set("status", Value::Object());
    NoteStorageVersion(object);
    KeepFinalizer(object);
  }

  void PrepareForUpdate(const Resource& resource, Scope scope, const Value& old_object,
                        Value& object) const override {
    Strategy::PrepareForUpdate(resource, scope, old_object, object);
    if (scope == Scope::kStatus) return;
    NoteStorageVersion(object);
    KeepFinalizer(object);
  }

  kube::FieldErrors Validate(const Resource& resource, const Value& object) const override {
    return CheckDefinition(object);
  }

  kube::FieldErrors ValidateUpdate(const Resource& resource, Scope scope, const Value& old_object,
                                   const Value& object) const override {
    // Somebody who only lets it go may do so whatever else was wrong before.
    if (Has(Get(object, "metadata"), "deletionTimestamp") && !SpecChanged(old_object, object)) {
      return {};
    }
    return scope == Scope::kStatus ? CheckDefinitionStatus(object)
                                   : CheckDefinitionUpdate(old_object, object);
  }

  bool CountsGenerations(const Resource& resource) const override { return true; }
  bool AllowUnconditionalUpdate() const override { return false; }

  std::vector<std::string> Warnings(const Resource& resource, const Value& object) const override {
    const std::vector<Value>& versions = Items(Get(object, "spec"), "versions");
    std::vector<std::string> warnings;
    for (size_t i = 0; i < versions.size(); ++i) {
      for (const std::string& rule :
           UnevaluatedRules(Get(versions[i], "schema", "openAPIV3Schema"))) {
        warnings.push_back(absl::StrCat("spec.versions[", i,
                                        "].schema.openAPIV3Schema: this rule of "
                                        "x-kubernetes-validations is kept but not evaluated: ",
                                        rule));
      }
    }
    return warnings;
  }
};

class DefinitionColumns final : public TableColumns {
 public:
  DefinitionColumns()
      : columns_{
            {"Name", "string", "name", "The plural name and the group of the custom resource."},
            {"Created At", "date", "", "When the definition was made."}} {}

  const std::vector<TableColumn>& columns() const override { return columns_; }
  std::vector<Value> Cells(const Value& object, int64_t now_s) const override {
    const Value& metadata = Get(object, "metadata");
    return {Value::String(std::string(Text(metadata, "name"))),
            Value::String(std::string(Text(metadata, "creationTimestamp")))};
  }

 private:
  const std::vector<TableColumn> columns_;
};

// The resource and what it refers to.
struct DefinitionHolder {
  std::shared_ptr<const Resource> original;  // whose schema it is; may be null
  std::unique_ptr<const Strategy> strategy = NewDefinitionStrategy();
  std::unique_ptr<const TableColumns> columns = NewDefinitionColumns();
  Resource resource;
};

}  // namespace

std::unique_ptr<const Strategy> NewDefinitionStrategy() {
  return std::make_unique<const DefinitionStrategy>();
}

std::unique_ptr<const TableColumns> NewDefinitionColumns() {
  return std::make_unique<const DefinitionColumns>();
}

std::shared_ptr<const Resource> NewDefinitionResource(const Schema& schema) {
  auto holder = std::make_shared<DefinitionHolder>();
  Resource& r = holder->resource;
  r.group = "apiextensions.k8s.io";
  r.version = "v1";
  r.plural = "customresourcedefinitions";
  r.singular = "customresourcedefinition";
  r.kind = "CustomResourceDefinition";
  r.namespaced = false;
  r.short_names = {"crd", "crds"};
  r.categories = {"api-extensions"};
  r.verbs = {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"};
  r.status_subresource = true;
  r.schema = &schema;
  r.strategy = holder->strategy.get();
  r.columns = holder->columns.get();
  r.storage = {r.group, r.plural};
  r.storage_version = r.api_version();
  r.storage_kind = r.kind;
  return std::shared_ptr<const Resource>(holder, &holder->resource);
}

std::shared_ptr<const Resource> AsDefinitionResource(std::shared_ptr<const Resource> resource) {
  if (resource->group != "apiextensions.k8s.io" ||
      resource->plural != "customresourcedefinitions") {
    return nullptr;
  }
  auto holder = std::make_shared<DefinitionHolder>();
  holder->resource = *resource;
  holder->original = std::move(resource);
  holder->resource.strategy = holder->strategy.get();
  holder->resource.columns = holder->columns.get();
  return std::shared_ptr<const Resource>(holder, &holder->resource);
}

}  // namespace meltemi::apiserver
