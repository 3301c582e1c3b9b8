// The watch cache: all objects of all resources as they are in the store, serialized once, and the
// events that brought them there. Reads, lists, watches and the server's own look-ups (RBAC,
// namespaces, webhooks) are served from here; the store is asked for writes.
//
// Threads: every method may be called from any thread. Observers are called on the cache's thread,
// in order of revisions. Stored bytes are JSON objects whose first member is "metadata"; here
// metadata.resourceVersion has been put in.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "base/json/value.h"
#include "kube/names/names.h"
#include "kube/selector/selector.h"
#include "kube/status/status.h"
#include "orchestrator/store/store.h"

namespace meltemi::apiserver {

// One object at one revision. Immutable, shared by the cache, by events and by answers under way.
struct CachedObject {
  std::string ns, name, uid;
  store::Revision mod_revision = 0;
  std::string json;          // in the stored version, with resourceVersion
  kube::StringPairs labels;  // sorted
  kube::StringPairs fields;  // the selectable ones, sorted, metadata.name/namespace included

  // Parsed anew with each call.
  json::Value Tree() const;
};
using ObjectPtr = std::shared_ptr<const CachedObject>;

struct CacheEvent {
  enum class Type : uint8_t { kAdded, kModified, kDeleted };
  Type type = Type::kAdded;
  store::Revision revision = 0;
  kube::GroupResource storage;
  ObjectPtr object;    // of a deletion: the last state, with the deletion's resourceVersion
  ObjectPtr previous;  // null for kAdded
};
using EventPtr = std::shared_ptr<const CacheEvent>;

// Gets the selectable fields of a stored object; told to the cache per resource. `object` comes
// without what nobody selects by and is most of an object: metadata.managedFields,
// metadata.annotations, and lists directly in spec.
using FieldsOf = std::function<kube::StringPairs(const json::Value& object)>;

struct ListResult {
  std::vector<ObjectPtr> objects;  // in the order of their keys (watch/keys.h)
  store::Revision revision = 0;    // of the list
  std::string continue_key;        // "" when complete, else where the next page begins
  int64_t remaining = 0;           // when it is known (no selector), else 0
};

struct ListQuery {
  std::string ns;  // "" : all
  kube::LabelSelector labels;
  kube::FieldSelector fields;
  size_t limit = 0;
  std::string continue_key;               // from an earlier page
  store::Revision continue_revision = 0;  // the revision of the first page
  // 0: most recent (linearizable); else see `exact`.
  store::Revision min_revision = 0;
  bool any_version = false;  // resourceVersion=0: what the cache has
  bool exact = false;        // resourceVersionMatch=Exact: the state at min_revision
};

class WatchCache {
 public:
  virtual ~WatchCache() = default;

  // Begins to read the store and to follow it, on a thread of its own; once.
  virtual void Start() = 0;

  // Starts to keep a resource. Known before the cache is started, or later (custom resources; then
  // it is filled from the store before this returns). Removing drops its objects from memory.
  virtual void AddResource(const kube::GroupResource& storage, FieldsOf fields_of) = 0;
  virtual void RemoveResource(const kube::GroupResource& storage) = 0;

  // Error: NotFound is not an error here: null.
  // `linearizable`: waits until the cache has seen every write that was acknowledged before.
  virtual kube::Result<ObjectPtr> Get(const kube::GroupResource& storage, absl::string_view ns,
                                      absl::string_view name, bool linearizable) = 0;
  // Errors: Expired (410) for a continue or exact revision that is compacted, Timeout (504, "Too
  // large resource version") for a revision that does not come in time.
  virtual kube::Result<ListResult> List(const kube::GroupResource& storage,
                                        const ListQuery& query) = 0;
  virtual size_t Count(const kube::GroupResource& storage) = 0;

  // Waits until the cache has applied `revision`; false after `timeout`.
  virtual bool WaitFor(store::Revision revision, Duration timeout) = 0;
  // Waits until the cache has applied every write that was acknowledged before this call. Error:
  // ServiceUnavailable when the store does not answer, Timeout when the cache lags for too long.
  virtual kube::Outcome WaitFresh() = 0;
  virtual store::Revision revision() const = 0;

  // Calls `observer` for every event of the resource from now on, after calling it with kAdded for
  // what is there. Never taken back: for parts of the server that live as long as it.
  virtual void Observe(const kube::GroupResource& storage,
                       std::function<void(const CacheEvent&)> observer) = 0;

  // True once everything has been read from the store; false again while its watch is lost.
  virtual bool ready() const = 0;
};

}  // namespace meltemi::apiserver
