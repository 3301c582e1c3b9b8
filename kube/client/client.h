// Calls to a Kubernetes API server, as a seam: over HTTPS (http_client.h), straight into an API
// server in memory (orchestrator/apiserver/memory), or a script (client_fake.h). typed.h has the
// calls that take and give typed objects; this is what they are made of.
//
// Threads: thread-safe. Call blocks; Watch does not. Source: Kubernetes API concepts.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "kube/status/status.h"

namespace meltemi::kube {

struct ApiCall {
  std::string method = "GET";
  std::string path;                                        // "/api/v1/namespaces/x/pods"
  std::vector<std::pair<std::string, std::string>> query;  // not yet percent-encoded
  std::string body;                                        // JSON; empty: none
  std::string content_type = "application/json";           // of the body: a patch has another one
  std::string accept = "application/json";
  // For all of it; of a watch: until its answer begins.
  Duration timeout = seconds(30);
  // Not empty: acts as whom this token says, instead of as whom the client was made for.
  std::string bearer_token;
};

struct ApiAnswer {
  int code = 200;    // 2xx
  std::string body;  // JSON, but where something else was asked for
};

// What a watch tells. Calls come one at a time, on a thread of the client's (in memory: within the
// simulation's step), never from within StartWatch.
class WatchSink {
 public:
  virtual ~WatchSink() = default;
  // `type`: "ADDED", "MODIFIED", "DELETED" or "BOOKMARK"; `object`: its JSON text, valid during the
  // call.
  virtual void OnEvent(absl::string_view type, absl::string_view object) = 0;
  // The watch is over: the server has ended it (code 200), refused it, lost its history (410) or
  // can't be reached. Nothing follows.
  virtual void OnEnd(const Status& why) = 0;
};

// Ends the watch when destroyed: no call of the sink is under way or follows, unless it is
// destroyed from within one.
class ApiWatch {
 public:
  virtual ~ApiWatch() = default;
};

class Client {
 public:
  virtual ~Client() = default;

  // The answer with a code of 2xx, or the Status that the server gave. A server that can't be
  // reached, or that did not answer in time: code 0, reason "" and what happened; whether a write
  // took place is unknown then.
  virtual Result<ApiAnswer> Call(const ApiCall& call) = 0;

  // `call` is a GET of a collection; "watch" is added. `sink` outlives the returned watch.
  virtual std::unique_ptr<ApiWatch> Watch(const ApiCall& call, WatchSink& sink) = 0;
};

// Whether the failure is one of the way there (code 0), 429 or 5xx: worth trying again as it is.
bool IsTransient(const Status& status);
inline bool IsNotFound(const Status& status) { return status.reason == "NotFound"; }
inline bool IsAlreadyExists(const Status& status) { return status.reason == "AlreadyExists"; }
inline bool IsConflict(const Status& status) { return status.reason == "Conflict"; }
inline bool IsExpired(const Status& status) {
  return status.code == 410;  // reasons "Expired" and "Gone"
}
// A namespace that is being deleted takes no new objects.
bool IsNamespaceTerminating(const Status& status);

}  // namespace meltemi::kube
