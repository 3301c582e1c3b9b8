// A watch cache for tests: objects are put in by hand and observers hear of them at once.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/json/write.h"
#include "kube/object/object.h"
#include "orchestrator/apiserver/watch/cache.h"

namespace meltemi::apiserver {

// Thread-safe; observers are called by whoever puts or deletes.
class ObjectCacheFake final : public WatchCache {
 public:
  void Put(const kube::GroupResource& storage, json::Value tree) {
    auto object = std::make_shared<CachedObject>();
    object->ns = std::string(kube::Namespace(tree));
    object->name = std::string(kube::Name(tree));
    object->uid = std::string(kube::Uid(tree));
    object->labels = kube::Labels(tree);
    std::sort(object->labels.begin(), object->labels.end());
    const std::string node = kube::TextAt(tree, "spec.nodeName");
    object->fields = {{"metadata.name", object->name}, {"metadata.namespace", object->ns}};
    if (!node.empty()) object->fields.emplace_back("spec.nodeName", node);
    const std::lock_guard<std::recursive_mutex> lock(mutex_);
    object->mod_revision = ++revision_;
    kube::MutableMetadata(tree).Set("resourceVersion",
                                    json::Value::String(std::to_string(revision_)));
    object->json = json::ToString(tree);
    ObjectPtr& held = objects_[storage][{object->ns, object->name}];
    const auto type = held == nullptr ? CacheEvent::Type::kAdded : CacheEvent::Type::kModified;
    ObjectPtr previous = std::exchange(held, object);
    Tell({type, revision_, storage, object, std::move(previous)});
  }
  void Delete(const kube::GroupResource& storage, const std::string& ns, const std::string& name) {
    const std::lock_guard<std::recursive_mutex> lock(mutex_);
    auto& all = objects_[storage];
    const auto at = all.find({ns, name});
    if (at == all.end()) return;
    ObjectPtr object = at->second;
    all.erase(at);
    Tell({CacheEvent::Type::kDeleted, ++revision_, storage, object, object});
  }

  void Start() override {}
  void AddResource(const kube::GroupResource&, FieldsOf) override {}
  void RemoveResource(const kube::GroupResource& storage) override { objects_.erase(storage); }
  kube::Result<ObjectPtr> Get(const kube::GroupResource& storage, absl::string_view ns,
                              absl::string_view name, bool) override {
    const std::lock_guard<std::recursive_mutex> lock(mutex_);
    const auto& all = objects_[storage];
    const auto at = all.find({std::string(ns), std::string(name)});
    return at == all.end() ? ObjectPtr() : at->second;
  }
  kube::Result<ListResult> List(const kube::GroupResource& storage,
                                const ListQuery& query) override {
    const std::lock_guard<std::recursive_mutex> lock(mutex_);
    ListResult out;
    out.revision = revision_;
    for (const auto& [key, object] : objects_[storage]) {
      if (!query.ns.empty() && key.first != query.ns) continue;
      if (query.labels.Matches(object->labels)) out.objects.push_back(object);
    }
    return out;
  }
  size_t Count(const kube::GroupResource& storage) override {
    const std::lock_guard<std::recursive_mutex> lock(mutex_);
    return objects_[storage].size();
  }
  bool WaitFor(store::Revision, Duration) override { return true; }
  kube::Outcome WaitFresh() override { return kube::Done{}; }
  store::Revision revision() const override {
    const std::lock_guard<std::recursive_mutex> lock(mutex_);
    return revision_;
  }
  void Observe(const kube::GroupResource& storage,
               std::function<void(const CacheEvent&)> observer) override {
    const std::lock_guard<std::recursive_mutex> lock(mutex_);
    for (const auto& [key, object] : objects_[storage]) {
      observer({CacheEvent::Type::kAdded, object->mod_revision, storage, object, nullptr});
    }
    observers_[storage].push_back(std::move(observer));
  }
  bool ready() const override { return true; }

 private:
  void Tell(const CacheEvent& event) {
    for (const auto& observer : observers_[event.storage]) observer(event);
  }

  mutable std::recursive_mutex mutex_;
  // Guarded by mutex_.
  std::map<kube::GroupResource, std::map<std::pair<std::string, std::string>, ObjectPtr>> objects_;
  std::map<kube::GroupResource, std::vector<std::function<void(const CacheEvent&)>>> observers_;
  store::Revision revision_ = 1;
};

}  // namespace meltemi::apiserver
