// A small world for tests: widgets (namespaced, with status and scale), gadgets (cluster-scoped,
// deleted gracefully, never updated unconditionally) and core namespaces.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock/clock_fake.h"
#include "base/json/parse.h"
#include "base/json/write.h"
#include "base/random/random.h"
#include "kube/object/object.h"
#include "orchestrator/apiserver/admission/admission.h"
#include "orchestrator/apiserver/kinds/resource.h"
#include "orchestrator/apiserver/kinds/strategy.h"
#include "orchestrator/apiserver/verbs/objects.h"
#include "orchestrator/apiserver/verbs/stored_objects.h"
#include "orchestrator/apiserver/verbs/testing/direct_cache_fake.h"
#include "orchestrator/apiserver/verbs/testing/memory_store_fake.h"

namespace meltemi::apiserver {

inline json::Value Json(absl::string_view text) {
  absl::StatusOr<json::Value> value = json::Parse(text);
  return value.ok() ? *std::move(value)
                    : json::Value::String(std::string(value.status().message()));
}

class WidgetStrategy : public Strategy {
 public:
  kube::FieldErrors Validate(const Resource&, const json::Value& object) const override {
    if (kube::IntAt(object, "spec.size", 0) >= 0) return {};
    return {kube::InvalidField(kube::FieldPath("spec.size"), kube::IntAt(object, "spec.size", 0),
                               "must be greater than or equal to 0")};
  }
  kube::FieldErrors ValidateUpdate(const Resource& resource, Scope, const json::Value&,
                                   const json::Value& object) const override {
    return Validate(resource, object);
  }
  kube::StringPairs SelectableFields(const json::Value& object) const override {
    return {{"spec.color", kube::TextAt(object, "spec.color")}};
  }
  std::vector<std::string> SelectableFieldNames() const override { return {"spec.color"}; }
  bool CountsGenerations(const Resource&) const override { return true; }
};

class GadgetStrategy final : public WidgetStrategy {
 public:
  bool AllowUnconditionalUpdate() const override { return false; }
  int64_t GracePeriodSeconds(const json::Value&, std::optional<int64_t> requested) const override {
    return requested.value_or(30);
  }
};

class WidgetColumns final : public TableColumns {
 public:
  const std::vector<TableColumn>& columns() const override { return columns_; }
  std::vector<json::Value> Cells(const json::Value& object, int64_t) const override {
    return {json::Value::String(std::string(kube::Name(object))),
            json::Value::Int(kube::IntAt(object, "spec.size", 0))};
  }

 private:
  const std::vector<TableColumn> columns_ = {
      {.name = "Name", .type = "string", .format = "name", .description = "the name"},
      {.name = "Size", .type = "integer", .format = "", .description = "the size", .priority = 1}};
};

// Admits everything; a test may make it change or refuse.
class AdmissionFake final : public Admission {
 public:
  kube::Outcome Mutate(AdmissionRequest& request) override {
    if (mutate) return mutate(request);
    return kube::Done{};
  }
  kube::Outcome Validate(AdmissionRequest& request) override {
    if (validate) return validate(request);
    return kube::Done{};
  }
  std::function<kube::Outcome(AdmissionRequest&)> mutate, validate;
};

class FixedCatalog final : public Catalog {
 public:
  explicit FixedCatalog(std::vector<std::shared_ptr<const Resource>> resources)
      : resources_(std::move(resources)) {}
  const Resource* Find(absl::string_view group, absl::string_view version,
                       absl::string_view plural) const override {
    return FindIf([&](const Resource& r) {
      return r.group == group && r.version == version && r.plural == plural;
    });
  }
  const Resource* FindKind(const kube::GroupVersionKind& kind) const override {
    return FindIf([&](const Resource& r) { return r.gvk() == kind; });
  }
  const Resource* FindPreferred(const kube::GroupResource& resource) const override {
    return FindIf([&](const Resource& r) { return r.group_resource() == resource; });
  }
  const std::vector<GroupVersion>& group_versions() const override { return none_; }
  uint64_t generation() const override { return 1; }

 private:
  template <typename F>
  const Resource* FindIf(const F& matches) const {
    for (const auto& resource : resources_) {
      if (matches(*resource)) return resource.get();
    }
    return nullptr;
  }
  const std::vector<std::shared_ptr<const Resource>> resources_;
  const std::vector<GroupVersion> none_;
};

class CatalogSourceFake final : public CatalogSource {
 public:
  explicit CatalogSourceFake(std::shared_ptr<const Catalog> catalog)
      : catalog_(std::move(catalog)) {}
  std::shared_ptr<const Catalog> current() const override { return catalog_; }

 private:
  const std::shared_ptr<const Catalog> catalog_;
};

class WidgetWorld {
 public:
  WidgetWorld() {
    std::vector<std::shared_ptr<const Resource>> resources;
    Resource widget = Widget();
    widgets = Keep(resources, widget);
    // The same objects under an older version, where the size is called "extent".
    widget.version = "v1alpha1";
    widget.to_storage = [](json::Value& object) {
      json::Value* spec = object.Find("spec");
      if (spec == nullptr) return;
      if (const json::Value* extent = spec->Find("extent")) spec->Set("size", json::Value(*extent));
      spec->Remove("extent");
    };
    widget.from_storage = [](json::Value& object) {
      json::Value* spec = object.Find("spec");
      if (spec == nullptr) return;
      if (const json::Value* size = spec->Find("size")) spec->Set("extent", json::Value(*size));
      spec->Remove("size");
    };
    widget.schema = &SchemaOf("extent");
    old_widgets = Keep(resources, widget);
    Resource gadget = Widget();
    gadget.plural = "gadgets", gadget.singular = "gadget", gadget.kind = "Gadget";
    gadget.storage.resource = "gadgets", gadget.storage_kind = "Gadget";
    gadget.namespaced = false;
    gadget.strategy = &gadget_strategy;
    gadgets = Keep(resources, gadget);
    namespaces = Keep(resources, Core("namespaces", "Namespace", false));
    pods = Keep(resources, Core("pods", "Pod", true));
    nodes = Keep(resources, Core("nodes", "Node", false));
    Keep(resources, Core("serviceaccounts", "ServiceAccount", true));
    Keep(resources, Core("secrets", "Secret", true));
    budgets = Core("poddisruptionbudgets", "PodDisruptionBudget", true);
    budgets.group = budgets.storage.group = "policy";
    budgets.storage_version = "policy/v1";
    Keep(resources, budgets);
    Resource review = Core("tokenreviews", "TokenReview", false);
    review.group = "authentication.k8s.io", review.stored = false, review.verbs = {"create"};
    Keep(resources, review);
    for (const auto& resource : resources) {
      const Strategy* strategy = resource->strategy;
      cache.AddResource(resource->storage, [strategy](const json::Value& object) {
        return strategy->SelectableFields(object);
      });
    }
    catalogs.emplace(std::make_shared<FixedCatalog>(resources));
    objects = NewObjects({store, cache, *catalogs, admission, clock, random});
  }

  WriteContext Context() {
    WriteContext context;
    context.field_manager = "tester";
    context.user.name = "tester";
    return context;
  }

  store::MemoryStoreFake store;
  DirectCacheFake cache{store};
  AdmissionFake admission;
  FakeClock clock;
  FastRandom random{7};
  WidgetStrategy widget_strategy;
  GadgetStrategy gadget_strategy;
  WidgetColumns columns;
  SchemaArena arena;
  std::optional<CatalogSourceFake> catalogs;
  const Resource* widgets = nullptr;
  const Resource* old_widgets = nullptr;
  const Resource* gadgets = nullptr;
  const Resource* namespaces = nullptr;
  const Resource* pods = nullptr;
  const Resource* nodes = nullptr;
  Resource budgets;
  std::unique_ptr<Objects> objects;

 private:
  static const Resource* Keep(std::vector<std::shared_ptr<const Resource>>& resources,
                              const Resource& resource) {
    resources.push_back(std::make_shared<const Resource>(resource));
    return resources.back().get();
  }
  Resource Widget() {
    Resource out;
    out.group = "example.com", out.version = "v1";
    out.plural = "widgets", out.singular = "widget", out.kind = "Widget";
    out.verbs = {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"};
    out.status_subresource = true;
    out.scale = ScaleSubresource{.spec_replicas_path = "spec.size",
                                 .status_replicas_path = "status.size",
                                 .label_selector_path = ""};
    out.storage = {"example.com", "widgets"};
    out.storage_version = "example.com/v1", out.storage_kind = "Widget";
    out.schema = &SchemaOf("size");
    out.strategy = &widget_strategy;
    out.columns = &columns;
    return out;
  }
  // A kind of the core group without a schema to speak of.
  Resource Core(const std::string& plural, const std::string& kind, bool namespaced) {
    Resource out = Widget();
    out.group = "", out.version = "v1", out.plural = plural, out.kind = kind;
    out.storage = {"", plural}, out.storage_version = "v1", out.storage_kind = kind;
    out.namespaced = namespaced, out.schema = &Anything(), out.scale.reset();
    out.other_subresources = {"attach",   "binding", "ephemeralcontainers", "eviction", "exec",
                              "finalize", "log",     "portforward",         "proxy",    "token"};
    return out;
  }
  const Schema& Anything() {
    Schema& any = arena.New();
    any.type = SchemaType::kObject;
    any.preserve_unknown = true;
    return any;
  }
  const Schema& SchemaOf(const std::string& size_name) {
    Schema& text = arena.New();
    text.type = SchemaType::kString;
    Schema& number = arena.New();
    number.type = SchemaType::kInteger;
    Schema& spec = arena.New();
    spec.type = SchemaType::kObject;
    Add(spec, size_name, number);
    spec.properties.back().default_value = json::Value::Int(1);
    Add(spec, "color", text);
    Schema& root = arena.New();
    root.type = SchemaType::kObject;
    root.type_name = "com.example.v1.Widget";
    Add(root, "apiVersion", text);
    Add(root, "kind", text);
    Add(root, "metadata", Anything());
    Add(root, "spec", spec);
    Add(root, "status", Anything());
    return root;
  }
  static void Add(Schema& object, const std::string& name, const Schema& schema) {
    object.property_index[name] = object.properties.size();
    object.properties.push_back({.name = name, .schema = &schema});
  }
};

}  // namespace meltemi::apiserver
