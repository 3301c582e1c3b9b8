// Watches of clients: from a revision, filtered, delivered on the loops.
//
// An event is handed to each loop once, however many clients watch; each loop goes through its
// watches and appends the bytes, which are made once per event and version.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "base/loop/loop.h"
#include "kube/selector/selector.h"
#include "kube/status/status.h"
#include "orchestrator/apiserver/watch/cache.h"

namespace meltemi::apiserver {

struct WatchQuery {
  kube::GroupResource storage;
  std::string ns;  // "": all
  kube::LabelSelector labels;
  kube::FieldSelector fields;
  // Events after this revision; 0: begins with ADDED for everything that the cache holds now. Who
  // promises more (no resourceVersion: the most recent state; sendInitialEvents: at least a
  // revision) calls WatchCache::WaitFresh or WaitFor before. See Kubernetes' "Semantics for watch".
  store::Revision from_revision = 0;
  bool from_now =
      false;  // with from_revision 0: nothing of what is there (sendInitialEvents=false)
  // ADDED for everything whatever from_revision says, then a bookmark with the annotation
  // k8s.io/initial-events-end.
  bool send_initial_events = false;
  bool bookmarks = false;  // allowWatchBookmarks
  // How an object is written for this client (version, Table, PartialObjectMetadata); equal keys
  // share the bytes. `encode` appends the object's JSON and is called on the loop's thread.
  std::string encoding_key;
  std::function<void(const CachedObject& object, std::string* out)> encode;
  std::string api_version, kind;  // of bookmarks
};

// The receiving end: one open response. Loop-owned.
class WatchSink {
 public:
  virtual ~WatchSink() = default;
  // One or more lines `{"type":"ADDED","object":{…}}\n`. False: the client is so slow that the
  // bound on unsent bytes is passed: the watch is ended.
  virtual bool Send(absl::string_view lines) = 0;
  // What was handed over and is not written yet: while it is much, initial events wait.
  virtual size_t UnsentBytes() const { return 0; }
  // The watch is over (time-out of the request excluded); a 410 has been sent as an ERROR event.
  virtual void End() = 0;
};

class WatchRegistration {  // destroyed on its loop: the watch ends
 public:
  virtual ~WatchRegistration() = default;
};

class WatchHub {
 public:
  virtual ~WatchHub() = default;
  // On `loop`'s thread. Error: Expired (410, "too old resource version: X (Y)").
  // `sink` outlives the registration. Nothing is sent before this has returned.
  virtual kube::Result<std::unique_ptr<WatchRegistration>> Watch(Loop& loop,
                                                                 const WatchQuery& query,
                                                                 WatchSink& sink) = 0;
};

}  // namespace meltemi::apiserver
