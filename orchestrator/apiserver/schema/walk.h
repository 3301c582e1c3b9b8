// What is done to an object by its schema alone.
//
// Threads: functions without state. Recursion is as deep as the object, which its parser bounds.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "kube/status/field_error.h"
#include "orchestrator/apiserver/schema/schema.h"

namespace meltemi::apiserver {

// Removes what the schema does not declare and normalises what has several notations: null members
// are dropped where Kubernetes' decoders drop them, quantities and times take their canonical form.
// Returns the paths of what was removed ("spec.replicaz"; at most 100), for fieldValidation: in the
// order of the document for built-in kinds, sorted for custom ones.
std::vector<std::string> Prune(const Schema& schema, json::Value& object);

// Type errors of built-in kinds (and of the metadata of custom resources) as the decoder of
// Kubernetes words them: the text after
// `Deployment in version "v1" cannot be handled as a Deployment: `. Empty when all types fit.
// Good before or after Prune.
std::string CheckTypes(const Schema& schema, const json::Value& object);

// Fills in `default` where a member is missing, or null and not nullable.
void ApplyDefaults(const Schema& schema, json::Value& object);

// Types and keywords of custom resources, embedded resources, list-map keys and sets, required
// fields, enums, formats. `path` is empty for whole objects. Built-in kinds have no errors here.
kube::FieldErrors Validate(const Schema& schema, const json::Value& object,
                           const kube::FieldPath& path);

// The same for an update: values that are as they were are not held against it (Kubernetes'
// CRDValidationRatcheting).
kube::FieldErrors ValidateUpdate(const Schema& schema, const json::Value& object,
                                 const json::Value& old_object, const kube::FieldPath& path);

}  // namespace meltemi::apiserver
