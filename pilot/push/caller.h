// Who is at the other end of a stream, as far as it has proved it, and whether it may be the proxy
// that it says it is. Immutable; any thread.
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace meltemi::pilot {

struct ProxyNode;

struct Caller {
  std::string trust_domain = "cluster.local";
  std::string ns;
  std::string service_account;
  std::string pod;  // that its token is bound to; empty: to none

  // "spiffe://TRUST_DOMAIN/ns/NS/sa/SERVICE_ACCOUNT"
  std::string Spiffe() const;
};

// Finds out who sends a token.
class CallAuthenticator {
 public:
  using Done = std::function<void(absl::StatusOr<Caller>)>;

  virtual ~CallAuthenticator() = default;
  // Calls `done` once, on any thread, maybe from within. Errors: UNAUTHENTICATED with what is wrong
  // with the token, UNAVAILABLE where nobody could be asked.
  virtual void Authenticate(std::string token, Done done) = 0;
};

// The token of an "authorization" header; empty: it holds none.
absl::string_view BearerToken(absl::string_view authorization);

// PERMISSION_DENIED, with what does not fit, unless `node` is in the caller's namespace, runs under
// its account and is the pod that the token is bound to.
absl::Status CheckNode(const Caller& caller, const ProxyNode& node);

}  // namespace meltemi::pilot
