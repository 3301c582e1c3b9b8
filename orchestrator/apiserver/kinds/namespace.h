// Namespaces.
//
// Threads: stateless. Source: pkg/registry/core/namespace of Kubernetes 1.32.
#pragma once

#include <memory>

#include "base/json/value.h"
#include "kube/status/field_error.h"
#include "orchestrator/apiserver/kinds/strategy.h"

namespace meltemi::apiserver {

std::unique_ptr<const Strategy> NamespaceStrategy();
std::unique_ptr<const TableColumns> NamespaceColumns();

// PUT of namespaces/finalize: nothing but spec.finalizers of `object` counts. The caller deletes
// the namespace when it is being deleted and no finalizer is left.
void PrepareFinalize(const json::Value& old_namespace, json::Value& object);
kube::FieldErrors ValidateFinalize(const json::Value& object);

}  // namespace meltemi::apiserver
