// What may stand in the versions of a CustomResourceDefinition. For definition_check.cc.
//
// Threads: functions without state.
#pragma once

#include "base/json/value.h"
#include "kube/status/field_error.h"

namespace meltemi::apiserver {

void CheckVersions(const json::Value& spec, const kube::FieldPath& path, kube::FieldErrors& errors);

// Kubernetes keeps what is the same in all versions in one place and names that place in errors:
// "spec.validation.openAPIV3Schema…". This is the check of those parts.
void CheckSharedParts(const json::Value& spec, const kube::FieldPath& path,
                      kube::FieldErrors& errors);

}  // namespace meltemi::apiserver
