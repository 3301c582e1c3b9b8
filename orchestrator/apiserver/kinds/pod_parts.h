// The parts of a pod spec, each validated by a function of its own. Everything appends to `errors`.
//
// Threads: functions without state. Source: pkg/apis/core/validation of Kubernetes 1.32.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "kube/status/field_error.h"
#include "orchestrator/apiserver/kinds/pod_template.h"

namespace meltemi::apiserver {

// What containers are checked against.
struct PodContext {
  absl::flat_hash_map<absl::string_view, const json::Value*> volumes;  // by name, valid ones
  absl::flat_hash_set<absl::string_view> claims;                       // spec.resourceClaims
  int64_t grace_period_s = 0;
  absl::string_view restart_policy;
  bool host_users = true;
};

// pod_volumes.cc. Fills context.volumes.
void ValidateVolumes(const json::Value& spec, const PodSpecOwner& owner,
                     const kube::FieldPath& path, PodContext& context, kube::FieldErrors& errors);
void ValidateVolumeMounts(const json::Value& container, const kube::FieldPath& path,
                          const PodContext& context, kube::FieldErrors& errors);
void ValidateRelativePath(absl::string_view target, const kube::FieldPath& path,
                          kube::FieldErrors& errors);
void ValidatePathHasNoBacksteps(absl::string_view target, const kube::FieldPath& path,
                                kube::FieldErrors& errors);

// containers.cc
void ValidateContainers(const json::Value& spec, const kube::FieldPath& path,
                        const PodContext& context, kube::FieldErrors& errors);
void ValidateInitContainers(const json::Value& spec, const kube::FieldPath& path,
                            const PodContext& context, kube::FieldErrors& errors);
void ValidateEphemeralContainers(const json::Value& spec, const kube::FieldPath& path,
                                 const PodContext& context, kube::FieldErrors& errors);

// container_env.cc
void ValidateEnv(const json::Value& container, const kube::FieldPath& path,
                 kube::FieldErrors& errors);
enum class FieldRefUse : uint8_t { kEnv, kVolume };
void ValidateFieldRef(const json::Value& ref, FieldRefUse use, const kube::FieldPath& path,
                      kube::FieldErrors& errors);
void ValidateResourceFieldRef(const json::Value& ref, FieldRefUse use, const kube::FieldPath& path,
                              kube::FieldErrors& errors);

// probes.cc
void ValidateProbes(const json::Value& container, const kube::FieldPath& path,
                    const PodContext& context, kube::FieldErrors& errors);
void ValidateLifecycle(const json::Value& container, const kube::FieldPath& path,
                       const PodContext& context, kube::FieldErrors& errors);
// 80 or "http".
void ValidatePortNumberOrName(const json::Value& port, const kube::FieldPath& path,
                              kube::FieldErrors& errors);

// resources.cc
void ValidateContainerResources(const json::Value& container, const kube::FieldPath& path,
                                const PodContext& context, kube::FieldErrors& errors);
void ValidatePodLevelResources(const json::Value& spec, const kube::FieldPath& path,
                               kube::FieldErrors& errors);
// A quantity that is not negative, and whole where the resource is counted.
void ValidateQuantity(absl::string_view resource, const json::Value& quantity,
                      const kube::FieldPath& path, kube::FieldErrors& errors);
// Names of resources that containers may ask for.
void ValidateContainerResourceName(absl::string_view resource, const kube::FieldPath& path,
                                   kube::FieldErrors& errors);
// "cpu" or "example.com/gpu": "must be a standard resource type or fully qualified".
bool ValidateResourceName(absl::string_view resource, const kube::FieldPath& path,
                          kube::FieldErrors& errors);

// affinity.cc
void ValidateAffinity(const json::Value& spec, const kube::FieldPath& path,
                      kube::FieldErrors& errors);
void ValidateNodeSelector(const json::Value& selector, const kube::FieldPath& path,
                          kube::FieldErrors& errors, bool check_values = false);
void ValidateTolerations(const json::Value& spec, const kube::FieldPath& path,
                         kube::FieldErrors& errors);
void ValidateTopologySpread(const json::Value& spec, const kube::FieldPath& path,
                            kube::FieldErrors& errors);

// security_context.cc
void ValidatePodSecurityContext(const json::Value& spec, const kube::FieldPath& path,
                                kube::FieldErrors& errors);
void ValidateSecurityContext(const json::Value& container, const kube::FieldPath& path,
                             const PodContext& context, kube::FieldErrors& errors);

}  // namespace meltemi::apiserver
