// What may change in a pod once it exists.
//
// Threads: functions without state.
#pragma once

#include <string>

#include "base/json/value.h"
#include "kube/status/field_error.h"

namespace meltemi::apiserver {

void ValidatePodSpecUpdate(const json::Value& old_spec, const json::Value& spec,
                           kube::FieldErrors& errors);
void ValidatePodStatusUpdate(const json::Value& old_pod, const json::Value& pod,
                             kube::FieldErrors& errors);
void ValidatePodAnnotationUpdate(const json::Value& old_pod, const json::Value& pod,
                                 kube::FieldErrors& errors);

// The members in which two objects differ, a line "-\tpath: value" or "+\tpath: value" for each.
std::string Difference(const json::Value& old_value, const json::Value& value);

}  // namespace meltemi::apiserver
