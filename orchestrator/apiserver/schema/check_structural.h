// Whether the schema of a CustomResourceDefinition is structural: every field has one type, and
// what stands in allOf, anyOf, oneOf and not only narrows it.
//
// Threads: functions without state. Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema.
#pragma once

#include "base/json/value.h"
#include "kube/status/field_error.h"

namespace meltemi::apiserver {

// Sorted by text.
kube::FieldErrors CheckStructural(const json::Value& schema, const kube::FieldPath& path);

}  // namespace meltemi::apiserver
