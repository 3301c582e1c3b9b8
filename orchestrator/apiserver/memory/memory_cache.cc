#include "orchestrator/apiserver/memory/memory_cache.h"

#include <limits>
#include <optional>
#include <utility>

#include "orchestrator/apiserver/watch/cached_object.h"
#include "orchestrator/apiserver/watch/keys.h"
#include "orchestrator/apiserver/watch/store_status.h"

namespace meltemi::apiserver {
namespace {

// Of each resource: what a watch may be behind.
constexpr size_t kEventsMax = 20'000;

kube::Status NoSuchResource() {
  return kube::GenericStatus(404, "the server could not find the requested resource");
}

bool Matches(const ListQuery& query, const CachedObject& object) {
  return query.labels.Matches(object.labels) && query.fields.Matches(object.fields);
}

}  // namespace

MemoryCache::MemoryCache(MemoryStore& store) : store_(store) {
  store_.SetOnCommit([this](const std::vector<store::Write>& writes, store::Revision revision) {
    OnCommit(writes, revision);
  });
}

ResourceCache* MemoryCache::Find(const kube::GroupResource& storage) const {
  const auto found = resources_.find(storage);
  return found == resources_.end() ? nullptr : found->second.get();
}

void MemoryCache::AddResource(const kube::GroupResource& storage, FieldsOf fields_of) {
  std::unique_ptr<ResourceCache>& resource = resources_[storage];
  if (resource != nullptr) return;
  resource = std::make_unique<ResourceCache>(storage, std::move(fields_of), kEventsMax,
                                             std::numeric_limits<size_t>::max());
}

void MemoryCache::OnCommit(const std::vector<store::Write>& writes, store::Revision revision) {
  for (const store::Write& write : writes) {
    const std::optional<ParsedKey> key = ParseObjectKey(write.key);
    ResourceCache* const resource = key.has_value() ? Find(key->storage) : nullptr;
    if (resource == nullptr) continue;
    ResourceCache::Change change{.ns = key->ns, .name = key->name, .revision = revision};
    if (write.type == store::Write::Type::kPut) {
      change.object =
          MakeCachedObject(key->ns, key->name, write.value, revision, resource->fields_of());
    }
    std::vector<ResourceCache::Change> changes;
    changes.push_back(std::move(change));
    for (const EventPtr& event : resource->Apply(std::move(changes))) {
      const auto observers = observers_.find(key->storage);
      if (observers != observers_.end()) {
        for (const Observer& observer : observers->second) observer(*event);
      }
      if (listener_) listener_(event);
    }
  }
}

kube::Result<ObjectPtr> MemoryCache::Get(const kube::GroupResource& storage, absl::string_view ns,
                                         absl::string_view name, bool) {
  const ResourceCache* const resource = Find(storage);
  if (resource == nullptr) return NoSuchResource();
  return resource->Find(ns, name);
}

kube::Result<ListResult> MemoryCache::List(const kube::GroupResource& storage,
                                           const ListQuery& query) {
  const ResourceCache* const resource = Find(storage);
  if (resource == nullptr) return NoSuchResource();
  if (!query.continue_key.empty()) return ListRest(*resource, query);
  if (query.min_revision > revision()) {
    return TooLargeResourceVersion(query.min_revision, revision());
  }
  if (query.exact && query.min_revision != revision()) {
    return kube::ResourceExpired("The provided resource version is too old");
  }
  const bool all = query.labels.empty() && query.fields.empty();
  std::function<bool(const CachedObject&)> matches;
  if (!all) matches = [&query](const CachedObject& object) { return Matches(query, object); };
  ResourceCache::Page page =
      resource->List(query.ns, query.limit, matches, [this] { return revision(); });
  ListResult out{.objects = std::move(page.objects), .revision = page.revision};
  if (page.more) {
    const CachedObject& last = *out.objects.back();
    out.continue_key = SuffixOf({last.ns, last.name});
    out.continue_key.push_back('\0');
    if (all) out.remaining = page.remaining;
  }
  return out;
}

// From the key where an earlier page ended.
kube::Result<ListResult> MemoryCache::ListRest(const ResourceCache& resource,
                                               const ListQuery& query) const {
  const bool newest = query.continue_revision < 0;  // as it is now: no consistency is asked for
  if (!newest && query.continue_revision != revision()) return ExpiredContinue();
  const auto matches = [&query](const CachedObject& object) {
    return SuffixOf({object.ns, object.name}) >= query.continue_key && Matches(query, object);
  };
  ResourceCache::Page page =
      resource.List(query.ns, query.limit, matches, [this] { return revision(); });
  ListResult out{.objects = std::move(page.objects), .revision = page.revision};
  if (page.more) {
    const CachedObject& last = *out.objects.back();
    out.continue_key = SuffixOf({last.ns, last.name});
    out.continue_key.push_back('\0');
  }
  return out;
}

size_t MemoryCache::Count(const kube::GroupResource& storage) {
  const ResourceCache* const resource = Find(storage);
  return resource == nullptr ? 0 : resource->size();
}

void MemoryCache::Observe(const kube::GroupResource& storage, Observer observer) {
  if (const ResourceCache* const resource = Find(storage); resource != nullptr) {
    const ResourceCache::Page page = resource->List("", 0, nullptr, [this] { return revision(); });
    for (const ObjectPtr& object : page.objects) {
      observer({.type = CacheEvent::Type::kAdded,
                .revision = object->mod_revision,
                .storage = storage,
                .object = object,
                .previous = nullptr});
    }
  }
  observers_[storage].push_back(std::move(observer));
}

kube::Result<WatchStart> MemoryCache::StartOf(const WatchStartQuery& query) const {
  const ResourceCache* const resource = Find(query.storage);
  if (resource == nullptr) return NoSuchResource();
  if (!query.objects && query.from < oldest_) return TooOldResourceVersion(query.from, oldest_);
  return resource->StartOf(query, [this] { return revision(); });
}

}  // namespace meltemi::apiserver
