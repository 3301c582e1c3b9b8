// References to objects and implementations, as several groups have them.
//
// Threads: functions without state. Source: pkg/apis/*/validation of Kubernetes 1.32.
#pragma once

#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "kube/status/field_error.h"

namespace meltemi::apiserver {

// "acme.io/foo".
void ValidateDomainPrefixedPath(absl::string_view text, const kube::FieldPath& path,
                                kube::FieldErrors& errors);

// {apiGroup, kind, name}, of which the last two are needed.
void ValidateTypedReference(const json::Value& reference, const kube::FieldPath& path,
                            kube::FieldErrors& errors);

}  // namespace meltemi::apiserver
