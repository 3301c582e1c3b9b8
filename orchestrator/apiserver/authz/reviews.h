// The review kinds of authentication.k8s.io and authorization.k8s.io: questions that are answered
// and never stored.
//
// Threads: the functions are thread-safe.
#pragma once

#include <functional>
#include <map>

#include "base/json/value.h"
#include "kube/names/names.h"
#include "kube/status/status.h"
#include "orchestrator/apiserver/authn/authenticator.h"
#include "orchestrator/apiserver/authz/rbac.h"
#include "orchestrator/apiserver/http/request.h"

namespace meltemi::apiserver {

// `review` as it was sent (decoded, defaulted); the answer is the same object with its status.
using ReviewFunction =
    std::function<kube::Result<json::Value>(const Request& request, json::Value review)>;

struct ReviewDeps {
  Authorizer& authorizer;      // the whole chain
  const RbacAuthorizer* rbac;  // SelfSubjectRulesReview; null: incomplete
  Authenticator& tokens;       // bearer tokens alone (NewTokenAuthenticatorChain)
  std::vector<std::string> api_audiences;
};

// TokenReview, SelfSubjectReview, SubjectAccessReview, LocalSubjectAccessReview,
// SelfSubjectAccessReview, SelfSubjectRulesReview. What `deps` refers to outlives the functions.
std::map<kube::GroupResource, ReviewFunction> ReviewFunctions(const ReviewDeps& deps);

}  // namespace meltemi::apiserver
