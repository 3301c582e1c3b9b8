// One resource in the cache: its objects in the order of their keys, and its last events.
//
// Threads: readers on any thread; Apply and Replace on one at a time.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <optional>
#include <shared_mutex>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "orchestrator/apiserver/watch/cache.h"
#include "orchestrator/apiserver/watch/event_source.h"

namespace meltemi::apiserver {

// A place among the keys of a resource: they sort as the store's, by the bytes of "NS/NAME" or
// "NAME".
struct ObjectPlace {
  absl::string_view ns, name;
};
bool Precedes(const ObjectPlace& a, const ObjectPlace& b);
// "NS/NAME" or "NAME".
std::string SuffixOf(const ObjectPlace& place);

struct ByPlace {
  using is_transparent = void;
  static ObjectPlace Of(const ObjectPtr& object) { return {object->ns, object->name}; }
  static ObjectPlace Of(const ObjectPlace& place) { return place; }
  template <typename A, typename B>
  bool operator()(const A& a, const B& b) const {
    return Precedes(Of(a), Of(b));
  }
};

class ResourceCache {
 public:
  ResourceCache(kube::GroupResource storage, FieldsOf fields_of, size_t events_max,
                size_t events_bytes_max);

  const kube::GroupResource& storage() const { return storage_; }
  const FieldsOf& fields_of() const { return fields_of_; }

  // Changes in order. `object` null: deleted. Returns the events; what was known already has none.
  struct Change {
    std::string ns, name;
    store::Revision revision = 0;
    ObjectPtr object;
  };
  std::vector<EventPtr> Apply(std::vector<Change> changes);
  // Everything is as at `revision`, and how it came to that is not known. Returns what has changed,
  // in an order in which it may have happened.
  std::vector<EventPtr> Replace(std::vector<ObjectPtr> objects, store::Revision revision);

  ObjectPtr Find(absl::string_view ns, absl::string_view name) const;
  size_t size() const;

  // Objects from the beginning, up to `limit` (0: all) that match. `remaining`: how many follow.
  struct Page {
    std::vector<ObjectPtr> objects;
    bool more = false;
    int64_t remaining = 0;
    store::Revision revision = 0;
  };
  Page List(absl::string_view ns, size_t limit,
            const std::function<bool(const CachedObject&)>& matches,
            const std::function<store::Revision()>& cache_revision) const;

  kube::Result<WatchStart> StartOf(const WatchStartQuery& query,
                                   const std::function<store::Revision()>& cache_revision) const;

 private:
  using Objects = absl::btree_set<ObjectPtr, ByPlace>;

  void Remember(const EventPtr& event);
  // The state of the objects is that at this revision.
  store::Revision RevisionOf(const std::function<store::Revision()>& cache_revision) const;
  Objects::const_iterator Begin(absl::string_view ns) const;

  const kube::GroupResource storage_;
  const FieldsOf fields_of_;
  const size_t events_max_, events_bytes_max_;

  mutable std::shared_mutex mutex_;
  Objects objects_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<std::string, int64_t> count_by_ns_ ABSL_GUARDED_BY(mutex_);
  std::deque<EventPtr> events_ ABSL_GUARDED_BY(mutex_);
  size_t events_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  store::Revision events_after_ ABSL_GUARDED_BY(mutex_) = 0;  // all later ones are in events_
  store::Revision last_ ABSL_GUARDED_BY(mutex_) = 0;          // applied
  store::Revision read_at_ ABSL_GUARDED_BY(mutex_) = 0;       // changes up to it are known
};

}  // namespace meltemi::apiserver
