// The roles and bindings that every cluster has, and their reconciliation at start.
//
// Threads: Reconcile blocks; call it off the loops.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "base/clock/clock.h"
#include "base/json/value.h"
#include "orchestrator/apiserver/kinds/resource.h"
#include "orchestrator/apiserver/verbs/objects.h"
#include "orchestrator/apiserver/watch/cache.h"

namespace meltemi::apiserver {

// Kubernetes 1.32's, as objects without resourceVersion: ClusterRoles, ClusterRoleBindings, and
// Roles and RoleBindings in their namespaces.
std::vector<json::Value> BootstrapClusterRoles();
std::vector<json::Value> BootstrapClusterRoleBindings();
std::vector<json::Value> BootstrapRoles();
std::vector<json::Value> BootstrapRoleBindings();

// Creates what is missing and adds missing rules, labels, annotations and subjects to what is
// there, unless its annotation rbac.authorization.kubernetes.io/autoupdate says "false". Namespaces
// of Roles (kube-system, kube-public) are created when missing. The first error ends it.
absl::Status ReconcileBootstrapPolicy(const CatalogSource& catalogs, WatchCache& cache,
                                      Objects& objects, const Clock& clock);

}  // namespace meltemi::apiserver
