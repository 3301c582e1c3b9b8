// Pods and what makes them: defaults and validation of pod specs, shared by pods and by every kind
// that holds a pod template.
//
// Threads: functions without state. `spec` and `pod_template` are members of the object at `path`.
// A template without a spec gets one, with its defaults.
// Source: pkg/apis/core/v1/defaults.go and pkg/apis/core/validation of Kubernetes 1.32.
#pragma once

#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "kube/status/field_error.h"

namespace meltemi::apiserver {

// Defaults of a PodTemplateSpec.
void DefaultPodTemplate(json::Value& pod_template);
// Defaults of the spec of a pod or of a template.
void DefaultPodSpec(json::Value& spec);
// What a pod gets on top of DefaultPodSpec: requests from limits, enableServiceLinks, host ports.
void DefaultPodOnly(json::Value& spec);
// Defaults of the spec of a claim, a template of claims, or of a volume's ephemeral claim.
void DefaultClaimSpec(json::Value& spec);

void ValidatePodTemplate(const json::Value& pod_template, const kube::FieldPath& path,
                         kube::FieldErrors& errors);

// `is_pod`: the spec of a pod named `pod_name`, not of a template.
struct PodSpecOwner {
  bool is_pod = false;
  absl::string_view pod_name;
};
void ValidatePodSpec(const json::Value& spec, const PodSpecOwner& owner,
                     const kube::FieldPath& path, kube::FieldErrors& errors);
// Annotations that Kubernetes gives a meaning.
void ValidatePodAnnotations(const json::Value& annotations, const json::Value& spec,
                            const kube::FieldPath& path, kube::FieldErrors& errors);

// "Guaranteed", "Burstable" or "BestEffort".
absl::string_view QosClassOf(const json::Value& spec);

}  // namespace meltemi::apiserver
