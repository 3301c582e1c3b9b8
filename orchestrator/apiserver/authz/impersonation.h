// Acting as somebody else: the headers Impersonate-User, -Group, -Uid and -Extra-KEY.
//
// Threads: a function without state.
#pragma once

#include "kube/status/status.h"
#include "orchestrator/apiserver/authn/user.h"
#include "orchestrator/apiserver/authz/authorizer.h"
#include "orchestrator/apiserver/http/request.h"

namespace meltemi::apiserver {

// The user that the request is to be handled as: request.user when it has no such headers. Errors:
// Forbidden when request.user may not impersonate, InternalError or BadRequest for headers that
// make no sense. Repeated Impersonate-Group headers come joined by ", ".
kube::Result<UserInfo> Impersonate(const Request& request, Authorizer& authorizer);

}  // namespace meltemi::apiserver
