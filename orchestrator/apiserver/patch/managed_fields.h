// Server-side apply and the bookkeeping of who owns which field (metadata.managedFields).
//
// Threads: functions without state. Source: sigs.k8s.io/structured-merge-diff,
// kubernetes.io/docs/reference/using-api/server-side-apply.
#pragma once

#include <string>

#include "base/json/value.h"
#include "kube/status/status.h"
#include "orchestrator/apiserver/schema/schema.h"

namespace meltemi::apiserver {

struct FieldManager {
  std::string name;         // fieldManager, or the first word of User-Agent before "/"
  std::string api_version;  // of the request
  std::string subresource;  // "" or "status", "scale"
  std::string time;         // RFC 3339, of an entry that changes
};

// PATCH application/apply-patch+yaml: merges `applied` into `live`, removes what the manager had
// applied before and now leaves out (unless others own it). `live` null: creation. The result has
// its managedFields set; it may have null members, which mean nothing. When it is the same as
// `live`, there is nothing to write. Error: Conflict (409) that lists each field and its managers,
// unless `force`. What kubectl has applied from the client's side before, it takes over without
// conflicts.
kube::Result<json::Value> Apply(const Schema& schema, const json::Value& live,
                                const json::Value& applied, const FieldManager& manager,
                                bool force);

// Every other write: `updated` gets the managedFields of `live` with what changed between the two
// made the manager's own ("Update"), and taken from the others. `live` null: creation. A client
// that sent managedFields of its own ([] or [{}]) resets them: nothing is recorded until somebody
// applies; null or none is no wish. Entries with nothing left go away; at most 10 "Update" entries
// are kept, the oldest merged under "ancient-changes". What the request can't change must have been
// put back before.
void TrackUpdate(const Schema& schema, const json::Value& live, const FieldManager& manager,
                 json::Value& updated);

}  // namespace meltemi::apiserver
