// The watch cache over the store in memory: never behind it, without a thread.
//
// Threads: one. Observers and the listener are called within the write.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "orchestrator/apiserver/memory/memory_store.h"
#include "orchestrator/apiserver/watch/cache.h"
#include "orchestrator/apiserver/watch/event_source.h"
#include "orchestrator/apiserver/watch/resource_cache.h"

namespace meltemi::apiserver {

class MemoryCache final : public WatchCache {
 public:
  // Follows `store`, which outlives it.
  explicit MemoryCache(MemoryStore& store);

  // Told of each event once, after the observers.
  void SetListener(std::function<void(const EventPtr&)> listener) {
    listener_ = std::move(listener);
  }
  // Error: Expired (410).
  kube::Result<WatchStart> StartOf(const WatchStartQuery& query) const;
  // Watches can't begin before the present revision any more.
  void ForgetHistory() { oldest_ = store_.revision(); }

  void Start() override {}
  void AddResource(const kube::GroupResource& storage, FieldsOf fields_of) override;
  void RemoveResource(const kube::GroupResource& storage) override { resources_.erase(storage); }
  kube::Result<ObjectPtr> Get(const kube::GroupResource& storage, absl::string_view ns,
                              absl::string_view name, bool linearizable) override;
  // A list that goes on, or that asks for an exact revision, is Expired when something has been
  // written since.
  kube::Result<ListResult> List(const kube::GroupResource& storage,
                                const ListQuery& query) override;
  size_t Count(const kube::GroupResource& storage) override;
  bool WaitFor(store::Revision revision, Duration) override { return revision <= this->revision(); }
  kube::Outcome WaitFresh() override { return kube::Done{}; }
  store::Revision revision() const override { return store_.revision(); }
  void Observe(const kube::GroupResource& storage,
               std::function<void(const CacheEvent&)> observer) override;
  bool ready() const override { return true; }

 private:
  using Observer = std::function<void(const CacheEvent&)>;

  void OnCommit(const std::vector<store::Write>& writes, store::Revision revision);
  ResourceCache* Find(const kube::GroupResource& storage) const;
  kube::Result<ListResult> ListRest(const ResourceCache& resource, const ListQuery& query) const;

  MemoryStore& store_;
  std::function<void(const EventPtr&)> listener_;
  std::map<kube::GroupResource, std::unique_ptr<ResourceCache>> resources_;
  std::map<kube::GroupResource, std::vector<Observer>> observers_;
  store::Revision oldest_ = 0;
};

}  // namespace meltemi::apiserver
