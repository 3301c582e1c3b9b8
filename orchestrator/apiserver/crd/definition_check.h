// What may stand in a CustomResourceDefinition.
//
// Threads: functions without state.
// Source: k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "kube/status/field_error.h"

namespace meltemi::apiserver {

kube::FieldErrors CheckDefinition(const json::Value& definition);
kube::FieldErrors CheckDefinitionUpdate(const json::Value& old_definition,
                                        const json::Value& definition);
kube::FieldErrors CheckDefinitionStatus(const json::Value& definition);

// Whether the condition of this type is "True".
bool HasCondition(const json::Value& definition, absl::string_view type);

// The name of the version that is stored; "" when none is marked.
absl::string_view StorageVersionOf(const json::Value& definition);

}  // namespace meltemi::apiserver
