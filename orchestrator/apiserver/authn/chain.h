// The authenticators of the API server and the chain that asks them, in kube-apiserver's order:
// client certificate, then bearer token (static file, service account, bootstrap), then anonymous.
//
// Threads: everything made here is thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "orchestrator/apiserver/authn/authenticator.h"
#include "orchestrator/apiserver/authn/signing_keys.h"
#include "orchestrator/apiserver/watch/cache.h"

namespace meltemi::apiserver {

struct AuthenticatorOptions {
  bool anonymous = true;  // --anonymous-auth
  // --token-auth-file: its text, and its name for messages. "": none.
  std::string token_file_text, token_file_name;
  bool bootstrap_tokens = true;  // --enable-bootstrap-token-auth
  // Accepted issuers of service account tokens, --api-audiences (empty: the issuers), and the keys
  // of which any may have signed.
  std::vector<std::string> issuers, api_audiences;
  std::shared_ptr<const SigningKeys> keys;  // null: no service account tokens
};

// `clock` and `cache` outlive it. Error: what is wrong with the token file, with its line.
//
// Everyone who is authenticated is also in system:authenticated. A bearer token that nobody knows
// is a 401, never anonymous.
absl::StatusOr<std::unique_ptr<Authenticator>> NewAuthenticatorChain(AuthenticatorOptions options,
                                                                     const Clock& clock,
                                                                     WatchCache& cache);

// Only those that read bearer tokens: for TokenReview. No anonymous.
absl::StatusOr<std::unique_ptr<Authenticator>> NewTokenAuthenticatorChain(
    AuthenticatorOptions options, const Clock& clock, WatchCache& cache);

// "Bearer x" of an Authorization header; "" when it is another scheme.
std::string BearerToken(absl::string_view authorization);

// The single ones.
std::unique_ptr<Authenticator> NewCertificateAuthenticator();
// CSV as kube-apiserver's --token-auth-file: token, user, uid, "group,group".
absl::StatusOr<std::unique_ptr<Authenticator>> NewTokenFileAuthenticator(
    absl::string_view text, absl::string_view file_name);
// Secrets kube-system/bootstrap-token-ID.
std::unique_ptr<Authenticator> NewBootstrapTokenAuthenticator(const Clock& clock,
                                                              WatchCache& cache);
// JWTs of the service accounts, whose account and bound objects still exist.
std::unique_ptr<Authenticator> NewServiceAccountAuthenticator(
    std::vector<std::string> issuers, std::vector<std::string> api_audiences,
    std::shared_ptr<const SigningKeys> keys, const Clock& clock, WatchCache& cache);

}  // namespace meltemi::apiserver
