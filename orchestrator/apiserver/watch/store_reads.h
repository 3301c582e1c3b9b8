// Reads of a resource from the store itself, past the cache: later pages of a list, old revisions,
// and the state that the cache begins with.
//
// Threads: functions without state; they block.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kube/status/status.h"
#include "orchestrator/apiserver/watch/cache.h"
#include "orchestrator/apiserver/watch/resource_cache.h"
#include "orchestrator/store/store.h"

namespace meltemi::apiserver {

// The smallest key above `key`.
std::string KeyAfter(absl::string_view key);

struct ResourceState {
  std::vector<ObjectPtr> objects;
  store::Revision revision = 0;
};
absl::StatusOr<ResourceState> ReadAll(store::Store& store, const ResourceCache& resource,
                                      size_t page_size);

// `revision` 0 or less: now. Objects that the cache holds at the same revision are taken from it.
kube::Result<ListResult> ListFromStore(store::Store& store, const ResourceCache& resource,
                                       const ListQuery& query, store::Revision revision,
                                       const std::function<bool(const CachedObject&)>& matches);

}  // namespace meltemi::apiserver
