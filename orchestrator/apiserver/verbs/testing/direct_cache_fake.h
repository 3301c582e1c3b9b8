// A watch cache for tests that reads the store with every call; `frozen` makes it lag.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "orchestrator/apiserver/watch/cache.h"
#include "orchestrator/apiserver/watch/cached_object.h"
#include "orchestrator/apiserver/watch/keys.h"

namespace meltemi::apiserver {

class DirectCacheFake final : public WatchCache {
 public:
  explicit DirectCacheFake(store::Store& store) : store_(store) {}

  void Start() override {}
  void AddResource(const kube::GroupResource& storage, FieldsOf fields_of) override {
    fields_of_[storage] = std::move(fields_of);
  }
  void RemoveResource(const kube::GroupResource& storage) override { fields_of_.erase(storage); }

  kube::Result<ObjectPtr> Get(const kube::GroupResource& storage, absl::string_view ns,
                              absl::string_view name, bool linearizable) override {
    const std::string key = ObjectKey(storage, ns, name);
    if (!linearizable && frozen) {
      const auto found = frozen_.find(key);
      return found == frozen_.end() ? ObjectPtr() : found->second;
    }
    absl::StatusOr<std::optional<store::KeyValue>> kv = store_.Get(key);
    if (!kv.ok() || !kv->has_value()) return ObjectPtr();
    return Cached(storage, **kv);
  }

  kube::Result<ListResult> List(const kube::GroupResource& storage,
                                const ListQuery& query) override {
    last_query = query;
    const std::string prefix =
        query.ns.empty() ? ResourcePrefix(storage) : NamespacePrefix(storage, query.ns);
    absl::StatusOr<store::RangeResult> range = store_.Range(prefix, prefix + "\xff");
    ListResult out;
    out.revision = query.continue_revision > 0 ? query.continue_revision : range->revision;
    int64_t left = 0;
    for (const store::KeyValue& kv : range->kvs) {
      if (kv.key < query.continue_key) continue;
      ObjectPtr object = Cached(storage, kv);
      if (!query.labels.Matches(object->labels) || !query.fields.Matches(object->fields)) continue;
      if (query.limit > 0 && out.objects.size() == query.limit) {
        if (out.continue_key.empty()) out.continue_key = kv.key;
        ++left;
        continue;
      }
      out.objects.push_back(std::move(object));
    }
    if (query.labels.empty() && query.fields.empty()) out.remaining = left;
    return out;
  }
  size_t Count(const kube::GroupResource& storage) override {
    return List(storage, {})->objects.size();
  }
  bool WaitFor(store::Revision, Duration) override { return true; }
  kube::Outcome WaitFresh() override { return kube::Done{}; }
  store::Revision revision() const override { return *store_.CurrentRevision(); }
  void Observe(const kube::GroupResource&, std::function<void(const CacheEvent&)>) override {}
  bool ready() const override { return true; }

  // From now on reads that need not be linearizable see `key` as it is now.
  void Freeze(const kube::GroupResource& storage, absl::string_view ns, absl::string_view name) {
    kube::Result<ObjectPtr> now = Get(storage, ns, name, true);
    if (*now != nullptr) frozen_[ObjectKey(storage, ns, name)] = *now;
    frozen = true;
  }
  bool frozen = false;
  ListQuery last_query;

 private:
  ObjectPtr Cached(const kube::GroupResource& storage, const store::KeyValue& kv) {
    const auto fields_of = fields_of_.find(storage);
    const std::optional<ParsedKey> key = ParseObjectKey(kv.key);
    return MakeCachedObject(key->ns, key->name, kv.value, kv.mod_revision,
                            fields_of == fields_of_.end() ? FieldsOf() : fields_of->second);
  }

  store::Store& store_;
  std::map<kube::GroupResource, FieldsOf> fields_of_;
  std::map<std::string, ObjectPtr> frozen_;
};

}  // namespace meltemi::apiserver
