// Makes service account tokens (TokenRequest) and answers the issuer's discovery documents.
//
// Threads: thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/clock/clock.h"
#include "orchestrator/apiserver/authn/authenticator.h"
#include "orchestrator/apiserver/authn/signing_keys.h"

namespace meltemi::apiserver {

struct TokenIssuerOptions {
  std::string issuer = "https://kubernetes.default.svc.cluster.local";
  std::vector<std::string> api_audiences;  // empty: the issuer
  std::string jwks_uri;                    // "https://HOST:6443/openid/v1/jwks"
  // Tokens of pods that ask for 3607 s (the kubelet's projected volumes) live for a year and are
  // only counted when they are used later than asked for.
  bool extend_expiration = true;
};

// `clock` outlives it.
std::unique_ptr<TokenIssuer> NewTokenIssuer(TokenIssuerOptions options,
                                            std::shared_ptr<const SigningKeys> keys,
                                            const Clock& clock);

}  // namespace meltemi::apiserver
