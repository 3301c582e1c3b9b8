// Reading and writing objects of any resource with everything that belongs to a write: defaults,
// strategy, admission, validation, managed fields, the store's compare-and-swap. The REST handlers
// are a thin layer over this; the server's own parts (bootstrap roles, token secrets, status of
// CustomResourceDefinitions) use it with the user system:apiserver.
//
// Threads: thread-safe; blocks.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock/clock.h"
#include "base/json/value.h"
#include "kube/status/status.h"
#include "orchestrator/apiserver/authn/user.h"
#include "orchestrator/apiserver/kinds/resource.h"
#include "orchestrator/apiserver/kinds/strategy.h"
#include "orchestrator/apiserver/watch/cache.h"

namespace meltemi::apiserver {

struct WriteContext {
  UserInfo user;
  bool dry_run = false;
  std::string field_manager;  // never empty here: see FieldManager
  // "Strict" "Warn" "Ignore": what is done about unknown and duplicate fields.
  std::string field_validation = "Warn";
  MonotonicTime deadline;
  std::string subresource;  // "", "status", "scale", or one of other_subresources
  // managedFields of the new object are set already (server-side apply).
  bool fields_tracked = false;
  // Admission has been asked already, about what the request itself holds (bindings, evictions).
  bool admitted = false;
  // Unknown fields are refused as a bad patch is (422) rather than as a bad object (400).
  bool is_patch = false;
  // Keys that occurred twice in what was sent: "spec.replicas".
  std::vector<std::string> repeated_keys;
  std::vector<std::string> warnings;  // out
};

struct Preconditions {
  std::string uid, resource_version;
};

struct DeleteRequest {
  std::optional<int64_t> grace_period_seconds;
  Preconditions preconditions;
  std::string propagation;                // "Background" "Foreground" "Orphan" or ""
  std::optional<bool> orphan_dependents;  // the older notation of propagation
  json::Value options = {};               // as it was sent, for admission
};

// Makes the new object of the current one; may be called again after a conflict. Null: the object
// does not exist (create-on-update, apply).
using UpdateFunction =
    std::function<kube::Result<json::Value>(const json::Value& current, bool exists)>;

struct Written {
  json::Value object;  // in the version of the resource, as answered
  bool created = false;
};

class Objects {
 public:
  virtual ~Objects() = default;

  // In the version of `resource`.
  virtual kube::Result<json::Value> Get(const Resource& resource, absl::string_view ns,
                                        absl::string_view name) = 0;
  virtual kube::Result<Written> Create(const Resource& resource, absl::string_view ns,
                                       json::Value object, WriteContext& context) = 0;
  // Compares and swaps until it succeeds or `update` fails; an object with a resourceVersion of its
  // own is tried once (409). `allow_create`: a missing object is created.
  virtual kube::Result<Written> Update(const Resource& resource, absl::string_view ns,
                                       absl::string_view name, const UpdateFunction& update,
                                       bool allow_create, WriteContext& context) = 0;
  // The object as it was, or as it is now when finalizers or a grace period keep it; `deleted_now`
  // tells which.
  virtual kube::Result<json::Value> Delete(const Resource& resource, absl::string_view ns,
                                           absl::string_view name, const DeleteRequest& request,
                                           WriteContext& context, bool* deleted_now) = 0;
};

}  // namespace meltemi::apiserver
