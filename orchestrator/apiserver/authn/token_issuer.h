// Makes service account tokens (TokenRequest) and answers the issuer's discovery documents.
//
// Threads: thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock/clock.h"
#include "base/json/value.h"
#include "kube/status/status.h"
#include "orchestrator/apiserver/authn/authenticator.h"
#include "orchestrator/apiserver/authn/signing_keys.h"
#include "orchestrator/apiserver/watch/cache.h"

namespace meltemi::apiserver {

struct TokenIssuerOptions {
  std::string issuer = "https://kubernetes.default.svc.cluster.local";
  std::vector<std::string> api_audiences;  // empty: the issuer
  std::string jwks_uri;                    // "https://HOST:6443/openid/v1/jwks"
  // Tokens of pods that ask for 3607 s (the kubelet's projected volumes) live for a year and are
  // only counted when they are used later than asked for.
  bool extend_expiration = true;
  int64_t expiration_seconds_max = 0;  // 0: no bound
};

// `clock` outlives it.
std::unique_ptr<TokenIssuer> NewTokenIssuer(TokenIssuerOptions options,
                                            std::shared_ptr<const SigningKeys> keys,
                                            const Clock& clock);

// POST serviceaccounts/NAME/token: `review` is the authentication.k8s.io/v1 TokenRequest that was
// sent; the answer is the same object with its status. `warnings` are appended to.
kube::Result<json::Value> CreateServiceAccountToken(const TokenIssuerOptions& options,
                                                    TokenIssuer& issuer, WatchCache& cache,
                                                    const Clock& clock, absl::string_view ns,
                                                    absl::string_view name, json::Value review,
                                                    std::vector<std::string>* warnings);

}  // namespace meltemi::apiserver
