#include "orchestrator/apiserver/kinds/namespace.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "orchestrator/apiserver/kinds/columns.h"
#include "orchestrator/apiserver/kinds/names.h"
#include "orchestrator/apiserver/kinds/object_meta.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using kube::FieldErrors;
using kube::FieldPath;

constexpr absl::string_view kNameLabel = "kubernetes.io/metadata.name";

void ValidateSpecFinalizer(absl::string_view name, const FieldPath& path, FieldErrors& errors) {
  ValidateFinalizerName(name, path, errors);
  if (absl::StrContains(name, '/') || name == "kubernetes" || name == "orphan" ||
      name == "foregroundDeletion") {
    return;
  }
  errors.push_back(kube::InvalidField(
      path, name, "name is neither a standard finalizer name nor is it fully qualified"));
}

class Namespaces final : public Strategy {
 public:
  // The label by which selectors find a namespace by its name.
  void Default(const Resource& resource, json::Value& object) const override {
    const std::string name(Text(Get(object, "metadata"), "name"));
    if (name.empty()) return;
    object.MutableObject("metadata")
        .MutableObject("labels")
        .Set(kNameLabel, json::Value::String(name));
  }

  void PrepareForCreate(const Resource& resource, json::Value& object) const override {
    Strategy::PrepareForCreate(resource, object);
    Default(resource, object);  // the name may have been generated
    json::Value status = json::Value::Object();
    status.Add("phase", json::Value::String("Active"));
    object.Set("status", std::move(status));
    json::Value& spec = object.MutableObject("spec");
    SetDefault(spec, "finalizers", json::Value::Array());
    std::vector<json::Value>* finalizers = MutableItems(spec, "finalizers");
    if (finalizers == nullptr) return;
    for (const json::Value& finalizer : *finalizers) {
      if (finalizer.text() == "kubernetes") return;
    }
    finalizers->push_back(json::Value::String("kubernetes"));
  }

  void PrepareForUpdate(const Resource& resource, Scope scope, const json::Value& old_object,
                        json::Value& object) const override {
    Strategy::PrepareForUpdate(resource, scope, old_object, object);
    if (scope == Scope::kStatus) return;
    CopyMember(Get(old_object, "spec"), "finalizers", object.MutableObject("spec"));
    CopyMember(old_object, "status", object);
  }

  FieldErrors Validate(const Resource& resource, const json::Value& object) const override {
    FieldErrors errors;
    for (const json::Value& finalizer : Items(Get(object, "spec"), "finalizers")) {
      ValidateSpecFinalizer(finalizer.text(), FieldPath("spec").Child("finalizers"), errors);
    }
    return errors;
  }

  FieldErrors ValidateUpdate(const Resource& resource, Scope scope, const json::Value& old_object,
                             const json::Value& object) const override {
    if (scope != Scope::kStatus) return {};
    const bool deleting = Has(Get(object, "metadata"), "deletionTimestamp");
    const absl::string_view phase = Text(Get(object, "status"), "phase");
    const FieldPath path = FieldPath("status").Child("Phase");
    if (!deleting && phase != "Active") {
      return {
          kube::InvalidField(path, phase, "may only be 'Active' if `deletionTimestamp` is empty")};
    }
    if (deleting && phase != "Terminating") {
      return {kube::InvalidField(path, phase,
                                 "may only be 'Terminating' if `deletionTimestamp` is not empty")};
    }
    return {};
  }

  std::vector<std::string> CheckName(absl::string_view name, bool prefix) const override {
    return NameIsDnsLabel(name, prefix);
  }
  kube::StringPairs SelectableFields(const json::Value& object) const override {
    return {{"status.phase", std::string(Text(Get(object, "status"), "phase"))}};
  }
  std::vector<std::string> SelectableFieldNames() const override { return {"status.phase"}; }
};

}  // namespace

std::unique_ptr<const Strategy> NamespaceStrategy() { return std::make_unique<Namespaces>(); }

std::unique_ptr<const TableColumns> NamespaceColumns() {
  return MakeColumns(
      {NameColumn(), TextColumn("Status", "Whether it is in use or going away."), AgeColumn()},
      [](const json::Value& object, int64_t now_s) {
        return std::vector<json::Value>{NameCell(object),
                                        TextCell(Text(Get(object, "status"), "phase")),
                                        AgeCell(object, now_s)};
      });
}

void PrepareFinalize(const json::Value& old_namespace, json::Value& object) {
  json::Value kept = old_namespace;
  CopyMember(Get(object, "spec"), "finalizers", kept.MutableObject("spec"));
  CopyMember(Get(object, "metadata"), "resourceVersion", kept.MutableObject("metadata"));
  object = std::move(kept);
}

FieldErrors ValidateFinalize(const json::Value& object) {
  FieldErrors errors;
  const std::vector<json::Value>& finalizers = Items(Get(object, "spec"), "finalizers");
  for (size_t i = 0; i < finalizers.size(); ++i) {
    ValidateSpecFinalizer(finalizers[i].text(), FieldPath("spec").Child("finalizers").Index(i),
                          errors);
  }
  return errors;
}

}  // namespace meltemi::apiserver
