// Objects for tests, kept in an ObjectCacheFake and neither admitted nor validated; and a catalog
// of the resources that this folder writes.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "kube/object/object.h"
#include "orchestrator/apiserver/authn/object_cache_fake.h"
#include "orchestrator/apiserver/kinds/resource.h"
#include "orchestrator/apiserver/verbs/objects.h"

namespace meltemi::apiserver {

class CatalogFake final : public Catalog, public CatalogSource {
 public:
  // `plural_kinds`: {group, version, plural, kind, namespaced}.
  struct Entry {
    std::string group, version, plural, kind;
    bool namespaced = true;
  };
  explicit CatalogFake(const std::vector<Entry>& entries) {
    for (const Entry& entry : entries) {
      auto resource = std::make_shared<Resource>();
      resource->group = entry.group;
      resource->version = entry.version;
      resource->plural = entry.plural;
      resource->kind = entry.kind;
      resource->namespaced = entry.namespaced;
      resource->storage = {entry.group, entry.plural};
      resource->storage_version = kube::ApiVersion(entry.group, entry.version);
      resource->storage_kind = entry.kind;
      resources_.push_back(std::move(resource));
    }
  }

  const Resource* Find(absl::string_view group, absl::string_view version,
                       absl::string_view plural) const override {
    for (const auto& r : resources_) {
      if (r->group == group && r->version == version && r->plural == plural) return r.get();
    }
    return nullptr;
  }
  const Resource* FindKind(const kube::GroupVersionKind& kind) const override {
    for (const auto& r : resources_) {
      if (r->gvk() == kind) return r.get();
    }
    return nullptr;
  }
  const Resource* FindPreferred(const kube::GroupResource& resource) const override {
    for (const auto& r : resources_) {
      if (r->group_resource() == resource) return r.get();
    }
    return nullptr;
  }
  const std::vector<GroupVersion>& group_versions() const override { return group_versions_; }
  uint64_t generation() const override { return 1; }
  std::shared_ptr<const Catalog> current() const override {
    return std::shared_ptr<const Catalog>(std::shared_ptr<void>(), this);
  }

 private:
  std::vector<std::shared_ptr<const Resource>> resources_;
  std::vector<GroupVersion> group_versions_;
};

class ObjectsFake final : public Objects {
 public:
  explicit ObjectsFake(ObjectCacheFake& cache) : cache_(cache) {}

  kube::Result<json::Value> Get(const Resource& resource, absl::string_view ns,
                                absl::string_view name) override {
    const auto found = cache_.Get(resource.storage, ns, name, true);
    if (*found == nullptr) return kube::NotFound(resource.group_resource(), name);
    return (*found)->Tree();
  }
  kube::Result<Written> Create(const Resource& resource, absl::string_view ns, json::Value object,
                               WriteContext& context) override {
    const std::lock_guard<std::mutex> lock(mutex);
    ++writes;
    const std::string name(kube::Name(object));
    if (*cache_.Get(resource.storage, ns, name, true) != nullptr) {
      return kube::AlreadyExists(resource.group_resource(), name);
    }
    cache_.Put(resource.storage, object);
    return Written{std::move(object), true};
  }
  kube::Result<Written> Update(const Resource& resource, absl::string_view ns,
                               absl::string_view name, const UpdateFunction& update, bool,
                               WriteContext& context) override {
    const std::lock_guard<std::mutex> lock(mutex);
    ++writes;
    kube::Result<json::Value> current = Get(resource, ns, name);
    if (!current.ok()) return current.status();
    kube::Result<json::Value> changed = update(*current, true);
    if (!changed.ok()) return changed.status();
    cache_.Put(resource.storage, *changed);
    return Written{*std::move(changed), false};
  }
  kube::Result<json::Value> Delete(const Resource& resource, absl::string_view ns,
                                   absl::string_view name, const DeleteRequest& request,
                                   WriteContext& context, bool* deleted_now) override {
    const std::lock_guard<std::mutex> lock(mutex);
    ++writes;
    kube::Result<json::Value> current = Get(resource, ns, name);
    if (!current.ok()) return current;
    cache_.Delete(resource.storage, std::string(ns), std::string(name));
    *deleted_now = true;
    return current;
  }

  std::mutex mutex;
  int writes = 0;  // guarded by mutex

 private:
  ObjectCacheFake& cache_;
};

}  // namespace meltemi::apiserver
