// What every request passes before somebody answers it: who asks (authentication, impersonation),
// whether there is room (requests in flight), whether they may (authorization); then the way to the
// handler of the path.
//
// Threads: thread-safe; runs on the threads of the request pool.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/clock/clock.h"
#include "base/metrics/metrics.h"
#include "orchestrator/apiserver/authn/authenticator.h"
#include "orchestrator/apiserver/authz/authorizer.h"
#include "orchestrator/apiserver/chain/health.h"
#include "orchestrator/apiserver/http/request.h"

namespace meltemi::apiserver {

class InFlightLimiter;

// All outlive the chain.
struct ChainParts {
  const Clock& clock;
  Authenticator& authenticator;
  Authorizer& authorizer;
  InFlightLimiter& limiter;
  TokenIssuer& tokens;  // the issuer's documents
  Health& health;
  metrics::Registry& metrics;
  Handler& resources;
  Handler& discovery;
  Handler& openapi;
};

std::unique_ptr<Handler> NewChain(const ChainParts& parts);

// /version.
json::Value VersionJson();

}  // namespace meltemi::apiserver
