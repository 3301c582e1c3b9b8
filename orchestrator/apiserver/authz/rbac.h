// Role-based access control: an index of all roles and bindings that follows the watch cache.
//
// Threads: thread-safe; readers share a lock that the cache's thread takes for each change.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kube/status/status.h"
#include "orchestrator/apiserver/authz/authorizer.h"
#include "orchestrator/apiserver/authz/policy_rule.h"
#include "orchestrator/apiserver/watch/cache.h"

namespace meltemi::apiserver {

class RbacAuthorizer : public Authorizer {
 public:
  // All rules that hold for the user in the namespace ("": cluster-wide ones only). References to
  // roles that do not exist are told in `errors`.
  virtual std::vector<PolicyRule> RulesFor(const UserInfo& user, absl::string_view ns,
                                           std::vector<std::string>* errors) const = 0;
  // The rules behind a roleRef of a binding in `ns`; NotFound when there is no such role.
  virtual kube::Result<std::vector<PolicyRule>> RulesOfRef(absl::string_view kind,
                                                           absl::string_view name,
                                                           absl::string_view ns) const = 0;
};

// Follows `cache`, in which the four rbac resources have been added. The cache may outlive it.
std::unique_ptr<RbacAuthorizer> NewRbacAuthorizer(WatchCache& cache);

}  // namespace meltemi::apiserver
