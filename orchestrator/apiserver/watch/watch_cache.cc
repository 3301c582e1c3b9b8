#include "orchestrator/apiserver/watch/watch_cache.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/log/log.h"
#include "orchestrator/apiserver/watch/cached_object.h"
#include "orchestrator/apiserver/watch/event_source.h"
#include "orchestrator/apiserver/watch/follower.h"
#include "orchestrator/apiserver/watch/keys.h"
#include "orchestrator/apiserver/watch/resource_cache.h"
#include "orchestrator/apiserver/watch/store_reads.h"
#include "orchestrator/apiserver/watch/store_status.h"

namespace meltemi::apiserver {
namespace {

using ResourcePtr = std::shared_ptr<ResourceCache>;
using Observer = std::function<void(const CacheEvent&)>;

constexpr int kFillAttemptsMax = 50;
constexpr Duration kFillRetry = milliseconds(100);

bool Matches(const ListQuery& query, const CachedObject& object) {
  return query.labels.Matches(object.labels) && query.fields.Matches(object.fields);
}

class Cache final : public WatchCache, public EventSource, private FollowTarget {
 public:
  Cache(store::Store& store, const WatchCacheOptions& options)
      : store_(store),
        options_(options),
        follower_(store, std::string(kRegistryPrefix), options.page_size,
                  static_cast<store::Revision>(options.events_max), *this) {}

  void Start() override { follower_.Start(); }
  void AddResource(const kube::GroupResource& storage, FieldsOf fields_of) override;
  void RemoveResource(const kube::GroupResource& storage) override;
  kube::Result<ObjectPtr> Get(const kube::GroupResource& storage, absl::string_view ns,
                              absl::string_view name, bool linearizable) override;
  kube::Result<ListResult> List(const kube::GroupResource& storage,
                                const ListQuery& query) override;
  size_t Count(const kube::GroupResource& storage) override {
    const ResourcePtr resource = Find(storage);
    return resource == nullptr ? 0 : resource->size();
  }
  bool WaitFor(store::Revision revision, Duration timeout) override;
  kube::Outcome WaitFresh() override;
  store::Revision revision() const override { return revision_.load(); }
  void Observe(const kube::GroupResource& storage, Observer observer) override;
  bool ready() const override;

  kube::Result<WatchStart> StartOf(const WatchStartQuery& query) override;
  void SetListener(EventListener* listener) override {
    const std::lock_guard<std::mutex> lock(apply_mutex_);
    listener_ = listener;
  }

 private:
  void OnStateBegin() override;
  void OnStatePart(std::vector<store::KeyValue> kvs) override;
  bool OnStateEnd(store::Revision revision, bool gap) override;
  void OnChanges(std::vector<store::Event> events, store::Revision revision) override;

  ResourcePtr Find(const kube::GroupResource& storage) const;
  kube::Result<ResourcePtr> Require(const kube::GroupResource& storage) const;
  bool FillFromStore(ResourceCache& resource);
  void Tell(const std::vector<EventPtr>& events);
  void SetRevision(store::Revision revision);
  kube::Result<ListResult> ListFromCache(const ResourceCache& resource, const ListQuery& query);
  // Waits for what the query asks of the cache. False: ask the store.
  kube::Result<bool> WaitForList(const ListQuery& query);
  bool WaitLoaded();

  store::Store& store_;
  const WatchCacheOptions options_;

  mutable std::shared_mutex resources_mutex_;
  std::map<kube::GroupResource, ResourcePtr> resources_ ABSL_GUARDED_BY(resources_mutex_);

  // Held by whoever changes what is in the cache.
  std::mutex apply_mutex_;
  std::map<kube::GroupResource, std::vector<Observer>> observers_ ABSL_GUARDED_BY(apply_mutex_);
  EventListener* listener_ ABSL_GUARDED_BY(apply_mutex_) = nullptr;
  bool loaded_ ABSL_GUARDED_BY(apply_mutex_) = false;

  struct StateOfResource {
    ResourcePtr resource;
    std::vector<ObjectPtr> objects;
  };
  std::map<kube::GroupResource, StateOfResource> state_;  // being read; the follower's thread alone

  std::atomic<store::Revision> revision_{0};    // 0: nothing has been read
  std::atomic<store::Revision> first_goal_{0};  // ready() from this revision on
  std::mutex revision_mutex_;
  std::condition_variable revision_changed_;

  Follower follower_;  // the last member: its thread ends first
};

ResourcePtr Cache::Find(const kube::GroupResource& storage) const {
  const std::shared_lock<std::shared_mutex> lock(resources_mutex_);
  const auto found = resources_.find(storage);
  return found == resources_.end() ? nullptr : found->second;
}

kube::Result<ResourcePtr> Cache::Require(const kube::GroupResource& storage) const {
  ResourcePtr resource = Find(storage);
  if (resource == nullptr) {
    return kube::GenericStatus(404, "the server could not find the requested resource");
  }
  return resource;
}

void Cache::AddResource(const kube::GroupResource& storage, FieldsOf fields_of) {
  const auto resource = std::make_shared<ResourceCache>(
      storage, std::move(fields_of), options_.events_max, options_.events_bytes_max);
  for (int attempt = 0; attempt < kFillAttemptsMax; ++attempt) {
    if (attempt > 0) std::this_thread::sleep_for(kFillRetry);
    // Nothing is applied meanwhile, so that no change falls between what is read and what follows.
    const std::lock_guard<std::mutex> apply(apply_mutex_);
    if (Find(storage) != nullptr) return;
    if (loaded_ && !FillFromStore(*resource)) continue;
    const std::unique_lock<std::shared_mutex> lock(resources_mutex_);
    resources_[storage] = resource;
    return;
  }
}

bool Cache::FillFromStore(ResourceCache& resource) {
  auto state = ReadAll(store_, resource, options_.page_size);
  if (!state.ok()) {
    LOG(kWarn, "watch", "cannot read ", resource.storage().ToString(), ": ",
        state.status().message());
    return false;
  }
  Tell(resource.Replace(std::move(state->objects), state->revision));
  return true;
}

void Cache::RemoveResource(const kube::GroupResource& storage) {
  const std::lock_guard<std::mutex> apply(apply_mutex_);
  {
    const std::unique_lock<std::shared_mutex> lock(resources_mutex_);
    resources_.erase(storage);
  }
  if (listener_ != nullptr) listener_->OnGap(storage);
}

void Cache::OnStateBegin() {
  state_.clear();
  const std::shared_lock<std::shared_mutex> lock(resources_mutex_);
  for (const auto& [storage, resource] : resources_) state_[storage].resource = resource;
}

void Cache::OnStatePart(std::vector<store::KeyValue> kvs) {
  for (const store::KeyValue& kv : kvs) {
    const auto key = ParseObjectKey(kv.key);
    if (!key.has_value()) continue;
    const auto found = state_.find(key->storage);
    if (found == state_.end()) continue;
    found->second.objects.push_back(MakeCachedObject(key->ns, key->name, kv.value, kv.mod_revision,
                                                     found->second.resource->fields_of()));
  }
}

bool Cache::OnStateEnd(store::Revision revision, bool gap) {
  const auto goal = store_.CurrentRevision();
  if (!goal.ok()) return false;
  const std::lock_guard<std::mutex> apply(apply_mutex_);
  std::map<kube::GroupResource, ResourcePtr> resources;
  {
    const std::shared_lock<std::shared_mutex> lock(resources_mutex_);
    resources = resources_;
  }
  // Those that came while the state was being read have been filled if anything was loaded then.
  for (const auto& [storage, resource] : resources) {
    if (!state_.contains(storage) && !loaded_ && !FillFromStore(*resource)) return false;
  }
  for (auto& [storage, state] : state_) {
    Tell(state.resource->Replace(std::move(state.objects), revision));
    if (gap && listener_ != nullptr) listener_->OnGap(storage);
  }
  state_.clear();
  loaded_ = true;
  if (!gap) first_goal_ = *goal;
  SetRevision(revision);
  return true;
}

void Cache::OnChanges(std::vector<store::Event> events, store::Revision revision) {
  const std::lock_guard<std::mutex> apply(apply_mutex_);
  auto batch = std::make_shared<EventBatch>();
  batch->revision = revision;
  // Neighbours of one resource are applied together: a revision is never seen half.
  for (size_t i = 0; i < events.size();) {
    std::vector<ResourceCache::Change> changes;
    ResourcePtr resource;
    for (; i < events.size(); ++i) {
      const store::KeyValue& kv = events[i].kv;
      auto key = ParseObjectKey(kv.key);
      if (!key.has_value()) continue;
      if (resource == nullptr || !(resource->storage() == key->storage)) {
        if (!changes.empty()) break;
        resource = Find(key->storage);
      }
      if (resource == nullptr) continue;
      ResourceCache::Change change{.ns = key->ns, .name = key->name, .revision = kv.mod_revision};
      if (!events[i].deleted) {
        change.object =
            MakeCachedObject(key->ns, key->name, kv.value, kv.mod_revision, resource->fields_of());
      }
      changes.push_back(std::move(change));
    }
    if (changes.empty()) break;
    for (EventPtr& event : resource->Apply(std::move(changes))) {
      batch->events.push_back(std::move(event));
    }
  }
  Tell(batch->events);
  SetRevision(revision);
  if (listener_ != nullptr) listener_->OnBatch(std::move(batch));
}

void Cache::Tell(const std::vector<EventPtr>& events) {
  for (const EventPtr& event : events) {
    const auto found = observers_.find(event->storage);
    if (found == observers_.end()) continue;
    for (const Observer& observer : found->second) observer(*event);
  }
}

void Cache::SetRevision(store::Revision revision) {
  {
    const std::lock_guard<std::mutex> lock(revision_mutex_);
    revision_ = std::max(revision, revision_.load());
  }
  revision_changed_.notify_all();
}

bool Cache::WaitFor(store::Revision revision, Duration timeout) {
  if (revision_ >= revision) return true;
  std::unique_lock<std::mutex> lock(revision_mutex_);
  return revision_changed_.wait_for(lock, timeout, [&] { return revision_ >= revision; });
}

bool Cache::WaitLoaded() {
  // The goal is known once anything is.
  return WaitFor(1, options_.future_revision_wait) &&
         WaitFor(first_goal_, options_.future_revision_wait);
}

kube::Outcome Cache::WaitFresh() {
  const auto current = store_.CurrentRevision();
  if (!current.ok()) return FromStoreError(current.status());
  if (!WaitFor(*current, options_.future_revision_wait)) {
    return TooLargeResourceVersion(*current, revision());
  }
  return kube::Done{};
}

bool Cache::ready() const {
  return revision_ != 0 && revision_ >= first_goal_ && follower_.following();
}

void Cache::Observe(const kube::GroupResource& storage, Observer observer) {
  const std::lock_guard<std::mutex> apply(apply_mutex_);
  const ResourcePtr resource = Find(storage);
  if (resource != nullptr) {
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

kube::Result<WatchStart> Cache::StartOf(const WatchStartQuery& query) {
  const auto resource = Require(query.storage);
  if (!resource.ok()) return resource.status();
  return (*resource)->StartOf(query, [this] { return revision(); });
}

kube::Result<ObjectPtr> Cache::Get(const kube::GroupResource& storage, absl::string_view ns,
                                   absl::string_view name, bool linearizable) {
  const auto resource = Require(storage);
  if (!resource.ok()) return resource.status();
  if (!linearizable) {
    if (!WaitLoaded()) return kube::ServiceUnavailable("storage is (re)initializing");
    return (*resource)->Find(ns, name);
  }
  const auto current = store_.CurrentRevision();
  if (!current.ok()) return FromStoreError(current.status());
  if (WaitFor(*current, options_.lag_max)) return (*resource)->Find(ns, name);
  const auto kv = store_.Get(ObjectKey(storage, ns, name));
  if (!kv.ok()) return FromStoreError(kv.status());
  if (!kv->has_value()) return ObjectPtr();
  return MakeCachedObject(ns, name, (*kv)->value, (*kv)->mod_revision, (*resource)->fields_of());
}

kube::Result<bool> Cache::WaitForList(const ListQuery& query) {
  if (query.any_version) {
    if (WaitLoaded()) return true;
    return kube::ServiceUnavailable("storage is (re)initializing");
  }
  if (query.min_revision != 0) {
    if (WaitFor(query.min_revision, options_.future_revision_wait)) return true;
    return TooLargeResourceVersion(query.min_revision, revision());
  }
  const auto current = store_.CurrentRevision();
  if (!current.ok()) return FromStoreError(current.status());
  return WaitFor(*current, options_.lag_max);
}

kube::Result<ListResult> Cache::List(const kube::GroupResource& storage, const ListQuery& query) {
  const auto found = Require(storage);
  if (!found.ok()) return found.status();
  const ResourceCache& resource = **found;
  const auto matches = [&query](const CachedObject& object) { return Matches(query, object); };
  if (!query.continue_key.empty()) {
    return ListFromStore(store_, resource, query, query.continue_revision, matches);
  }
  if (query.exact) {
    if (!WaitFor(query.min_revision, options_.future_revision_wait)) {
      return TooLargeResourceVersion(query.min_revision, revision());
    }
    return ListFromStore(store_, resource, query, query.min_revision, matches);
  }
  const auto from_cache = WaitForList(query);
  if (!from_cache.ok()) return from_cache.status();
  if (!*from_cache) return ListFromStore(store_, resource, query, 0, matches);
  return ListFromCache(resource, query);
}

kube::Result<ListResult> Cache::ListFromCache(const ResourceCache& resource,
                                              const ListQuery& query) {
  const bool all = query.labels.empty() && query.fields.empty();
  std::function<bool(const CachedObject&)> matches;
  if (!all) matches = [&query](const CachedObject& object) { return Matches(query, object); };
  ResourceCache::Page page =
      resource.List(query.ns, query.limit, matches, [this] { return revision(); });
  ListResult result{.objects = std::move(page.objects), .revision = page.revision};
  if (page.more) {
    const CachedObject& last = *result.objects.back();
    result.continue_key = KeyAfter(SuffixOf({last.ns, last.name}));
    if (all) result.remaining = page.remaining;
  }
  return result;
}

}  // namespace

std::unique_ptr<WatchCache> NewWatchCache(store::Store& store, const Clock& clock,
                                          const WatchCacheOptions& options) {
  return std::make_unique<Cache>(store, options);
}

}  // namespace meltemi::apiserver
