// Istio's certificate service over gRPC: a workload sends a request for its key, and its token, and
// gets the chain of its certificate.
//
// Loop-owned; the authenticator answers from any thread. Source:
// istio.v1.auth.IstioCertificateService.
#pragma once

#include <memory>

#include "base/clock/clock.h"

namespace meltemi {
class Loop;
namespace http::grpc {
class Server;
}
namespace metrics {
class Scope;
}
}  // namespace meltemi

namespace meltemi::pilot {

class Authority;
class CallAuthenticator;

// From now on `server` answers CreateCertificate. All outlive the server. `scope` gets Istio's
// citadel_server_* counters.
void AddCaService(Loop& loop, metrics::Scope& scope, const Clock& clock,
                  std::shared_ptr<const Authority> authority, CallAuthenticator& authenticator,
                  http::grpc::Server& server);

}  // namespace meltemi::pilot
