// Pods: their strategy, and what their subresources check.
//
// Threads: stateless. Source: pkg/registry/core/pod and pkg/apis/core/validation of
// Kubernetes 1.32.
#pragma once

#include <string>
#include <vector>

#include "base/json/value.h"
#include "kube/status/field_error.h"
#include "orchestrator/apiserver/kinds/strategy.h"

namespace meltemi::apiserver {

class PodStrategy final : public Strategy {
 public:
  void Default(const Resource& resource, json::Value& object) const override;
  void PrepareForCreate(const Resource& resource, json::Value& object) const override;
  void PrepareForUpdate(const Resource& resource, Scope scope, const json::Value& old_object,
                        json::Value& object) const override;
  kube::FieldErrors Validate(const Resource& resource, const json::Value& object) const override;
  kube::FieldErrors ValidateUpdate(const Resource& resource, Scope scope,
                                   const json::Value& old_object,
                                   const json::Value& object) const override;
  std::vector<std::string> Warnings(const Resource& resource,
                                    const json::Value& object) const override;
  kube::StringPairs SelectableFields(const json::Value& object) const override;
  std::vector<std::string> SelectableFieldNames() const override;
  bool StatusUpdatesMetadata() const override { return true; }
  int64_t GracePeriodSeconds(const json::Value& object,
                             std::optional<int64_t> requested) const override;
};

// PUT or PATCH of pods/ephemeralcontainers: `object` keeps nothing but its ephemeral containers,
// the rest is the old pod's. Then ValidateEphemeralUpdate of the two.
void PrepareEphemeralUpdate(const json::Value& old_pod, json::Value& pod);
kube::FieldErrors ValidateEphemeralUpdate(const json::Value& old_pod, const json::Value& pod);
// POST of pods/binding.
kube::FieldErrors ValidateBinding(const json::Value& binding);

// What a pod spec, at `path`, has that its author should know of.
std::vector<std::string> PodSpecWarnings(const json::Value& spec, const kube::FieldPath& path);

}  // namespace meltemi::apiserver
