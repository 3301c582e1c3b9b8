// HorizontalPodAutoscalers in version 1 and 2. Version 1 knows CPU only: the rest stands in
// annotations as JSON. They are kept in version 2.
//
// Threads: functions without state. Source: pkg/apis/autoscaling of Kubernetes 1.32.
#pragma once

#include "base/json/value.h"
#include "kube/status/field_error.h"

namespace meltemi::apiserver {

// In place; apiVersion is the caller's matter. What cannot be read in an annotation is dropped.
void HpaToV2(json::Value& object);
void HpaToV1(json::Value& object);

// Removes the annotations of version 1 from an object of version 2, where they mean nothing.
void DropHpaAnnotations(json::Value& object);

// Of version 2 (hpa_validation.cc). `replicas_min`: 1, or 0 where it was 0 before.
void ValidateHpaSpec(const json::Value& spec, int64_t replicas_min, const kube::FieldPath& path,
                     kube::FieldErrors& errors);

}  // namespace meltemi::apiserver
