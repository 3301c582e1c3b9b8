// Claims of storage: what persistent volume claims, templates of them and volumes share.
//
// Threads: functions without state. Source: pkg/apis/core/validation of Kubernetes 1.32.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "kube/status/field_error.h"

namespace meltemi::apiserver {

void ValidateClaimSpec(const json::Value& spec, const kube::FieldPath& path,
                       kube::FieldErrors& errors);
// accessModes of claims and volumes.
void ValidateAccessModes(const json::Value& spec, const kube::FieldPath& path,
                         kube::FieldErrors& errors);
void ValidateCsiDriverName(absl::string_view name, const kube::FieldPath& path,
                           kube::FieldErrors& errors);
// "RWO,ROX", as tables show access modes.
std::string AccessModesText(const json::Value& modes);

}  // namespace meltemi::apiserver
