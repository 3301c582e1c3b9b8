// The authorizers of the API server and the chain that asks them in order.
//
// Threads: everything made here is thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "orchestrator/apiserver/authz/authorizer.h"
#include "orchestrator/apiserver/authz/rbac.h"
#include "orchestrator/apiserver/watch/cache.h"

namespace meltemi::apiserver {

// system:masters first, then `modes` in their order: "Node" "RBAC" "AlwaysAllow" "AlwaysDeny".
// `rbac` is the one for mode "RBAC" and outlives the chain. Error: an unknown or repeated mode.
absl::StatusOr<std::unique_ptr<Authorizer>> NewAuthorizerChain(
    const std::vector<std::string>& modes, RbacAuthorizer& rbac, WatchCache& cache);

std::unique_ptr<Authorizer> NewAlwaysAllowAuthorizer();
std::unique_ptr<Authorizer> NewAlwaysDenyAuthorizer();
// The kubelets' authorizer: what a node may read follows from the pods that are bound to it.
std::unique_ptr<Authorizer> NewNodeAuthorizer(WatchCache& cache);

}  // namespace meltemi::apiserver
