// Checks of custom resources beside the keywords: lists that are sets or maps, and objects that are
// resources themselves.
//
// Threads: functions without state.
#pragma once

#include "base/json/value.h"
#include "kube/status/field_error.h"
#include "orchestrator/apiserver/schema/schema.h"

namespace meltemi::apiserver {

bool HasDuplicates(const json::Value& array);

// x-kubernetes-list-type: `spec.ports[1]: Duplicate value: map[string]interface {}{"name":"a"}`.
void ValidateListTypes(const Schema& schema, const json::Value& value, const kube::FieldPath& path,
                       kube::FieldErrors& errors);

// x-kubernetes-embedded-resource: apiVersion, kind, and the form of the metadata. The root is not
// an embedded one.
void ValidateEmbedded(const Schema& schema, const json::Value& value, const kube::FieldPath& path,
                      kube::FieldErrors& errors);

}  // namespace meltemi::apiserver
