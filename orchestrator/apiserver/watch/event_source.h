// What the hub needs of the cache: where a watch begins, and every event once.
//
// Threads: StartOf from any thread; listeners are called on the cache's thread.
#pragma once

#include <memory>
#include <vector>

#include "kube/names/names.h"
#include "kube/status/status.h"
#include "orchestrator/apiserver/watch/cache.h"

namespace meltemi::apiserver {

// What was committed together, in order.
struct EventBatch {
  std::vector<EventPtr> events;
  store::Revision revision = 0;  // everything up to it has been handed out
};

class EventListener {
 public:
  virtual ~EventListener() = default;
  virtual void OnBatch(std::shared_ptr<const EventBatch> batch) = 0;
  // Events are missing (the store had compacted them), or the resource is gone: its watches end.
  virtual void OnGap(const kube::GroupResource& storage) = 0;
};

// A state, and the events since an older one; what is handed to listeners with a revision above
// `revision` follows it.
struct WatchStart {
  std::vector<EventPtr> events;
  std::vector<ObjectPtr> objects;
  store::Revision revision = 0;
};

struct WatchStartQuery {
  kube::GroupResource storage;
  std::string ns;            // objects of it alone; "": all
  std::string name;          // and the one of this name; "": all
  store::Revision from = 0;  // events after it
  bool objects = false;      // instead of events: all objects
};

class EventSource {
 public:
  virtual ~EventSource() = default;
  // Error: Expired (410).
  virtual kube::Result<WatchStart> StartOf(const WatchStartQuery& query) = 0;
  // One listener; null: none. No call is running once this has returned.
  virtual void SetListener(EventListener* listener) = 0;
};

}  // namespace meltemi::apiserver
