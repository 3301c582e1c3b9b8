// Istio's certificate service over gRPC: a workload sends a request for its key, and its token, and
// gets the chain of its certificate.
//
// Threads: gRPC's and those on which the authenticator answers; what is counted is posted to the
// loop. Source: istio.v1.auth.IstioCertificateService.
#pragma once

#include <memory>

#include "base/clock/clock.h"

namespace grpc {
class Service;
}
namespace meltemi {
class Loop;
namespace metrics {
class Scope;
}
}  // namespace meltemi

namespace meltemi::pilot {

class Authority;
class CallAuthenticator;

// All outlive the service; the server that it is registered with has ended before it is destroyed.
// `scope` gets Istio's citadel_server_* counters; `clock` is asked from any thread.
std::unique_ptr<grpc::Service> NewCaService(Loop& loop, metrics::Scope& scope, const Clock& clock,
                                            std::shared_ptr<const Authority> authority,
                                            CallAuthenticator& authenticator);

}  // namespace meltemi::pilot
