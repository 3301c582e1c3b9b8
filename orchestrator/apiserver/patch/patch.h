// The four ways to patch an object.
//
// Threads: functions without state.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "kube/status/status.h"
#include "orchestrator/apiserver/schema/schema.h"

namespace meltemi::apiserver {

// RFC 6902. Errors: BadRequest for what is no patch, Invalid (422) for an operation that does not
// apply, in Kubernetes' words. Bounded: 10,000 operations; copies may not grow the document without
// bound.
kube::Result<json::Value> ApplyJsonPatch(const json::Value& object, const json::Value& patch);

// RFC 7386.
json::Value ApplyMergePatch(const json::Value& object, const json::Value& patch);

// Kubernetes' strategic merge: merge keys from the schema, $patch, $retainKeys,
// $setElementOrder/…, $deleteFromPrimitiveList/….
kube::Result<json::Value> ApplyStrategicMerge(const Schema& schema, const json::Value& object,
                                              const json::Value& patch);

}  // namespace meltemi::apiserver
