// What is done to an object by its schema alone.
//
// Threads: functions without state.
#pragma once

#include <string>
#include <vector>

#include "base/json/value.h"
#include "kube/status/field_error.h"
#include "orchestrator/apiserver/schema/schema.h"

namespace meltemi::apiserver {

// Removes what the schema does not declare (metadata of the root and of embedded resources is
// treated as ObjectMeta) and normalises what has several notations (null members are dropped,
// quantities and times take their canonical form). Returns the paths of what was removed
// ("spec.replicaz"), for fieldValidation.
std::vector<std::string> Prune(const Schema& schema, json::Value& object);

// Type errors as the decoder of Kubernetes words them for built-in kinds: the text after
// `Deployment in version "v1" cannot be handled as a Deployment: `. Empty when all types fit.
std::string CheckTypes(const Schema& schema, const json::Value& object);

// Fills in `default` where a member is missing.
void ApplyDefaults(const Schema& schema, json::Value& object);

// Types and keywords of custom resources, list-map keys and sets, required fields, enums, formats.
kube::FieldErrors Validate(const Schema& schema, const json::Value& object,
                           const kube::FieldPath& path);

}  // namespace meltemi::apiserver
