// Authentication: a chain of plugins, each of which knows one kind of credential.
//
// Threads: thread-safe; may block for a short while (a look-up in the watch cache).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "kube/status/status.h"
#include "orchestrator/apiserver/authn/user.h"

namespace meltemi::apiserver {

struct Credentials {
  std::optional<ClientCertificate> certificate;
  std::string bearer_token;            // "" when there is none
  std::vector<std::string> audiences;  // asked for by a TokenReview; empty: the server's own
};

struct Authenticated {
  UserInfo user;
  std::vector<std::string> audiences;  // those of the token that were asked for
};

class Authenticator {
 public:
  virtual ~Authenticator() = default;
  // nullopt: not a credential of this kind, ask the next one. Status: the credential is of this
  // kind and wrong (401), the chain ends.
  virtual kube::Result<std::optional<Authenticated>> Authenticate(
      const Credentials& credentials) = 0;
};

// Service account tokens, made and read.
struct TokenRequest {
  std::string ns, service_account, service_account_uid;
  std::vector<std::string> audiences;
  int64_t expiration_seconds = 3600;
  // The object that the token is bound to, if any: "Pod", "Secret" or "Node".
  std::string bound_kind, bound_name, bound_uid;
  std::string node_name, node_uid;  // of a bound pod
};
struct IssuedToken {
  std::string token;
  int64_t expires_at_s = 0;  // Unix time
};

class TokenIssuer {
 public:
  virtual ~TokenIssuer() = default;
  virtual IssuedToken Issue(const TokenRequest& request) = 0;
  // /openid/v1/jwks and /.well-known/openid-configuration.
  virtual std::string KeySetJson() const = 0;
  virtual std::string DiscoveryJson() const = 0;
};

}  // namespace meltemi::apiserver
